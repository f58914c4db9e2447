"""Catalogues of projects in MongoDB. Owns `paper_cards`, `paper_groups` and `paper_dedups`. Must not know the papers.

Written once and in bulk: a card list for each page that was imported, and all groups of a dedup run in a few documents.
What dedup compares and what lists show is so read from some hundred documents, however many papers there are.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from chassis.errors import Unavailable
from chassis.stores import mongo_errors
from motor.motor_asyncio import AsyncIOMotorDatabase
from pymongo import ASCENDING, ReplaceOne
from pymongo.errors import DuplicateKeyError

from scraper.paper import Record, fullness
from scraper.paper_catalogue import Catalogue, Listed, make_catalogue

Json = Any
CARDS_AT_ONCE = 20
# Far below MongoDB's 16 MB for a document.
IDS_PER_PART = 100_000
KEPT_CATALOGUES = 8


@dataclass(frozen=True, slots=True)
class DedupMark:
    """What the last dedup of a project saw (`seen`: a digest) and said."""

    run_id: int
    seen: str
    result: Json


def project_key(project_id: int) -> str:
    """Fixed width, so that strings sort as numbers."""
    return f"{project_id:016d}"


async def patiently(action: Any, *arguments: Any) -> Any:
    """The answer of a store, however long it is away: an attempt that waits costs nothing and can be aborted."""
    while True:
        try:
            return await action(*arguments)
        except Unavailable:
            await asyncio.sleep(0.5)


def _digest(lines: Iterable[str]) -> "hashlib._Hash":
    digest = hashlib.sha256()
    for line in lines:
        digest.update(line.encode())
    return digest


def _card(record: Record) -> Json:
    """What dedup compares, and what says how much the record tells."""
    told = (
        record.title, record.year or 0, record.authors, record.doi, record.arxiv_id, record.venue, record.source
    )  # fmt: skip
    return [*told, *fullness(record.document())]


class Catalogues:
    """Every method raises `Unavailable` when MongoDB can't be reached."""

    def __init__(self, database: AsyncIOMotorDatabase[dict[str, Any]]) -> None:
        self._cards, self._groups = database["paper_cards"], database["paper_groups"]
        self._dedups = database["paper_dedups"]
        self._read: OrderedDict[int, tuple[Json, Catalogue]] = OrderedDict()
        self._reading = asyncio.Lock()

    async def prepare(self) -> None:
        """Make the indexes."""
        with mongo_errors():
            for collection in (self._cards, self._groups):
                await collection.create_index([("project_id", ASCENDING)])

    async def add(self, project_id: int, run_id: int, records: Sequence[Record], now_ms: int) -> None:
        """List records that were not there; the same once more changes nothing."""
        ids = [record.paper_id for record in records]
        digest = _digest(ids)
        document = {
            "_id": f"{project_key(project_id)}:{run_id:020d}:{digest.hexdigest()[:24]}", "project_id": project_id,
            "created_ms": now_ms, "stamp": _stamp(digest), "ids": " ".join(ids),
            "cards": orjson.dumps([_card(record) for record in records]).decode(),
        }  # fmt: skip
        with mongo_errors():
            try:
                await self._cards.insert_one(document)
            except DuplicateKeyError:
                return

    async def get(self, project_id: int) -> Catalogue:
        """The project's catalogue; it is read again only after it has changed."""
        async with self._reading:
            with mongo_errors():
                version = await self._version(project_id)
                held = self._read.pop(project_id, None)
                if held is None or held[0] != version:
                    held = version, await self._load(project_id)
            self._read[project_id] = held
            while len(self._read) > KEPT_CATALOGUES:
                self._read.popitem(last=False)
        return held[1]

    async def before(self, project_id: int, run_id: int) -> Catalogue:
        """The catalogue as it is without that run's own groups."""
        with mongo_errors():
            return await self._load(project_id, without_run=run_id)

    async def cards(self, catalogue: Catalogue) -> AsyncIterator[list[Json]]:
        """`[ids, cards as JSON]` of all papers, however long the store is away."""
        keys = [one.key for one in catalogue.listed]
        for start in range(0, len(keys), CARDS_AT_ONCE):
            yield await patiently(self._some_cards, keys[start : start + CARDS_AT_ONCE])

    async def _some_cards(self, keys: Sequence[str]) -> list[Json]:
        with mongo_errors():
            rows = await self._cards.find({"_id": {"$in": list(keys)}}, {"ids": 1, "cards": 1}).to_list(len(keys))
        return [[row["ids"].split(), orjson.Fragment(row["cards"])] for row in rows]

    async def _version(self, project_id: int) -> Json:
        """Other whenever something was added."""
        pipeline: list[Json] = [
            {"$match": {"project_id": project_id}},
            {"$group": {"_id": None, "n": {"$sum": 1}, "stamps": {"$sum": "$stamp"}}},
        ]
        rows = [await collection.aggregate(pipeline).to_list(1) for collection in (self._cards, self._groups)]
        return [(row[0]["n"], row[0]["stamps"]) if row else None for row in rows]

    async def _load(self, project_id: int, *, without_run: int = 0) -> Catalogue:
        query = {"project_id": project_id}
        lists = await self._cards.find(query, {"created_ms": 1, "ids": 1}).to_list(None)
        parts = await self._groups.find(query).to_list(None)
        listed = [Listed(row["_id"], row["created_ms"], tuple(row["ids"].split())) for row in lists]
        ordered = sorted((part for part in parts if part["run_id"] != without_run), key=lambda part: str(part["_id"]))

        def make() -> Catalogue:
            return make_catalogue(listed, (group for part in ordered for group in orjson.loads(part["groups"])))

        return await asyncio.to_thread(make)

    async def add_groups(self, project_id: int, run_id: int, groups: Sequence[Sequence[str]]) -> None:
        """Keep the groups that a run has found; a crash in between leaves duplicates, never a loss."""
        operations = []
        for number, part in enumerate(_parts(groups)):
            text = orjson.dumps(part)
            key = f"{project_key(project_id)}:{run_id:020d}:{number:06d}"
            document = {
                "_id": key, "project_id": project_id, "run_id": run_id, "stamp": _stamp(hashlib.sha256(text)),
                "groups": text.decode(),
            }  # fmt: skip
            operations.append(ReplaceOne({"_id": key}, document, upsert=True))
        if operations:
            with mongo_errors():
                await self._groups.bulk_write(operations, ordered=False)

    async def last_dedup(self, project_id: int) -> DedupMark | None:
        """What the last dedup of the project saw and said."""
        with mongo_errors():
            row = await self._dedups.find_one({"_id": project_key(project_id)})
        return DedupMark(row["run_id"], row["seen"], orjson.loads(row["result"])) if row else None

    async def note_dedup(self, project_id: int, mark: DedupMark) -> None:
        """Keep it for the next one."""
        key = project_key(project_id)
        document = {
            "_id": key, "run_id": mark.run_id, "seen": mark.seen, "result": orjson.dumps(mark.result).decode(),
        }  # fmt: skip
        with mongo_errors():
            await self._dedups.replace_one({"_id": key}, document, upsert=True)


def _stamp(digest: "hashlib._Hash") -> int:
    return int.from_bytes(digest.digest()[:4])


def seen_by_dedup(catalogue: Catalogue, threshold: float, rules: int) -> str:
    """A digest that changes when another dedup could find something else."""
    return _digest([f"{rules} {threshold} ", *sorted(catalogue.known)]).hexdigest()


def _parts(groups: Sequence[Sequence[str]]) -> list[list[Sequence[str]]]:
    parts: list[list[Sequence[str]]] = []
    size = IDS_PER_PART
    for group in groups:
        if size >= IDS_PER_PART:
            parts.append([])
            size = 0
        parts[-1].append(group)
        size += len(group)
    return parts
