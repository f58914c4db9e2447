"""Benchmark: lists of runs and tasks over REST, with a large history. Owns which lists are asked for."""

import itertools
import statistics
import time
from collections.abc import Iterator, Sequence

import aiohttp

from benchmarks.archive import WORKERS, fill_archive
from benchmarks.errors import BenchmarkError
from benchmarks.lab import Lab, warm_up
from benchmarks.report import Bars, Cell, Goal, Report, Table, paragraphs
from benchmarks.trawl_system import Trawl, TrawlLive

TITLE = "Lists"
RUNS = 100_000
QUICK_RUNS = 2_000
TASKS = 10
TIMES = 5
GOAL_MS = 100.0
ORDERS = ("created_at", "started_at", "completed_at", "id")
DIRECTIONS = ("desc", "asc")
SMALL, LARGE = 20, 1_000
NOTES = """\
Every filter of `GET /api/runs` in every order, ascending and descending; the first, a middle and the last page of 20,
and a middle page of 1,000. One request at a time, each five times, of which the median counts.
"""


async def measure(lab: Lab) -> Report:
    """Fill the archive, then ask."""
    count = QUICK_RUNS if lab.options.quick else RUNS
    async with Trawl().running(lab.folder()) as live:
        await warm_up(live, 1)
        tasks = [await live.create_task() for _ in range(TASKS)]
        await fill_archive(live.mongodb_uri, tasks, count)
        lab.say(f"archived {count:,} runs")
        found: dict[str, dict[str, float]] = {}
        async with live.session() as client:
            for name, base in _filters(tasks[3]).items():
                total = await _total(live, client, base)
                found[name] = {page: await _ms(live, client, page) for page in _pages(base, total)}
                lab.say(f"{name} ({total:,}): slowest {max(found[name].values()):.0f} ms")
            found["tasks"] = {page: await _ms(live, client, page) for page in _task_pages(tasks[3])}
    return _report(count, found)


def _filters(task_id: int) -> dict[str, str]:
    """Queries of `GET /runs` by name."""
    wide, old = "start_date=2026-01-01&end_date=2099-12-31", "start_date=2020-01-01&end_date=2020-12-31"
    worker = f"worker_id=worker-{WORKERS:03d}"
    return {
        "all": "", "task": f"task_id={task_id}", "task, status": f"task_id={task_id}&status=completed",
        "status": "status=completed", "rare status": "status=failed", "worker": worker,
        "task, worker": f"task_id={task_id}&{worker}", "worker, status": f"{worker}&status=completed",
        "contract": "contract=scheduler", "dates": wide, "old dates": old,
        "task, status, dates": f"task_id={task_id}&status=completed&{wide}",
    }  # fmt: skip


def _pages(base: str, total: int) -> Iterator[str]:
    last = max(1, -(-total // SMALL))
    pages = [(1, SMALL), ((last + 1) // 2, SMALL), (last, SMALL), (max(1, total // LARGE // 2), LARGE)]
    for sort, direction, (page, size) in itertools.product(ORDERS, DIRECTIONS, dict.fromkeys(pages)):
        yield f"runs?{base}&sort={sort}&order={direction}&page={page}&size={size}"


def _task_pages(task_id: int) -> Sequence[str]:
    return ("tasks", "tasks?search=bench&sort=name", "tasks?status=active&page=2&size=5", f"tasks/{task_id}")


async def _total(live: TrawlLive, client: aiohttp.ClientSession, base: str) -> int:
    async with client.get(f"{live.api}/runs?{base}&size=1") as response:
        return int((await response.json(content_type=None))["data"]["total"])


async def _ms(live: TrawlLive, client: aiohttp.ClientSession, path: str) -> float:
    times = []
    for _ in range(TIMES):
        began = time.perf_counter()
        async with client.get(f"{live.api}/{path}") as response:
            await response.read()
        times.append((time.perf_counter() - began) * 1000)
        if response.status != 200:
            raise BenchmarkError(f"{path} was answered with {response.status}.")
    return statistics.median(times)


def _report(count: int, found: dict[str, dict[str, float]]) -> Report:
    rows: list[list[Cell]] = [
        [name, len(times), statistics.median(times.values()), max(times.values()), max(times, key=times.__getitem__)]
        for name, times in found.items()
    ]
    slowest = {name: max(times.values()) for name, times in found.items()}
    return Report(
        "lists", TITLE, {"archived runs": count, "requests for each list": TIMES},
        [Table("milliseconds", ("filter", "lists", "median", "slowest", "which"), rows)],
        [Bars("the slowest list", "ms", slowest)],
        [Goal("ms of the slowest list", max(slowest.values()), GOAL_MS)],
        paragraphs(NOTES),
        found,
    )  # fmt: skip
