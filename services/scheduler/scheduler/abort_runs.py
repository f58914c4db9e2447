"""Use case: abort many runs at once. Owns the batches; each run's end is as `abort_run` has it. Must not know why."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence

from chassis.clock import now_ms
from trawl.scheduler.v1 import runs_pb2 as pb

from scheduler.abort_run import MAX_WAIT_SECONDS, RECHECK_SECONDS, EndedRuns
from scheduler.events import Announcer
from scheduler.finish_runs import FinishRuns
from scheduler.records import never_started
from scheduler.redis_runs import LiveRun, LiveRuns
from scheduler.run import Status

BATCH = 250
# Indexes of live runs by creation; runs in the first may move to the others while they are read, so it is read last.
LIVE_INDEXES = ("parked", "pending", "running")


class AbortRuns:
    """Raises `Unavailable`; what was aborted by then stays so, and asking again goes on with the rest."""

    def __init__(self, *, live: LiveRuns, finish: FinishRuns, announcer: Announcer, ended: EndedRuns) -> None:
        self._live, self._finish, self._announcer, self._ended = live, finish, announcer, ended

    async def abort(self, run_ids: Iterable[int], *, wait_seconds: float = 0) -> list[int]:
        """Abort what is live; answers those that were. Waits a little for the end of the running ones."""
        wanted = list(dict.fromkeys(run_id for run_id in run_ids if run_id > 0))
        found: list[int] = []
        asked: list[int] = []
        for start in range(0, len(wanted), BATCH):
            ended, told = await self._abort_batch(wanted[start : start + BATCH], waiting_only=False, why="aborted")
            found += ended + told
            asked += told
        await self._await_ends(asked, min(wait_seconds, MAX_WAIT_SECONDS))
        order = {run_id: index for index, run_id in enumerate(wanted)}
        return sorted(found, key=order.__getitem__)

    async def end_waiting(self, run_ids: Sequence[int], why: str) -> list[int]:
        """Abort those that no worker holds; answers which. One that was claimed meanwhile goes on unharmed."""
        found: list[int] = []
        for start in range(0, len(run_ids), BATCH):
            ended, _ = await self._abort_batch(run_ids[start : start + BATCH], waiting_only=True, why=why)
            found += ended
        return found

    async def live_ids(self, task_id: int = 0) -> list[int]:
        """Every live run, or those of one task."""
        indexes = [f"task:{task_id}"] if task_id else LIVE_INDEXES
        found: dict[int, None] = {}
        for index in indexes:
            async for ids in self._pages(index):
                found |= dict.fromkeys(ids)
        return list(found)

    async def _pages(self, index: str, size: int = 5_000) -> AsyncIterator[list[int]]:
        offset = 0
        while ids := await self._live.ids(index, newest_first=False, offset=offset, limit=size):
            yield ids
            offset += len(ids)

    async def _abort_batch(
        self, run_ids: Sequence[int], *, waiting_only: bool, why: str
    ) -> tuple[list[int], list[int]]:
        """(runs that had not started and are ended now, running ones that are told to stop)"""
        runs = [run for run in await self._live.get_many(run_ids) if run is not None and run.state != "d"]
        now = now_ms()
        summaries = [_summary(run, now, why) for run in runs]
        verdicts = await asyncio.gather(
            *(
                self._live.abort(run.run_id, now, summary.SerializeToString(), waiting_only=waiting_only)
                for run, summary in zip(runs, summaries, strict=True)
            )
        )
        orders: dict[str, list[int]] = defaultdict(list)
        ended = []
        for summary, (verdict, session) in zip(summaries, verdicts, strict=True):
            if verdict == "aborted":
                ended.append(summary)
            elif verdict == "asked":
                orders[session].append(summary.spec.run_id)
        await self._finish.archive_runs(ended)
        for session, ids in orders.items():
            await self._announcer.order_abort(session, ids)
        return [run.spec.run_id for run in ended], [run_id for ids in orders.values() for run_id in ids]

    async def _await_ends(self, run_ids: Sequence[int], seconds: float) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        for run_id in run_ids:
            while (left := until - loop.time()) > 0 and await self._live.get(run_id) is not None:
                await self._ended.wait(run_id, min(left, RECHECK_SECONDS))


def _summary(run: LiveRun, now: int, why: str) -> pb.Run:
    summary = never_started(
        pb.RunSpec.FromString(run.spec), Status.ABORTED, now, message=f"{why} before it started", how="before_start"
    )
    summary.attempt = run.attempt
    return summary
