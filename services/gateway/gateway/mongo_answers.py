"""Answers that belong to idempotency keys, in MongoDB. Owns: collection `idempotency_answers`. Must not know Redis."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from chassis.batching import Batcher
from chassis.clock import now_ms
from chassis.stores import mongo_errors
from motor.motor_asyncio import AsyncIOMotorDatabase
from pymongo import ReplaceOne

MAX_BATCH = 100


class KeptAnswers:
    """Concurrent calls share batches. Every method raises `Unavailable` when the database can't be reached."""

    def __init__(self, database: AsyncIOMotorDatabase[dict[str, Any]]) -> None:
        self._answers = database["idempotency_answers"]
        self._finding: Batcher[str, bytes | None] = Batcher(self._find, max_batch=MAX_BATCH)
        self._adding: Batcher[dict[str, Any], None] = Batcher(self._add, max_batch=MAX_BATCH)

    async def prepare(self) -> None:
        """Let what has served expire."""
        with mongo_errors():
            await self._answers.create_index("expires", expireAfterSeconds=0)

    async def find(self, name: str) -> bytes | None:
        """What was kept under that name."""
        return await self._finding.call(name)

    async def add(self, name: str, said: bytes, seconds: int) -> None:
        """Keep it for that long."""
        until_ms = now_ms() + seconds * 1000
        expires = datetime.fromtimestamp(until_ms / 1000, UTC)
        await self._adding.call({"_id": name, "said": said, "until_ms": until_ms, "expires": expires})

    async def _find(self, names: list[str]) -> Sequence[bytes | None]:
        query = {"_id": {"$in": names}}
        with mongo_errors():
            rows = await self._answers.find(query).to_list(None)
        now = now_ms()
        found = {row["_id"]: bytes(row["said"]) for row in rows if row["until_ms"] > now}
        return [found.get(name) for name in names]

    async def _add(self, documents: list[dict[str, Any]]) -> Sequence[None]:
        operations = [ReplaceOne({"_id": document["_id"]}, document, upsert=True) for document in documents]
        with mongo_errors():
            await self._answers.bulk_write(operations, ordered=False)
        return [None] * len(documents)
