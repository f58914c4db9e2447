"""What every measured system offers to the benchmarks, whichever it is. Owns the checks that make a result count."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import aiohttp

from benchmarks.errors import BenchmarkError
from benchmarks.load import Load, Target
from benchmarks.usage import Meter

SETTLE_SECONDS = 180.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the work since `Measurement` began. Times in seconds since the epoch.

    `pairs`: (submitted, started) of each piece, where that was asked for. `cpu_seconds`: the meter's when all work was
    done and nobody had yet asked how much it was, where that costs the system itself something.
    """

    accepted: int
    completed: int
    last_end: float
    pairs: Sequence[tuple[float, float]]
    cpu_seconds: Mapping[str, float] | None = None

    def check(self, submitted: int) -> None:
        """Raises `BenchmarkError` unless exactly `submitted` were accepted and all of them completed."""
        if not submitted == self.accepted == self.completed:
            raise BenchmarkError(f"{submitted} submitted, {self.accepted} accepted, {self.completed} completed.")

    def check_load(self, load: Load, connections: int) -> None:
        """As `check`; wrk leaves as it ends, so up to one request of each connection was answered to nobody."""
        load.check_clean()
        if self.completed != self.accepted or not load.requests <= self.accepted <= load.requests + connections:
            raise BenchmarkError(
                f"{load.requests} answered, {self.accepted} accepted, {self.completed} completed: these don't agree."
            )

    @property
    def waits(self) -> list[float]:
        """Seconds from submission to start."""
        return [started - submitted for submitted, started in self.pairs]


class Measurement(Protocol):
    """Work from here on, told apart from what was done before."""

    target: Target

    async def submit(self, session: aiohttp.ClientSession) -> None:
        """Submit one piece of work, and remember when. Raises `BenchmarkError` when it is refused."""

    async def settle(self, *, with_pairs: bool = False) -> Outcome:
        """Return when all accepted work has ended. Raises `BenchmarkError` when some failed, or it takes too long."""


class Live(Protocol):
    """A system that is up."""

    meter: Meter
    directory: Path

    async def begin(self) -> Measurement:
        """Start a measurement."""


class System(Protocol):
    """Something that can be started to be measured."""

    @property
    def name(self) -> str:
        """What it is called in the figures."""

    def running(self, directory: Path) -> AbstractAsyncContextManager[Live]:
        """The system, up and ready, with everything it needs in the (new) directory."""
