"""Each of the four sources in each way of failing, at once: what is wrong is said, and nobody else is harmed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import redis.asyncio as aioredis
from aiohttp import web
from chassis.settings import ServiceSettings
from chassis.stores import mongo_client, mongo_database
from executor_kit import context_of, fetching
from pydantic import SecretStr
from scraper.mongo_papers import Papers
from scraper.paper_search import Access, SearchRun
from scraper.paper_sources import Arxiv, Crossref, OpenAlex, SemanticScholar
from scraper.pipeline_params import SearchParams
from scraper.redis_rates import Budget, Rates

from simulators.scholar.app import Scholar
from simulators.scholar.corpus import Corpus, make_corpus
from simulators.scholar.faults import Fault

NAMES = ("semantic_scholar", "arxiv", "openalex", "crossref")
KINDS = ("down", "slow", "rubbish", "total", "repeat", "empty", "")
# What is said of a source in each of these states.
SAID = {
    "down": "status 500", "slow": "within", "rubbish": "the answer is not", "total": "98765",
    "repeat": "again and again", "empty": "and gave 0",
}  # fmt: skip
# Far more than a page takes, far less than a slow source does.
TIMEOUT_SECONDS = 6.0


@asynccontextmanager
async def misbehaving(corpus: Corpus, states: dict[str, str]) -> AsyncIterator[str]:
    """The four services on loopback, each in its state."""
    scholar = Scholar(corpus, pace=0)
    for name, kind in states.items():
        scholar.manners[name].misbehave(Fault(kind, seconds=60) if kind else None)
    runner = web.AppRunner(scholar.app(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_every_source_may_fail_in_every_way(mongodb_uri: str, mongodb_prefix: str, redis_url: str) -> None:
    """Seven searches, in which each source is in each state once; only the well ones and those that gave papers
    count.
    """
    corpus = make_corpus(seed=3, works=700)
    settings = ServiceSettings(mongodb_uri=SecretStr(mongodb_uri), mongodb_prefix=mongodb_prefix)
    mongo, redis = mongo_client(settings), aioredis.Redis.from_url(redis_url)
    papers = Papers(mongo_database(mongo, settings, "scraper"))
    await papers.prepare()

    async def search(number: int) -> tuple[dict[str, str], Any]:
        states = {name: KINDS[(number + index) % len(KINDS)] for index, name in enumerate(NAMES)}
        params = SearchParams(project_id=number + 1, query="error", limit=1_000)
        async with misbehaving(corpus, states) as base, fetching() as fetcher, fetcher.session() as session:
            sources = (SemanticScholar(base), Arxiv(base), OpenAlex(f"{base}/openalex"), Crossref(f"{base}/crossref"))
            access = {one.name: Access(one, Budget(f"{one.name}-{number}", 0)) for one in sources}
            run = SearchRun(
                context_of("pipeline_search", run_id=number + 1), params, sources=access, http=session, papers=papers,
                rates=Rates(redis, patience_seconds=5), timeout_seconds=TIMEOUT_SECONDS,
            )  # fmt: skip
            return states, await run.run()

    answers = await asyncio.gather(*(search(number) for number in range(len(KINDS))))
    mongo.close()
    await redis.aclose()
    whole: dict[str, set[int]] = {}
    for states, result in answers:
        assert {name for name, kind in states.items() if kind} == set(result["errors"]), result
        for name, kind in states.items():
            shown = result["by_source"][name]
            assert SAID.get(kind, "") in result["errors"].get(name, ""), (name, kind, result)
            assert (shown["found"] > 0) == (kind not in ("down", "slow", "rubbish", "empty")), (name, kind, result)
            assert shown["imported"] == shown["found"]
            if kind in ("", "total"):
                whole.setdefault(name, set()).add(shown["found"])
    # A lie about the total loses nothing of what there is, over several pages.
    assert all(len(counts) == 1 and min(counts) > 100 for counts in whole.values()), whole
