"""The pipeline's executors. Own: what each run is given to work with. Must not know how the work is done."""

from dataclasses import dataclass

from scraper.executor import Json, RunContext
from scraper.fetch import Fetcher
from scraper.host_pace import PolitenessRules
from scraper.keyword_endpoint import Endpoint
from scraper.mongo_papers import Papers
from scraper.paper_crawl import CrawlRun
from scraper.paper_dedup import DedupRun
from scraper.paper_expand import ExpandRun
from scraper.paper_files import PaperFiles
from scraper.paper_indexing import IndexRun
from scraper.paper_ocr import OcrRun, Reading
from scraper.paper_search import Access, SearchRun
from scraper.paper_workshop import Workshop
from scraper.pipeline_params import (
    DedupParams,
    IndexParams,
    KeywordParams,
    PapersParams,
    SearchParams,
    read_params,
)
from scraper.politeness import Politeness
from scraper.redis_rates import Rates


@dataclass(frozen=True, slots=True)
class Limits:
    """What the settings allow."""

    scholar_seconds: float
    crawl_interval_seconds: float
    pdf_max_bytes: int


@dataclass(frozen=True, slots=True)
class Desk:
    """What the executors share."""

    papers: Papers
    files: PaperFiles
    rates: Rates
    fetcher: Fetcher
    workshop: Workshop
    sources: dict[str, Access]
    reading: Reading
    endpoint: Endpoint
    limits: Limits


class _OnDesk:
    """What all of them have."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def close(self) -> None:
        """What is shared is the composition root's."""


class SearchExecutor(_OnDesk):
    """`search`: imports what the scholarly APIs find."""

    name = "pipeline_search"

    async def run(self, context: RunContext) -> Json:
        """See `SearchRun`."""
        desk = self._desk
        params = read_params(SearchParams, context.job.parameters)
        async with desk.fetcher.session() as session:
            return await SearchRun(
                context, params, sources=desk.sources, http=session, papers=desk.papers, rates=desk.rates,
                timeout_seconds=desk.limits.scholar_seconds,
            ).run()  # fmt: skip


class DedupExecutor(_OnDesk):
    """`dedup`: makes one paper of those that are the same."""

    name = "pipeline_dedup"

    async def run(self, context: RunContext) -> Json:
        """See `DedupRun`."""
        params = read_params(DedupParams, context.job.parameters)
        async with self._desk.workshop.bench(context) as bench:
            return await DedupRun(context, params, papers=self._desk.papers, bench=bench).run()


class CrawlExecutor(_OnDesk):
    """`crawl`: fetches PDFs."""

    name = "pipeline_crawl"

    async def run(self, context: RunContext) -> Json:
        """See `CrawlRun`."""
        desk = self._desk
        params = read_params(PapersParams, context.job.parameters)
        async with desk.fetcher.session() as session:
            politeness = Politeness(PolitenessRules(concurrency=1), session, user_agent=desk.fetcher.user_agent)
            try:
                return await CrawlRun(
                    context, params, session=session, politeness=politeness, papers=desk.papers, files=desk.files,
                    rates=desk.rates, interval_seconds=desk.limits.crawl_interval_seconds,
                    max_bytes=desk.limits.pdf_max_bytes,
                ).run()  # fmt: skip
            finally:
                await politeness.close()


class OcrExecutor(_OnDesk):
    """`ocr`: reads PDFs."""

    name = "pipeline_ocr"

    async def run(self, context: RunContext) -> Json:
        """See `OcrRun`."""
        desk = self._desk
        params = read_params(PapersParams, context.job.parameters)
        async with desk.workshop.bench(context) as bench:
            return await OcrRun(
                context, params, papers=desk.papers, files=desk.files, bench=bench, reading=desk.reading
            ).run()  # fmt: skip


class IndexExecutor(_OnDesk):
    """`index`: brings the full-text index up to date."""

    name = "pipeline_index"

    async def run(self, context: RunContext) -> Json:
        """See `IndexRun`."""
        desk = self._desk
        params = read_params(IndexParams, context.job.parameters)
        async with desk.workshop.bench(context) as bench:
            return await IndexRun(
                context, params, papers=desk.papers, files=desk.files, bench=bench, builds=desk.workshop.builds
            ).run()  # fmt: skip


class KeywordExecutor(_OnDesk):
    """`keyword_expand`: proposes related terms."""

    name = "pipeline_keyword_expand"

    async def run(self, context: RunContext) -> Json:
        """See `ExpandRun`."""
        desk = self._desk
        params = read_params(KeywordParams, context.job.parameters)
        async with desk.workshop.bench(context) as bench, desk.fetcher.session() as session:
            return await ExpandRun(
                context, params, papers=desk.papers, bench=bench, session=session, endpoint=desk.endpoint,
                rates=desk.rates,
            ).run()  # fmt: skip


EXECUTORS = (SearchExecutor, DedupExecutor, CrawlExecutor, OcrExecutor, IndexExecutor, KeywordExecutor)
