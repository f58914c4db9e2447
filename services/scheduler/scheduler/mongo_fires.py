"""What became of each fire time, in MongoDB. Owns `schedule_fires`, `schedule_batches`, `schedule_state`, and the same
for workflows with `workflow_` in front.

Must not know Redis, NATS or gRPC.

A record's `_id` is task and fire time, and it is inserted before anything starts: of all schedulers one inserts it, so
a fire time starts at most one run. The record reserves that run's id, so that starting it can be repeated. Until a
batch of records has its runs, a document in `schedule_batches` says so: a record itself is written once.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from chassis.stores import mongo_errors
from motor.motor_asyncio import AsyncIOMotorDatabase
from pymongo import ASCENDING
from pymongo.errors import BulkWriteError

DUPLICATE = 11000
Action = Literal["started", "queued", "skipped"]


@dataclass(frozen=True, slots=True)
class Fire:
    """`run_id` 0 = it starts nothing. `until_ms`: the record stands for all fire times up to then."""

    task_id: int
    fire_ms: int
    action: Action
    recorded_ms: int
    run_id: int = 0
    reason: str = ""
    until_ms: int = 0

    @property
    def key(self) -> str:
        """The document's `_id`: fixed width, so that strings sort by task and time."""
        return fire_key(self.task_id, self.fire_ms) + ("r" if self.until_ms else "")


def fire_key(task_id: int, fire_ms: int) -> str:
    """The `_id` of one fire time's record."""
    return f"{task_id:012d}:{fire_ms:015d}"


def _document(fire: Fire) -> dict[str, Any]:
    key = fire.key
    return {
        "_id": key, "key": key, "task_id": fire.task_id, "fire_ms": fire.fire_ms, "action": fire.action,
        "recorded_ms": fire.recorded_ms, "run_id": fire.run_id, "reason": fire.reason, "until_ms": fire.until_ms,
    }  # fmt: skip


def _fire(raw: dict[str, Any]) -> Fire:
    return Fire(
        task_id=int(raw["task_id"]), fire_ms=int(raw["fire_ms"]), action=raw["action"],
        recorded_ms=int(raw["recorded_ms"]), run_id=int(raw["run_id"]), reason=raw["reason"],
        until_ms=int(raw["until_ms"]),
    )  # fmt: skip


class Fires:
    """Every method raises `Unavailable` when MongoDB can't be reached."""

    def __init__(self, database: AsyncIOMotorDatabase[dict[str, Any]], prefix: Literal["", "workflow_"] = "") -> None:
        self._fires, self._state = database[f"{prefix}schedule_fires"], database[f"{prefix}schedule_state"]
        self._batches = database[f"{prefix}schedule_batches"]

    async def prepare(self) -> None:
        """Make the indexes."""
        with mongo_errors():
            for name in ("key", "recorded_ms"):
                await self._fires.create_index([(name, ASCENDING)])

    async def known(self, keys: Sequence[str]) -> set[str]:
        """Those of the keys that have a record."""
        if not keys:
            return set()
        with mongo_errors():
            rows = await self._fires.find({"_id": {"$in": list(keys)}}, {"_id": 1}).to_list(None)
        return {row["_id"] for row in rows}

    async def claim(self, fires: Sequence[Fire]) -> list[Fire]:
        """Insert records; answers those that nobody else had inserted before."""
        if not fires:
            return []
        with mongo_errors():
            try:
                await self._fires.insert_many([_document(fire) for fire in fires], ordered=False)
            except BulkWriteError as error:
                failures = error.details["writeErrors"]
                if any(failure["code"] != DUPLICATE for failure in failures):
                    raise
                lost = {failure["index"] for failure in failures}
                return [fire for index, fire in enumerate(fires) if index not in lost]
        return list(fires)

    async def open_batch(self, fires: Sequence[Fire], now: int) -> str:
        """Say that these records may be written soon, and their runs started; answers the batch's key."""
        batch = uuid.uuid4().hex
        keys = [fire.key for fire in fires if fire.run_id]
        with mongo_errors():
            await self._batches.insert_one({"_id": batch, "opened_ms": now, "keys": keys})
        return batch

    async def close_batch(self, batch: str) -> None:
        """All its runs are started."""
        with mongo_errors():
            await self._batches.delete_one({"_id": batch})

    async def batches(self, opened_before_ms: int) -> list[tuple[str, list[str]]]:
        """(key, the records' keys) of batches whose scheduler may have died before it started all runs."""
        with mongo_errors():
            rows = await self._batches.find({}).limit(100).to_list(100)
        return [(row["_id"], list(row["keys"])) for row in rows if row["opened_ms"] <= opened_before_ms]

    async def many(self, keys: Sequence[str]) -> list[Fire]:
        """Those of the records that were written."""
        if not keys:
            return []
        with mongo_errors():
            return [_fire(row) for row in await self._fires.find({"_id": {"$in": list(keys)}}).to_list(None)]

    async def give_up(self, fire: Fire, reason: str) -> None:
        """Its run can't be started; the record says why."""
        with mongo_errors():
            ended = _document(replace(fire, action="skipped", run_id=0, reason=reason))
            await self._fires.replace_one({"_id": fire.key}, ended)

    async def of_task(self, task_id: int, *, offset: int, limit: int) -> list[Fire]:
        """A task's records, newest fire time first."""
        bounds = {"$gte": f"{task_id:012d}:", "$lt": f"{task_id:012d};"}
        with mongo_errors():
            cursor = self._fires.find({"key": bounds}).sort([("key", -1)]).skip(offset).limit(limit)
            return [_fire(row) for row in await cursor.to_list(limit)]

    async def watermark(self) -> int:
        """Up to when every fire time has its record, as some scheduler saw it (epoch ms); 0 = unknown."""
        with mongo_errors():
            row = await self._state.find_one({"_id": "watermark"})
        return int(row["handled_ms"]) if row else 0

    async def set_watermark(self, handled_ms: int) -> None:
        """Raise it."""
        with mongo_errors():
            document = {"_id": "watermark", "handled_ms": handled_ms}
            await self._state.replace_one({"_id": "watermark"}, document, upsert=True)

    async def forget_before(self, recorded_ms: int, most: int) -> int:
        """Delete records made before that, and the oldest of more than `most`; answers how many."""
        with mongo_errors():
            rows = await self._fires.aggregate([{"$group": {"_id": None, "n": {"$sum": 1}}}]).to_list(1)
            surplus = (int(rows[0]["n"]) if rows else 0) - most
            if surplus > 0:
                cursor = self._fires.find({}, {"recorded_ms": 1}).sort([("recorded_ms", 1)]).skip(surplus).limit(1)
                recorded_ms = max(recorded_ms, *[int(row["recorded_ms"]) for row in await cursor.to_list(1)])
            answer = await self._fires.delete_many({"recorded_ms": {"$lt": recorded_ms}})
        return int(answer.deleted_count)
