"""A project's papers in MongoDB. Owns `papers`, `paper_pages` and `paper_indexes`. Must not know executors or gRPC.

Every `_id` begins with the project, and every query names it, so that no project can touch another's papers. What a
source told of a paper is inserted once and never changed; what was done with it is, under compare-and-set. Which papers
are shown, and which of them are one, is the catalogue's: a merged paper is put together when it is read.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from chassis.clock import now_ms
from chassis.errors import Conflict
from chassis.stores import mongo_errors
from motor.motor_asyncio import AsyncIOMotorDatabase
from pymongo import ASCENDING, ReplaceOne
from pymongo.errors import BulkWriteError, DuplicateKeyError

from scraper.mongo_catalogue import Catalogues, patiently, project_key
from scraper.paper import Document, Record, merge

PAGE = 1_000
MAX_TRIES = 20
DUPLICATE = 11000


def paper_key(project_id: int, paper_id: str) -> str:
    """A paper's `_id`."""
    return f"{project_key(project_id)}:{paper_id}"


@dataclass(frozen=True, slots=True)
class PageText:
    """The text of one page, from 1. `method`: text (its own layer) | ocr | unreadable (and will be so again) | failed
    (and may be tried again). `reason`: why it has none.
    """

    page: int
    text: str
    method: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class IndexState:
    """Which index of a project is the current one; generation 0: none."""

    generation: int = 0
    file: str = ""
    documents: int = 0
    terms: int = 0
    updated_ms: int = 0


class Papers:
    """Every method raises `Unavailable` when MongoDB can't be reached."""

    def __init__(self, database: AsyncIOMotorDatabase[dict[str, Any]]) -> None:
        self._papers, self._pages = database["papers"], database["paper_pages"]
        self._indexes = database["paper_indexes"]
        self.catalogues = Catalogues(database)

    async def prepare(self) -> None:
        """Make the indexes."""
        await self.catalogues.prepare()
        with mongo_errors():
            for name in ("project_id", "import_run"):
                await self._papers.create_index([(name, ASCENDING)])
            await self._pages.create_index([("paper", ASCENDING)])

    async def add(self, project_id: int, run_id: int, records: Iterable[Record]) -> int:
        """Import records; one that is there already, merged into another or not, stays as it is. Answers how many
        were new.
        """
        told = {paper_key(project_id, record.paper_id): record for record in records}
        with mongo_errors():
            rows = await self._papers.find({"_id": {"$in": list(told)}}, {"_id": 1}).to_list(None)
        there = {row["_id"] for row in rows}
        new = {key: record for key, record in told.items() if key not in there}
        if not new:
            return 0
        now = now_ms()
        # Listed first: what a crash leaves listed without being there is no paper until it is imported again.
        await self.catalogues.add(project_id, run_id, list(new.values()), now)
        documents = [
            {
                "_id": key, "project_id": project_id, "version": 1, "created_ms": now, "updated_ms": now,
                "import_run": run_id, "import_source": record.source,
                "pdf_run": 0, "pdf_state": "", "pdf_file": "", "pdf_bytes": 0, "pdf_sha": "",
                "pdf_error": "", "text_state": "", "text_sha": "", "text_error": "", "pages": 0, "ocr_pages": 0,
            } | record.document()
            for key, record in new.items()
        ]  # fmt: skip
        with mongo_errors():
            try:
                await self._papers.insert_many(documents, ordered=False)
            except BulkWriteError as error:
                failures = error.details["writeErrors"]
                if any(failure["code"] != DUPLICATE for failure in failures):
                    raise
                return len(documents) - len(failures)
        return len(documents)

    async def imported_by_source(self, project_id: int, run_id: int) -> dict[str, int]:
        """How many papers that run imported from each source."""
        match = {"import_run": run_id, "project_id": project_id}
        with mongo_errors():
            rows = await self._papers.aggregate(
                [{"$match": match}, {"$group": {"_id": "$import_source", "n": {"$sum": 1}}}]
            ).to_list(100)
        return {str(row["_id"]): int(row["n"]) for row in rows}

    async def page(self, project_id: int, *, offset: int, limit: int) -> tuple[list[Document], int]:
        """(a page of the papers, the newest first; how many there are)."""
        active = (await self.catalogues.get(project_id)).active
        ids = active[offset : offset + limit]
        found = await self.get(project_id, ids)
        return [found[paper_id] for paper_id in ids if paper_id in found], len(active)

    async def stream(self, project_id: int, fields: Sequence[str] | None = None) -> AsyncIterator[list[Document]]:
        """All papers, page by page, however long the store is away; with `fields` only these."""
        active = (await patiently(self.catalogues.get, project_id)).active
        for start in range(0, len(active), PAGE):
            found = await patiently(self.get, project_id, active[start : start + PAGE], fields)
            yield list(found.values())

    async def get(
        self, project_id: int, paper_ids: Iterable[str], fields: Sequence[str] | None = None
    ) -> dict[str, Document]:
        """The project's papers by the ids that were asked for; for one that was merged into another, that one. With
        `fields` only these of each.
        """
        groups = (await self.catalogues.get(project_id)).groups
        kept = {paper_id: groups.kept_of(paper_id) for paper_id in paper_ids}
        members = {head: groups.of(head) for head in dict.fromkeys(kept.values())}
        raw = await self._raw(project_id, [one for group in members.values() for one in group], fields)
        # A group whose first paper is missing (see `add`) is told by the next one.
        there = {head: [raw[one] for one in group if one in raw] for head, group in members.items()}
        papers = {head: merge(group) for head, group in there.items() if group}
        return {paper_id: papers[head] for paper_id, head in kept.items() if head in papers}

    async def _raw(
        self, project_id: int, paper_ids: Sequence[str], fields: Sequence[str] | None
    ) -> dict[str, Document]:
        """As they were imported."""
        shown = dict.fromkeys((*fields, "paper_id"), 1) if fields is not None else None
        found: dict[str, Document] = {}
        wanted = [paper_key(project_id, paper_id) for paper_id in paper_ids]
        for start in range(0, len(wanted), PAGE):
            with mongo_errors():
                rows = await self._papers.find({"_id": {"$in": wanted[start : start + PAGE]}}, shown).to_list(PAGE)
            found |= {row["paper_id"]: row for row in rows}
        return found

    async def done_work(self, project_id: int) -> dict[str, int]:
        """Papers that have a PDF (1), or its text as well (2)."""
        with mongo_errors():
            rows = await self._papers.find(
                {"project_id": project_id, "pdf_state": "stored"}, {"paper_id": 1, "text_state": 1}
            ).to_list(None)  # fmt: skip
        return {row["paper_id"]: 2 if row["text_state"] == "done" else 1 for row in rows}

    async def change(self, project_id: int, paper_id: str, changes: Document) -> None:
        """Set fields of a paper, whatever else happens to it."""
        for _ in range(MAX_TRIES):
            with mongo_errors():
                paper = await self._papers.find_one({"_id": paper_key(project_id, paper_id)})
            if paper is None or await self._replace(paper, changes):
                return
            await asyncio.sleep(0.05)
        raise Conflict(f"paper {paper_id} is being changed all the time")

    async def _replace(self, paper: Document, changes: Document) -> bool:
        new = paper | changes | {"version": paper["version"] + 1, "updated_ms": now_ms()}
        with mongo_errors():
            result = await self._papers.replace_one({"_id": paper["_id"], "version": paper["version"]}, new)
        return bool(result.matched_count)

    async def save_pages(self, project_id: int, paper_id: str, pages: Sequence[PageText]) -> None:
        """Store texts of pages."""
        operations = []
        paper = paper_key(project_id, paper_id)
        for page in pages:
            key = f"{paper}:{page.page:06d}"
            document = {
                "_id": key, "paper": paper, "page": page.page, "text": page.text, "method": page.method,
                "reason": page.reason,
            }  # fmt: skip
            operations.append(ReplaceOne({"_id": key}, document, upsert=True))
        if operations:
            with mongo_errors():
                await self._pages.bulk_write(operations, ordered=False)

    async def pages(self, project_id: int, paper_id: str) -> list[PageText]:
        """The pages of a paper that have been read, in order."""
        with mongo_errors():
            rows = await self._pages.find({"paper": paper_key(project_id, paper_id)}).to_list(None)
        pages = [PageText(int(row["page"]), row["text"], row["method"], row.get("reason", "")) for row in rows]
        return sorted(pages, key=lambda page: page.page)

    async def drop_pages(self, project_id: int, paper_id: str) -> None:
        """Forget what was read: the file has changed."""
        with mongo_errors():
            await self._pages.delete_many({"paper": paper_key(project_id, paper_id)})

    async def index_state(self, project_id: int) -> IndexState:
        """The project's current index."""
        with mongo_errors():
            raw = await self._indexes.find_one({"_id": project_key(project_id)})
        if raw is None:
            return IndexState()
        return IndexState(raw["generation"], raw["file"], raw["documents"], raw["terms"], raw["updated_ms"])

    async def publish_index(self, project_id: int, new: IndexState) -> bool:
        """Make `new` the current index, if its generation follows the current one."""
        key = project_key(project_id)
        document = {
            "_id": key, "generation": new.generation, "file": new.file, "documents": new.documents,
            "terms": new.terms, "updated_ms": new.updated_ms,
        }  # fmt: skip
        with mongo_errors():
            if new.generation == 1:
                try:
                    await self._indexes.insert_one(document)
                except DuplicateKeyError:
                    return False
                return True
            result = await self._indexes.replace_one({"_id": key, "generation": new.generation - 1}, document)
        return bool(result.matched_count)
