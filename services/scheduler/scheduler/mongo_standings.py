"""The states that tasks have by their newest runs, in MongoDB. Owns `standings`, with a document for each task that
collects. Must not know Redis, NATS or gRPC.

A state is a copy for lists: what decides is the run. `reached` (run, then how far it is) only grows, so that news which
come late or twice change nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chassis.stores import mongo_errors
from motor.motor_asyncio import AsyncIOMotorDatabase
from pymongo import ASCENDING, DESCENDING, InsertOne, UpdateOne

FILTERS = ("contract", "owner", "task_type", "state")
# How far a run is: live, ended, put aside because its task was armed again.
LIVE, ENDED, ASIDE = 0, 1, 2


@dataclass(frozen=True, slots=True)
class StandingRow:
    """`state` is idle, live, completed, failed or aborted; `changed_ms` 0 = never."""

    task_id: int
    contract: str
    owner: str
    task_type: str
    state: str = "idle"
    error_message: str = ""
    run_id: int = 0
    changed_ms: int = 0
    reached: str = ""


@dataclass(frozen=True, slots=True)
class News:
    """What happened to a task's run."""

    task_id: int
    run_id: int
    state: str
    step: int
    time_ms: int
    error_message: str = ""

    @property
    def reached(self) -> str:
        """Fixed width: strings sort as (run, step)."""
        return f"{self.run_id:015d}:{self.step}"


def _key(task_id: int) -> str:
    return f"{task_id:012d}"


def _row(raw: Mapping[str, Any]) -> StandingRow:
    return StandingRow(**{name: raw[name] for name in StandingRow.__slots__})


class StandingRows:
    """Every method raises `Unavailable` when MongoDB can't be reached."""

    def __init__(self, database: AsyncIOMotorDatabase[dict[str, Any]]) -> None:
        self._rows = database["standings"]

    async def prepare(self) -> None:
        """Make the indexes."""
        with mongo_errors():
            await self._rows.create_index([("task_id", ASCENDING)])
            # Not of the contract: nearly all tasks that collect are of one.
            for name in ("owner", "task_type", "state"):
                await self._rows.create_index([(name, ASCENDING)])

    async def add_many(self, rows: Sequence[StandingRow]) -> None:
        """Store new ones."""
        operations = [
            InsertOne({"_id": _key(row.task_id)} | {name: getattr(row, name) for name in StandingRow.__slots__})
            for row in rows
        ]
        with mongo_errors():
            await self._rows.bulk_write(operations, ordered=False)

    async def remove(self, task_ids: Sequence[int]) -> None:
        """Forget these tasks."""
        with mongo_errors():
            await self._rows.delete_many({"_id": {"$in": [_key(task_id) for task_id in task_ids]}})

    async def get(self, task_id: int) -> StandingRow | None:
        """One of them."""
        with mongo_errors():
            raw = await self._rows.find_one({"_id": _key(task_id)})
        return _row(raw) if raw else None

    async def apply(self, news: Sequence[News]) -> None:
        """Store what is newer than what is known."""
        operations = [
            UpdateOne(
                {"_id": _key(one.task_id), "reached": {"$lt": one.reached}},
                {"$set": {
                    "state": one.state, "error_message": one.error_message, "run_id": one.run_id,
                    "changed_ms": one.time_ms, "reached": one.reached,
                }},
            )
            for one in news
        ]  # fmt: skip
        if operations:
            with mongo_errors():
                await self._rows.bulk_write(operations)

    async def set_type(self, task_id: int, task_type: str) -> None:
        """The task was changed."""
        with mongo_errors():
            await self._rows.update_one({"_id": _key(task_id)}, {"$set": {"task_type": task_type}})

    async def find(self, wanted: Mapping[str, str], *, offset: int, limit: int) -> tuple[list[StandingRow], int]:
        """A page, newest tasks first, and how many match. `wanted` has names of `FILTERS`."""
        query = {name: wanted[name] for name in FILTERS if wanted.get(name)}
        with mongo_errors():
            cursor = self._rows.find(query).sort([("task_id", DESCENDING)])
            rows = await cursor.skip(offset).limit(limit).to_list(limit)
            counted = await self._rows.aggregate(
                [{"$match": query}, {"$group": {"_id": None, "n": {"$sum": 1}}}]
            ).to_list(1)
        return [_row(raw) for raw in rows], counted[0]["n"] if counted else 0
