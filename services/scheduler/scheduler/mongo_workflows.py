"""Definitions of workflows in MongoDB. Owns `workflows`. Must not know Redis, NATS or gRPC.

A definition's `_id` is made of its name, so that a name is there once. A deleted one stays as a mark with its version:
should the name come again, versions go on and no two definitions ever share one.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import orjson
from chassis.errors import Conflict, NotFound
from chassis.stores import mongo_errors
from motor.motor_asyncio import AsyncIOMotorDatabase
from pymongo import ASCENDING
from pymongo.errors import DuplicateKeyError

from scheduler.run import Retry
from scheduler.workflow import Step, Workflow


def _key(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def encode(workflow: Workflow) -> bytes:
    """A definition as it is stored."""
    return orjson.dumps(asdict(workflow))


def decode(data: bytes | str) -> Workflow:
    """What `encode` wrote."""
    raw = orjson.loads(data)
    steps = []
    for step in raw.pop("steps"):
        retry = step.pop("retry")
        depends_on = tuple(step.pop("depends_on"))
        steps.append(Step(**step, depends_on=depends_on, retry=Retry(**retry) if retry else None))
    return Workflow(**raw, steps=tuple(steps))


def _document(workflow: Workflow, *, deleted: bool = False) -> dict[str, Any]:
    return {
        "_id": _key(workflow.name), "name": workflow.name, "id": workflow.id, "version": workflow.version,
        "deleted": int(deleted), "scheduled": int(bool(workflow.schedule) and not deleted),
        "updated_ms": workflow.updated_ms, "data": encode(workflow).decode(),
    }  # fmt: skip


def _workflow(row: Mapping[str, Any]) -> Workflow:
    return decode(row["data"])


class Workflows:
    """Every method raises `Unavailable` when MongoDB can't be reached."""

    def __init__(self, database: AsyncIOMotorDatabase[dict[str, Any]]) -> None:
        self._workflows = database["workflows"]

    async def prepare(self) -> None:
        """Make the indexes."""
        with mongo_errors():
            for name in ("name", "id", "deleted", "scheduled", "updated_ms"):
                await self._workflows.create_index([(name, ASCENDING)])

    async def get(self, name: str) -> Workflow:
        """The workflow of that name. Raises `NotFound`."""
        with mongo_errors():
            row = await self._workflows.find_one({"_id": _key(name)})
        if row is None or row["deleted"]:
            raise NotFound(f"workflow {name[:100]!r} does not exist", resource="workflow", name=name[:100])
        return _workflow(row)

    async def add(self, workflow: Workflow) -> Workflow:
        """Store a new one; answers it with its version. Raises `Conflict` when there is one of that name."""
        with mongo_errors():
            try:
                await self._workflows.insert_one(_document(workflow))
            except DuplicateKeyError:
                row = await self._workflows.find_one({"_id": _key(workflow.name)})
                if row is None or not row["deleted"]:
                    raise _taken(workflow.name) from None
                again = replace(workflow, id=int(row["id"]), version=int(row["version"]) + 1)
                query = {"_id": row["_id"], "version": row["version"], "deleted": 1}
                answer = await self._workflows.replace_one(query, _document(again))
                if answer.matched_count == 0:
                    raise _taken(workflow.name) from None
                return again
        return workflow

    async def replace(self, old: Workflow, new: Workflow, *, deleted: bool = False) -> None:
        """Store a change, or that it is deleted. Raises `Conflict` when somebody else changed it meanwhile."""
        query = {"_id": _key(old.name), "version": old.version, "deleted": 0}
        with mongo_errors():
            answer = await self._workflows.replace_one(query, _document(new, deleted=deleted))
        if answer.matched_count == 0:
            raise Conflict("the workflow was changed by somebody else; read it again", name=old.name)

    async def page(self, offset: int, limit: int) -> tuple[list[Workflow], int]:
        """Workflows by name, and how many there are."""
        with mongo_errors():
            cursor = self._workflows.find({"deleted": 0}).sort([("name", 1)]).skip(offset).limit(limit)
            rows = await cursor.to_list(limit)
            counted = await self._workflows.aggregate(
                [{"$match": {"deleted": 0}}, {"$group": {"_id": None, "n": {"$sum": 1}}}]
            ).to_list(1)
        return [_workflow(row) for row in rows], int(counted[0]["n"]) if counted else 0

    async def scheduled(self, after_id: int, limit: int) -> list[Workflow]:
        """Workflows with a schedule and an id above that, by id."""
        with mongo_errors():
            query = {"scheduled": 1, "id": {"$gt": after_id}}
            rows = await self._workflows.find(query).sort([("id", 1)]).limit(limit).to_list(limit)
        return [_workflow(row) for row in rows]

    async def many(self, ids: Sequence[int]) -> dict[int, Workflow]:
        """Those of the workflows that exist, by id."""
        if not ids:
            return {}
        with mongo_errors():
            rows = await self._workflows.find({"id": {"$in": list(ids)}, "deleted": 0}).to_list(None)
        return {int(row["id"]): _workflow(row) for row in rows}


def _taken(name: str) -> Conflict:
    return Conflict(f"a workflow named {name!r} exists already", field="name", value=name)
