"""What a task's function may say while it runs. Owns: its methods and when they raise `Cancelled`. Must not know gRPC.

Every method is safe in any thread. What is said goes through `Line`, one message at a time; a `Line` that is full makes
the function wait instead of growing.
"""

import asyncio
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from trawl_sdk import values
from trawl_sdk.errors import Cancelled

Json = Any
LEVELS = ("debug", "info", "warn", "error")
MAX_MESSAGE_CHARACTERS = 8_000


class Line(Protocol):
    """The way to whoever supervises the run."""

    def send(self, message: Mapping[str, Json]) -> None:
        """Hand over a message. May block for a moment."""

    def ask(self, message: Mapping[str, Json]) -> None:
        """Hand over a message, and wait until it was acted upon."""


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What is known of a run when it starts."""

    run_id: int
    task_name: str
    # 1 for the first.
    attempt: int
    params: Mapping[str, Json]
    # What an earlier attempt saved, or None.
    checkpoint: Json = None


class _Speaking:
    """What both contexts share."""

    def __init__(self, facts: RunFacts, line: Line) -> None:
        self._facts, self._line = facts, line
        self._cancelled = threading.Event()

    @property
    def run_id(self) -> int:
        """The run's number."""
        return self._facts.run_id

    @property
    def task_name(self) -> str:
        """The task's name."""
        return self._facts.task_name

    @property
    def attempt(self) -> int:
        """1 for the first attempt."""
        return self._facts.attempt

    @property
    def params(self) -> Mapping[str, Json]:
        """The run's parameters."""
        return self._facts.params

    @property
    def cancelled(self) -> bool:
        """Whether the run shall stop."""
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """For the supervisor: from now on every method raises `Cancelled`."""
        self._cancelled.set()

    def _go_on(self) -> None:
        if self._cancelled.is_set():
            raise Cancelled

    def log(self, message: object, *, level: str = "info", **data: Json) -> None:
        """Add a line to the run's log; `data` is kept with it as JSON."""
        self._go_on()
        if level not in LEVELS:
            raise ValueError(f"level must be one of {', '.join(LEVELS)}, not {level!r}")
        shown = values.text(message)[:MAX_MESSAGE_CHARACTERS]
        self._line.send({"say": "log", "level": level, "message": shown, "data": values.shown(data)})

    def progress(self, done: int, total: int = 0, step: str = "") -> None:
        """Say how far the run is; `total` 0: nobody knows. `step` is what is being done now."""
        self._go_on()
        counts = {"done": _count(done), "total": _count(total)}
        self._line.send({"say": "progress", **counts, "step": values.text(step)})

    def _item(self, item: Mapping[str, Json], key: str | None, data_type: str) -> Mapping[str, Json]:
        self._go_on()
        if not isinstance(item, Mapping):
            raise TypeError("an item is a dict")
        data = dict(item)
        values.encoded(data, "the item" if key is None else f"item {key!r}")
        if key is not None:
            values.encoded(key, "the item's key")
        return {"say": "item", "data": data, "key": key, "type": values.text(data_type)}


def _count(value: int) -> int:
    """Within what a report holds."""
    return max(values.MIN_INTEGER, min(int(value), values.MAX_INTEGER))


class Checkpoint:
    """`ctx.checkpoint(state)` keeps where the next attempt should go on; `ctx.checkpoint.state` is what an earlier one
    kept, None in a first attempt. Every item that was emitted before is stored first.
    """

    def __init__(self, speaking: "Context", state: Json) -> None:
        self._speaking, self.state = speaking, state

    def __call__(self, state: Json) -> None:
        """Keep `state` (JSON); returns once it is stored."""
        self._speaking._save(state)  # noqa: SLF001 - the two are one


class Context(_Speaking):
    """The context of a plain function."""

    def __init__(self, facts: RunFacts, line: Line) -> None:
        super().__init__(facts, line)
        self.checkpoint = Checkpoint(self, facts.checkpoint)

    def emit(self, item: Mapping[str, Json], *, key: str | None = None, data_type: str = "item") -> None:
        """Store a result item. One with a `key` is stored once whatever the number of attempts. Raises ValueError that
        names what JSON can't hold.
        """
        self._line.send(self._item(item, key, data_type))

    def sleep(self, seconds: float) -> None:
        """Wait; raises `Cancelled` at once when the run shall stop."""
        self._cancelled.wait(seconds)
        self._go_on()

    def _save(self, state: Json) -> None:
        self._go_on()
        values.encoded(state, "the checkpoint")
        self._line.ask({"say": "checkpoint", "state": state})


class AsyncCheckpoint:
    """`await ctx.checkpoint(state)`, and `ctx.checkpoint.state`, as with `Checkpoint`."""

    def __init__(self, speaking: "AsyncContext", state: Json) -> None:
        self._speaking, self.state = speaking, state

    async def __call__(self, state: Json) -> None:
        """Keep `state` (JSON); returns once it is stored."""
        await self._speaking._save(state)  # noqa: SLF001 - the two are one


class AsyncContext(_Speaking):
    """The context of an `async` function, which is cancelled as any asyncio task is."""

    def __init__(self, facts: RunFacts, line: Line) -> None:
        super().__init__(facts, line)
        self.checkpoint = AsyncCheckpoint(self, facts.checkpoint)

    async def emit(self, item: Mapping[str, Json], *, key: str | None = None, data_type: str = "item") -> None:
        """Store a result item. One with a `key` is stored once whatever the number of attempts. Raises ValueError that
        names what JSON can't hold.
        """
        await asyncio.to_thread(self._line.send, self._item(item, key, data_type))

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)

    async def _save(self, state: Json) -> None:
        self._go_on()
        values.encoded(state, "the checkpoint")
        await asyncio.to_thread(self._line.ask, {"say": "checkpoint", "state": state})
