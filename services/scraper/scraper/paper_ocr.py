"""One ocr run. Owns: which pages are read how, and what is kept of it. Must not know PDF libraries.

A page is stored as soon as it is read, so that a killed run goes on with the next one. Each page that has no text layer
is read by a process of its own.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from scraper.executor import ExecutorError, Json, RunContext
from scraper.mongo_catalogue import patiently
from scraper.mongo_papers import PageText, Papers
from scraper.paper import Document
from scraper.paper_crawl import MAX_LISTED, chosen_papers
from scraper.paper_files import PaperFiles
from scraper.paper_workshop import Bench, ChildFailed
from scraper.pipeline_params import PapersParams

TEXT_SECONDS = 600.0
PAGES_AT_ONCE = 200
MAX_WARNINGS = 20
# Starting, rendering and reading the picture, beside Tesseract itself.
MARGIN_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Reading:
    """How pictures are read. `tesseract` "" = there is none."""

    tesseract: str
    languages: str
    page_seconds: float


class TesseractMissing(ExecutorError):
    """A page has no text layer, and nothing here can read pictures."""

    def __init__(self) -> None:
        super().__init__(
            "a page has no text layer and Tesseract is missing on this worker: install the Debian package "
            "tesseract-ocr, or set TESSERACT_PATH",
            code="TESSERACT_MISSING",
        )


class OcrRun:
    """Reads the PDFs of one attempt."""

    def __init__(
        self, context: RunContext, params: PapersParams, *, papers: Papers, files: PaperFiles, bench: Bench,
        reading: Reading,
    ) -> None:  # fmt: skip
        self._context, self._params = context, params
        self._papers, self._files, self._bench, self._reading = papers, files, bench, reading
        self._done, self._total = 0, 0
        self._pages, self._ocr_pages = 0, 0
        self._failures: dict[str, str] = {}

    async def run(self) -> Json:
        """`pages`, `ocr_pages`, `failed`, over all papers that were asked for and have a PDF."""
        chosen = await chosen_papers(self._papers, self._params.project_id, self._params.paper_ids)
        papers = [paper for paper in chosen if paper["pdf_state"] == "stored"]
        self._total = len(papers)
        self._show("")
        for paper in papers:
            if paper["text_state"] == "done" and paper["text_sha"] == paper["pdf_sha"]:
                self._pages += paper["pages"]
                self._ocr_pages += paper["ocr_pages"]
            else:
                await self._read(paper)
            self._done += 1
            self._show(paper["title"][:80])
        shown = dict(list(self._failures.items())[:MAX_LISTED])
        return {
            "pages": self._pages,
            "ocr_pages": self._ocr_pages,
            "failed": len(self._failures),
            "failures": [{"paper_id": paper_id, "reason": reason} for paper_id, reason in sorted(shown.items())],
        }

    async def _read(self, paper: Document) -> None:
        """Read one paper; what goes wrong with it is its own failure. Raises TesseractMissing."""
        paper_id, project_id = paper["paper_id"], self._params.project_id
        path = self._files.path(paper["pdf_file"])
        if path is None:
            await self._fail(paper, "its file is not on this worker: BLOB_DIR must be shared by all of them")
            return
        if paper["text_sha"] and paper["text_sha"] != paper["pdf_sha"]:
            await patiently(self._papers.drop_pages, project_id, paper_id)
        await self._change(paper, {"text_state": "started", "text_sha": paper["pdf_sha"]})
        try:
            pages = await self._text_layer(paper, path)
        except (ChildFailed, TimeoutError) as error:
            await self._fail(paper, str(error) or f"its text layer could not be read within {TEXT_SECONDS:g} s")
            return
        waiting = [number for number, page in pages.items() if page is None]
        before = sum(1 for page in pages.values() if page is not None and page.method == "ocr")
        self._total += len(waiting) + before
        self._done += before
        for number in waiting:
            pages[number] = await self._picture(paper, path, number)
            self._done += 1
            self._show(f"{paper['title'][:80]}, page {number}")
        read = [page for page in pages.values() if page is not None]
        ocr_pages = sum(1 for page in read if page.method == "ocr")
        unread = [page for page in read if page.reason]
        counts = {"pages": len(read), "ocr_pages": ocr_pages}
        self._pages += len(read)
        self._ocr_pages += ocr_pages
        told = _told(unread, len(read))
        # What could not be read within the bounds can't be read the next time either.
        if unread and (len(unread) == len(read) or any(page.method == "failed" for page in unread)):
            await self._fail(paper, told, **counts)
        else:
            await self._change(paper, {"text_state": "done", "text_error": told, **counts})

    async def _text_layer(self, paper: Document, path: Path) -> dict[int, PageText | None]:
        """Every page that is read already or has a text layer; None for those whose picture must be read."""
        project_id, paper_id = self._params.project_id, paper["paper_id"]
        stored = await patiently(self._papers.pages, project_id, paper_id)
        known: dict[int, PageText] = {page.page: page for page in stored if page.method != "failed"}
        target = self._bench.folder / "text.jsonl"
        await self._bench.work("text", str(path), str(target), seconds=TEXT_SECONDS)
        entries = await asyncio.to_thread(self._bench.read, target)
        layer = [_page_of(entry) for entry in entries if not entry["scanned"] and entry["page"] not in known]
        for page in [page for page in layer if page.reason][:MAX_WARNINGS]:
            self._warn(paper, page)
        for start in range(0, len(layer), PAGES_AT_ONCE):
            await patiently(self._papers.save_pages, project_id, paper_id, layer[start : start + PAGES_AT_ONCE])
        known |= {page.page: page for page in layer}
        return {entry["page"]: known.get(entry["page"]) for entry in entries}

    async def _picture(self, paper: Document, path: Path, number: int) -> PageText:
        """Read one page's picture and store it, be it as failed. Raises TesseractMissing."""
        if not self._reading.tesseract:
            raise TesseractMissing
        target = self._bench.folder / "page.jsonl"
        seconds = self._reading.page_seconds
        asked = {
            "page": number, "tesseract": self._reading.tesseract, "languages": self._reading.languages,
            "seconds": seconds,
        }  # fmt: skip
        try:
            await self._bench.work(
                "ocr", str(path), str(target), orjson.dumps(asked).decode(), seconds=seconds + MARGIN_SECONDS,
                # Many runs read pages at once; Tesseract's own threads would only fight over the cores.
                variables={"OMP_THREAD_LIMIT": "1"},
            )  # fmt: skip
            text = (await asyncio.to_thread(self._bench.read, target))[0]["text"]
            page = PageText(number, text, "ocr")
        except (ChildFailed, TimeoutError) as error:
            reason = str(error) or f"not read within {seconds:g} s"
            page = PageText(number, "", "failed", reason)
            self._warn(paper, page)
        await patiently(self._papers.save_pages, self._params.project_id, paper["paper_id"], [page])
        return page

    def _warn(self, paper: Document, page: PageText) -> None:
        self._context.log("warn", f"Page {page.page} of {paper['title'][:80]!r}: {page.reason}")

    async def _fail(self, paper: Document, reason: str, **changes: int) -> None:
        self._failures[paper["paper_id"]] = reason
        self._context.log("warn", f"No full text of {paper['title'][:80]!r}: {reason}", paper_id=paper["paper_id"])
        await self._change(paper, {"text_state": "failed", "text_error": reason, **changes})

    async def _change(self, paper: Document, changes: Document) -> None:
        await patiently(self._papers.change, self._params.project_id, paper["paper_id"], changes)

    def _show(self, step: str) -> None:
        self._context.progress(self._done, self._total, step)


def _page_of(entry: Json) -> PageText:
    reason = entry.get("reason", "")
    return PageText(entry["page"], entry["text"], "unreadable" if reason else "text", reason)


def _told(unread: Sequence[PageText], count: int) -> str:
    """Which pages have no text, and why the first one has none."""
    if not unread:
        return ""
    numbers = ", ".join(str(page.page) for page in unread[:MAX_WARNINGS]) + (", …" if unread[MAX_WARNINGS:] else "")
    return f"{len(unread)} of {count} pages could not be read ({numbers}): {unread[0].reason}"
