"""Benchmark: CPU time of a run by stage. Owns the sampling with py-spy and the sums, not what belongs where."""

import asyncio
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import stages
from benchmarks.errors import BenchmarkError
from benchmarks.lab import Lab, warm_up
from benchmarks.load import CONNECTIONS, flood
from benchmarks.report import Bars, Cell, Report, Table, paragraphs
from benchmarks.statistics import difference
from benchmarks.trawl_system import Trawl, TrawlLive

TITLE = "CPU time of a run by stage"
SAMPLED = ("gateway", "scheduler", "scraper")
SAMPLES_PER_SECOND = 100
BUSIEST = 12
STOP_SECONDS = 30
NOTES = """\
py-spy samples gateway, scheduler and scraper while `runs`' load is on, 100 times a second; a sample belongs to the
stage of its innermost function of the project. A thread's CPU time by the kernel's counters is shared out by its
samples. The stores count as a whole: redis-server to Redis, nats-server to publish, the MongoDB stand-in to
archive.

`event loop` is what has no function of the project or of a telling library on its stack: the loop itself, sockets,
and native code below it. Threads without a Python stack are `other`. py-spy stops a process for each sample
(without that it loses the stacks that change fast, and shows too much native code): shares hold, the sum is a
little too high.
"""


@dataclass(frozen=True, slots=True)
class _Profile:
    """What was found while `runs` completed. CPU seconds by thread for the sampled programs, else under thread 0."""

    runs: int
    spent: Mapping[str, Mapping[int, float]]
    samples: Mapping[str, Sequence[stages.Sample]]

    def per_run(self, seconds: float) -> float:
        """Microseconds of one run."""
        return seconds / self.runs * 1e6


async def measure(lab: Lab) -> Report:
    """One load with samplers."""
    seconds = lab.options.seconds
    async with Trawl().running(lab.folder()) as live:
        await warm_up(live, 1 if lab.options.quick else 3)
        pids = live.meter.pids()
        lab.say(f"sampling for {seconds} s")
        profile = await _sample(live, {name: pids[name][0] for name in SAMPLED}, seconds)
        live.check_untouched(pids)
    if not profile.runs:
        raise BenchmarkError("No run completed while it was sampled.")
    return _report(seconds, profile)


async def _sample(live: TrawlLive, pids: Mapping[str, int], seconds: int) -> _Profile:
    measurement = await live.begin()
    loading = asyncio.create_task(flood(measurement.target, live.directory, seconds + 3))
    try:
        await asyncio.sleep(1)
        before, done = _spent(live, pids), len(live.ends.completed)
        files = {name: live.directory / f"{name}.stacks" for name in pids}
        await asyncio.gather(*(_py_spy(pid, files[name], seconds) for name, pid in pids.items()))
        after, runs = _spent(live, pids), len(live.ends.completed) - done
        load = await loading
    finally:
        loading.cancel()
        await asyncio.gather(loading, return_exceptions=True)
    (await measurement.settle()).check_load(load, CONNECTIONS)
    samples = {name: stages.parse(path.read_text(encoding="utf-8")) for name, path in files.items()}
    return _Profile(runs, {name: difference(before.get(name, {}), after[name]) for name in after}, samples)


def _spent(live: TrawlLive, pids: Mapping[str, int]) -> dict[str, dict[int, float]]:
    whole = {name: {0: seconds} for name, seconds in live.meter.cpu_seconds().items()}
    return whole | {name: live.meter.cpu_seconds_by_thread(pid) for name, pid in pids.items()}


async def _py_spy(pid: int, path: Path, seconds: int) -> None:
    program = shutil.which("py-spy", path=str(Path(sys.executable).parent))
    if program is None:
        raise BenchmarkError("py-spy was not found: it comes with the 'bench' extra.")
    process = await asyncio.create_subprocess_exec(
        program, "record", "--pid", str(pid), "--duration", str(seconds), "--rate", str(SAMPLES_PER_SECOND),
        "--format", "raw", "--threads", "--full-filenames", "--output", str(path),
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


def _report(seconds: int, profile: _Profile) -> Report:
    by_stage: dict[str, dict[str, float]] = {}
    for program, spent in profile.spent.items():
        for stage, part in stages.seconds_by_stage(program, profile.samples.get(program, ()), spent).items():
            by_stage.setdefault(stage, {})[program] = profile.per_run(part)
    ordered = {stage: by_stage[stage] for stage in stages.STAGES if stage in by_stage}
    sums = {stage: sum(columns.values()) for stage, columns in ordered.items()}
    total = sum(sums.values())
    of_program = {name: profile.per_run(sum(spent.values())) for name, spent in profile.spent.items()}
    programs = sorted(of_program, key=lambda name: -of_program[name])
    rows: list[list[Cell]] = [
        [stage, sums[stage], sums[stage] / total * 100, *(columns.get(program) for program in programs)]
        for stage, columns in ordered.items()
    ]
    rows.append(["all", total, 100.0, *(of_program[program] for program in programs)])
    counts = {name: sum(sample.count for sample in found) for name, found in profile.samples.items()}
    return Report(
        "profile", TITLE, {"seconds": seconds, "runs": profile.runs, "samples per second": SAMPLES_PER_SECOND},
        [Table("CPU µs per run", ("stage", "µs", "per cent", *programs), rows),
         Table("busiest functions", ("program", "stage", "innermost function", "µs per run"), _busiest(profile))],
        [Bars("by stage", "CPU µs per run", sums), Bars("by program", "CPU µs per run", of_program)],
        (), paragraphs(NOTES), {"samples": counts},
    )  # fmt: skip


def _busiest(profile: _Profile) -> list[list[Cell]]:
    found: list[tuple[float, list[Cell]]] = []
    for program, samples in profile.samples.items():
        for stage, frame, seconds in stages.busiest(program, samples, profile.spent[program], BUSIEST):
            found.append((seconds, [program, stage, frame, profile.per_run(seconds)]))
    return [row for _, row in sorted(found, key=lambda pair: -pair[0])]
