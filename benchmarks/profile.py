"""Benchmark: CPU time of a run by stage. Owns the sampling with py-spy and the sums; `stages` says what belongs where."""

import asyncio
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import stages
from benchmarks.errors import BenchmarkError
from benchmarks.lab import Lab, warm_up
from benchmarks.load import CONNECTIONS, flood
from benchmarks.report import Bars, Report, Table
from benchmarks.statistics import difference
from benchmarks.trawl_system import Trawl, TrawlLive

TITLE = "CPU time of a run by stage"
SAMPLED = ("gateway", "scheduler", "scraper")
SAMPLES_PER_SECOND = 100
BUSIEST = 12
STOP_SECONDS = 30
NOTES = (
    "py-spy samples gateway, scheduler and scraper while `runs`' load is on, 100 times a second and without stopping them; a "
    "sample belongs to the stage of its innermost function of the project. A process' CPU time by the kernel's counters is "
    "shared out by its samples. The stores count as a whole: redis-server to Redis, nats-server to publish, the MongoDB "
    "stand-in to archive.",
    "`event loop` is what has no function of the project or of a telling library on its stack: the loop itself, sockets, and "
    "native code below it. Native threads (gRPC's) have no Python stack: their time is shared out with the rest. Sampling itself "
    "takes CPU from the system: shares hold, the sum is a little too high.",
)


async def measure(lab: Lab) -> Report:
    """One load with samplers."""
    seconds = lab.options.seconds
    async with Trawl().running(lab.folder()) as live:
        await warm_up(live, 1 if lab.options.quick else 3)
        pids = live.meter.pids()
        lab.say(f"sampling for {seconds} s")
        runs, spent, samples = await _sample(live, pids, seconds)
        live.check_untouched(pids)
    return _report(seconds, runs, spent, samples)


async def _sample(
    live: TrawlLive, pids: Mapping[str, list[int]], seconds: int
) -> tuple[int, dict[str, float], dict[str, list[stages.Sample]]]:
    """Runs completed while it was sampled, CPU seconds by program, samples by program."""
    measurement = await live.begin()
    loading = asyncio.create_task(flood(measurement.target, live.directory, seconds + 3))
    try:
        await asyncio.sleep(1)
        before, done = live.meter.cpu_seconds(), len(live.ends.completed)
        files = {name: live.directory / f"{name}.stacks" for name in SAMPLED}
        await asyncio.gather(*(_py_spy(pids[name][0], files[name], seconds) for name in SAMPLED))
        spent, runs = difference(before, live.meter.cpu_seconds()), len(live.ends.completed) - done
        load = await loading
    finally:
        loading.cancel()
        await asyncio.gather(loading, return_exceptions=True)
    (await measurement.settle()).check_load(load, CONNECTIONS)
    samples = {name: stages.parse(path.read_text(encoding="utf-8")) for name, path in files.items()}
    return runs, spent, samples


async def _py_spy(pid: int, path: Path, seconds: int) -> None:
    program = shutil.which("py-spy", path=str(Path(sys.executable).parent))
    if program is None:
        raise BenchmarkError("py-spy was not found: it comes with the 'bench' extra.")
    process = await asyncio.create_subprocess_exec(
        program, "record", "--pid", str(pid), "--duration", str(seconds), "--rate", str(SAMPLES_PER_SECOND),
        "--format", "raw", "--nonblocking", "--full-filenames", "--output", str(path),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    began = time.monotonic()
    try:
        output, _ = await asyncio.wait_for(process.communicate(), seconds + STOP_SECONDS)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode or not path.exists():
        text = output.decode(errors="replace").strip()[-500:]
        raise BenchmarkError(
            f"py-spy failed after {time.monotonic() - began:.0f} s (as another user than root it needs "
            f"kernel.yama.ptrace_scope=0): {text}"
        )


def _report(
    seconds: int, runs: int, spent: Mapping[str, float], samples: Mapping[str, list[stages.Sample]]
) -> Report:
    if not runs:
        raise BenchmarkError("No run completed while it was sampled.")
    by_stage: dict[str, dict[str, float]] = {}
    for program, seconds_spent in spent.items():
        for stage, share in stages.shares(program, samples.get(program, [])).items():
            by_stage.setdefault(stage, {})[program] = seconds_spent * share / runs * 1e6
    ordered = {stage: by_stage[stage] for stage in stages.STAGES if stage in by_stage}
    sums = {stage: sum(programs.values()) for stage, programs in ordered.items()}
    total = sum(sums.values())
    programs = sorted(spent, key=lambda name: -spent[name])
    rows: list[list[Any]] = [
        [stage, sums[stage], sums[stage] / total * 100, *(columns.get(program) for program in programs)]
        for stage, columns in ordered.items()
    ]
    rows.append(["all", total, 100.0, *(spent[program] / runs * 1e6 for program in programs)])
    busiest = [
        [program, stage, frame, share * spent[program] / runs * 1e6]
        for program in SAMPLED
        for stage, frame, share in stages.busiest(program, samples[program], BUSIEST)
    ]
    busiest.sort(key=lambda row: -float(row[3]))
    return Report(
        "profile", TITLE, {"seconds": seconds, "runs": runs, "samples per second": SAMPLES_PER_SECOND},
        [Table("CPU µs per run", ("stage", "µs", "per cent", *programs), rows),
         Table("busiest functions", ("program", "stage", "innermost function", "µs per run"), busiest)],
        [Bars("CPU per run", "µs", sums), Bars("CPU per run", "µs", {name: spent[name] / runs * 1e6 for name in programs})],
        (), NOTES, {"samples": {name: sum(sample.count for sample in found) for name, found in samples.items()}},
    )  # fmt: skip
