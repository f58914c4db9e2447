"""What runs of `scrape` tasks have found before. Owns `known_items` and `known_pages`. Must not know selectors.

Both belong to a task. What nobody has seen for `KEPT_DAYS` is dropped.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import orjson
from chassis.errors import Unavailable
from chassis.stores import mongo_errors
from motor.motor_asyncio import AsyncIOMotorDatabase
from pymongo import ASCENDING, ReplaceOne

from scraper.executor import Json
from scraper.known_pages import KnownPage
from scraper.scrape_changes import KnownItem

T = TypeVar("T")
KEPT_DAYS = 90
RETRY_SECONDS = 0.5
PAGE = 500


def _id(*parts: object) -> str:
    digest = hashlib.blake2b("\n".join(map(str, parts[1:])).encode(errors="replace"), digest_size=16).hexdigest()
    return f"{parts[0]:015d}:{digest}"


def _expires() -> datetime:
    return datetime.now(UTC) + timedelta(days=KEPT_DAYS)


class MongoKnownItems:
    """`KnownItems`: the last state of each item of a task. All but `prepare` wait while MongoDB can't be reached."""

    def __init__(self, database: AsyncIOMotorDatabase[dict[str, Any]]) -> None:
        self._items = database["known_items"]

    async def prepare(self) -> None:
        """Make the indexes."""
        with mongo_errors():
            for name in ("task_id", "run_id"):
                await self._items.create_index([(name, ASCENDING)])
            await self._items.create_index([("task_id", ASCENDING), ("run_id", ASCENDING)])
            await self._items.create_index([("expires_at", ASCENDING)], expireAfterSeconds=0)

    async def find(self, task_id: int, keys: Sequence[str]) -> dict[str, KnownItem]:
        """Those of these keys that are known."""
        ids = {_id(task_id, key): key for key in keys}
        rows = await _patiently(lambda: self._items.find({"_id": {"$in": list(ids)}}).to_list(len(ids)))
        return {ids[row["_id"]]: _item_of(row) for row in rows}

    async def keep(self, task_id: int, items: Mapping[str, KnownItem]) -> None:
        """Write them by key."""
        expires = _expires()
        operations = []
        for key, item in items.items():
            document = {
                "_id": _id(task_id, key), "task_id": task_id, "run_id": item.run_id, "gone_run": item.gone_run,
                "key": key, "data": _dumped(item.data), "before": _dumped(item.before), "expires_at": expires,
            }  # fmt: skip
            operations.append(ReplaceOne({"_id": document["_id"]}, document, upsert=True))
        if operations:
            await _patiently(lambda: self._items.bulk_write(operations, ordered=False))

    async def unseen(self, task_id: int, run_id: int) -> AsyncIterator[dict[str, KnownItem]]:
        """Those that the run has not seen, page by page, by key."""
        last = ""
        while True:
            rows = await _patiently(partial(self._page, task_id, run_id, last))
            if not rows:
                return
            yield {row["key"]: _item_of(row) for row in rows}
            last = rows[-1]["_id"]

    async def _page(self, task_id: int, run_id: int, after: str) -> list[dict[str, Any]]:
        query = {"task_id": task_id, "run_id": {"$lt": run_id}, "_id": {"$gt": after}}
        return await self._items.find(query).sort([("_id", ASCENDING)]).limit(PAGE).to_list(PAGE)


async def _patiently(call: Callable[[], Awaitable[T]]) -> T:
    while True:
        try:
            with mongo_errors():
                return await call()
        except Unavailable:
            await asyncio.sleep(RETRY_SECONDS)


def _item_of(row: Mapping[str, Any]) -> KnownItem:
    return KnownItem(orjson.loads(row["data"]), orjson.loads(row["before"]), int(row["run_id"]), int(row["gone_run"]))


def _dumped(value: Json) -> str:
    return orjson.dumps(value, default=str).decode()


class MongoKnownPages:
    """`KnownPages`."""

    def __init__(self, database: AsyncIOMotorDatabase[dict[str, Any]]) -> None:
        self._pages = database["known_pages"]

    async def prepare(self) -> None:
        """Make the indexes."""
        with mongo_errors():
            await self._pages.create_index([("reading", ASCENDING)])
            await self._pages.create_index([("expires_at", ASCENDING)], expireAfterSeconds=0)

    async def any(self, task_id: int, reading: str) -> bool:
        """Whether there are any."""
        with mongo_errors():
            return await self._pages.find_one({"reading": f"{task_id}:{reading}"}, {"_id": 1}) is not None

    async def find(self, task_id: int, reading: str, name: str) -> KnownPage | None:
        """The one of that name."""
        with mongo_errors():
            row = await self._pages.find_one({"_id": _id(task_id, reading, name)})
        return KnownPage(row["url"], row["etag"], row["modified"], orjson.loads(row["read"])) if row else None

    async def keep(self, task_id: int, reading: str, pages: Sequence[tuple[str, KnownPage]]) -> None:
        """Keep them by name."""
        expires = _expires()
        documents = [
            {
                "_id": _id(task_id, reading, name), "reading": f"{task_id}:{reading}", "url": page.url,
                "etag": page.etag, "modified": page.modified, "read": _dumped(page.read), "expires_at": expires,
            }
            for name, page in pages
        ]  # fmt: skip
        operations = [ReplaceOne({"_id": document["_id"]}, document, upsert=True) for document in documents]
        with mongo_errors():
            await self._pages.bulk_write(operations, ordered=False)
