"""Operators' decisions about queues and dead letters in MongoDB. Owns `queues` and `requeued_runs`. Must not know
Redis, NATS or gRPC.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from chassis.errors import Conflict
from chassis.stores import mongo_errors
from motor.motor_asyncio import AsyncIOMotorDatabase
from pymongo.errors import DuplicateKeyError

from scheduler.archive_keys import run_key as key
from scheduler.redis_queues import QueueState

TRIES = 20


@dataclass(frozen=True, slots=True)
class Requeued:
    """A failed run that was started again as `new_run_id`; `started` says that it has begun to exist."""

    run_id: int
    new_run_id: int
    started: bool


class QueueBook:
    """Every method raises `Unavailable` when MongoDB can't be reached."""

    def __init__(self, database: AsyncIOMotorDatabase[dict[str, Any]]) -> None:
        self._queues, self._requeued = database["queues"], database["requeued_runs"]

    async def states(self) -> list[QueueState]:
        """Every queue that was ever paused."""
        with mongo_errors():
            rows = await self._queues.find({}).to_list(None)
        return [QueueState(row["_id"], bool(row["paused"]), row["version"], row["changed_ms"]) for row in rows]

    async def decide(self, name: str, *, paused: bool, now: int) -> QueueState:
        """Keep the decision; the one that is there already stays as it is."""
        for _ in range(TRIES):
            with mongo_errors():
                row = await self._queues.find_one({"_id": name})
                if row is not None and bool(row["paused"]) == paused:
                    return QueueState(name, paused, row["version"], row["changed_ms"])
                version = row["version"] + 1 if row else 1
                document = {"_id": name, "paused": int(paused), "version": version, "changed_ms": now}
                if row is not None:
                    answer = await self._queues.replace_one({"_id": name, "version": row["version"]}, document)
                    if answer.matched_count:
                        return QueueState(name, paused, version, now)
                    continue
                try:
                    await self._queues.insert_one(document)
                except DuplicateKeyError:
                    continue
                return QueueState(name, paused, version, now)
        raise Conflict(f"queue {name} is being changed by others")

    async def promise(self, run_id: int, new_run_id: int) -> Requeued:
        """Keep that the failed run goes on under a new id, before that one exists; the first promise stays."""
        document = {"_id": key(run_id), "new_run_id": new_run_id, "started": 0}
        with mongo_errors():
            try:
                await self._requeued.insert_one(document)
            except DuplicateKeyError:
                kept = await self.requeued([run_id])
                if run_id in kept:
                    return kept[run_id]
                raise
        return Requeued(run_id, new_run_id, started=False)

    async def fulfilled(self, run_id: int) -> None:
        """The new run exists."""
        with mongo_errors():
            await self._requeued.update_one({"_id": key(run_id)}, {"$set": {"started": 1}})

    async def withdraw(self, run_id: int) -> None:
        """The new run can't be started."""
        with mongo_errors():
            await self._requeued.delete_one({"_id": key(run_id), "started": 0})

    async def requeued(self, run_ids: Sequence[int]) -> dict[int, Requeued]:
        """Those of the runs that were started again, by id."""
        if not run_ids:
            return {}
        with mongo_errors():
            rows = await self._requeued.find({"_id": {"$in": [key(run_id) for run_id in run_ids]}}).to_list(None)
        return {int(row["_id"]): Requeued(int(row["_id"]), row["new_run_id"], bool(row["started"])) for row in rows}

    async def count_requeued(self) -> int:
        """How many failed runs were started again."""
        with mongo_errors():
            rows = await self._requeued.aggregate(
                [{"$match": {"started": 1}}, {"$group": {"_id": None, "n": {"$sum": 1}}}]
            ).to_list(1)
        return int(rows[0]["n"]) if rows else 0
