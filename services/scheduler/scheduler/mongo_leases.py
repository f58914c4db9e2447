"""Leased runs in MongoDB. Owns `leased_runs`: the durable copy of a run that a worker does without holding a message.
Must not know Redis, NATS or gRPC.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from chassis.stores import mongo_errors
from motor.motor_asyncio import AsyncIOMotorDatabase
from pymongo import ASCENDING, ReplaceOne, ReturnDocument

from scheduler.archive_keys import run_key as key


@dataclass(frozen=True, slots=True)
class LeasedRun:
    """One lease. `spec` is the RunSpec as it was queued; `items` counts the result items that were announced."""

    run_id: int
    token: int
    attempt: int
    worker_id: str
    session: str
    hostname: str
    started_ms: int
    lease_ms: int
    spec: bytes
    items: int = 0


def lease_key(run_id: int, token: int) -> str:
    """One document for each lease, so that the end of an old one can't remove its successor's."""
    return f"{key(run_id)}:{token:020d}"


class Leased:
    """Every method raises `Unavailable` when MongoDB can't be reached."""

    def __init__(self, database: AsyncIOMotorDatabase[dict[str, Any]]) -> None:
        self._leases = database["leased_runs"]

    async def prepare(self) -> None:
        """Make the indexes."""
        with mongo_errors():
            for name in ("key", "run_id", "session"):
                await self._leases.create_index([(name, ASCENDING)])

    async def add(self, leases: Sequence[LeasedRun]) -> None:
        """Store leases; one that comes twice is stored once."""
        if not leases:
            return
        operations = []
        for lease in leases:
            document = {name: getattr(lease, name) for name in LeasedRun.__slots__}
            document["_id"] = document["key"] = lease_key(lease.run_id, lease.token)
            operations.append(ReplaceOne({"_id": document["_id"]}, document, upsert=True))
        with mongo_errors():
            await self._leases.bulk_write(operations, ordered=False)

    async def drop(self, run_id: int, token: int) -> None:
        """Forget one lease."""
        with mongo_errors():
            await self._leases.delete_one({"_id": lease_key(run_id, token)})

    async def of_runs(self, run_ids: Sequence[int]) -> list[LeasedRun]:
        """The leases of these runs, the newest of each last."""
        if not run_ids:
            return []
        with mongo_errors():
            rows = await self._leases.find({"run_id": {"$in": list(run_ids)}}).sort([("_id", 1)]).to_list(None)
        return [_lease(row) for row in rows]

    async def page(self, after: str, limit: int) -> tuple[list[LeasedRun], str]:
        """The leases after that key, and the key to go on after."""
        with mongo_errors():
            rows = await self._leases.find({"key": {"$gt": after}}).sort([("key", 1)]).limit(limit).to_list(limit)
        return [_lease(row) for row in rows], rows[-1]["_id"] if rows else after

    async def count(self, session: str = "") -> int:
        """How many leases there are, or that worker process holds."""
        match = {"session": session} if session else {}
        with mongo_errors():
            rows = await self._leases.aggregate(
                [{"$match": match}, {"$group": {"_id": None, "n": {"$sum": 1}}}]
            ).to_list(1)
        return int(rows[0]["n"]) if rows else 0

    async def announce_items(self, run_id: int, token: int, count: int) -> int | None:
        """Count `count` more result items of a lease; answers how many there are now, None when there is no lease."""
        with mongo_errors():
            row = await self._leases.find_one_and_update(
                {"_id": lease_key(run_id, token)}, {"$inc": {"items": count}}, return_document=ReturnDocument.AFTER
            )
        return int(row["items"]) if row else None


def _lease(row: dict[str, Any]) -> LeasedRun:
    values = {name: row[name] for name in LeasedRun.__slots__}
    return LeasedRun(**values | {"spec": bytes(row["spec"])})
