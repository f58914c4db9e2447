"""Webhooks in MongoDB. Owns: collection `webhooks`, `_id` = the webhook's id.

Secrets are stored as they are: unlike a key, which is only compared, a secret has to sign.
"""

from typing import Any

from chassis.errors import Conflict
from chassis.stores import mongo_errors
from motor.motor_asyncio import AsyncIOMotorDatabase

from gateway.webhooks.webhook import Webhook


class MongoWebhooks:
    """All methods raise `Unavailable` when MongoDB can't be reached."""

    def __init__(self, database: AsyncIOMotorDatabase[dict[str, Any]]) -> None:
        self._webhooks = database["webhooks"]

    async def all(self, limit: int) -> list[Webhook]:
        """The webhooks, oldest first."""
        with mongo_errors():
            documents = await self._webhooks.find({}).limit(limit).to_list(limit)
        return sorted((_webhook(document) for document in documents), key=lambda webhook: webhook.created_ms)

    async def get(self, webhook_id: str) -> Webhook | None:
        """The webhook with that id."""
        with mongo_errors():
            document = await self._webhooks.find_one({"_id": webhook_id})
        return _webhook(document) if document else None

    async def add(self, webhook: Webhook) -> None:
        """Store a new one."""
        with mongo_errors():
            await self._webhooks.insert_one(_document(webhook))

    async def replace(self, changed: Webhook) -> None:
        """Store a change of the version that was read. Raises `Conflict` when another one was faster."""
        document = _document(changed) | {"version": changed.version + 1}
        with mongo_errors():
            result = await self._webhooks.replace_one({"_id": changed.id, "version": changed.version}, document)
        if not result.matched_count:
            raise Conflict("Webhook正在被其他请求修改", resource="webhook", id=changed.id)

    async def remove(self, webhook_id: str) -> bool:
        """Whether there was one to remove."""
        with mongo_errors():
            result = await self._webhooks.delete_one({"_id": webhook_id})
        return bool(result.deleted_count)


def _document(webhook: Webhook) -> dict[str, Any]:
    return {
        "_id": webhook.id,
        "url": webhook.url,
        "events": list(webhook.events),
        "secret": webhook.secret,
        "created_ms": webhook.created_ms,
        "updated_ms": webhook.updated_ms,
        "since_ms": webhook.since_ms,
        "description": webhook.description,
        "created_by": webhook.created_by,
        "disabled_reason": webhook.disabled_reason,
        "disabled_ms": webhook.disabled_ms,
        "old_secret": webhook.old_secret,
        "old_until_ms": webhook.old_until_ms,
        "version": webhook.version,
    }


def _webhook(document: dict[str, Any]) -> Webhook:
    fields = {name: value for name, value in document.items() if name in Webhook.__slots__}
    return Webhook(**fields | {"id": document["_id"], "events": tuple(document["events"])})
