"""Builds the pipeline from the settings: stores, budgets, sources, executors. Only it knows them all."""

import asyncio
import os
import shutil
import time
from collections.abc import Callable, Mapping
from functools import partial

from chassis.stores import Database, redis_client
from pydantic import SecretStr

from scraper.blobs import LocalBlobs
from scraper.executor import Executor
from scraper.executors.papers import EXECUTORS, Desk, Limits
from scraper.fetch import Fetcher
from scraper.keyword_endpoint import Endpoint
from scraper.mongo_papers import Papers
from scraper.paper_files import PaperFiles, clear_old
from scraper.paper_ocr import Reading
from scraper.paper_search import Access
from scraper.paper_sources import Arxiv, Crossref, OpenAlex, SemanticScholar, Source
from scraper.paper_workshop import Workshop
from scraper.processes import CommandRunner
from scraper.redis_rates import Budget, Rates
from scraper.settings import ScraperSettings

# What a killed index run left is of use to its next attempt, which comes within minutes.
BUILDS_KEPT_SECONDS = 86_400.0
NAMES = tuple(executor.name for executor in EXECUTORS)


class Pipeline:
    """The papers of all projects, and those who work on them."""

    def __init__(self, settings: ScraperSettings, database: Database, blobs: LocalBlobs) -> None:
        self._settings = settings
        self._redis = redis_client(settings, connections=8)
        self.papers, self.files = Papers(database), PaperFiles(blobs)
        self._rates = Rates(self._redis, patience_seconds=settings.patience_seconds)
        self._workshop: Workshop | None = None

    def builders(self, fetcher: Fetcher, runner: CommandRunner) -> Mapping[str, Callable[[], Executor]]:
        """How each executor is made, by its name."""
        settings = self._settings
        self._workshop = Workshop(runner, settings.work_dir / "papers" / runner.marker)
        desk = Desk(
            papers=self.papers,
            files=self.files,
            rates=self._rates,
            fetcher=fetcher,
            workshop=self._workshop,
            sources=_sources(settings),
            reading=Reading(_tesseract(settings), settings.ocr_languages, settings.ocr_page_seconds),
            endpoint=Endpoint(
                settings.keyword_base_url,
                _plain(settings.keyword_api_key),
                settings.keyword_model,
                settings.keyword_timeout_seconds,
            ),
            limits=Limits(settings.scholar_timeout_seconds, settings.crawl_interval_seconds, settings.pdf_max_bytes),
        )
        return {executor.name: partial(executor, desk) for executor in EXECUTORS}

    async def clear(self) -> None:
        """Remove what an earlier life of this worker left behind."""
        if self._workshop is not None:
            await asyncio.to_thread(self._workshop.clear)
            await asyncio.to_thread(
                clear_old, self._workshop.builds, older_than_seconds=BUILDS_KEPT_SECONDS, now=time.time()
            )

    async def close(self) -> None:
        """Give back what is shared."""
        await self._redis.aclose(close_connection_pool=True)


def _plain(secret: SecretStr | None) -> str:
    return secret.get_secret_value() if secret is not None else ""


def _tesseract(settings: ScraperSettings) -> str:
    path = f"{os.environ.get('PATH', '')}:/usr/local/bin:/usr/bin"
    return settings.tesseract_path or shutil.which("tesseract", path=path) or ""


def _sources(settings: ScraperSettings) -> dict[str, Access]:
    mailto = settings.scholar_mailto
    table: tuple[tuple[Source, float], ...] = (
        (
            SemanticScholar(settings.semantic_scholar_base_url, _plain(settings.semantic_scholar_api_key)),
            settings.semantic_scholar_interval_seconds,
        ),
        (Arxiv(settings.arxiv_base_url), settings.arxiv_interval_seconds),
        (
            OpenAlex(settings.openalex_base_url, _plain(settings.openalex_api_key), mailto),
            settings.openalex_interval_seconds,
        ),
        (Crossref(settings.crossref_base_url, mailto), settings.crossref_interval_seconds),
    )
    return {source.name: Access(source, Budget(source.name, interval)) for source, interval in table}
