"""Benchmark: what the one-machine stack costs when nothing happens."""

import asyncio
import time

from benchmarks.lab import Lab, warm_up
from benchmarks.report import Bars, Cell, Goal, Report, Table, paragraphs
from benchmarks.statistics import difference
from benchmarks.trawl_system import Trawl

TITLE = "Idle"
SECONDS = 30.0
SETTLE_SECONDS = 10.0
NOTES = """\
All processes of the one-machine stack, its supervisor and the three stores included; some runs were done before, then
nothing for 10 s. PSS shares out memory that processes have in common; RSS counts it for each.
"""


async def measure(lab: Lab) -> Report:
    """Warm up, wait, measure."""
    seconds = 5.0 if lab.options.quick else SECONDS
    async with Trawl().running(lab.folder()) as live:
        await warm_up(live, 1)
        await asyncio.sleep(1.0 if lab.options.quick else SETTLE_SECONDS)
        lab.say(f"measuring for {seconds:.0f} s")
        pids, began, before = live.meter.pids(), time.monotonic(), live.meter.cpu_seconds()
        await asyncio.sleep(seconds)
        spent, passed = difference(before, live.meter.cpu_seconds()), time.monotonic() - began
        memory = live.meter.memory()
        live.check_untouched(pids)
    shares = {name: value / passed * 100 for name, value in spent.items()}
    rows: list[list[Cell]] = [
        [name, shares.get(name, 0.0), one.pss_mb, one.rss_mb]
        for name, one in sorted(memory.items(), key=lambda pair: -pair[1].pss_mb)
    ]
    share, pss, rss = (
        sum(shares.values()),
        sum(m.pss_mb for m in memory.values()),
        sum(m.rss_mb for m in memory.values()),
    )
    rows.append(["all", share, pss, rss])
    return Report(
        "idle", TITLE, {"seconds": seconds},
        [Table("by program", ("program", "per cent of a core", "PSS MB", "RSS MB"), rows)],
        [Bars("CPU", "per cent of a core", shares), Bars("memory", "PSS MB", {n: m.pss_mb for n, m in memory.items()})],
        [Goal("per cent of a core", share, 2), Goal("PSS MB", pss, 600)],
        paragraphs(NOTES),
        {"shares": shares},
    )  # fmt: skip
