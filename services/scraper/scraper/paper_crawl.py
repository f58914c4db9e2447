"""One crawl run. Owns: which PDFs are fetched, how politely, and what counts as a PDF. Must not know OCR or indexes.

Hosts are visited side by side, each with one request at a time and a pace that all workers share. What became of a
paper is stored with it at once, so that a killed run fetches nothing twice.
"""

import asyncio
from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from scraper.executor import ExecutorError, InvalidParameters, Json, Parked, RunContext
from scraper.fetch import Fetched, FetchFailed, FetchRequest, FetchSession
from scraper.mongo_catalogue import patiently
from scraper.mongo_papers import Papers
from scraper.paper import Document
from scraper.paper_download import Download
from scraper.paper_files import PaperFiles
from scraper.pipeline_params import PapersParams
from scraper.politeness import Disallowed, Politeness, RobotsUnreachable, is_slowing, retry_after_seconds
from scraper.redis_rates import Budget, Rates, TooLong

HOSTS_AT_ONCE = 8
FETCH_SECONDS = 300
TRIES = 2
# A line that breaks again and again, each time after some bytes.
MAX_BREAKS = 50
# A host that does nothing but ask for pauses is given up after so many in a row.
MAX_PAUSES = 5
PAUSE_SECONDS = 5.0
HEAD_BYTES = 1024
MAX_SHOWN = 300
# What runs need to know of each paper; texts stay where they are.
FIELDS = ("title", "pdf_url", "pdf_state", "pdf_file", "pdf_sha", "pdf_run", "text_state", "text_sha",
          "pages", "ocr_pages")  # fmt: skip
MAX_LISTED = 100


class Unfit(Exception):
    """This PDF can't be had; the message says why."""


@dataclass(slots=True)
class Tally:
    """What became of the papers. `failures`: paper id → why."""

    downloaded: int = 0
    skipped: int = 0
    failures: dict[str, str] = field(default_factory=dict)
    resume_at_ms: int = 0

    @property
    def done(self) -> int:
        """Papers that need nothing more."""
        return self.downloaded + self.skipped + len(self.failures)


async def chosen_papers(papers: Papers, project_id: int, paper_ids: list[str] | None) -> list[Document]:
    """The named papers of the project, or all of it; one that was merged into another stands for that one.

    Raises InvalidParameters for ids that the project does not have.
    """
    if paper_ids is None:
        return [paper async for page in papers.stream(project_id, FIELDS) for paper in page]
    found = await patiently(papers.get, project_id, paper_ids, FIELDS)
    unknown = [paper_id for paper_id in paper_ids if paper_id not in found]
    if unknown:
        raise InvalidParameters(f"the project has no paper {', '.join(unknown[:5])}", field="paper_ids")
    kept = {paper["paper_id"]: paper for paper in found.values()}
    return [paper for _, paper in sorted(kept.items())]


class CrawlRun:
    """Fetches the PDFs of one attempt."""

    def __init__(
        self, context: RunContext, params: PapersParams, *, session: FetchSession, politeness: Politeness,
        papers: Papers, files: PaperFiles, rates: Rates, interval_seconds: float, max_bytes: int,
    ) -> None:  # fmt: skip
        self._context, self._params, self._session = context, params, session
        self._politeness, self._papers, self._files, self._rates = politeness, papers, files, rates
        self._interval_seconds, self._max_bytes = interval_seconds, max_bytes
        self._tally = Tally()
        saved: Any = context.job.checkpoint
        self._pauses: dict[str, int] = defaultdict(int, saved.get("pauses", {}) if isinstance(saved, dict) else {})
        # Who failed in an earlier attempt of this run failed in this run.
        self._failed_before: dict[str, str] = saved.get("failures", {}) if isinstance(saved, dict) else {}
        self._total = 0

    async def run(self) -> Json:
        """Counts, and why papers failed. Raises Parked when only hosts are left that asked for a pause."""
        hosts = self._sort(await chosen_papers(self._papers, self._params.project_id, self._params.paper_ids))
        self._show()
        await self._files.clear_downloads(self._params.project_id)
        queue = deque(hosts.items())
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(HOSTS_AT_ONCE, len(queue))):
                    group.create_task(self._visit(queue))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        tally = self._tally
        if tally.done < self._total:
            await self._save()
            raise Parked("the remaining hosts asked for a pause", resume_at_ms=tally.resume_at_ms)
        reasons = dict(list(tally.failures.items())[:MAX_LISTED])
        return {
            "downloaded": tally.downloaded,
            "skipped": tally.skipped,
            "failed": len(tally.failures),
            "failures": [{"paper_id": paper_id, "reason": reason} for paper_id, reason in sorted(reasons.items())],
        }

    def _sort(self, papers: list[Document]) -> dict[str, list[Document]]:
        """What is to be fetched, by host."""
        hosts: dict[str, list[Document]] = defaultdict(list)
        wanted = [paper for paper in papers if paper["pdf_url"] or self._params.paper_ids is not None]
        self._total = len(wanted)
        for paper in wanted:
            if paper["pdf_state"] == "stored" and self._files.path(paper["pdf_file"]) is not None:
                if paper["pdf_run"] == self._context.job.run_id:
                    self._tally.downloaded += 1
                else:
                    self._tally.skipped += 1
            elif not paper["pdf_url"]:
                self._tally.skipped += 1
            elif paper["paper_id"] in self._failed_before:
                self._tally.failures[paper["paper_id"]] = self._failed_before[paper["paper_id"]]
            else:
                hosts[_host(paper["pdf_url"])].append(paper)
        return hosts

    async def _visit(self, queue: "deque[tuple[str, list[Document]]]") -> None:
        while queue:
            host, papers = queue.popleft()
            try:
                for paper in papers:
                    await self._take(host, paper)
                    self._show()
            except TooLong as error:
                self._context.log("info", str(error))
                resume = self._tally.resume_at_ms
                self._tally.resume_at_ms = min(resume, error.resume_at_ms) if resume else error.resume_at_ms

    async def _take(self, host: str, paper: Document) -> None:
        download = self._files.download(self._params.project_id, paper["paper_id"])
        try:
            data = await self._fetch(host, paper["pdf_url"], download)
        except Unfit as error:
            download.drop()
            reason = str(error)[:MAX_SHOWN]
            self._tally.failures[paper["paper_id"]] = reason
            self._context.log("warn", f"No PDF of {paper['title'][:80]!r}: {reason}", paper_id=paper["paper_id"])
            await self._change(paper, {"pdf_error": reason})
            await self._save()
            return
        name, sha = await self._files.save_pdf(self._params.project_id, paper["paper_id"], data)
        await self._change(paper, {
            "pdf_state": "stored", "pdf_file": name, "pdf_bytes": len(data), "pdf_sha": sha, "pdf_error": "",
            "pdf_run": self._context.job.run_id,
        })  # fmt: skip
        download.drop()
        self._tally.downloaded += 1

    async def _change(self, paper: Document, changes: Document) -> None:
        await patiently(self._papers.change, self._params.project_id, paper["paper_id"], changes)

    async def _save(self) -> None:
        state = {"pauses": dict(self._pauses), "failures": self._tally.failures}
        await patiently(self._context.save_checkpoint, state)

    async def _fetch(self, host: str, url: str, download: Download) -> bytes:
        """The PDF, of which some may be there already. Raises Unfit, TooLong."""
        failures = 0
        reason = ""
        for _ in range(MAX_BREAKS):
            came = download.size
            try:
                await self._turn(host, url)
                answer = await self._session.fetch(
                    FetchRequest(
                        url, headers=download.headers(), timeout_seconds=FETCH_SECONDS,
                        max_bytes=self._max_bytes, follow=self._check_robots, receiver=download,
                    )
                )  # fmt: skip
            except FetchFailed as error:
                reason = error.message
                if download.size > came:
                    # The line broke, but the host does give: the rest is asked for.
                    self._context.log("debug", f"{download.size} bytes have come: {reason}", url=url)
                    continue
            except ExecutorError as error:  # robots.txt, or an address that may not be called
                raise Unfit(error.message) from error
            else:
                if is_slowing(answer) and (answer.status == 429 or retry_after_seconds(answer) is not None):
                    await self._pause(host, answer)
                    continue
                if answer.status < 500 and answer.status != 416:
                    self._pauses.pop(host, None)
                    return _checked(answer, await download.content(), self._max_bytes)
                reason = f"the host answered with status {answer.status}"
            failures += 1
            if failures >= TRIES:
                break
        raise Unfit(reason)

    async def _check_robots(self, url: str) -> None:
        await self._politeness.check(url)

    async def _turn(self, host: str, url: str) -> None:
        """Wait until the host may be asked, by its robots.txt and by the pace that all workers keep."""
        try:
            await self._politeness.check(url)
        except Disallowed as error:
            raise Unfit(error.message) from error
        except RobotsUnreachable as error:
            raise Unfit(error.message) from error
        pace = await self._politeness.pace_of(url)
        await self._rates.turn(self._budget(host, pace.host.delay))

    def _budget(self, host: str, delay_seconds: float = 0) -> Budget:
        return Budget(f"host:{host}", max(self._interval_seconds, delay_seconds))

    async def _pause(self, host: str, answer: Fetched) -> None:
        self._pauses[host] += 1
        if self._pauses[host] > MAX_PAUSES:
            raise Unfit(f"the host asked for a pause {MAX_PAUSES} times in a row")
        asked = retry_after_seconds(answer)
        await self._rates.pause(self._budget(host), PAUSE_SECONDS if asked is None else asked)

    def _show(self) -> None:
        self._context.progress(self._tally.done, self._total, f"{self._tally.downloaded} PDFs downloaded")


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2].lower()


def _checked(answer: Fetched, body: bytes, max_bytes: int) -> bytes:
    """The body, if it is a PDF. Raises Unfit."""
    if answer.status not in (200, 206):
        raise Unfit(f"the host answered with status {answer.status}")
    if answer.truncated:
        raise Unfit(f"it is larger than {max_bytes} bytes")
    if b"%PDF-" not in body[:HEAD_BYTES]:
        what = answer.content_type or "something unnamed"
        raise Unfit(f"the answer is no PDF, but {what}")
    return body
