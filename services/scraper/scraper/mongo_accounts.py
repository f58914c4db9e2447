"""Accounts, proxies and breakers in MongoDB. Owns: collections `accounts`, `proxies` and `breakers`. Must not know what
their fields mean.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Generic, TypeVar

from chassis.errors import Conflict, NotFound
from chassis.stores import Database, mongo_errors
from pymongo import ASCENDING, DESCENDING
from pymongo.errors import DuplicateKeyError

from scraper.accounts import Account, Proxy
from scraper.breakers import Breaker

MAX_CANDIDATES = 2_000
T = TypeVar("T", Account, Proxy)


class _Kept(Generic[T]):
    """What accounts and proxies have in common. Every method raises `Unavailable` when MongoDB can't be reached."""

    def __init__(self, database: Database, name: str, make: type[T], indexes: tuple[str, ...]) -> None:
        self._kept, self._name, self._indexes = database[name], name, indexes
        self._make: type[T] = make
        self._one = make.__name__.lower()

    async def prepare(self) -> None:
        """Make the indexes."""
        with mongo_errors():
            for name in ("created_ms", *self._indexes):
                await self._kept.create_index([(name, ASCENDING)])

    async def add(self, one: T) -> None:
        """Store a new one."""
        with mongo_errors():
            try:
                await self._kept.insert_one({"_id": one.id, **asdict(one)})
            except DuplicateKeyError as error:
                raise Conflict("it exists already", resource=self._name, id=one.id) from error

    async def get(self, identity: str) -> T:
        """The one of that id. Raises `NotFound`."""
        with mongo_errors():
            raw = await self._kept.find_one({"_id": identity})
        if raw is None:
            raise NotFound(f"there is no such {self._one}: {identity[:80]}", resource=self._one)
        return self._read(raw)

    async def page(self, filters: Mapping[str, str | int], *, offset: int, limit: int) -> tuple[list[T], int]:
        """Newest first, and how many there are. Filters are field names of ours with plain values."""
        query = dict(filters)
        with mongo_errors():
            found = self._kept.find(query).sort([("created_ms", DESCENDING), ("_id", ASCENDING)])
            rows = await found.skip(offset).limit(limit).to_list(limit)
            counted = await self._kept.aggregate(
                [{"$match": query}, {"$group": {"_id": None, "n": {"$sum": 1}}}]
            ).to_list(1)
        return [self._read(row) for row in rows], counted[0]["n"] if counted else 0

    async def all_with(self, filters: Mapping[str, str | int]) -> list[T]:
        """Up to `MAX_CANDIDATES` of them, the oldest first."""
        with mongo_errors():
            found = self._kept.find(dict(filters)).sort([("created_ms", ASCENDING)]).limit(MAX_CANDIDATES)
            rows = await found.to_list(MAX_CANDIDATES)
        return [self._read(row) for row in rows]

    async def replace(self, changed: T) -> T:
        """Store a change of the version that was read. Raises `Conflict` when somebody else was faster."""
        document = {**asdict(changed), "_id": changed.id, "version": changed.version + 1}
        with mongo_errors():
            result = await self._kept.replace_one({"_id": changed.id, "version": changed.version}, document)
        if not result.matched_count:
            raise Conflict("it was changed by somebody else at the same time", resource=self._name, id=changed.id)
        return self._read(document)

    async def remove(self, identity: str) -> bool:
        """Whether there was one to remove."""
        with mongo_errors():
            result = await self._kept.delete_one({"_id": identity})
        return bool(result.deleted_count)

    def _read(self, raw: Mapping[str, Any]) -> T:
        fields = {name: value for name, value in raw.items() if name in self._make.__slots__}
        made: T = self._make(**fields)
        return made


class Accounts(_Kept[Account]):
    """Collection `accounts`."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, "accounts", Account, ("status", "username"))


class Proxies(_Kept[Proxy]):
    """Collection `proxies`."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, "proxies", Proxy, ("enabled",))


class Breakers:
    """Collection `breakers`, `_id` = the operation's name. A breaker that is not there is closed."""

    def __init__(self, database: Database) -> None:
        self._breakers = database["breakers"]

    async def find(self, operation: str) -> Breaker | None:
        """The open breaker of an operation."""
        with mongo_errors():
            raw = await self._breakers.find_one({"_id": operation})
        return _breaker(raw) if raw else None

    async def all(self) -> list[Breaker]:
        """All open ones."""
        with mongo_errors():
            rows = await self._breakers.find({}).limit(100).to_list(100)
        return sorted((_breaker(row) for row in rows), key=lambda one: one.operation)

    async def trip(self, breaker: Breaker) -> None:
        """Open it; one that is open already stays as it is."""
        with mongo_errors():
            try:
                await self._breakers.insert_one({"_id": breaker.operation, **asdict(breaker)})
            except DuplicateKeyError:
                return

    async def reset(self, operation: str) -> bool:
        """Close it; whether it was open."""
        with mongo_errors():
            result = await self._breakers.delete_one({"_id": operation})
        return bool(result.deleted_count)


def _breaker(raw: Mapping[str, Any]) -> Breaker:
    return Breaker(**{name: value for name, value in raw.items() if name in Breaker.__slots__})
