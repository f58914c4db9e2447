"""The table of benchmarks: what each is called, what it measures, how long it may take."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from benchmarks import runs
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
    )
}
