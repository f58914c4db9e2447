"""One index run. Owns: what has changed since the last index, and the change from one index to the next.

The new index is built beside the current one, in slices that survive a kill, and becomes the current one by
compare-and-set on its generation; readers go on with the old file until then.
"""

import asyncio
import hashlib
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import orjson
from chassis.clock import now_ms

from scraper.executor import ExecutorError, Json, RunContext
from scraper.mongo_catalogue import patiently
from scraper.mongo_papers import IndexState, Papers
from scraper.paper import Document
from scraper.paper_crawl import chosen_papers
from scraper.paper_files import PaperFiles
from scraper.paper_index import VERSION, digests
from scraper.paper_workshop import Bench
from scraper.pipeline_params import IndexParams

SLICE_PAPERS = 200
SLICE_CHARACTERS = 8_000_000
SLICE_SECONDS = 900.0
MAX_BODY = 4_000_000
FIELDS = ("title", "abstract", "authors", "text_state", "text_sha", "pages", "ocr_pages", "updated_ms")


class IndexRun:
    """Brings a project's index up to date."""

    def __init__(
        self, context: RunContext, params: IndexParams, *, papers: Papers, files: PaperFiles, bench: Bench,
        builds: Path,
    ) -> None:  # fmt: skip
        self._context, self._params = context, params
        self._papers, self._files, self._bench, self._builds = papers, files, bench, builds

    async def run(self) -> Json:
        """`indexed` (papers of this request that are in the index now), `terms`, and `changed` since the index before.

        Raises ExecutorError when another run has published meanwhile.
        """
        wanted, gone = await self._wanted()
        before = await patiently(self._papers.index_state, self._params.project_id)
        published = await self._published(before)
        target = wanted
        if self._params.paper_ids is not None:
            target = {paper_id: digest for paper_id, digest in published.items() if paper_id not in gone} | wanted
        ids = target.keys() | published.keys()
        changed = sum(1 for paper_id in ids if target.get(paper_id) != published.get(paper_id))
        state = before
        if changed or self._params.rebuild or not before.generation:
            state = await self._build(before, wanted, target)
        self._context.progress(len(wanted), len(wanted), "done")
        return {"indexed": len(wanted), "terms": state.terms, "changed": changed, "documents": state.documents}

    async def _wanted(self) -> tuple[dict[str, str], set[str]]:
        """(digest by paper id of what is asked for, asked ids that may not be in the index)."""
        project_id, asked = self._params.project_id, self._params.paper_ids
        if asked is None:
            pages = [page async for page in self._papers.stream(project_id, FIELDS)]
            return {paper["paper_id"]: _digest(paper) for page in pages for paper in page}, set()
        kept = [paper["paper_id"] for paper in await chosen_papers(self._papers, project_id, asked)]
        papers = await patiently(self._papers.get, project_id, kept, FIELDS)
        return {paper_id: _digest(paper) for paper_id, paper in papers.items()}, set(asked) - set(kept)

    async def _published(self, before: IndexState) -> dict[str, str]:
        """What readers see now. Raises ExecutorError when it is needed, and this worker can't see it."""
        path = self._files.path(before.file) if before.generation else None
        if path is not None:
            return await asyncio.to_thread(digests, path, published=True)
        if before.generation and self._params.paper_ids is not None:
            raise ExecutorError(
                "the current index is not on this worker: BLOB_DIR must be shared by all of them", code="FILE_MISSING"
            )
        return {}

    async def _build(self, before: IndexState, wanted: Mapping[str, str], target: Mapping[str, str]) -> IndexState:
        build = await self._begin(before)
        held = await asyncio.to_thread(digests, build, published=False)
        # A rebuild of some papers writes these anew, though they have not changed.
        again = wanted if self._params.rebuild and self._params.paper_ids is not None else ()
        put = [paper_id for paper_id, digest in target.items() if held.get(paper_id) != digest or paper_id in again]
        await self._write(build, target, put, [paper_id for paper_id in held if paper_id not in target])
        state = await self._publish(build, before)
        await asyncio.to_thread(shutil.rmtree, build.parent, ignore_errors=True)
        return state

    async def _begin(self, before: IndexState) -> Path:
        """The file that is built on: what a killed attempt of this run left, else a copy of the current index, or for a
        rebuild of everything nothing.
        """
        folder = self._builds / f"{self._context.job.run_id}-{before.generation}"
        build = folder / "index.sqlite"
        from_nothing = self._params.rebuild and self._params.paper_ids is None

        def begin() -> None:
            folder.mkdir(parents=True, exist_ok=True)
            current = self._files.path(before.file) if before.file and not from_nothing else None
            if not build.exists() and current is not None:
                shutil.copyfile(current, folder / "copy")
                (folder / "copy").replace(build)

        await asyncio.to_thread(begin)
        return build

    async def _write(self, build: Path, target: Mapping[str, str], put: Sequence[str], drop: Sequence[str]) -> None:
        source = self._bench.folder / "changes.jsonl"
        done = len(target) - len(put)
        self._context.log("info", f"{done} of {len(target)} papers are in the index already")
        self._context.progress(done, len(target), f"{len(put)} papers to index")
        await self._slice(source, build, [{"id": paper_id} for paper_id in drop])
        async for changes in self._slices(target, put):
            await self._slice(source, build, changes)
            done += len(changes)
            self._context.progress(done, len(target), f"{done} papers indexed")

    async def _slice(self, source: Path, build: Path, changes: Sequence[Json]) -> None:
        lines = b"".join(orjson.dumps(change, option=orjson.OPT_APPEND_NEWLINE) for change in changes)
        await asyncio.to_thread(source.write_bytes, lines)
        await self._bench.work("index", str(source), str(build), seconds=SLICE_SECONDS)

    async def _slices(self, target: Mapping[str, str], put: Sequence[str]) -> AsyncIterator[list[Json]]:
        """Changes in slices that fit into memory."""
        changes: list[Json] = []
        size = 0
        for start in range(0, len(put), SLICE_PAPERS):
            papers = await patiently(self._papers.get, self._params.project_id, put[start : start + SLICE_PAPERS])
            for paper_id, paper in papers.items():
                body = await self._body(paper)
                changes.append(
                    {
                        "id": paper_id, "digest": target[paper_id], "title": paper["title"],
                        "abstract": paper["abstract"], "authors": "; ".join(paper["authors"]), "body": body,
                    }
                )  # fmt: skip
                size += len(body) + len(paper["abstract"])
                if size > SLICE_CHARACTERS or len(changes) >= SLICE_PAPERS:
                    yield changes
                    changes, size = [], 0
        if changes:
            yield changes

    async def _body(self, paper: Document) -> str:
        if not paper["pages"]:
            return ""
        pages = await patiently(self._papers.pages, self._params.project_id, paper["paper_id"])
        body = "\n".join(page.text for page in pages)
        if len(body) > MAX_BODY:
            told = f"only the first {MAX_BODY:,} of {len(body):,} characters of {paper['title'][:80]!r} are indexed"
            self._context.log("warn", told, paper_id=paper["paper_id"])
        return body[:MAX_BODY]

    async def _publish(self, build: Path, before: IndexState) -> IndexState:
        project_id, generation = self._params.project_id, before.generation + 1
        target = self._bench.folder / "counts.jsonl"
        await self._bench.work("finish_index", str(build), str(target), seconds=SLICE_SECONDS)
        counts = self._bench.read(target)[0]
        label = f"{generation:06d}-{self._context.job.run_id}"
        file = await self._files.save_index(project_id, label, build)
        state = IndexState(generation, file, counts["documents"], counts["terms"], now_ms())
        if not await patiently(self._papers.publish_index, project_id, state):
            current = await patiently(self._papers.index_state, project_id)
            if current.file != file:  # not this very run, whose answer was lost
                await asyncio.to_thread(shutil.rmtree, build.parent, ignore_errors=True)
                raise ExecutorError("another run has indexed this project meanwhile", code="INDEX_CHANGED")
        # The one before stays for readers that have just looked.
        await self._files.drop_indexes(project_id, [file, before.file])
        return state


def _digest(paper: Document) -> str:
    """Changes whenever what is indexed of the paper does, or how it is."""
    parts = [paper[name] for name in ("title", "abstract", "authors", "text_state", "text_sha", "pages", "ocr_pages")]
    return hashlib.blake2b(orjson.dumps([VERSION, *parts]), digest_size=12).hexdigest()
