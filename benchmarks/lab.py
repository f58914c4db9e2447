"""What every benchmark gets: its options, a folder, a voice; and the taking of turns. Must not know any benchmark."""

import itertools
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.load import flood
from benchmarks.statistics import medians
from benchmarks.systems import Live, System


@dataclass(frozen=True, slots=True)
class Options:
    """What a person can choose."""

    quick: bool = False
    rounds: int = 3
    seconds: int = 10
    archived: int = 1_000_000
    waiting: int = 100_000
    rows: int = 1_000_000
    rendered: int = 200
    connections: int = 2_048
    peers: tuple[str, ...] = ()


@dataclass(slots=True)
class Lab:
    """Where one benchmark works. Everything in `directory` is thrown away afterwards."""

    options: Options
    directory: Path
    console: Console
    began: float = field(default_factory=time.monotonic)
    _folders: "itertools.count[int]" = field(default_factory=itertools.count)

    def folder(self) -> Path:
        """A path for a system of its own; not made yet."""
        return self.directory / f"system-{next(self._folders)}"

    def say(self, text: str) -> None:
        """Tell how far it is."""
        self.console.print(f"[dim]{time.monotonic() - self.began:6.1f} s[/]  {text}", highlight=False)

    async def take_turns(
        self, systems: Sequence[System], measure: Callable[[Live], Awaitable[dict[str, Any]]]
    ) -> dict[str, list[dict[str, Any]]]:
        """Figures of each system by round: A B C A B C …, each started afresh, so that no other one runs meanwhile."""
        found: dict[str, list[dict[str, Any]]] = {system.name: [] for system in systems}
        for number in range(self.options.rounds):
            for system in systems:
                self.say(f"round {number + 1} of {self.options.rounds}: {system.name}")
                async with system.running(self.folder()) as live:
                    await warm_up(live, 1 if self.options.quick else 3)
                    found[system.name].append(await measure(live))
        return found


def medians_of(rounds: dict[str, list[dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """The medians over each system's rounds."""
    return {name: medians(figures) for name, figures in rounds.items()}


async def warm_up(live: Live, seconds: int) -> None:
    """Some load that isn't measured: imports, connections, caches."""
    measurement = await live.begin()
    load = await flood(measurement.target, live.directory, seconds)
    load.check_clean()
    await measurement.settle()
