"""One keyword_expand run. Owns: where the proposals come from: the project's own papers, or an outside endpoint."""

from collections.abc import AsyncIterator

import orjson

from scraper.executor import Json, Parked, RunContext
from scraper.fetch import FetchSession
from scraper.keyword_endpoint import Endpoint, ask
from scraper.mongo_catalogue import patiently
from scraper.mongo_papers import Papers
from scraper.paper_workshop import Bench
from scraper.pipeline_params import KeywordParams
from scraper.redis_rates import Rates, TooLong

SECONDS = 1_800.0
# The run's progress is in steps of a hundred: reading 30, finding terms 70.
READ_SHARE = 30


class ExpandRun:
    """Proposes terms."""

    def __init__(
        self, context: RunContext, params: KeywordParams, *, papers: Papers, bench: Bench, session: FetchSession,
        endpoint: Endpoint, rates: Rates,
    ) -> None:  # fmt: skip
        self._context, self._params, self._rates = context, params, rates
        self._papers, self._bench, self._session, self._endpoint = papers, bench, session, endpoint

    async def run(self) -> Json:
        """`keywords` with scores, and `origin`: corpus | endpoint."""
        if self._endpoint.base:
            self._context.progress(0, 1, "asking the endpoint")
            keywords = await self._ask()
            self._context.progress(1, 1, "done")
            return {"keywords": keywords, "origin": "endpoint"}
        self._context.progress(0, 100, "reading papers")
        source, count = await self._bench.write("texts.jsonl", self._read())
        keywords = []
        if count:
            target = self._bench.folder / "keywords.jsonl"
            asked = orjson.dumps({"keywords": self._params.keywords, "limit": self._params.limit}).decode()
            await self._bench.work(
                "keywords", str(source), str(target), asked, progress=self._expanded, seconds=SECONDS
            )  # fmt: skip
            keywords = self._bench.read(target)
        self._context.progress(100, 100, "done")
        return {"keywords": keywords, "origin": "corpus"}

    def _expanded(self, done: int, total: int) -> None:
        share = (100 - READ_SHARE) * done // max(total, 1)
        self._context.progress(READ_SHARE + share, 100, "finding terms")

    async def _read(self) -> AsyncIterator[list[Json]]:
        read, total = 0, len((await patiently(self._papers.catalogues.get, self._params.project_id)).active)
        async for page in self._papers.stream(self._params.project_id, ("title", "abstract")):
            read += len(page)
            self._context.progress(READ_SHARE * read // max(total, read), 100, f"{read} papers read")
            yield [f"{paper['title']}. {paper['abstract']}" for paper in page]

    async def _ask(self) -> list[Json]:
        """The endpoint's proposals; it is asked once, however often the run is killed after its answer."""
        answered = self._context.job.checkpoint
        if isinstance(answered, dict) and "keywords" in answered:
            keywords: list[Json] = answered["keywords"]
            return keywords
        try:
            found = await ask(
                self._endpoint, self._params.keywords, self._params.limit, session=self._session, rates=self._rates
            )
        except TooLong as error:
            raise Parked("the keyword endpoint asked for a pause", resume_at_ms=error.resume_at_ms) from error
        await patiently(self._context.save_checkpoint, {"keywords": found})
        return found
