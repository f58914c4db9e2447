"""The table of benchmarks: what each is called, what it measures, how long it may take."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from benchmarks import (
    batch,
    growth,
    heartbeats,
    hops,
    idle,
    latency,
    lists,
    overload,
    pages,
    profile,
    results,
    runs,
    schedules,
)
from benchmarks.lab import Lab
from benchmarks.report import Report


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One of them. `limit_seconds` is a hard bound: what takes longer has no result."""

    name: str
    summary: str
    limit_seconds: float
    measure: Callable[[Lab], Awaitable[Report]]


ALL: Mapping[str, Benchmark] = {
    one.name: one
    for one in (
        Benchmark("runs", "no-op runs over REST, one request each, beside the peers", 900, runs.measure),
        Benchmark("batch", "batch starts of 10,000 runs", 300, batch.measure),
        Benchmark("latency", "from request to start, idle and at 200/s, beside the peers", 1_200, latency.measure),
        Benchmark("hops", "how late each hop is after seconds and a minute of rest", 1_800, hops.measure),
        Benchmark("growth", "cost of a run with a large archive and many waiting runs", 2_400, growth.measure),
        Benchmark("lists", "lists of runs and tasks with 100,000 runs in history", 900, lists.measure),
        Benchmark("schedules", "10,000 schedules due in the same second", 420, schedules.measure),
        Benchmark("heartbeats", "1,000 workers' heartbeats", 240, heartbeats.measure),
        Benchmark("idle", "CPU and memory of the idle stack", 180, idle.measure),
        Benchmark("overload", "four times the sustainable rate", 420, overload.measure),
        Benchmark("results", "results at scale: search by two keys, export and its memory", 3_600, results.measure),
        Benchmark("pages", "scrape beside Scrapy, and rendered beside Crawlee", 2_400, pages.measure),
        Benchmark("profile", "CPU time of a run by stage, from py-spy and counters", 300, profile.measure),
    )
}
