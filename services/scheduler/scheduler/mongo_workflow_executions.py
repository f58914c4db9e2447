"""Executions of workflows in MongoDB. Owns `workflow_executions` (small, changed by compare-and-set on `revision`) and
`workflow_plans` (what they do, written once). Must not know Redis, NATS or gRPC.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import orjson
from chassis.errors import NotFound
from chassis.stores import mongo_errors
from motor.motor_asyncio import AsyncIOMotorDatabase
from pymongo import ASCENDING, DESCENDING
from pymongo.errors import DuplicateKeyError

from scheduler.mongo_workflows import decode, encode
from scheduler.workflow_state import Counts, Execution, ExecutionStatus, Plan, StepState, StepStatus

_FIELDS = ("workflow", "workflow_id", "version", "started_ms", "completed_ms", "cancel_ms", "error", "revision")


def _document(execution: Execution) -> dict[str, Any]:
    return {
        "_id": execution.id, "status": execution.status.value,
        "steps": orjson.dumps({step_id: asdict(state) for step_id, state in execution.steps.items()}).decode(),
        **{name: getattr(execution, name) for name in _FIELDS},
    }  # fmt: skip


def _execution(row: Mapping[str, Any]) -> Execution:
    return Execution(
        id=row["_id"], status=ExecutionStatus(row["status"]), **{name: row[name] for name in _FIELDS},
        steps={step_id: _state(raw) for step_id, raw in orjson.loads(row["steps"]).items()},
    )  # fmt: skip


def _state(raw: dict[str, Any]) -> StepState:
    return StepState(**raw | {"status": StepStatus(raw["status"]), "counts": Counts(**raw["counts"])})


class Executions:
    """Every method raises `Unavailable` when MongoDB can't be reached."""

    def __init__(self, database: AsyncIOMotorDatabase[dict[str, Any]]) -> None:
        self._executions, self._plans = database["workflow_executions"], database["workflow_plans"]

    async def prepare(self) -> None:
        """Make the indexes."""
        with mongo_errors():
            for name in ("status", "workflow", "workflow_id", "started_ms"):
                await self._executions.create_index([(name, ASCENDING)])
            for name in ("status", "workflow"):
                await self._executions.create_index([(name, ASCENDING), ("started_ms", DESCENDING)])

    async def add(self, execution: Execution, plan: Plan) -> bool:
        """Store a new execution, its plan first. False: there is one of that id."""
        body = {"_id": execution.id, "workflow": encode(plan.workflow), "params": orjson.dumps(plan.params)}
        with mongo_errors():
            try:
                await self._plans.insert_one(body)
            except DuplicateKeyError:
                pass  # a process died in between, or the execution is there
            else:
                await self._executions.insert_one(_document(execution))
                return True
            try:
                # The plan that came first is the one that counts.
                kept = await self.plan(execution.id)
                first = replace(execution, version=kept.workflow.version,
                                steps={step.id: StepState() for step in kept.workflow.steps})  # fmt: skip
                await self._executions.insert_one(_document(first))
            except DuplicateKeyError:
                return False
        return True

    async def get(self, execution_id: str) -> Execution:
        """The execution. Raises `NotFound`."""
        with mongo_errors():
            row = await self._executions.find_one({"_id": execution_id})
        if row is None:
            raise NotFound(f"execution {execution_id[:64]!r} does not exist", resource="execution")
        return _execution(row)

    async def plan(self, execution_id: str) -> Plan:
        """What the execution does. Raises `NotFound`."""
        with mongo_errors():
            row = await self._plans.find_one({"_id": execution_id})
        if row is None:
            raise NotFound(f"execution {execution_id[:64]!r} does not exist", resource="execution")
        return Plan(decode(bytes(row["workflow"])), orjson.loads(bytes(row["params"])))

    async def replace(self, old: Execution, new: Execution) -> bool:
        """Compare and set. False: somebody was faster."""
        query = {"_id": old.id, "revision": old.revision}
        with mongo_errors():
            answer = await self._executions.replace_one(query, _document(replace(new, revision=old.revision + 1)))
        return int(answer.matched_count) == 1

    async def running(self, after_id: str, limit: int) -> list[str]:
        """Ids of executions under way, by id."""
        query = {"status": ExecutionStatus.RUNNING.value, "_id": {"$gt": after_id}}
        with mongo_errors():
            rows = await self._executions.find(query, {"_id": 1}).sort([("_id", 1)]).limit(limit).to_list(limit)
        return [row["_id"] for row in rows]

    async def running_of(self, workflow_ids: Sequence[int]) -> dict[int, int]:
        """How many executions of each workflow are under way."""
        counts = dict.fromkeys(workflow_ids, 0)
        with mongo_errors():
            query = {"status": ExecutionStatus.RUNNING.value, "workflow_id": {"$in": list(workflow_ids)}}
            for row in await self._executions.find(query, {"workflow_id": 1}).to_list(None):
                counts[int(row["workflow_id"])] += 1
        return counts

    async def page(
        self, *, workflow: str, status: str, offset: int, limit: int, behind: str = ""
    ) -> tuple[list[Execution], int]:
        """Executions, newest first, and how many match. `behind`: only those behind that place (see `place_of`)."""
        query: dict[str, Any] = {name: value for name, value in (("workflow", workflow), ("status", status)) if value}
        rows: list[dict[str, Any]] = []
        older = query
        if behind:
            started, _, last = behind.partition(" ")
            older = query | {"started_ms": {"$lt": int(started)}}
            rows = await self._find(query | {"started_ms": int(started), "_id": {"$lt": last}}, 0, limit)
        if len(rows) < limit:
            rows += await self._find(older, offset, limit - len(rows))
        with mongo_errors():
            counted = await self._executions.aggregate(
                [{"$match": query}, {"$group": {"_id": None, "n": {"$sum": 1}}}]
            ).to_list(1)
        return list(map(_execution, rows)), int(counted[0]["n"]) if counted else 0

    async def _find(self, query: Mapping[str, Any], offset: int, limit: int) -> list[dict[str, Any]]:
        # The embedded store walks an index for a range of `_id` only when it is asked by aggregation.
        order = {"$sort": {"started_ms": -1, "_id": -1}}
        with mongo_errors():
            return await self._executions.aggregate(
                [{"$match": query}, order, {"$skip": offset}, {"$limit": limit}]
            ).to_list(limit)


def place_of(execution: Execution) -> str:
    """Where an execution stands in lists."""
    return f"{execution.started_ms} {execution.id}"
