"""Benchmark: batch starts. Owns what counts as accepted: ids answered, and as many runs archived in the end."""

import time
from typing import Any

from benchmarks.errors import BenchmarkError
from benchmarks.lab import Lab, medians_of, warm_up
from benchmarks.report import Bars, Goal, Report, Table, paragraphs
from benchmarks.trawl_system import Trawl, TrawlLive

SIZE = 10_000
TITLE = "Batch start"
NOTES = """\
Accepted per second counts from the request to its answer, the runs being worked off meanwhile; every run is archived
before the next round.
"""


async def measure(lab: Lab) -> Report:
    """Batches one after the other on one stack."""
    size = 1_000 if lab.options.quick else SIZE
    rounds = []
    async with Trawl().running(lab.folder()) as live:
        await warm_up(live, 1 if lab.options.quick else 3)
        for number in range(lab.options.rounds):
            rounds.append(await _round(live, size))
            lab.say(f"round {number + 1} of {lab.options.rounds}: {rounds[-1]['accepted_per_s']:,.0f} accepted/s")
    found = medians_of({Trawl.name: rounds})[Trawl.name]
    rows = [["accepted/s", found["accepted_per_s"]], ["completed/s", found["completed_per_s"]]]
    return Report(
        "batch", TITLE, {"rounds": lab.options.rounds, "runs in a batch": size},
        [Table("medians", ("", "per second"), rows)],
        [Bars("runs per second", "more is better", {str(name): float(value) for name, value in rows})],
        [Goal("accepted/s", found["accepted_per_s"], 5_000, at_least=True)],
        paragraphs(NOTES), rounds,
    )  # fmt: skip


async def _round(live: TrawlLive, size: int) -> dict[str, Any]:
    measurement = await live.begin()
    async with live.session() as client:
        began = time.time()
        async with client.post(f"{measurement.target.url}/batch", json={"count": size}) as response:
            answer = await response.json(content_type=None)
            answered = time.time()
    if response.status != 200 or answer["data"]["accepted"] != size:
        raise BenchmarkError(f"The batch was answered with {response.status}: {str(answer)[:500]}")
    if len(set(answer["data"]["run_ids"])) != size:
        raise BenchmarkError("Two runs of the batch have the same id.")
    outcome = await measurement.settle()
    outcome.check(size)
    return {"accepted_per_s": size / (answered - began), "completed_per_s": size / (outcome.last_end - began)}
