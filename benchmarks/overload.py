"""Benchmark: four times what can be sustained. Owns the phases: sustainable rate, overload, pause, rate again."""

import asyncio
from typing import Any

from benchmarks.errors import BenchmarkError
from benchmarks.lab import Lab, warm_up
from benchmarks.load import CONNECTIONS, Load, flood
from benchmarks.report import Bars, Cell, Goal, Report, Table, paragraphs
from benchmarks.trawl_system import Trawl, TrawlLive
from benchmarks.usage import peak_rss_mb

TITLE = "Overload"
FACTOR = 4
RECOVERY_SECONDS = 5
NOTES = """\
The sustainable rate is what 16 connections without pauses complete per second. The overload's requests are sent at
fixed times by whichever of many connections is free: fewer than aimed at are offered only while all of them wait for
answers. wrk shares the cores with what it measures.

`afterwards` is the same as the sustainable rate, measured from 5 s after the last request of the overload on; runs of
the overload that were still queued then count as completed, too. The backlog is gone when as many runs have completed
as the overload had accepted (whole seconds). Memory is RSS.
"""


async def measure(lab: Lab) -> Report:
    """The phases on one stack."""
    quick = lab.options.quick
    seconds = 5 if quick else 30
    async with Trawl().running(lab.folder()) as live:
        await warm_up(live, 1 if quick else 3)
        pids, before = live.meter.pids(), live.meter.rss_mb()
        sustainable = await _rate(live, lab.options.seconds)
        lab.say(f"sustainable: {sustainable:,.0f}/s")
        measurement = await live.begin()
        async with peak_rss_mb(live.meter) as peak:
            load = await flood(
                measurement.target, live.directory, seconds, connections=lab.options.connections,
                per_second=FACTOR * sustainable, count_statuses=True,
            )  # fmt: skip
            lab.say(f"overload: {load.per_second:,.0f}/s, {load.accepted:,} of {load.requests:,} accepted")
            await asyncio.sleep(RECOVERY_SECONDS)
            afterwards, accepted_after = await _rate_on(live, measurement.target, lab.options.seconds)
            lab.say(f"afterwards: {afterwards:,.0f}/s")
            outcome = await measurement.settle()
        after = live.meter.rss_mb()
        live.check_untouched(pids)
        drained = max(0.0, live.ends.when_completed(load.accepted) - load.began - load.seconds)
    _check(load, outcome.accepted, accepted_after, lab.options.connections)
    settings = {"seconds": seconds, "connections": lab.options.connections}
    memory = (before, dict(peak), after)
    return _report(settings, sustainable=sustainable, load=load, afterwards=afterwards, drained=drained, memory=memory)


async def _rate(live: TrawlLive, seconds: int) -> float:
    measurement = await live.begin()
    load = await flood(measurement.target, live.directory, seconds)
    outcome = await measurement.settle()
    return outcome.completed / (outcome.last_end - load.began)


async def _rate_on(live: TrawlLive, target: Any, seconds: int) -> tuple[float, Load]:
    """Completed per second while 16 connections submit, from the second whole second on."""
    load = await flood(target, live.directory, seconds + 2, count_statuses=True)
    first = int(load.began) + 1
    return live.ends.completed_between(first, first + seconds) / seconds, load


def _check(load: Load, accepted: int, after: Load, connections: int) -> None:
    """What was answered with 2xx exists; what exists was answered so, or its client had left or lost its connection."""
    answered = load.accepted + after.accepted
    unheard = connections + CONNECTIONS + load.broken + after.broken
    if not answered <= accepted <= answered + unheard:
        raise BenchmarkError(f"{answered} requests were told that they were accepted, and {accepted} runs exist.")


def _report(
    settings: dict[str, Any],
    *,
    sustainable: float,
    load: Load,
    afterwards: float,
    drained: float,
    memory: tuple[dict[str, float], ...],
) -> Report:
    answers: list[list[Cell]] = [
        ["offered/s", load.per_second],
        ["2xx", load.accepted],
        ["429", load.limited],
        ["503", load.unavailable],
        ["429 and 503 without Retry-After", load.impatient],
        ["other statuses", load.other],
        ["broken connections", load.broken],
        ["answers after more than 2 s", load.late],
        ["answer p50 ms", load.p50_ms],
        ["answer p99 ms", load.p99_ms],
        ["backlog gone, s after the last request", drained],
    ]
    before, peak, after = memory
    rows: list[list[Cell]] = [
        [name, before.get(name), highest, after.get(name)]
        for name, highest in sorted(peak.items(), key=lambda pair: -pair[1])
    ]
    rows.append(["all", sum(before.values()), sum(peak.values()), sum(after.values())])
    rates = {"sustainable": sustainable, "aimed at": FACTOR * sustainable, "offered": load.per_second,
             "afterwards": afterwards}  # fmt: skip
    return Report(
        "overload", TITLE, settings,
        [Table("rates", ("", "per second"), [list(pair) for pair in rates.items()]),
         Table("answers", ("", "count"), answers), Table("RSS MB", ("program", "before", "peak", "after"), rows)],
        [Bars("requests and runs", "per second", rates),
         Bars("answers", "count", {"2xx": load.accepted, "429": load.limited, "503": load.unavailable,
                                   "other": load.other})],
        [Goal("offered ÷ sustainable", load.per_second / sustainable, FACTOR * 0.98, at_least=True),
         Goal("afterwards ÷ sustainable", afterwards / sustainable, 0.9, at_least=True),
         Goal("429 and 503 without Retry-After", load.impatient, 0),
         Goal("answers that are neither 2xx, 429 nor 503", load.other + load.broken, 0)],
        paragraphs(NOTES),
    )  # fmt: skip
