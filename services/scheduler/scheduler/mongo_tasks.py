"""Tasks in MongoDB. Owns `tasks`, `task_names` (uniqueness) and `counters`. Must not know Redis, NATS or gRPC."""

import contextlib
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from chassis.clock import now_ms
from chassis.errors import Conflict, InvalidInput, NotFound, TrawlError
from chassis.stores import mongo_errors
from motor.motor_asyncio import AsyncIOMotorDatabase
from pymongo import ASCENDING, ReturnDocument
from pymongo.errors import BulkWriteError, DuplicateKeyError

from scheduler.task import MAX_NAME, Task

SORTABLE = {
    "created_at": "created_ms", "updated_at": "updated_ms", "name": "name", "id": "id", "priority": "rank",
    "status": "status", "task_type": "task_type", "next_run_at": "next_run_ms",
}  # fmt: skip
# Sorts after every fire time: a task that has none comes last in ascending order.
NEVER_MS = 2**53 - 1
_RANK = {"low": 0, "normal": 1, "high": 2, "critical": 3}
# A name reserved for a task that was never written (the process died in between) is free again after this.
RESERVATION_MS = 30_000
MAX_DEPENDENTS = 10_000


def _key(task_id: int) -> str:
    return f"{task_id:012d}"


def _name_key(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def _document(task: Task) -> dict[str, Any]:
    raw: dict[str, Any] = {name: getattr(task, name) for name in Task.__slots__}
    raw["metadata"] = dict(task.metadata)
    raw["arguments"] = None if task.arguments is None else list(task.arguments)
    return raw | {"_id": _key(task.id), "rank": _RANK[task.priority], "dependencies": list(task.dependencies),
                  "tags": list(task.tags), "queue": task.queue,
                  "next_run_ms": task.next_run_ms(task.updated_ms) or NEVER_MS}  # fmt: skip


def _task(raw: Mapping[str, Any]) -> Task:
    arguments = raw["arguments"]
    return Task(
        **{name: raw[name] for name in (
            "id", "name", "task_type", "executor", "command", "description", "schedule", "priority", "retry_count",
            "timeout_seconds", "metadata", "status", "created_ms", "updated_ms", "version", "contract",
        )},
        collects=bool(raw.get("collects", False)),
        schedule_since_ms=int(raw.get("schedule_since_ms", raw["updated_ms"])),
        arguments=None if arguments is None else tuple(arguments),
        dependencies=tuple(raw["dependencies"]),
        tags=tuple(raw["tags"]),
    )  # fmt: skip


def with_id(task: Task) -> Task:
    """The task under a name that only it can have."""
    suffix = f" #{task.id}"
    return replace(task, name=task.name[: MAX_NAME - len(suffix)] + suffix)


def _taken(name: str) -> Conflict:
    return Conflict(f"a task named {name!r} exists already", field="name", value=name)


class Tasks:
    """The repository of tasks. Every method raises `Unavailable` when MongoDB can't be reached."""

    def __init__(self, database: AsyncIOMotorDatabase[dict[str, Any]]) -> None:
        self._tasks, self._names, self._counters = database["tasks"], database["task_names"], database["counters"]

    async def prepare(self) -> None:
        """Make the indexes."""
        with mongo_errors():
            for name in ("created_ms", "updated_ms", "name", "status", "task_type", "priority", "rank", "id",
                         "next_run_ms"):  # fmt: skip
                await self._tasks.create_index([(name, ASCENDING)])

    async def allocate(self, counter: str, count: int) -> int:
        """Reserve `count` numbers of a counter; answers the first."""
        with mongo_errors():
            row = await self._counters.find_one_and_update(
                {"_id": counter}, {"$inc": {"n": count}}, upsert=True, return_document=ReturnDocument.AFTER
            )
        return int(row["n"]) - count + 1

    async def add(self, task: Task) -> None:
        """Store a new task. Raises `Conflict` when its name is taken."""
        await self._reserve(task.name, task.id)
        with mongo_errors():
            await self._tasks.insert_one(_document(task))

    async def add_many(self, tasks: Sequence[Task]) -> list[Task]:
        """Store new tasks in a few calls; a name that is taken gets the task's id behind it. When it can't, what was
        written is taken back.
        """
        named = await self._name_all(tasks)
        try:
            with mongo_errors():
                await self._tasks.insert_many([_document(task) for task in named], ordered=False)
        except TrawlError:
            await self._take_back(named)
            raise
        return named

    async def _name_all(self, tasks: Sequence[Task]) -> list[Task]:
        """The tasks under names that are reserved for them."""
        own: set[str] = set()
        named = []
        for task in tasks:
            named.append(with_id(task) if task.name in own else task)
            own.add(task.name)
        late = await self._reserve_all(named)
        for index in late:
            named[index] = with_id(tasks[index])
        for index in await self._reserve_all([named[index] for index in late]):
            # Even that name is somebody's: ids are not used twice, so it is a reservation of this very task, or chance.
            task = named[late[index]]
            await self._reserve(task.name, task.id)
        return named

    async def _reserve_all(self, tasks: Sequence[Task]) -> list[int]:
        """Reserve the tasks' names; answers the indexes of those that are taken."""
        now = now_ms()
        reservations = [{"_id": _name_key(task.name), "task_id": task.id, "reserved_ms": now} for task in tasks]
        if reservations:
            with mongo_errors():
                try:
                    await self._names.insert_many(reservations, ordered=False)
                except BulkWriteError as error:
                    return [failure["index"] for failure in error.details["writeErrors"]]
        return []

    async def _take_back(self, tasks: Sequence[Task]) -> None:
        with contextlib.suppress(TrawlError), mongo_errors():
            await self._tasks.delete_many({"_id": {"$in": [_key(task.id) for task in tasks]}})
            await self._names.delete_many({"_id": {"$in": [_name_key(task.name) for task in tasks]}})

    async def check_free(self, name: str) -> None:
        """Raises `Conflict` when a task has that name; so a refused one uses up no id. `add` is what decides."""
        if await self.by_name(name) is not None:
            raise _taken(name)

    async def _reserve(self, name: str, task_id: int) -> None:
        reservation = {"_id": _name_key(name), "task_id": task_id, "reserved_ms": now_ms()}
        with mongo_errors():
            try:
                await self._names.insert_one(reservation)
            except DuplicateKeyError:
                held = await self._names.find_one({"_id": reservation["_id"]})
                if held is None or held["task_id"] == task_id:
                    return
                owner = await self._tasks.find_one({"_id": _key(held["task_id"])})
                fresh = held["reserved_ms"] > now_ms() - RESERVATION_MS
                if (owner is not None and owner["name"] == name) or (owner is None and fresh):
                    raise _taken(name) from None
                await self._names.replace_one({"_id": held["_id"], "task_id": held["task_id"]}, reservation)

    async def get(self, task_id: int) -> Task:
        """The task. Raises `NotFound`."""
        with mongo_errors():
            raw = await self._tasks.find_one({"_id": _key(task_id)}) if task_id > 0 else None
        if raw is None:
            raise NotFound(f"task {task_id} does not exist", resource="task", id=task_id)
        return _task(raw)

    async def by_name(self, name: str) -> Task | None:
        """The task of that name."""
        with mongo_errors():
            raw = await self._tasks.find_one({"name": name})
        return _task(raw) if raw else None

    async def page_by_id(self, after_id: int, limit: int, *, updated_since_ms: int = 0) -> list[Task]:
        """Tasks with an id above `after_id`, by id; `updated_since_ms` leaves out those not changed since."""
        query: dict[str, Any] = {"id": {"$gt": after_id}}
        if updated_since_ms:
            query["updated_ms"] = {"$gte": updated_since_ms}
        with mongo_errors():
            return [_task(row) for row in await self._tasks.find(query).sort([("id", 1)]).limit(limit).to_list(limit)]

    async def many(self, task_ids: Sequence[int]) -> dict[int, Task]:
        """Those of the tasks that exist, by id."""
        if not task_ids:
            return {}
        with mongo_errors():
            rows = await self._tasks.find({"_id": {"$in": [_key(i) for i in task_ids]}}).to_list(None)
        return {int(row["id"]): _task(row) for row in rows}

    async def queues(self) -> list[str]:
        """The queues that runs of tasks wait in."""
        with mongo_errors():
            rows = await self._tasks.aggregate([{"$group": {"_id": "$queue", "n": {"$sum": 1}}}]).to_list(None)
        return [str(row["_id"]) for row in rows if row["_id"]]

    async def dependents(self, task: Task) -> list[Task]:
        """The tasks that name this one among their dependencies, by id or by name."""
        found: dict[int, Task] = {}
        with mongo_errors():
            for reference in (str(task.id), task.name):
                for row in await self._tasks.find({"dependencies": reference}).limit(MAX_DEPENDENTS).to_list(None):
                    found[int(row["id"])] = _task(row)
        return list(found.values())

    async def set_next_runs(self, next_runs: Mapping[int, int]) -> None:
        """Store when tasks fire next (epoch ms, 0 = never), for sorting only: what is shown is computed anew."""
        by_time: dict[int, list[str]] = {}
        for task_id, next_ms in next_runs.items():
            by_time.setdefault(next_ms or NEVER_MS, []).append(_key(task_id))
        with mongo_errors():
            for next_ms, keys in by_time.items():
                for first in range(0, len(keys), 500):
                    some = {"_id": {"$in": keys[first : first + 500]}}
                    await self._tasks.update_many(some, {"$set": {"next_run_ms": next_ms}})

    async def replace(self, old: Task, new: Task) -> None:
        """Store a change. Raises `Conflict` when somebody else changed it meanwhile, or the new name is taken."""
        if new.name != old.name:
            await self._reserve(new.name, new.id)
        with mongo_errors():
            answer = await self._tasks.replace_one({"_id": _key(old.id), "version": old.version}, _document(new))
            if answer.matched_count == 0:
                raise Conflict("the task was changed by somebody else; read it again", id=old.id)
            if new.name != old.name:
                await self._names.delete_one({"_id": _name_key(old.name), "task_id": old.id})

    async def remove(self, task: Task) -> None:
        """Delete it. Raises `Conflict` when another task depends on it."""
        with mongo_errors():
            for reference in (str(task.id), task.name):
                dependent = await self._tasks.find_one({"dependencies": reference})
                if dependent is not None and dependent["id"] != task.id:
                    raise Conflict(f"task {dependent['id']} depends on it", id=task.id, dependent=dependent["id"])
            await self._tasks.delete_one({"_id": _key(task.id)})
            await self._names.delete_one({"_id": _name_key(task.name), "task_id": task.id})

    async def find(
        self, *, status: str, task_type: str, priority: str, search: str, sort: str, ascending: bool, offset: int,
        limit: int,
    ) -> tuple[list[Task], int]:  # fmt: skip
        """A page of tasks, and how many match. Raises `InvalidInput` for an unknown `sort`."""
        if sort and sort not in SORTABLE:
            raise InvalidInput(f"sort must be one of {', '.join(SORTABLE)}", field="sort", rule="enum", value=sort)
        wanted = {"status": status, "task_type": task_type, "priority": priority}
        query: dict[str, Any] = {name: value for name, value in wanted.items() if value}
        if search:
            query["$or"] = [{name: {"$regex": re.escape(search), "$options": "i"}} for name in ("name", "description")]
        direction = 1 if ascending else -1
        with mongo_errors():
            cursor = self._tasks.find(query).sort([(SORTABLE[sort or "created_at"], direction), ("_id", direction)])
            rows = await cursor.skip(offset).limit(limit).to_list(limit)
            counted = await self._tasks.aggregate(
                [{"$match": query}, {"$group": {"_id": None, "n": {"$sum": 1}}}]
            ).to_list(1)
        return [_task(row) for row in rows], counted[0]["n"] if counted else 0

    async def count_by_status(self) -> dict[str, int]:
        """How many tasks there are of each status."""
        with mongo_errors():
            rows = await self._tasks.aggregate([{"$group": {"_id": "$status", "n": {"$sum": 1}}}]).to_list(100)
        return {str(row["_id"]): int(row["n"]) for row in rows}
