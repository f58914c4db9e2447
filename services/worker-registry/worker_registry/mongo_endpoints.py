"""Watched endpoints in MongoDB. Owns: the collection `endpoints`. Must not know how any is probed.

A probe is claimed, and its result stored, by a replacement that names the version: of many registries one gets it.
"""

from dataclasses import asdict
from typing import Any

from chassis.stores import mongo_errors
from motor.motor_asyncio import AsyncIOMotorDatabase

from worker_registry.endpoint import Endpoint, Hour, Probe

Document = dict[str, Any]


class MongoEndpoints:
    """All methods raise `Unavailable` when MongoDB can't be reached."""

    def __init__(self, database: AsyncIOMotorDatabase[Document]) -> None:
        self._endpoints = database["endpoints"]
        self._indexed = False

    async def prepare(self) -> None:
        """Make the indexes, once."""
        if not self._indexed:
            with mongo_errors():
                for name in ("next_ms", "created_ms"):
                    await self._endpoints.create_index(name)
            self._indexed = True

    async def insert(self, endpoint: Endpoint) -> None:
        """Store a new one."""
        with mongo_errors():
            await self._endpoints.insert_one(_document(endpoint))

    async def replace(self, endpoint: Endpoint) -> bool:
        """Store the version after the one that is there; False when that is another one by now, or gone."""
        with mongo_errors():
            answer = await self._endpoints.replace_one(
                {"_id": endpoint.id, "version": endpoint.version - 1}, _document(endpoint)
            )
        return answer.matched_count == 1

    async def delete(self, endpoint_id: str) -> bool:
        """Forget it; False when it was not there."""
        with mongo_errors():
            answer = await self._endpoints.delete_one({"_id": endpoint_id})
        return answer.deleted_count == 1

    async def get(self, endpoint_id: str) -> Endpoint | None:
        """One endpoint."""
        with mongo_errors():
            document = await self._endpoints.find_one({"_id": endpoint_id})
        return _endpoint(document) if document else None

    async def due(self, now: int, limit: int) -> list[Endpoint]:
        """Those whose probe is due, the longest overdue first."""
        with mongo_errors():
            cursor = self._endpoints.find({"next_ms": {"$lte": now}}).sort([("next_ms", 1)]).limit(limit)
            return [_endpoint(document) for document in await cursor.to_list(limit)]

    async def next_due_ms(self) -> int | None:
        """When the next probe is due; None when nothing is watched."""
        with mongo_errors():
            rows = await self._endpoints.find({}, {"next_ms": 1}).sort([("next_ms", 1)]).limit(1).to_list(1)
        return int(rows[0]["next_ms"]) if rows else None

    async def page(self, offset: int, limit: int) -> list[Endpoint]:
        """A page, oldest first."""
        with mongo_errors():
            cursor = self._endpoints.find({}).sort([("created_ms", 1), ("_id", 1)]).skip(offset).limit(limit)
            return [_endpoint(document) for document in await cursor.to_list(limit)]

    async def count(self) -> int:
        """How many there are."""
        with mongo_errors():
            rows = await self._endpoints.aggregate(
                [{"$match": {}}, {"$group": {"_id": None, "n": {"$sum": 1}}}]
            ).to_list(1)
        return int(rows[0]["n"]) if rows else 0


def _document(endpoint: Endpoint) -> Document:
    document = asdict(endpoint)
    document["_id"] = document.pop("id")
    document["history"] = [{**asdict(probe), "healthy": int(probe.healthy)} for probe in endpoint.history]
    document["hours"] = [asdict(hour) for hour in endpoint.hours]
    return document


def _endpoint(document: Document) -> Endpoint:
    values = {name: value for name, value in document.items() if name != "_id"}
    values["history"] = tuple(Probe(**{**probe, "healthy": bool(probe["healthy"])}) for probe in document["history"])
    values["hours"] = tuple(Hour(**hour) for hour in document["hours"])
    return Endpoint(id=document["_id"], **values)
