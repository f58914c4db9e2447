"""Benchmark: how long a run waits from its request to its start, beside the peers. Owns the two ways of asking."""

from typing import Any

from benchmarks.lab import Lab, medians_of
from benchmarks.load import one_by_one, open_loop
from benchmarks.peer_systems import PEERS
from benchmarks.report import Bars, Goal, Report, Table, paragraphs
from benchmarks.statistics import latency_ms
from benchmarks.systems import Live, System
from benchmarks.trawl_system import Trawl, session

PER_SECOND = 200
IDLE_COUNT = 120
TITLE = "From request to start"
NOTES = """\
The client takes the time before it sends the request, the worker when it begins the attempt, both from the same
clock. A peer's task stores its own start. Trawl's start is the attempt's `started_ms`, read from the scheduler
afterwards (REST shows whole seconds); it is cut to a millisecond, so half of one is added.

Idle: one at a time, 30 to 280 ms apart. Loaded: 200 requests per second at fixed times, however late earlier answers
are.
"""


async def measure(lab: Lab) -> Report:
    """Trawl and the peers in turns."""
    systems: list[System] = [Trawl(), *(PEERS[name] for name in lab.options.peers)]
    count = 10 if lab.options.quick else IDLE_COUNT

    async def one(live: Live) -> dict[str, Any]:
        figures = {"idle": await _idle(live, count), "loaded": await _loaded(live, lab.options.seconds)}
        lab.say(
            "  "
            + ", ".join(f"{name} p50 {one['p50_ms']:.1f}, p99 {one['p99_ms']:.1f} ms" for name, one in figures.items())
        )
        return figures

    rounds = await lab.take_turns(systems, one)
    found = medians_of(rounds)
    settings = {"rounds": lab.options.rounds, "idle requests": count, "loaded seconds": lab.options.seconds}
    return Report("latency", TITLE, settings, _tables(found), _bars(found), _goals(found), paragraphs(NOTES), rounds)


async def _idle(live: Live, count: int) -> dict[str, float]:
    measurement = await live.begin()
    async with session(measurement.target.headers) as client:
        submitted = await one_by_one(count, lambda: measurement.submit(client))
    outcome = await measurement.settle(with_pairs=True)
    outcome.check(submitted)
    return latency_ms(outcome.waits)


async def _loaded(live: Live, seconds: float) -> dict[str, float]:
    measurement = await live.begin()
    async with session(measurement.target.headers) as client:
        submitted = await open_loop(PER_SECOND, seconds, lambda: measurement.submit(client))
    outcome = await measurement.settle(with_pairs=True)
    outcome.check(submitted)
    return latency_ms(outcome.waits)


def _tables(found: dict[str, dict[str, Any]]) -> list[Table]:
    columns = ("system", "idle p50 ms", "idle p99 ms", f"{PER_SECOND}/s p50 ms", f"{PER_SECOND}/s p99 ms")
    rows = [
        [name, *(one[phase][key] for phase in ("idle", "loaded") for key in ("p50_ms", "p99_ms"))]
        for name, one in found.items()
    ]
    return [Table("medians", columns, rows)]


def _bars(found: dict[str, dict[str, Any]]) -> list[Bars]:
    panels = (
        ("idle, median", "idle", "p50_ms"),
        ("idle, 99th percentile", "idle", "p99_ms"),
        (f"{PER_SECOND}/s, 99th percentile", "loaded", "p99_ms"),
    )
    return [
        Bars(title, "ms, less is better", {name: one[phase][key] for name, one in found.items()})
        for title, phase, key in panels
    ]


def _goals(found: dict[str, dict[str, Any]]) -> list[Goal]:
    trawl = found[Trawl.name]
    return [
        Goal("idle p50 ms", trawl["idle"]["p50_ms"], 4),
        Goal("idle p99 ms", trawl["idle"]["p99_ms"], 10),
        Goal(f"p99 ms at {PER_SECOND}/s", trawl["loaded"]["p99_ms"], 20),
    ]
