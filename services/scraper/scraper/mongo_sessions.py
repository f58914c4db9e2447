"""Browser sessions in MongoDB. Owns `sessions`: one document per browser id and origin, its content sealed.

Must not know browsers or runs. Every method raises `Unavailable` when MongoDB can't be reached.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from chassis.clock import now_ms
from chassis.logs import get_logger
from chassis.stores import Database, mongo_errors
from pymongo import ASCENDING, DESCENDING

from scraper.executor import ExecutorError
from scraper.sealing import Sealer
from scraper.storage_state import OriginState

log = get_logger("sessions")
_USE = "session"
# A browser id's origins that a context starts with, the newest first.
MAX_LOADED = 50


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """What may be shown of a session."""

    browser_id: str
    origin: str
    created_ms: int
    updated_ms: int
    cookies: int
    local_storage: int
    expires_ms: int


class MongoSessions:
    """Keeps sessions."""

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._sessions, self._sealer = database["sessions"], sealer

    async def prepare(self) -> None:
        """Make the indexes."""
        with mongo_errors():
            for name in ("browser_id", "origin", "updated_ms"):
                await self._sessions.create_index([(name, ASCENDING)])

    async def load(self, browser_id: str) -> list[OriginState]:
        """What the browser id has kept. A session that can't be opened (another key) is left out."""
        with mongo_errors():
            rows = (
                await self._sessions.find({"browser_id": browser_id})
                .sort([("updated_ms", DESCENDING)])
                .limit(MAX_LOADED)
                .to_list(MAX_LOADED)
            )
        states = []
        for row in reversed(rows):
            try:
                content = orjson.loads(self._sealer.open(_USE, row["sealed"]))
            except ExecutorError:
                log.warning("a session can't be opened", browser_id=browser_id, origin=row["origin"])
                continue
            states.append(OriginState(row["origin"], content["cookies"], content["local_storage"]))
        return states

    async def replace(self, browser_id: str, states: Sequence[OriginState], loaded: Sequence[OriginState]) -> None:
        """Keep these, and forget what was loaded and isn't there any more. Only for who holds the profile."""
        now = now_ms()
        with mongo_errors():
            for state in states:
                key = _key(browser_id, state.origin)
                before = await self._sessions.find_one({"_id": key})
                document = self._document(browser_id, state, now, created_ms=before["created_ms"] if before else now)
                await self._sessions.replace_one({"_id": key}, document, upsert=True)
            for gone in {state.origin for state in loaded} - {state.origin for state in states}:
                await self._sessions.delete_one({"_id": _key(browser_id, gone)})

    def _document(self, browser_id: str, state: OriginState, now: int, *, created_ms: int) -> dict[str, Any]:
        content = {"cookies": state.cookies, "local_storage": state.local_storage}
        return {
            "_id": _key(browser_id, state.origin),
            "browser_id": browser_id,
            "origin": state.origin,
            "created_ms": created_ms,
            "updated_ms": now,
            "cookies": len(state.cookies),
            "local_storage": len(state.local_storage),
            "expires_ms": state.expires_ms,
            "sealed": self._sealer.seal(_USE, orjson.dumps(content)),
        }

    async def find(
        self, browser_id: str = "", origin: str = "", *, offset: int, limit: int
    ) -> tuple[list[SessionInfo], int]:
        """A page of sessions, the newest first, and how many there are."""
        query = {name: value for name, value in (("browser_id", browser_id), ("origin", origin)) if value}
        with mongo_errors():
            rows = (
                await self._sessions.find(query)
                .sort([("updated_ms", DESCENDING)])
                .skip(offset)
                .limit(limit)
                .to_list(limit)
            )
            counted = await self._sessions.aggregate(
                [{"$match": query}, {"$group": {"_id": None, "n": {"$sum": 1}}}]
            ).to_list(1)
        infos = [SessionInfo(**{name: row[name] for name in SessionInfo.__slots__}) for row in rows]
        return infos, int(counted[0]["n"]) if counted else 0

    async def delete(self, browser_id: str, origin: str = "") -> int:
        """Forget the browser id's sessions, or that of one origin; answers how many there were."""
        with mongo_errors():
            if origin:
                return int((await self._sessions.delete_one({"_id": _key(browser_id, origin)})).deleted_count)
            return int((await self._sessions.delete_many({"browser_id": browser_id})).deleted_count)


def _key(browser_id: str, origin: str) -> str:
    return hashlib.sha256(f"{browser_id}\0{origin}".encode()).hexdigest()
