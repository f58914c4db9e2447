"""API keys in MongoDB. Owns: collection `api_keys`, a document for each key, `_id` = its id (16 hexadecimal digits)."""

import asyncio
from dataclasses import astuple
from typing import Any

from chassis.errors import Unavailable
from chassis.stores import mongo_errors
from motor.motor_asyncio import AsyncIOMotorDatabase
from pymongo.monitoring import (
    ConnectionCheckedInEvent,
    ConnectionCheckedOutEvent,
    ConnectionClosedEvent,
    ConnectionCreatedEvent,
    ConnectionPoolListener,
)

from gateway.access import ROLES, ApiKey, Role
from gateway.rate_limits import Limit


class MongoKeys:
    """A `KeyStore`."""

    def __init__(self, database: AsyncIOMotorDatabase[dict[str, Any]]) -> None:
        self._keys = database["api_keys"]
        self._database = database

    async def prepare_when_reachable(self) -> None:
        """Make the index that `newest` reads by, as soon as the database answers."""
        while True:
            try:
                with mongo_errors():
                    await self._keys.create_index("created_ms")
            except Unavailable:
                await asyncio.sleep(1)
            else:
                return

    async def ping(self) -> None:
        """Raises `Unavailable` when the database does not answer."""
        with mongo_errors():
            await self._database.command("ping")

    async def add(self, key: ApiKey) -> None:
        """Store a new key."""
        with mongo_errors():
            await self._keys.insert_one(
                {
                    "_id": key.id,
                    "name": key.name,
                    "role": key.role.label,
                    "digest": key.digest,
                    "created_ms": key.created_ms,
                    "created_by": key.created_by,
                    "limit": list(astuple(key.limit)) if key.limit else [],
                }
            )

    async def find(self, key_id: str) -> ApiKey | None:
        """The key with that id."""
        with mongo_errors():
            document = await self._keys.find_one({"_id": key_id})
        return _key(document) if document else None

    async def newest(self, limit: int) -> list[ApiKey]:
        """Keys, newest first."""
        with mongo_errors():
            documents = await self._keys.find({}).sort("created_ms", -1).limit(limit).to_list(limit)
        return [_key(document) for document in documents]

    async def remove(self, key_id: str) -> bool:
        """Whether there was one to remove."""
        with mongo_errors():
            result = await self._keys.delete_one({"_id": key_id})
        return bool(result.deleted_count)


def _key(document: dict[str, Any]) -> ApiKey:
    return ApiKey(
        id=document["_id"],
        name=document["name"],
        role=ROLES.get(document["role"], Role.VIEWER),
        digest=document["digest"],
        created_ms=document["created_ms"],
        created_by=document["created_by"],
        limit=Limit(*document["limit"]) if document.get("limit") else None,
    )


class PoolGauge(ConnectionPoolListener):
    """Counts the driver's connections. Its events come from several threads; a count may be off for a moment."""

    def __init__(self) -> None:
        self.total = self.active = 0

    def connection_created(self, _event: ConnectionCreatedEvent) -> None:
        """One more."""
        self.total += 1

    def connection_closed(self, _event: ConnectionClosedEvent) -> None:
        """One less."""
        self.total -= 1

    def connection_checked_out(self, _event: ConnectionCheckedOutEvent) -> None:
        """One is in use."""
        self.active += 1

    def connection_checked_in(self, _event: ConnectionCheckedInEvent) -> None:
        """One is idle again."""
        self.active -= 1

    def pool_created(self, event: Any) -> None:
        """Not counted."""

    def pool_ready(self, event: Any) -> None:
        """Not counted."""

    def pool_cleared(self, event: Any) -> None:
        """Not counted: each connection's end is told by itself."""

    def pool_closed(self, event: Any) -> None:
        """Not counted."""

    def connection_ready(self, event: Any) -> None:
        """Not counted."""

    def connection_check_out_started(self, event: Any) -> None:
        """Not counted."""

    def connection_check_out_failed(self, event: Any) -> None:
        """Not counted."""
