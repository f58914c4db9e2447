"""What of a definition is wrong before any run has it. Owns: which executors' definitions can be checked, and how.

Parameters may be incomplete, since a trigger may add to them. Must not know who asks.
"""

import asyncio
from collections.abc import Mapping

from scraper.executor import InvalidParameters, Json
from scraper.grpc_definitions import Check
from scraper.http_surface import check_without_browser
from scraper.page_readers import PageReaders, RunReader
from scraper.rpa_parameters import parse_rpa
from scraper.scrape_definition import read_definition
from scraper.scrape_reads import Plan
from scraper.scrape_state import digest_of
from scraper.steps import parse_steps

# Stands for what a trigger may still say.
SOMEWHERE = "http://example.org/"


def definition_checks(readers: PageReaders) -> Mapping[str, Check]:
    """The checks by executor; each raises InvalidParameters that names the first wrong field."""

    async def scrape(parameters: Mapping[str, Json]) -> None:
        whole = {"start_urls": [SOMEWHERE], **parameters}
        definition = read_definition(whole)
        parse_steps(definition.steps, "steps")
        parts = Plan(definition).parts()
        await RunReader(readers, parts, digest_of(parts)).check()

    async def rpa(parameters: Mapping[str, Json]) -> None:
        await asyncio.to_thread(parse_rpa, {"BASE_URL": SOMEWHERE, **parameters})

    async def rpa_base(parameters: Mapping[str, Json]) -> None:
        wanted = await asyncio.to_thread(parse_rpa, {"BASE_URL": SOMEWHERE, **parameters})
        if wanted.adspower is not None:
            raise InvalidParameters("there is no browser here: use rpa", field="adsPowerId")
        check_without_browser(wanted.steps, wanted.root)

    return {"scrape": scrape, "rpa": rpa, "rpa_base": rpa_base}
