"""What of a definition is wrong before any run has it. Owns: which executors' definitions can be checked, and how.

Parameters may be incomplete, since a trigger may add to them. Must not know who asks.
"""

import asyncio
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from chassis.addresses import check_url

from scraper.curl_arguments import read_arguments
from scraper.executor import InvalidParameters
from scraper.executors.python import find_script
from scraper.grpc_definitions import Check, Definition, Doubtful
from scraper.http_check import check_without_browser
from scraper.page_readers import PageReaders, RunReader
from scraper.rpa_parameters import parse_rpa
from scraper.scrape_definition import read_definition
from scraper.scrape_reads import Plan
from scraper.scrape_state import digest_of
from scraper.steps import parse_steps
from scraper.templates import PLACE

# Stands for what a trigger may still say.
SOMEWHERE = "http://example.org/"


def definition_checks(readers: PageReaders, scripts_dir: Path) -> Mapping[str, Check]:
    """The checks by executor; each raises InvalidParameters that names the first wrong field."""

    async def scrape(of: Definition) -> None:
        whole = {"start_urls": [SOMEWHERE], **of.parameters}
        definition = read_definition(whole)
        parse_steps(definition.steps, "steps")
        parts = Plan(definition).parts()
        await RunReader(readers, parts, digest_of(parts)).check()

    async def rpa(of: Definition) -> None:
        await asyncio.to_thread(parse_rpa, {"BASE_URL": SOMEWHERE, **of.parameters})

    async def rpa_base(of: Definition) -> None:
        wanted = await asyncio.to_thread(parse_rpa, {"BASE_URL": SOMEWHERE, **of.parameters})
        if wanted.adspower is not None:
            raise InvalidParameters("there is no browser here: use rpa", field="adsPowerId")
        check_without_browser(wanted.steps, wanted.root)

    async def python(of: Definition) -> None:
        if not of.command or PLACE.search(of.command):
            return
        try:
            await asyncio.to_thread(find_script, scripts_dir, of.command)
        except InvalidParameters as error:
            # It may be put there later, or be on another worker.
            raise Doubtful(error.message.removeprefix(f"{error.field}: "), field=error.field) from error

    return {"scrape": scrape, "rpa": rpa, "rpa_base": rpa_base, "http": _check_http, "python": python}


async def _check_http(of: Definition) -> None:
    """The address and the options, as far as no parameter is to be filled in."""
    if of.command and not PLACE.search(of.command):
        check_address(of.command.strip())
    if not any(PLACE.search(word) for word in of.arguments):
        read_arguments(of.arguments)


def check_address(command: str) -> None:
    """Raise InvalidParameters unless an `http` task's command can be an address, with or without its scheme."""
    has_scheme = "://" in command
    parts = check_url(command if has_scheme else f"http://{command}", partial(InvalidParameters, field="command"))
    host = parts.hostname or ""
    if not has_scheme and "." not in host and host != "localhost" and parts.port is None:
        raise InvalidParameters(f"is no address: write http://{host}/ if that is a host's name", field="command")
