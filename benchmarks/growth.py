"""Benchmark: what a run costs with a large archive and many waiting runs, against an empty system.

Two stacks are up at once and take turns.
"""

import asyncio
import itertools
import time
from typing import Any

from trawl.scheduler.v1 import runs_pb2

from benchmarks.archive import fill_archive
from benchmarks.batch import SIZE
from benchmarks.errors import BenchmarkError
from benchmarks.lab import Lab, medians_of, warm_up
from benchmarks.report import Bars, Goal, Report, Table, paragraphs
from benchmarks.runs import measure_flood
from benchmarks.statistics import ratio
from benchmarks.trawl_system import Trawl, TrawlLive

TITLE = "Growth"
OTHER_TASKS = 9
NOTES = """\
Archived runs belong to ten tasks, one of them the measured one. Waiting runs are of a task type that no worker
offers.

Both stacks are up all the time; the one that isn't measured idles.
"""


async def measure(lab: Lab) -> Report:
    """The empty and the full one in turns."""
    options = lab.options
    async with Trawl().running(lab.folder()) as empty, Trawl().running(lab.folder()) as full:
        await warm_up(empty, 1 if options.quick else 3)
        await warm_up(full, 1 if options.quick else 3)
        tasks = {"empty": await empty.create_task(), "full": await _fill(full, lab)}
        rounds: dict[str, list[dict[str, Any]]] = {"empty": [], "full": []}
        for number, (name, live) in itertools.product(range(options.rounds), (("empty", empty), ("full", full))):
            figures = await measure_flood(_OnTask(live, tasks[name]), options.seconds)
            rounds[name].append(figures)
            lab.say(
                f"round {number + 1} of {options.rounds}, {name}: {figures['completed_per_s']:,.0f}/s, "
                f"{figures['cpu_s_per_1000']:.2f} CPU s per 1,000"
            )
        await _check_waiting(full, options.waiting)
    found = medians_of(rounds)
    return _report(lab, found, rounds)


class _OnTask:
    """A stack whose measurements all start runs of one task."""

    def __init__(self, live: TrawlLive, task_id: int) -> None:
        self._live, self._task_id = live, task_id
        self.meter, self.directory = live.meter, live.directory

    async def begin(self) -> Any:
        """As `Live.begin`."""
        return await self._live.begin_on(self._task_id)


async def _fill(live: TrawlLive, lab: Lab) -> int:
    """Fill archive and queue; the id of the task to measure."""
    tasks = [await live.create_task() for _ in range(OTHER_TASKS + 1)]
    began = time.monotonic()
    await fill_archive(live.mongodb_uri, tasks, lab.options.archived)
    lab.say(f"archived {lab.options.archived:,} runs in {time.monotonic() - began:.0f} s")
    await _fill_queue(live, lab.options.waiting)
    lab.say(f"queued {lab.options.waiting:,} runs that nobody takes")
    return tasks[0]


async def _fill_queue(live: TrawlLive, count: int) -> None:
    if not count:
        return
    task_id = await live.create_task("nobody-does-this", "nobody-offers-this")
    async with live.session() as client:
        for start in range(0, count, SIZE):
            body = {"count": min(SIZE, count - start)}
            async with client.post(f"{live.api}/tasks/{task_id}/trigger/batch", json=body) as response:
                answer = await response.json(content_type=None)
            if response.status != 200 or answer["data"]["accepted"] != body["count"]:
                raise BenchmarkError(f"Waiting runs were answered with {response.status}: {str(answer)[:500]}")


async def _check_waiting(live: TrawlLive, count: int) -> None:
    request = runs_pb2.ListRunsRequest(status=runs_pb2.RUN_STATUS_PENDING, limit=1)
    async with asyncio.timeout(30):
        waiting = (await live.runs.ListRuns(request)).total
    if waiting != count:
        raise BenchmarkError(f"{count} runs should wait, and {waiting} do.")


def _report(lab: Lab, found: dict[str, dict[str, Any]], rounds: Any) -> Report:
    empty, full = found["empty"], found["full"]
    keys = (
        ("completed/s", "completed_per_s"),
        ("CPU s per 1,000", "cpu_s_per_1000"),
        ("answer p99 ms", "answer_p99_ms"),
        ("PSS MB", "pss_mb"),
    )
    rows = [[label, empty[key], full[key], ratio(full[key], empty[key])] for label, key in keys]
    programs = [
        [name, spent, full["cpu_s_per_1000_by_program"].get(name, 0.0),
         ratio(full["cpu_s_per_1000_by_program"].get(name, 0.0), spent)]
        for name, spent in sorted(empty["cpu_s_per_1000_by_program"].items(), key=lambda pair: -pair[1])
    ]  # fmt: skip
    columns = ("", "empty", "full", "full ÷ empty")
    settings = {"rounds": lab.options.rounds, "seconds": lab.options.seconds, "archived runs": lab.options.archived,
                "waiting runs": lab.options.waiting}  # fmt: skip
    names = {"Trawl, empty": empty, "Trawl, full": full}
    return Report(
        "growth", TITLE, settings,
        [Table("medians", columns, rows), Table("CPU seconds per 1,000 runs", columns, programs)],
        [Bars("CPU seconds per 1,000", "less is better", {name: one["cpu_s_per_1000"] for name, one in names.items()}),
         Bars("completed per second", "more is better", {name: one["completed_per_s"] for name, one in names.items()})],
        [Goal("CPU per run, full ÷ empty", full["cpu_s_per_1000"] / empty["cpu_s_per_1000"], 1.2)],
        paragraphs(NOTES), rounds,
    )  # fmt: skip
