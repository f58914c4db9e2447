"""A project's papers in MongoDB. Owns `papers`, `paper_pages` and `paper_indexes`. Must not know executors or gRPC.

Every `_id` begins with the project, and every query names it, so that no project can touch another's papers. (`key`
repeats it: ranges over `_id` are slow in the embedded stand-in.) Papers are inserted once and changed by whole
documents under compare-and-set; what is written twice changes nothing.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chassis.clock import now_ms
from chassis.errors import Conflict, Unavailable
from chassis.stores import mongo_errors
from motor.motor_asyncio import AsyncIOMotorDatabase
from pymongo import ASCENDING, DESCENDING, ReplaceOne
from pymongo.errors import BulkWriteError, DuplicateKeyError

from scraper.paper import Document, Record

PAGE = 1_000
MAX_TRIES = 20
DUPLICATE = 11000
ACTIVE, MERGED = "active", "merged"


def project_key(project_id: int) -> str:
    """Fixed width, so that strings sort as numbers."""
    return f"{project_id:016d}"


def paper_key(project_id: int, paper_id: str) -> str:
    """A paper's `_id`."""
    return f"{project_key(project_id)}:{paper_id}"


@dataclass(frozen=True, slots=True)
class PageText:
    """The text of one page, from 1. `method`: text (its own layer) | ocr | failed."""

    page: int
    text: str
    method: str


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

    async def prepare(self) -> None:
        """Make the indexes."""
        with mongo_errors():
            for name in ("key", "project_id", "import_run", "merge_run"):
                await self._papers.create_index([(name, ASCENDING)])
            await self._papers.create_index([("project_id", ASCENDING), ("created_ms", DESCENDING)])
            await self._pages.create_index([("paper", ASCENDING)])

    async def add(self, project_id: int, run_id: int, records: Iterable[Record]) -> int:
        """Import records; one that is there already, merged into another or not, stays as it is. Answers how many
        were new.
        """
        now = now_ms()
        documents = {
            record.paper_id: {
                "_id": paper_key(project_id, record.paper_id), "key": paper_key(project_id, record.paper_id),
                "project_id": project_id, "state": ACTIVE,
                "version": 1, "created_ms": now, "updated_ms": now, "import_run": run_id,
                "import_source": record.source, "merge_run": 0,
                "merged_into": "", "pdf_run": 0, "pdf_state": "", "pdf_file": "", "pdf_bytes": 0, "pdf_sha": "",
                "pdf_error": "", "text_state": "", "text_sha": "", "text_error": "", "pages": 0, "ocr_pages": 0,
            } | record.document()
            for record in records
        }  # fmt: skip
        if not documents:
            return 0
        with mongo_errors():
            try:
                await self._papers.insert_many(list(documents.values()), ordered=False)
            except BulkWriteError as error:
                failures = error.details["writeErrors"]
                if any(failure["code"] != DUPLICATE for failure in failures):
                    raise
                return len(documents) - len(failures)
        return len(documents)

    async def count_by_run(self, project_id: int, field: str, run_id: int) -> int:
        """How many papers that run imported, merged away or downloaded: `field` is import_run, merge_run or pdf_run."""
        with mongo_errors():
            return await self._count({field: run_id, "project_id": project_id})

    async def imported_by_source(self, project_id: int, run_id: int) -> dict[str, int]:
        """How many papers that run imported from each source."""
        match = {"import_run": run_id, "project_id": project_id}
        with mongo_errors():
            rows = await self._papers.aggregate(
                [{"$match": match}, {"$group": {"_id": "$import_source", "n": {"$sum": 1}}}]
            ).to_list(100)
        return {str(row["_id"]): int(row["n"]) for row in rows}

    async def count(self, project_id: int) -> int:
        """How many active papers the project has."""
        with mongo_errors():
            return await self._count({"project_id": project_id, "state": ACTIVE})

    async def _count(self, query: Mapping[str, Any]) -> int:
        pipeline = [{"$match": dict(query)}, {"$group": {"_id": None, "n": {"$sum": 1}}}]
        rows = await self._papers.aggregate(pipeline).to_list(1)
        return int(rows[0]["n"]) if rows else 0

    async def page(self, project_id: int, *, offset: int, limit: int) -> list[Document]:
        """Active papers, the newest first."""
        with mongo_errors():
            cursor = self._papers.find({"project_id": project_id, "state": ACTIVE})
            cursor = cursor.sort([("created_ms", DESCENDING), ("_id", ASCENDING)])
            return await cursor.skip(offset).limit(limit).to_list(limit)

    async def stream(
        self, project_id: int, fields: Sequence[str] | None = None, *, state: str = ACTIVE
    ) -> AsyncIterator[list[Document]]:
        """All papers of that state, page by page, however long the store is away; with `fields` only these."""
        last = project_key(project_id) + ":"
        shown = dict.fromkeys((*fields, "state", "paper_id", "key"), 1) if fields is not None else None
        while rows := await patiently(self._after, last, project_key(project_id) + ";", shown):
            yield [row for row in rows if row["state"] == state]
            last = rows[-1]["key"]

    async def _after(self, last: str, end: str, shown: Mapping[str, int] | None) -> list[Document]:
        with mongo_errors():
            cursor = self._papers.find({"key": {"$gt": last, "$lt": end}}, shown).sort([("key", ASCENDING)])
            return await cursor.limit(PAGE).to_list(PAGE)

    async def get(
        self, project_id: int, paper_ids: Iterable[str], fields: Sequence[str] | None = None
    ) -> dict[str, Document]:
        """The project's papers with these ids, merged ones too; with `fields` only these of each."""
        shown = dict.fromkeys((*fields, "state", "paper_id"), 1) if fields is not None else None
        found: dict[str, Document] = {}
        wanted = [paper_key(project_id, paper_id) for paper_id in paper_ids]
        for start in range(0, len(wanted), PAGE):
            with mongo_errors():
                rows = await self._papers.find({"_id": {"$in": wanted[start : start + PAGE]}}, shown).to_list(PAGE)
            found |= {row["paper_id"]: row for row in rows}
        return found

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

    async def store_merged(self, run_id: int, groups: Sequence[tuple[Document, Sequence[Document]]]) -> None:
        """Write `(kept, losers)` groups, the kept ones first: a crash in between leaves duplicates, never a loss."""
        now = now_ms()
        kept = [
            _swap(best, best | {"version": best["version"] + 1, "updated_ms": now}) for best, losers in groups if losers
        ]
        gone = [
            _swap(
                loser,
                loser | {
                    "state": MERGED, "merged_into": best["paper_id"], "merge_run": run_id, "updated_ms": now,
                    "version": loser["version"] + 1,
                },
            )
            for best, losers in groups
            for loser in losers
        ]  # fmt: skip
        with mongo_errors():
            for operations in (kept, gone):
                if operations:
                    await self._papers.bulk_write(operations, ordered=False)

    async def merged_groups(self, project_id: int, run_id: int) -> int:
        """Into how many papers that run has merged others."""
        with mongo_errors():
            rows = await self._papers.find(
                {"merge_run": run_id}, {"merged_into": 1, "project_id": 1}
            ).to_list(None)  # fmt: skip
        return len({row["merged_into"] for row in rows if row["project_id"] == project_id})

    async def save_pages(self, project_id: int, paper_id: str, pages: Sequence[PageText]) -> None:
        """Store texts of pages."""
        operations = []
        paper = paper_key(project_id, paper_id)
        for page in pages:
            key = f"{paper}:{page.page:06d}"
            document = {"_id": key, "paper": paper, "page": page.page, "text": page.text, "method": page.method}
            operations.append(ReplaceOne({"_id": key}, document, upsert=True))
        if operations:
            with mongo_errors():
                await self._pages.bulk_write(operations, ordered=False)

    async def pages(self, project_id: int, paper_id: str) -> list[PageText]:
        """The pages of a paper that have been read, in order."""
        with mongo_errors():
            rows = await self._pages.find({"paper": paper_key(project_id, paper_id)}).to_list(None)
        pages = [PageText(int(row["page"]), row["text"], row["method"]) for row in rows]
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


def _swap(old: Document, new: Document) -> ReplaceOne[Document]:
    """A replacement that only happens while nobody else has changed the document."""
    return ReplaceOne({"_id": old["_id"], "version": old["version"]}, new)


async def patiently(action: Any, *arguments: Any) -> Any:
    """The answer of a store, however long it is away: an attempt that waits costs nothing and can be aborted."""
    while True:
        try:
            return await action(*arguments)
        except Unavailable:
            await asyncio.sleep(0.5)
