"""Benchmark: no-op runs over REST, one request each, beside the peers. Owns what is counted and when."""

from typing import Any

from benchmarks.lab import Lab, medians_of
from benchmarks.load import CONNECTIONS, flood
from benchmarks.peer_systems import PEERS
from benchmarks.report import Bars, Goal, Report, Table, paragraphs
from benchmarks.statistics import difference, ratio
from benchmarks.systems import Live, System
from benchmarks.trawl_system import Trawl

TITLE = "Runs, one request each"
NOTES = """\
Completed per second counts from the first request to the last end: for Trawl the archived run, for a peer the start
of its last task (its result is checked, too).

wrk with 16 connections shares the cores with what it measures and is not counted in the CPU time.
"""


async def measure_flood(live: Live, seconds: int) -> dict[str, Any]:
    """One round on a system that is up and warm."""
    measurement = await live.begin()
    before = live.meter.cpu_seconds()
    load = await flood(measurement.target, live.directory, seconds)
    outcome = await measurement.settle()
    spent = difference(before, outcome.cpu_seconds or live.meter.cpu_seconds())
    outcome.check_load(load, CONNECTIONS)
    memory = live.meter.memory()
    return {
        "completed": outcome.completed,
        "completed_per_s": outcome.completed / (outcome.last_end - load.began),
        "answered_per_s": load.per_second,
        "answer_p50_ms": load.p50_ms,
        "answer_p99_ms": load.p99_ms,
        "cpu_s_per_1000": sum(spent.values()) / outcome.completed * 1000,
        "cpu_s_per_1000_by_program": {name: value / outcome.completed * 1000 for name, value in spent.items()},
        "pss_mb": sum(one.pss_mb for one in memory.values()),
        "rss_mb": sum(one.rss_mb for one in memory.values()),
    }


async def measure(lab: Lab) -> Report:
    """Trawl and the peers in turns."""
    seconds = lab.options.seconds
    systems: list[System] = [Trawl(), *(PEERS[name] for name in lab.options.peers)]

    async def one(live: Live) -> dict[str, Any]:
        figures = await measure_flood(live, seconds)
        lab.say(f"  {figures['completed_per_s']:,.0f}/s, {figures['cpu_s_per_1000']:.2f} CPU s per 1,000")
        return figures

    rounds = await lab.take_turns(systems, one)
    found = medians_of(rounds)
    settings = {"rounds": lab.options.rounds, "seconds": seconds, "connections": CONNECTIONS}
    return Report("runs", TITLE, settings, _tables(found), _bars(found), _goals(found), paragraphs(NOTES), rounds)


def _tables(found: dict[str, dict[str, Any]]) -> list[Table]:
    keys = ("completed_per_s", "answered_per_s", "answer_p50_ms", "answer_p99_ms", "cpu_s_per_1000", "pss_mb")
    columns = ("system", "completed/s", "answered/s", "answer p50 ms", "answer p99 ms", "CPU s per 1,000", "PSS MB")
    tables = [Table("medians", columns, [[name, *(figures[key] for key in keys)] for name, figures in found.items()])]
    trawl = found[Trawl.name]
    ratios = [
        [
            f"Trawl ÷ {name}",
            ratio(trawl["completed_per_s"], peer["completed_per_s"]),
            ratio(trawl["cpu_s_per_1000"], peer["cpu_s_per_1000"]),
        ]
        for name, peer in found.items()
        if name != Trawl.name
    ]
    if ratios:
        tables.append(Table("ratios", ("", "completed/s", "CPU s per 1,000"), ratios))
    spent = sorted(trawl["cpu_s_per_1000_by_program"].items(), key=lambda pair: -pair[1])
    tables.append(
        Table("Trawl's CPU seconds per 1,000 runs", ("program", "CPU s per 1,000"), [list(row) for row in spent])
    )
    return tables


def _bars(found: dict[str, dict[str, Any]]) -> list[Bars]:
    def values(key: str) -> dict[str, float]:
        return {name: figures[key] for name, figures in found.items()}

    return [
        Bars("completed per second", "more is better", values("completed_per_s")),
        Bars("CPU seconds per 1,000", "less is better", values("cpu_s_per_1000")),
    ]


def _goals(found: dict[str, dict[str, Any]]) -> list[Goal]:
    trawl = found[Trawl.name]
    goals = [Goal("CPU s per 1,000 runs", trawl["cpu_s_per_1000"], 1.2)]
    for name, factor in (("Celery", 2.0), ("taskiq", 0.8)):
        if name in found:
            share = trawl["completed_per_s"] / found[name]["completed_per_s"]
            goals.append(Goal(f"completed/s, Trawl ÷ {name}", share, factor, at_least=True))
    return goals
