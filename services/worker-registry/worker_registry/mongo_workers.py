"""Workers in MongoDB. Owns: the collections `workers` and `counters`. Must not know heartbeats.

Every write is an insert under a unique `_id` or a replace that names the version it replaces. Metadata is kept as
text, so that no key from outside is ever a field name.
"""

from collections.abc import Sequence
from typing import Any

from chassis.stores import mongo_errors
from motor.motor_asyncio import AsyncIOMotorDatabase
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from worker_registry.worker import Status, Worker, made_id

Document = dict[str, Any]


class MongoWorkers:
    """All methods raise `Unavailable` when MongoDB can't be reached."""

    def __init__(self, database: AsyncIOMotorDatabase[Document]) -> None:
        self._database = database
        self._workers = database["workers"]
        self._counters = database["counters"]
        self._indexed = False

    async def check(self) -> None:
        """Return when MongoDB answers. The first time, also make the index that lists of one host use."""
        with mongo_errors():
            if not self._indexed:
                await self._workers.create_index("hostname")
                self._indexed = True
            await self._database.command("ping")

    async def next_id(self) -> str:
        """An id that this never answered before. Somebody may have chosen it by hand: `insert` tells."""
        with mongo_errors():
            counter = await self._counters.find_one_and_update(
                {"_id": "worker"}, {"$inc": {"n": 1}}, upsert=True, return_document=ReturnDocument.AFTER
            )
        return made_id(int(counter["n"]))

    async def insert(self, worker: Worker) -> bool:
        """Store a new worker; False when the id is taken."""
        with mongo_errors():
            try:
                await self._workers.insert_one(_document(worker))
            except DuplicateKeyError:
                return False
        return True

    async def replace(self, worker: Worker) -> bool:
        """Store the version after the one that is there; False when that is another one by now."""
        with mongo_errors():
            result = await self._workers.replace_one(
                {"_id": worker.id, "version": worker.version - 1}, _document(worker)
            )
        return result.matched_count == 1

    async def announced(self, worker: Worker) -> None:
        """Note that the loss of all replaced sessions was handed on. Nothing happens if the worker changed since."""
        with mongo_errors():
            await self._workers.update_one({"_id": worker.id, "version": worker.version}, {"$set": {"unannounced": []}})

    async def delete(self, worker: Worker) -> bool:
        """Forget it; False when it changed since it was read."""
        with mongo_errors():
            result = await self._workers.delete_one({"_id": worker.id, "version": worker.version})
        return result.deleted_count == 1

    async def get(self, worker_id: str) -> Worker | None:
        """One worker."""
        with mongo_errors():
            document = await self._workers.find_one({"_id": worker_id})
        return _worker(document) if document else None

    async def get_many(self, worker_ids: Sequence[str]) -> dict[str, Worker]:
        """Those of the ids that are known."""
        with mongo_errors():
            cursor = self._workers.find({"_id": {"$in": list(worker_ids)}})
            return {document["_id"]: _worker(document) async for document in cursor}

    async def all(self, hostname: str = "") -> list[Worker]:
        """Every worker (of a host)."""
        with mongo_errors():
            cursor = self._workers.find({"hostname": hostname} if hostname else {}, batch_size=1_000)
            return [_worker(document) async for document in cursor]

    async def count(self) -> int:
        """How many there are."""
        with mongo_errors():
            groups = self._workers.aggregate([{"$match": {}}, {"$group": {"_id": None, "n": {"$sum": 1}}}])
            return sum([int(group["n"]) async for group in groups])


def _document(worker: Worker) -> Document:
    return {
        "_id": worker.id,
        "session": worker.session,
        "hostname": worker.hostname,
        "ip_address": worker.ip_address,
        "port": worker.port,
        "task_types": list(worker.task_types),
        "max_concurrent_tasks": worker.max_concurrent_tasks,
        "interval_ms": worker.interval_ms,
        "metadata": worker.metadata_json.decode(),
        "registered_ms": worker.registered_ms,
        "wanted": worker.wanted.value,
        "version": worker.version,
        "replaced": list(worker.replaced),
        "unannounced": list(worker.unannounced),
    }


def _worker(document: Document) -> Worker:
    return Worker(
        id=document["_id"],
        session=document["session"],
        hostname=document["hostname"],
        ip_address=document["ip_address"],
        port=document["port"],
        task_types=tuple(document["task_types"]),
        max_concurrent_tasks=document["max_concurrent_tasks"],
        interval_ms=document["interval_ms"],
        metadata_json=document["metadata"].encode(),
        registered_ms=document["registered_ms"],
        wanted=Status(document["wanted"]),
        version=document["version"],
        replaced=tuple(document["replaced"]),
        unannounced=tuple(document["unannounced"]),
    )
