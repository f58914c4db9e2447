"""Use case: what readers see of single runs and of tasks' runs. Pages of runs: see `list_runs`.

Redis is asked first: a run moves from there to the archive and never back, so that no reader sees a state go backwards.
"""

import asyncio

from chassis.errors import InvalidInput, NotFound
from trawl.scheduler.v1 import runs_pb2 as pb

from scheduler.durations import Durations
from scheduler.list_runs import ListRuns
from scheduler.mongo_runs import Archive
from scheduler.records import run_of_document, run_of_live
from scheduler.redis_runs import LiveRuns

MAX_PAGE = 10_000
# Reading all would take seconds for a task with 100,000 runs.
MEAN_OF = 300


class ReadRuns:
    """Reads single runs and logs; `lists` reads pages of runs."""

    def __init__(self, live: LiveRuns, archive: Archive, durations: Durations, *, lists: ListRuns) -> None:
        self._live, self._archive, self._durations = live, archive, durations
        self.lists = lists

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

    async def logs(self, request: pb.ListLogsRequest) -> pb.ListLogsResponse:
        """Log lines of a run, in order."""
        if not 0 <= request.offset <= 10**9 or not 0 < request.limit <= MAX_PAGE:
            raise InvalidInput("the page is out of range", field="logLimit")
        lines, total, following = await self._archive.logs(
            request.run_id, offset=request.offset, limit=request.limit, tail=request.tail, behind=request.after
        )
        return pb.ListLogsResponse(
            lines=[
                pb.LogLine(
                    time_ms=line["t"], level=line["level"], message=line["message"], data_json=line["data"].encode()
                )
                for line in lines
            ],
            total=total,
            next=following,
        )

    async def newest(self, task_id: int) -> pb.Run | None:
        """A task's newest run."""
        runs = (await self.lists.page(pb.ListRunsRequest(task_id=task_id, limit=1), counts=False)).runs
        return runs[0] if runs else None

    async def statistics(self, task_id: int) -> tuple[dict[str, int], int]:
        """(a task's archived runs by status, mean execution ms of the newest completed ones)"""
        counts, times = await asyncio.gather(
            self._archive.task_counts(task_id), self._archive.newest_execution_ms(task_id, MEAN_OF)
        )
        return counts, sum(times) // len(times) if times else 0
