"""Use case: pages of runs. Owns the merge of live runs (Redis) and ended ones (MongoDB) into one list.

Redis is looked at first, once: a run moves from there to the archive and never back, so that one which has left is
found in the archive, and one which is found in both is the archive's. No reader sees a state go backwards.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from chassis.errors import InvalidInput
from trawl.scheduler.v1 import runs_pb2 as pb

from scheduler.archive_keys import COMPLETED, CREATED, STARTED
from scheduler.mongo_run_pages import RunPages
from scheduler.records import FROM_PROTO, run_of_document, run_of_live
from scheduler.redis_runs import LiveRuns
from scheduler.redis_snapshot import LiveSnapshots, Snapshot
from scheduler.run import TERMINAL, Status
from scheduler.run_order import Key, Order, Place, archived_key, beyond, live_key, order_of, waiting_key

MAX_PAGE = 10_000
# So many waiting runs are looked at for one page, when a filter needs to see each: then the page ends early.
MAX_WAITING = 5_000
# Runs may have been claimed or ended since waiting ones were counted out: a few more than a page are asked for.
SPARE = 50
ALL = 2**31
# Every change lies before it.
NOW = sys.maxsize
# A run by its id, with its key.
Found = dict[int, tuple[Key, pb.Run]]


@dataclass(frozen=True, slots=True)
class Page:
    """`next` is empty at the list's end."""

    runs: Sequence[pb.Run]
    total: int
    next: str


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request, read."""

    request: pb.ListRunsRequest
    order: Order
    status: Status | None
    place: Place | None
    query: Mapping[str, Any]

    @property
    def index(self) -> str:
        """Redis' index of the runs that can match."""
        if self.request.task_id:
            return f"task:{self.request.task_id}"
        return f"scope:{self.request.scope}" if self.request.scope else ""

    @property
    def wants_live(self) -> bool:
        return self.status not in TERMINAL

    @property
    def wants_archived(self) -> bool:
        return self.status not in (Status.PENDING, Status.RUNNING)

    @property
    def wants_waiting(self) -> bool:
        return self.status in (None, Status.PENDING) and not self.request.worker_id

    @property
    def all_waiting_match(self) -> bool:
        """Whether every waiting run of the index does."""
        request = self.request
        return not (request.contract or request.from_ms or request.until_ms or (request.task_id and request.scope))


@dataclass(slots=True)
class _Live:
    """Live runs that match, in order up to `end` (None: all), and how many there are. `tick` is the walk's."""

    tick: int = 0
    snapshot: Snapshot | None = None
    runs: Found = field(default_factory=dict)
    end: Key | None = None
    total: int = 0
    # Those that have left Redis since the snapshot.
    gone: list[int] = field(default_factory=list)


class ListRuns:
    """Raises `Unavailable` when a store can't be reached."""

    def __init__(self, live: LiveRuns, snapshots: LiveSnapshots, pages: RunPages) -> None:
        self._live, self._snapshots, self._pages = live, snapshots, pages

    async def page(self, request: pb.ListRunsRequest, *, counts: bool = True) -> Page:
        """A page, and with `counts` how many runs match. Raises `InvalidInput`."""
        asked = _read(request)
        # Before the live ones: a run that ends in between is missed, and none is counted twice.
        archived = await self._pages.count(asked.query) if counts and asked.wants_archived else 0
        page = await (self._by_offset(asked) if request.offset else self._behind(asked))
        total = max(archived + page.total, request.offset + len(page.runs)) if counts else 0
        return Page(page.runs, total, page.next)

    async def _behind(self, asked: _Asked) -> Page:
        """What begins behind the place, or with the first run."""
        limit = asked.request.limit
        live = await self._look(asked, limit + 1)
        found = live.runs
        if asked.wants_archived:
            rows = await self._archived(asked, live.tick, limit + 1)
            found |= _found(asked.order, rows, live.tick)
        keys = _sorted(asked, found)
        if live.end is not None:
            end = Place(live.end)
            keys = [key for key in keys if not beyond(key, end, ascending=asked.request.ascending)]
        return _page(found, keys[:limit], live, len(keys) > limit)

    async def _archived(self, asked: _Asked, tick: int, limit: int) -> list[dict[str, Any]]:
        """The first archived runs behind the place in the walk's order, and some from further behind."""
        request, tick_field, place = asked.request, asked.order.tick_field, asked.place
        ticked = bool(tick_field) and await self._pages.have_ticks()
        query = {**asked.query, tick_field: {"$lte": tick}} if ticked else asked.query
        rows = await self._pages.after(
            query, place.key if place else None, sort=request.sort, ascending=request.ascending, limit=limit
        )
        # What has changed since the walk began comes with those that are still to change: first, or last.
        at_zero = place is not None and place.key[0] == 0
        if ticked and (place is None or at_zero if request.ascending else len(rows) < limit):
            rows += await self._pages.changed(
                asked.query, tick_field, tick, ascending=request.ascending, limit=limit,
                behind_id=place.key[1] if place is not None and at_zero else None,
            )  # fmt: skip
        return rows

    async def _by_offset(self, asked: _Asked) -> Page:
        """A page by number. Every run is either live in the snapshot, or had ended by its tick."""
        request, order = asked.request, asked.order
        live = await self._look(asked, max(MAX_WAITING, request.offset + request.limit + 1))
        found, skip = live.runs, 0
        if asked.wants_archived:
            query = await self._ended_before(asked, live)
            # The page's archived runs lie at most `len(found)` places before their place in the merged list.
            skip = max(0, request.offset - len(found))
            rows = await self._pages.find(
                query, sort=request.sort, ascending=request.ascending, offset=skip,
                limit=request.offset + request.limit + 1 - skip,
            )  # fmt: skip
            found |= _found(order, rows, NOW)
        keys = _sorted(asked, found)[request.offset - skip :]
        return _page(found, keys[: request.limit], live, len(keys) > request.limit)

    async def _ended_before(self, asked: _Asked, live: _Live) -> Mapping[str, Any]:
        """The query for those that had ended before the snapshot's oldest end; later ones go to the live ones."""
        if live.snapshot is None or not await self._pages.have_ticks():
            return asked.query
        ended, now = live.snapshot.archived_tick, live.snapshot.tick
        if not (live.runs or live.gone) and ended == now:
            return asked.query
        late = await self._pages.changed(
            asked.query, "ended_tick", ended, ascending=asked.request.ascending, limit=MAX_WAITING
        )
        # What has ended since the snapshot is in it, if it was there then.
        known = {*live.runs, *live.gone}
        live.runs |= _found(
            asked.order, [row for row in late if row["ended_tick"] <= now or int(row["_id"]) in known], NOW
        )
        return {**asked.query, "ended_tick": {"$lte": ended}}

    async def _look(self, asked: _Asked, need: int) -> _Live:
        """The live runs behind the place: all that are busy, and the first `need` of those that wait."""
        if not (asked.wants_live or asked.order.tick_field or asked.request.offset):
            return _Live()
        snapshot, waiting = await self._snapshot_of(asked, need)
        found = _Live(asked.place.tick if asked.place else _tick_of(asked.order, snapshot), snapshot)
        if asked.wants_live and asked.status is not Status.PENDING:
            await self._add_busy(asked, found, snapshot.busy)
        if asked.wants_waiting:
            await self._add_waiting(asked, found, waiting, need)
            if not snapshot.complete and found.end is None and waiting:
                found.end = waiting[-1]
        return found

    async def _snapshot_of(self, asked: _Asked, need: int) -> tuple[Snapshot, list[Key]]:
        """The snapshot, and the keys of what waits behind the place."""
        by_creation, ascending = asked.order.field == CREATED, asked.request.ascending
        wanted = need if asked.all_waiting_match else MAX_WAITING
        count = (wanted + SPARE if by_creation else ALL) if asked.wants_waiting else 0
        start = asked.place.key[0] if asked.place and by_creation else None
        while True:
            snapshot = await self._snapshots.take(asked.index, ascending=ascending, from_ms=start, count=count)
            if not snapshot.whole:
                await self._live.require_whole()
            keys = [waiting_key(asked.order, *row) for row in snapshot.waiting]
            keys = [key for key in keys if beyond(key, asked.place, ascending=ascending)]
            if snapshot.complete or len(keys) >= min(wanted, count) or not asked.wants_waiting:
                break
            count *= 4
        return snapshot, keys if by_creation else sorted(keys, reverse=not ascending)

    async def _add_busy(self, asked: _Asked, found: _Live, ids: Sequence[int]) -> None:
        for run_id, live in zip(ids, await self._live.get_many(ids), strict=True):
            if live is None:
                found.gone.append(run_id)
            elif _matches(run := run_of_live(live), asked):
                found.total += 1
                key = live_key(asked.order, live, run, found.tick)
                if beyond(key, asked.place, ascending=asked.request.ascending):
                    found.runs[live.run_id] = key, run

    async def _add_waiting(self, asked: _Asked, found: _Live, keys: Sequence[Key], need: int) -> None:
        taken = keys[: need if asked.all_waiting_match else MAX_WAITING]
        if len(taken) < len(keys):
            found.end = taken[-1]
        matching = 0
        for key, live in zip(taken, await self._live.get_many([key[1] for key in taken]), strict=True):
            if live is None:
                found.gone.append(key[1])
            elif _matches(run := run_of_live(live), asked):
                matching += 1
                found.runs[live.run_id] = key, run
        total = found.snapshot.waiting_total if found.snapshot else 0
        found.total += total if asked.all_waiting_match else matching


def _read(request: pb.ListRunsRequest) -> _Asked:
    """The request. Raises `InvalidInput`."""
    if not 0 <= request.offset <= 10**9 or not 0 < request.limit <= MAX_PAGE:
        raise InvalidInput("the page is out of range", field="page")
    status = FROM_PROTO.get(request.status)
    place = Place.parse(request.after) if not request.offset else None
    return _Asked(request, order_of(request.sort), status, place, _archive_query(request, status))


def _tick_of(order: Order, snapshot: Snapshot) -> int:
    """Where a walk in that order begins."""
    return {COMPLETED: snapshot.archived_tick, STARTED: snapshot.tick}.get(order.field, 0)


def _found(order: Order, rows: Iterable[Mapping[str, Any]], tick: int) -> Found:
    return {int(row["_id"]): (archived_key(order, row, tick), run_of_document(row)) for row in rows}


def _sorted(asked: _Asked, found: Found) -> list[Key]:
    return sorted((key for key, _ in found.values()), reverse=not asked.request.ascending)


def _page(found: Found, keys: Sequence[Key], live: _Live, more: bool) -> Page:
    """`keys` are the page's; `more`: others come behind them."""
    runs = [found[key[1]][1] for key in keys]
    last = keys[-1] if more else live.end
    return Page(runs, live.total, Place(last, live.tick).text() if last is not None else "")


def _matches(run: pb.Run, asked: _Asked) -> bool:
    request, created = asked.request, run.spec.created_ms
    return (
        (asked.status is None or FROM_PROTO[run.status] is asked.status)
        and (not request.worker_id or run.worker_id == request.worker_id)
        and (not request.contract or run.spec.contract == request.contract)
        and (not request.scope or request.scope in (run.spec.scope, run.spec.scope.partition(":")[0]))
        and (not request.from_ms or created >= request.from_ms)
        and (not request.until_ms or created < request.until_ms)
    )


def _archive_query(request: pb.ListRunsRequest, status: Status | None) -> dict[str, Any]:
    query: dict[str, Any] = {}
    if request.task_id:
        query["task_id"] = request.task_id
    if status is not None:
        query["status"] = status.value
    if request.worker_id:
        query["worker_id"] = request.worker_id
    if request.contract:
        query["contract"] = request.contract
    if ":" in request.scope:
        query["scope"] = request.scope
    elif request.scope:
        # The whole family: everything that begins with its name and a colon.
        query["by_scope"] = {"$gte": f"{request.scope}:", "$lt": f"{request.scope};"}
    created = {}
    if request.from_ms:
        created["$gte"] = request.from_ms
    if request.until_ms:
        created["$lt"] = request.until_ms
    if created:
        query["created_ms"] = created
    return query
