"""Benchmark: very many schedules that are due in the same second. Owns the tasks, and the moment that they share."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

import aiohttp
from trawl.scheduler.v1 import runs_pb2

from benchmarks.errors import BenchmarkError
from benchmarks.lab import Lab, warm_up
from benchmarks.report import Bars, Goal, Report, Table, paragraphs
from benchmarks.trawl_system import CALL_SECONDS, Trawl, TrawlLive

TITLE = "Schedules due together"
SCHEDULES = 10_000
QUICK_SCHEDULES = 200
TOGETHER = 16
# Making a task takes far less; the moment is fixed before the first one is made.
SECONDS_PER_TASK = 0.012
SPARE_SECONDS = 15
LIMIT_SECONDS = 120.0
NOTES = """\
Each task has a cron expression of its own for the same second, and does nothing. `accepted`: when the newest of their
runs was made. `completed`: when the last of them was heard to have been archived. One scheduler serves them all.
"""


async def measure(lab: Lab) -> Report:
    """Make the tasks, wait for the second, count."""
    count = QUICK_SCHEDULES if lab.options.quick else SCHEDULES
    async with Trawl().running(lab.folder()) as live:
        await warm_up(live, 1)
        pids = live.meter.pids()
        due = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=SPARE_SECONDS + count * SECONDS_PER_TASK)
        due = due.replace(microsecond=0)
        live.ends.forget()
        await _make(live, count, f"{due.second} {due.minute} {due.hour} {due.day} {due.month} *")
        left = due.timestamp() - time.time()
        lab.say(f"made {count:,} tasks, {left:.0f} s before they are due")
        if left < 1:
            raise BenchmarkError("Making the tasks took longer than expected: they were due before.")
        await _until_completed(live, count, left + LIMIT_SECONDS)
        newest = await _newest(live, due.timestamp(), count)
        live.check_untouched(pids)
    accepted, completed = newest - due.timestamp(), live.ends.last - due.timestamp()
    return Report(
        "schedules", TITLE, {"schedules": count},
        [Table("seconds after the moment", ("", "s"), [["accepted", accepted], ["completed", completed]])],
        [Bars("the last one", "seconds after the moment", {"accepted": accepted, "completed": completed})],
        [Goal(f"seconds until {count:,} have fired", accepted, 5)],
        paragraphs(NOTES),
        {"accepted": accepted, "completed": completed},
    )  # fmt: skip


async def _make(live: TrawlLive, count: int, schedule: str) -> None:
    together = asyncio.Semaphore(TOGETHER)

    async def make(client: aiohttp.ClientSession, number: int) -> None:
        body = {
            "name": f"due-{number}", "task_type": "benchmark", "executor": "noop", "command": "", "schedule": schedule,
        }  # fmt: skip
        async with together, client.post(f"{live.api}/tasks", json=body) as response:
            if response.status != 201:
                raise BenchmarkError(f"A task was refused with {response.status}: {await response.text()}")

    async with live.session() as client, asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(make(client, number))


async def _until_completed(live: TrawlLive, count: int, seconds: float) -> None:
    """Nothing is asked for meanwhile: the ends are heard."""
    until = time.monotonic() + seconds
    while len(live.ends.completed) < count:
        if time.monotonic() > until or live.ends.not_completed:
            raise BenchmarkError(f"{len(live.ends.completed):,} of {count:,} runs completed.")
        await asyncio.sleep(0.1)


async def _newest(live: TrawlLive, due: float, count: int) -> float:
    """When the newest run was made, in seconds since the epoch; checks that there is one of each task."""
    request = runs_pb2.ListRunsRequest(from_ms=int(due * 1000), limit=count)
    runs = (await live.runs.ListRuns(request, timeout=CALL_SECONDS)).runs
    tasks = {run.spec.task_id for run in runs}
    if not len(runs) == len(tasks) == count:
        raise BenchmarkError(f"{len(runs):,} runs of {len(tasks):,} tasks, and not one of each of {count:,}.")
    return max(run.spec.created_ms for run in runs) / 1000
