"""Deliveries in MongoDB: what is to be sent, and the log of what was. Owns: collection `webhook_deliveries`.

`_id` is made from webhook and happening, so that a happening that is announced twice is stored once. Two strings are
indexed: `due` (`<webhook>:<ms>`, empty when nothing is left to do) and `listed` (`<webhook>:<ms of creation>`).
A claim moves `due` into the future; whoever holds a delivery writes its outcome only while `due` is still as claimed.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from chassis.stores import mongo_errors
from motor.motor_asyncio import AsyncIOMotorDatabase
from pymongo import ASCENDING, DESCENDING
from pymongo.errors import BulkWriteError

from gateway.webhooks.webhook import Attempt, Delivery, State

DUPLICATE = 11000
CHUNK = 1_000
ENDED = [State.DELIVERED.value, State.FAILED.value]


class MongoDeliveries:
    """All methods raise `Unavailable` when MongoDB can't be reached."""

    def __init__(self, database: AsyncIOMotorDatabase[dict[str, Any]]) -> None:
        self._deliveries = database["webhook_deliveries"]

    async def prepare(self) -> None:
        """Make the indexes."""
        with mongo_errors():
            for name in ("due", "listed", "webhook_id", "created_ms"):
                await self._deliveries.create_index([(name, ASCENDING)])

    async def add(self, deliveries: Sequence[Delivery]) -> None:
        """Store new ones; those that are there stay as they are."""
        documents = [_document(delivery) for delivery in deliveries]
        for start in range(0, len(documents), CHUNK):
            with mongo_errors():
                try:
                    await self._deliveries.insert_many(documents[start : start + CHUNK], ordered=False)
                except BulkWriteError as error:
                    if any(failure["code"] != DUPLICATE for failure in error.details["writeErrors"]):
                        raise

    async def next_due(self, webhook_id: str, limit: int) -> list[Delivery]:
        """Those with something left to do, the most urgent first, also before their time has come."""
        query = {"due": {"$gt": f"{webhook_id}:", "$lt": f"{webhook_id};"}}
        with mongo_errors():
            documents = await self._deliveries.find(query).sort([("due", ASCENDING)]).limit(limit).to_list(limit)
        return [_delivery(document) for document in documents]

    async def claim(self, delivery: Delivery, until_ms: int) -> Delivery | None:
        """The delivery, held until then; None when another one was faster."""
        held = replace(delivery, due_ms=until_ms)
        with mongo_errors():
            result = await self._deliveries.update_one(
                {"_id": delivery.id, "due": _due(delivery)}, {"$set": {"due": _due(held)}}
            )
        return held if result.modified_count else None

    async def settle(self, held: Delivery, outcome: Delivery) -> bool:
        """Write what came of it. False: the claim ran out, and what others did since stays."""
        changes = {
            "state": outcome.state.value,
            "due": _due(outcome),
            "tries": outcome.tries,
            "completed_ms": outcome.completed_ms,
            "attempts": [asdict(attempt) for attempt in outcome.attempts],
        }
        with mongo_errors():
            result = await self._deliveries.update_one({"_id": held.id, "due": _due(held)}, {"$set": changes})
        return bool(result.matched_count)

    async def get(self, delivery_id: str) -> Delivery | None:
        """The delivery with that id."""
        with mongo_errors():
            document = await self._deliveries.find_one({"_id": delivery_id})
        return _delivery(document) if document else None

    async def page(
        self, webhook_id: str, state: str, *, offset: int, limit: int, behind: str = ""
    ) -> tuple[list[Delivery], int]:
        """A page of a webhook's deliveries, newest first, and how many there are; `state` empty: in any state.
        `behind`: only what comes behind that place (see `place_of`).
        """
        query: dict[str, Any] = {"state": state} if state else {}
        documents: list[dict[str, Any]] = []
        listed = f"{webhook_id};"
        if behind:
            made, _, last = behind.partition(" ")
            listed = f"{webhook_id}:{made}"
            documents = await self._find(query | {"listed": listed, "_id": {"$lt": last}}, 0, limit)
        if len(documents) < limit:
            older = query | {"listed": {"$gt": f"{webhook_id}:", "$lt": listed}}
            documents += await self._find(older, offset, limit - len(documents))
        return [_delivery(document) for document in documents], await self.count(webhook_id, state)

    async def _find(self, query: dict[str, Any], offset: int, limit: int) -> list[dict[str, Any]]:
        # The embedded store walks an index for a range of `_id` only when it is asked by aggregation.
        order = {"$sort": {"listed": DESCENDING, "_id": DESCENDING}}
        with mongo_errors():
            return await self._deliveries.aggregate(
                [{"$match": query}, order, {"$skip": offset}, {"$limit": limit}]
            ).to_list(limit)

    async def count(self, webhook_id: str, state: str = "") -> int:
        """How many deliveries a webhook has."""
        match = {"webhook_id": webhook_id} | ({"state": state} if state else {})
        with mongo_errors():
            rows = await self._deliveries.aggregate(
                [{"$match": match}, {"$group": {"_id": None, "n": {"$sum": 1}}}]
            ).to_list(1)
        return int(rows[0]["n"]) if rows else 0

    async def delivered_since(self, webhook_id: str, time_ms: int) -> bool:
        """Whether the target took anything since then."""
        query = {"webhook_id": webhook_id, "state": State.DELIVERED.value, "completed_ms": {"$gte": time_ms}}
        with mongo_errors():
            return await self._deliveries.find_one(query, {"_id": 1}) is not None

    async def forget(self, webhook_id: str) -> None:
        """Delete all of a webhook's."""
        with mongo_errors():
            await self._deliveries.delete_many({"webhook_id": webhook_id})

    async def drop_before(self, time_ms: int) -> int:
        """Delete what was made before then; answers how many."""
        with mongo_errors():
            result = await self._deliveries.delete_many({"created_ms": {"$lt": time_ms}})
        return int(result.deleted_count)

    async def drop_oldest(self, webhook_id: str, count: int) -> None:
        """Delete the oldest ended ones, at most `CHUNK` at once."""
        query = {"listed": {"$gt": f"{webhook_id}:", "$lt": f"{webhook_id};"}, "state": {"$in": ENDED}}
        limit = min(count, CHUNK)
        with mongo_errors():
            rows = (
                await self._deliveries.find(query, {"_id": 1}).sort([("listed", ASCENDING)]).limit(limit).to_list(limit)
            )
            if rows:
                await self._deliveries.delete_many({"_id": {"$in": [row["_id"] for row in rows]}})


def place_of(delivery: Delivery) -> str:
    """Where a delivery stands in its webhook's list."""
    return f"{delivery.created_ms:015d} {delivery.id}"


def _due(delivery: Delivery) -> str:
    return f"{delivery.webhook_id}:{delivery.due_ms:015d}" if delivery.due_ms else ""


def _document(delivery: Delivery) -> dict[str, Any]:
    return {
        "_id": delivery.id,
        "webhook_id": delivery.webhook_id,
        "event": delivery.event,
        "message_id": delivery.message_id,
        "body": delivery.body,
        "created_ms": delivery.created_ms,
        "listed": f"{delivery.webhook_id}:{delivery.created_ms:015d}",
        "state": delivery.state.value,
        "due": _due(delivery),
        "tries": delivery.tries,
        "single": int(delivery.single),
        "completed_ms": delivery.completed_ms,
        "attempts": [asdict(attempt) for attempt in delivery.attempts],
    }


def _delivery(document: dict[str, Any]) -> Delivery:
    return Delivery(
        id=document["_id"],
        webhook_id=document["webhook_id"],
        event=document["event"],
        message_id=document["message_id"],
        body=document["body"],
        created_ms=document["created_ms"],
        state=State(document["state"]),
        due_ms=int(document["due"].partition(":")[2] or 0),
        tries=document["tries"],
        single=bool(document["single"]),
        completed_ms=document["completed_ms"],
        attempts=tuple(Attempt(**attempt) for attempt in document["attempts"]),
    )
