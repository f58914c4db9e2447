"""Runs that wait for other runs, and what dependencies have done, in MongoDB. Owns `waiting_runs`, `task_completions`
and `dependency_marks`. Must not know Redis, NATS or gRPC.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from chassis.stores import mongo_errors
from motor.motor_asyncio import AsyncIOMotorDatabase
from pymongo import ASCENDING, ReplaceOne
from pymongo.errors import DuplicateKeyError

from scheduler.archive_keys import run_key as key

Kind = Literal["dependency", "overlap"]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A run that is not queued yet. `spec` is the RunSpec to publish."""

    run_id: int
    task_id: int
    kind: Kind
    created_ms: int
    spec: bytes


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a task has used up its dependencies' completions.

    Completions up to `mark_ms` are used. While `open`, what they start may not have been started: run `run_id`, or,
    when that is 0, the waiting runs created up to `until_ms`.
    """

    task_id: int
    mark_ms: int = 0
    version: int = 0
    run_id: int = 0
    until_ms: int = 0
    open: bool = False
    changed_ms: int = 0


def _task_key(task_id: int) -> str:
    return f"{task_id:012d}"


class WaitingRuns:
    """Every method raises `Unavailable` when MongoDB can't be reached."""

    def __init__(self, database: AsyncIOMotorDatabase[dict[str, Any]]) -> None:
        self._waiting, self._completions = database["waiting_runs"], database["task_completions"]
        self._marks = database["dependency_marks"]

    async def prepare(self) -> None:
        """Make the indexes."""
        with mongo_errors():
            for name in ("task_id", "run_id"):
                await self._waiting.create_index([(name, ASCENDING)])
            await self._marks.create_index([("open", ASCENDING)])

    async def add(self, runs: Sequence[Waiting]) -> None:
        """Store them; again is harmless."""
        if not runs:
            return
        operations = [
            ReplaceOne(
                {"_id": key(run.run_id)},
                {"_id": key(run.run_id), "run_id": run.run_id, "task_id": run.task_id, "kind": run.kind,
                 "created_ms": run.created_ms, "spec": run.spec},
                upsert=True,
            )
            for run in runs
        ]  # fmt: skip
        with mongo_errors():
            await self._waiting.bulk_write(operations, ordered=False)

    async def of_task(self, task_id: int, limit: int = 10_000) -> list[Waiting]:
        """A task's waiting runs, oldest first."""
        with mongo_errors():
            rows = await self._waiting.find({"task_id": task_id}).limit(limit).to_list(limit)
        return sorted(map(_waiting, rows), key=lambda run: (run.created_ms, run.run_id))

    async def page(self, after_run_id: int, limit: int = 1_000) -> list[Waiting]:
        """All waiting runs by id, a page at a time."""
        with mongo_errors():
            query = {"run_id": {"$gt": after_run_id}}
            rows = await self._waiting.find(query).sort([("run_id", 1)]).limit(limit).to_list(limit)
        return list(map(_waiting, rows))

    async def get(self, run_id: int) -> Waiting | None:
        """One of them."""
        with mongo_errors():
            row = await self._waiting.find_one({"_id": key(run_id)})
        return _waiting(row) if row else None

    async def remove(self, run_ids: Sequence[int]) -> None:
        """They wait no more."""
        if run_ids:
            with mongo_errors():
                await self._waiting.delete_many({"_id": {"$in": [key(run_id) for run_id in run_ids]}})

    async def completion(self, task_id: int) -> tuple[int, int] | None:
        """(when, run id) of the task's newest completed run, as far as it was noted here."""
        with mongo_errors():
            row = await self._completions.find_one({"_id": _task_key(task_id)})
        return (int(row["completed_ms"]), int(row["run_id"])) if row else None

    async def note_completion(self, task_id: int, completed_ms: int, run_id: int) -> None:
        """Keep it, unless a newer one is known."""
        fields = {"completed_ms": completed_ms, "run_id": run_id}
        with mongo_errors():
            older = {"_id": _task_key(task_id), "completed_ms": {"$lt": completed_ms}}
            answer = await self._completions.update_one(older, {"$set": fields})
            if answer.matched_count == 0:
                try:
                    await self._completions.insert_one({"_id": _task_key(task_id), **fields})
                except DuplicateKeyError:
                    return  # a newer one is there

    async def mark(self, task_id: int) -> Mark:
        """How far the task has come; version 0 = it has no mark yet."""
        with mongo_errors():
            row = await self._marks.find_one({"_id": _task_key(task_id)})
        return _mark(row) if row else Mark(task_id)

    async def replace_mark(self, old: Mark, new: Mark) -> bool:
        """Compare and set by version. False: somebody was faster."""
        document = {
            "_id": _task_key(new.task_id), "task_id": new.task_id, "mark_ms": new.mark_ms, "version": old.version + 1,
            "run_id": new.run_id, "until_ms": new.until_ms, "open": int(new.open), "changed_ms": new.changed_ms,
        }  # fmt: skip
        with mongo_errors():
            if old.version == 0:
                try:
                    await self._marks.insert_one(document)
                except DuplicateKeyError:
                    return False
                return True
            answer = await self._marks.replace_one({"_id": document["_id"], "version": old.version}, document)
        return int(answer.matched_count) == 1

    async def open_marks(self, changed_before_ms: int) -> list[Mark]:
        """Marks whose scheduler may have died before it started what they stand for."""
        with mongo_errors():
            rows = await self._marks.find({"open": 1}).limit(1_000).to_list(1_000)
        return [mark for mark in map(_mark, rows) if mark.changed_ms <= changed_before_ms]


def _waiting(row: dict[str, Any]) -> Waiting:
    return Waiting(int(row["_id"]), int(row["task_id"]), row["kind"], int(row["created_ms"]), bytes(row["spec"]))


def _mark(row: dict[str, Any]) -> Mark:
    return Mark(
        task_id=int(row["task_id"]), mark_ms=int(row["mark_ms"]), version=int(row["version"]),
        run_id=int(row["run_id"]), until_ms=int(row["until_ms"]), open=bool(row["open"]),
        changed_ms=int(row["changed_ms"]),
    )  # fmt: skip
