"""Pages of ended runs in MongoDB. Reads the collection that `mongo_runs` owns. Must not know Redis, NATS or gRPC.

By offset, or behind a run. The embedded store walks an index for a range of `_id` only when it is asked by aggregation.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from chassis.errors import InvalidInput
from chassis.stores import mongo_errors
from motor.motor_asyncio import AsyncIOMotorCollection
from pymongo import ASCENDING, DESCENDING

from scheduler.archive_keys import CREATED, TASK_BY_ID, behind, composed, run_key
from scheduler.run_order import Key, order_of

# An aggregation takes the embedded store 5 ms to plan and half a search's time for each run: it reads no more of a
# document than is asked for.
FEW = 100
# Sorting a run takes the embedded store as long as passing over so many: 10 and 4 us.
SORT_COST = 2
SHOWN = dict.fromkeys(("run", "created_ms", "started_ms", "completed_ms", "ended_tick", "claimed_tick"), 1)


@dataclass(frozen=True, slots=True)
class _Plan:
    """How to find a page while few other runs are looked at. `found`: how many match, if the far end is far."""

    query: Mapping[str, Any]
    order: Sequence[str]
    found: int = 0


class RunPages:
    """Every method raises `Unavailable` when MongoDB can't be reached. A row has `_id` and the fields of `SHOWN`."""

    def __init__(self, runs: AsyncIOMotorCollection[dict[str, Any]]) -> None:
        self._runs = runs
        self._have_ticks = False

    async def find(
        self, query: Mapping[str, Any], *, sort: str, ascending: bool, offset: int, limit: int
    ) -> list[dict[str, Any]]:
        """A page of archived runs. Raises `InvalidInput` for an unknown `sort`."""
        plan = await self._plan(query, order_of(sort).field, offset, limit)
        backwards = offset > plan.found // 2 > 0
        if backwards:  # nearer from the other end
            limit = min(limit, plan.found - offset)
            offset = plan.found - offset - limit
        by = dict.fromkeys(plan.order, ASCENDING if ascending != backwards else DESCENDING)
        rows = await self._page(plan.query, by, offset, limit)
        return rows[::-1] if backwards else rows

    async def after(
        self, query: Mapping[str, Any], key: Key | None, *, sort: str, ascending: bool, limit: int
    ) -> list[dict[str, Any]]:
        """The first of the archived runs behind that key (None: of all). Raises `InvalidInput`."""
        field = order_of(sort).field
        plan = await self._plan(query, field, 0, limit)
        wanted = dict(plan.query)
        if key is not None and field == "_id" and TASK_BY_ID not in wanted:
            wanted["_id"] = {"$gt" if ascending else "$lt": run_key(key[1])}
        elif key is not None:
            bound = behind(query, field, *key, ascending=ascending)
            if bound is None:
                raise InvalidInput("a list with this filter goes on by creation only", field="sort", rule="cursor")
            wanted |= bound
        by = dict.fromkeys(plan.order, ASCENDING if ascending else DESCENDING)
        return await self._page(wanted, by, 0, limit)

    async def changed(
        self, query: Mapping[str, Any], field: str, since: int, *, ascending: bool, limit: int,
        behind_id: int | None = None,
    ) -> list[dict[str, Any]]:  # fmt: skip
        """The first by id of the archived runs whose tick in `field` is above `since`."""
        # Whatever has been claimed since has ended since.
        wanted = {**composed(query)[0], "ended_tick": {"$gt": since}}
        wanted[field] = {"$gt": since}
        if behind_id is not None:
            wanted["_id"] = {"$gt" if ascending else "$lt": run_key(behind_id)}
        return await self._aggregate(wanted, {"_id": ASCENDING if ascending else DESCENDING}, 0, limit)

    async def _plan(self, query: Mapping[str, Any], field: str, offset: int, limit: int) -> _Plan:
        if not query and field == "_id":
            return _Plan(query, (field,))
        ordered, key = composed(query, field)
        if key == TASK_BY_ID and not await self.have_ticks():  # an earlier version's have no such key
            ordered, key = dict(query), ""
        if field == CREATED or (key and CREATED not in query):
            return _Plan(ordered, (key,))
        # No key has both: what the filter finds is sorted, or all in that order is walked, whichever is less work.
        walk = _Plan(ordered, (key,)) if key else _Plan(query, (field, "_id"))
        all_in_order = {name: value for name, value in query.items() if name != CREATED} if key else {}
        found, among = await asyncio.gather(self.count(query), self.count(all_in_order))
        walked = (min(offset, max(0, found - offset)) + limit) * among
        if SORT_COST * found * found <= walked:
            return _Plan(composed(query)[0], (field, "_id"))
        return replace(walk, found=found)

    async def _page(
        self, query: Mapping[str, Any], by: Mapping[str, int], offset: int, limit: int
    ) -> list[dict[str, Any]]:
        if limit <= 0:
            return []
        if limit > FEW or "_id" in query:
            return await self._aggregate(query, by, offset, limit)
        with mongo_errors():
            cursor = self._runs.find(query, SHOWN).sort([*by.items()])
            return await cursor.skip(offset).limit(limit).to_list(limit)

    async def _aggregate(
        self, query: Mapping[str, Any], by: Mapping[str, int], offset: int, limit: int
    ) -> list[dict[str, Any]]:
        stages: list[dict[str, Any]] = [{"$match": query}, {"$sort": by}, {"$skip": offset}, {"$limit": limit}]
        with mongo_errors():
            return await self._runs.aggregate([*stages, {"$project": SHOWN}]).to_list(limit)

    async def have_ticks(self) -> bool:
        """Whether all were archived by a version that notes the ticks, which exact pages by number need."""
        if not self._have_ticks:
            oldest = await self._aggregate({}, {"_id": ASCENDING}, 0, 1)
            self._have_ticks = bool(oldest) and "ended_tick" in oldest[0]
        return self._have_ticks

    async def count(self, query: Mapping[str, Any]) -> int:
        """How many archived runs match."""
        with mongo_errors():
            if not query:
                return int(await self._runs.estimated_document_count())  # nothing is ever taken out
            rows = await self._runs.aggregate(
                [{"$match": composed(query)[0]}, {"$group": {"_id": None, "n": {"$sum": 1}}}]
            ).to_list(1)
        return int(rows[0]["n"]) if rows else 0
