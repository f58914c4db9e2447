"""Result items and checkpoints in MongoDB. Owns `results` and `checkpoints`. Must not know NATS, gRPC or executors.

An item's `_id` is made from the run and the item's key, and items are written by replacement: an attempt that emits an
item again changes nothing.
"""

import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import bson.errors
import orjson
from chassis.clock import now_ms
from chassis.stores import mongo_errors
from motor.motor_asyncio import AsyncIOMotorDatabase
from pymongo import ASCENDING, ReplaceOne
from pymongo.errors import BulkWriteError, DocumentTooLarge

from scraper.executor import ExecutorError, Item
from scraper.mongo_collections import Collections, collected_key

STREAM_PAGE = 500


def run_key(run_id: int) -> str:
    """Fixed width, so that strings sort as numbers."""
    return f"{run_id:015d}"


def item_key(run_id: int, item: Item, position: int) -> str:
    """The item's `_id`: by its natural key, else by its position in the run."""
    if item.key is None:
        return f"{run_key(run_id)}:p{position:012d}"
    return f"{run_key(run_id)}:k{hashlib.blake2b(item.key.encode(), digest_size=16).hexdigest()}"


def place_of(row: Mapping[str, Any]) -> str:
    """Where an item stands in its run."""
    return f"{row['position']} {row['_id']}"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where an attempt goes on: the executor's own state, and how many items had been emitted."""

    state: Any
    position: int


class Results:
    """Every method raises `Unavailable` when MongoDB can't be reached."""

    def __init__(self, database: AsyncIOMotorDatabase[dict[str, Any]]) -> None:
        self._results, self._checkpoints = database["results"], database["checkpoints"]
        self.collections = Collections(database)

    async def prepare(self) -> None:
        """Make the indexes."""
        with mongo_errors():
            for name in ("run_id", "task_id", "data_type", "created_ms", "position"):
                await self._results.create_index([(name, ASCENDING)])
            await self._results.create_index([("run_id", ASCENDING), ("position", ASCENDING)])
        await self.collections.prepare()

    async def add(
        self, run_id: int, task_id: int, attempt: int, items: Sequence[tuple[int, Item]], *, collects: bool = False
    ) -> None:
        """Store `(position, item)`s. Raises `ExecutorError` for an item that can't be stored.

        `collects`: the items themselves belong to the task's collection, and the run only names them.
        """
        now = now_ms()
        documents = {}
        collected: dict[str, tuple[int, Item]] = {}
        for position, item in items:
            key = item_key(run_id, item, position)
            documents[key] = {
                "_id": key, "run_id": run_id, "task_id": task_id, "attempt": attempt, "position": position,
                "data_type": item.data_type, "data": dict(item.data), "metadata": dict(item.metadata),
                "created_ms": now,
            }  # fmt: skip
            if collects:
                ref = collected_key(task_id, run_id, item, position)
                collected[ref] = (position, item)
                documents[key] |= {"data": {}, "metadata": {}, "ref": ref}
        if collected:
            await self.collections.add(run_id, collected)
        operations = [ReplaceOne({"_id": key}, document, upsert=True) for key, document in documents.items()]
        try:
            with mongo_errors():
                await self._results.bulk_write(operations, ordered=False)
        except (bson.errors.InvalidDocument, OverflowError, DocumentTooLarge, UnicodeError, BulkWriteError) as error:
            raise ExecutorError(
                f"an item can't be stored: {error}"[:500], code="INVALID_ITEM", retryable=False
            ) from error

    async def drop_stale(self, run_id: int, attempt: int, start: int) -> None:
        """Forget what earlier attempts emitted from position `start` on and this attempt did not emit again."""
        stale = {"run_id": run_id, "attempt": {"$lt": attempt}, "position": {"$gte": start}}
        with mongo_errors():
            while rows := await self._results.find(stale, {"ref": 1}).limit(STREAM_PAGE).to_list(STREAM_PAGE):
                # What has a name of its own was found, and stays in the collection.
                await self.collections.drop_items([row["ref"] for row in rows if ":r" in row.get("ref", "")])
                await self._results.delete_many({"_id": {"$in": [row["_id"] for row in rows]}})

    async def find(
        self, run_id: int, *, data_type: str, offset: int, limit: int, behind: str = ""
    ) -> tuple[list[dict[str, Any]], int]:
        """A page of a run's items in order, and how many there are. `behind`: only what comes behind that place (see
        `place_of`).
        """
        query: dict[str, Any] = {"run_id": run_id}
        if data_type:
            query["data_type"] = data_type
        rows: list[dict[str, Any]] = []
        later = query
        if behind:
            position, _, last = behind.partition(" ")
            later = query | {"position": {"$gt": int(position)}}
            rows = [
                row for row in await self._sorted(query | {"position": int(position)}, 0, None) if row["_id"] > last
            ]
        if len(rows) < limit:
            rows += await self._sorted(later, offset, limit - len(rows))
        with mongo_errors():
            counted = await self._results.aggregate(
                [{"$match": query}, {"$group": {"_id": None, "n": {"$sum": 1}}}]
            ).to_list(1)
        return await self._resolved(rows[:limit]), counted[0]["n"] if counted else 0

    async def _sorted(self, query: Mapping[str, Any], offset: int, limit: int | None) -> list[dict[str, Any]]:
        with mongo_errors():
            cursor = self._results.find(query).sort([("position", ASCENDING), ("_id", ASCENDING)]).skip(offset)
            return await (cursor.limit(limit) if limit else cursor).to_list(limit)

    async def _resolved(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The rows with what they only name filled in."""
        refs = [row["ref"] for row in rows if "ref" in row]
        if refs:
            items = await self.collections.get_many(refs)
            for row in rows:
                if (item := items.get(row.get("ref", ""))) is not None:
                    row |= {"data": item["data"], "metadata": item["metadata"]}
        return rows

    async def stream(self, run_id: int, data_type: str) -> AsyncIterator[list[dict[str, Any]]]:
        """Every item of a run in order, page by page, by key and not by offset."""
        query: dict[str, Any] = {"run_id": run_id}
        if data_type:
            query["data_type"] = data_type
        position = -1
        while True:
            with mongo_errors():
                cursor = self._results.find({**query, "position": {"$gt": position}}).sort([("position", ASCENDING)])
                rows = await cursor.limit(STREAM_PAGE).to_list(STREAM_PAGE)
            if not rows:
                return
            yield await self._resolved(rows)
            position = rows[-1]["position"]

    async def ping(self) -> None:
        """Raises `Unavailable` when MongoDB does not answer."""
        with mongo_errors():
            await self._results.database.command("ping")

    async def checkpoint(self, run_id: int) -> Checkpoint | None:
        """What the last attempt saved."""
        with mongo_errors():
            raw = await self._checkpoints.find_one({"_id": run_key(run_id)})
        return Checkpoint(orjson.loads(raw["state"]), raw["position"]) if raw else None

    async def save_checkpoint(self, run_id: int, checkpoint: Checkpoint) -> None:
        """Replace the run's checkpoint."""
        document: Mapping[str, Any] = {
            "_id": run_key(run_id), "state": orjson.dumps(checkpoint.state).decode(), "position": checkpoint.position,
        }  # fmt: skip
        with mongo_errors():
            await self._checkpoints.replace_one({"_id": run_key(run_id)}, document, upsert=True)

    async def drop_checkpoint(self, run_id: int) -> None:
        """The run has ended."""
        with mongo_errors():
            await self._checkpoints.delete_one({"_id": run_key(run_id)})
