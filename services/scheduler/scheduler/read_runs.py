"""Use case: what readers see. Owns the merge of live runs (Redis) and ended ones (MongoDB).

Redis is asked first: a run moves from there to the archive and never back, so that no reader sees a state go backwards.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from chassis.errors import InvalidInput, NotFound
from trawl.scheduler.v1 import runs_pb2 as pb

from scheduler.durations import Durations
from scheduler.mongo_runs import SORTABLE, Archive
from scheduler.records import FROM_PROTO, run_of_document, run_of_live
from scheduler.redis_runs import LiveRuns
from scheduler.run import TERMINAL, Status

MAX_PAGE = 10_000
# Lists that mix live and ended runs are exact up to this many live ones; beyond, live runs come before ended ones.
MAX_MERGED = 5_000
# Reading all would take seconds for a task with 100,000 runs.
MEAN_OF = 300
SORT_KEYS: dict[str, Callable[[pb.Run], Any]] = {
    "created_at": lambda run: run.spec.created_ms,
    "started_at": lambda run: run.started_ms,
    "completed_at": lambda run: run.completed_ms,
    "id": lambda run: run.spec.run_id,
}


class ReadRuns:
    """Reads single runs, pages of runs, and logs."""

    def __init__(self, live: LiveRuns, archive: Archive, durations: Durations) -> None:
        self._live, self._archive, self._durations = live, archive, durations

    async def get(self, run_id: int) -> pb.Run:
        """One run. Raises `NotFound`."""
        live = await self._live.get(run_id) if run_id > 0 else None
        if live is not None:
            run = run_of_live(live)
            run.expected_ms = self._durations.expected_ms(run.spec.task_id)
            return run
        raw = await self._archive.get(run_id) if run_id > 0 else None
        if raw is None:
            await self._live.require_whole()
            raise NotFound(f"run {run_id} does not exist", resource="run", id=run_id)
        return run_of_document(raw)

    async def by_external(self, contract: str, external_id: str) -> pb.Run:
        """The newest run under a client's own id. Raises `NotFound`."""
        key = f"{contract}:{external_id}"
        run_id = await self._live.by_external(key)
        if run_id is not None:
            return await self.get(run_id)
        raw = await self._archive.by_external(key)
        if raw is None:
            # It may have moved to the archive between the two looks.
            await self._live.require_whole()
            raise NotFound(f"no run has the id {external_id}", resource="run", id=external_id)
        return run_of_document(raw)

    async def page(self, request: pb.ListRunsRequest) -> tuple[list[pb.Run], int]:
        """A page of runs, and how many match."""
        if request.sort and request.sort not in SORTABLE:
            raise InvalidInput(
                f"sort must be one of {', '.join(SORTABLE)}", field="sort", rule="enum", value=request.sort
            )
        if not 0 <= request.offset <= 10**9 or not 0 < request.limit <= MAX_PAGE:
            raise InvalidInput("the page is out of range", field="page")
        status = FROM_PROTO.get(request.status)
        live, live_total = ([], 0) if status in TERMINAL else await self._live_runs(request, status)
        if status not in TERMINAL:
            await self._live.require_whole()
        if status in (Status.PENDING, Status.RUNNING):
            return live[request.offset : request.offset + request.limit], live_total
        query = _archive_query(request, status)
        # The page's archived runs lie at most `len(live)` places before their place in the merged list.
        skip = max(0, request.offset - len(live))
        window = request.offset + request.limit - skip
        archived, rows = await asyncio.gather(
            self._archive.count(query),
            self._archive.find(query, sort=request.sort, ascending=request.ascending, offset=skip, limit=window),
        )
        total = live_total + archived
        ended = [run_of_document(row) for row in rows]
        known = {run.spec.run_id for run in ended}
        merged = ended + [run for run in live if run.spec.run_id not in known]
        key = SORT_KEYS[request.sort or "created_at"]
        merged.sort(key=lambda run: (key(run), run.spec.run_id), reverse=not request.ascending)
        start = request.offset - skip
        return merged[start : start + request.limit], total

    async def _live_runs(self, request: pb.ListRunsRequest, status: Status | None) -> tuple[list[pb.Run], int]:
        """The live runs that match, sorted, and how many there are."""
        if request.task_id:
            indexes = [f"task:{request.task_id}"]
        elif request.scope:
            indexes = [f"scope:{request.scope}"]
        elif status is Status.RUNNING or request.worker_id:
            indexes = ["running"]
        elif status is Status.PENDING:
            indexes = ["pending", "parked"]
        else:
            indexes = ["running", "pending", "parked"]
        limit = max(MAX_MERGED, request.offset + request.limit)
        ids: list[int] = []
        total = 0
        for index in indexes:
            ids += await self._live.ids(index, newest_first=not request.ascending, limit=limit)
            total += await self._live.count(index)
        unread = total - len(ids)
        runs = [run_of_live(live) for live in await self._live.get_many(ids) if live is not None]
        matching = [run for run in runs if _matches(run, request, status)]
        key = SORT_KEYS[request.sort or "created_at"]
        matching.sort(key=lambda run: (key(run), run.spec.run_id), reverse=not request.ascending)
        return matching, len(matching) + max(0, unread)

    async def logs(self, request: pb.ListLogsRequest) -> pb.ListLogsResponse:
        """Log lines of a run, in order."""
        if not 0 <= request.offset <= 10**9 or not 0 < request.limit <= MAX_PAGE:
            raise InvalidInput("the page is out of range", field="logLimit")
        lines, total = await self._archive.logs(
            request.run_id, offset=request.offset, limit=request.limit, tail=request.tail
        )
        return pb.ListLogsResponse(
            lines=[
                pb.LogLine(
                    time_ms=line["t"], level=line["level"], message=line["message"], data_json=line["data"].encode()
                )
                for line in lines
            ],
            total=total,
        )

    async def newest(self, task_id: int) -> pb.Run | None:
        """A task's newest run."""
        runs, _ = await self.page(pb.ListRunsRequest(task_id=task_id, limit=1))
        return runs[0] if runs else None

    async def statistics(self, task_id: int) -> tuple[dict[str, int], int]:
        """(a task's archived runs by status, mean execution ms of the newest completed ones)"""
        counts, times = await asyncio.gather(
            self._archive.task_counts(task_id), self._archive.newest_execution_ms(task_id, MEAN_OF)
        )
        return counts, sum(times) // len(times) if times else 0


def _matches(run: pb.Run, request: pb.ListRunsRequest, status: Status | None) -> bool:
    created = run.spec.created_ms
    return (
        (status is None or FROM_PROTO[run.status] is status)
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
