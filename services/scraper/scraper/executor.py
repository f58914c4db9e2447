"""What an executor is. Owns: the port between the work loop and the executors. Must not know NATS, gRPC or MongoDB.

An executor does one attempt of one run. It is cancelled (``asyncio.CancelledError``) to stop it: it then has half a
second to clean up. Whatever it starts outside the event loop (a process group, a browser context) it hands to
``context.guard(...)``, so that the supervisor can terminate, kill and prove the end of it without the executor's help.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

Json = Any


@dataclass(frozen=True, slots=True)
class Job:
    """One attempt of one run, as an executor sees it."""

    run_id: int
    task_id: int
    task_name: str
    executor: str
    attempt: int
    command: str = ""
    # None: never given (a shell command is then a shell line).
    arguments: tuple[str, ...] | None = None
    # The task's `metadata.params` overlaid by the trigger's parameters.
    parameters: Mapping[str, Json] = field(default_factory=dict)
    timeout_seconds: float = 3600
    # What an earlier attempt saved with `save_checkpoint`, or None.
    checkpoint: Json = None
    # What the task's runs find is one collection.
    collects: bool = False
    # What its command has between TERM and KILL; None: as the worker is set.
    grace_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """A result item. `key` is its natural key within the run; None = its position, counted from the run's start."""

    data: Mapping[str, Json]
    data_type: str = "item"
    key: str | None = None
    metadata: Mapping[str, Json] = field(default_factory=dict)


class ExecutorError(Exception):
    """The attempt failed, and the message says why in words for the run's owner.

    `code`: a stable upper-case name. `retryable`: whether another attempt could go better.
    """

    def __init__(self, message: str, *, code: str = "EXECUTION_FAILED", retryable: bool = True) -> None:
        super().__init__(message)
        self.message, self.code, self.retryable = message, code, retryable


class Parked(ExecutorError):
    """Not a failure: whatever limits the work (a rate limit, a budget) says to go on at `resume_at_ms` (epoch ms).

    The slot is given back meanwhile, readers see the message and the time, and the next attempt finds the checkpoint.
    It uses up none of the run's retries. `wake` names what it waits for, when somebody says so on `trawl.live.wakes`.
    """

    def __init__(self, message: str, *, resume_at_ms: int, code: str = "RATE_LIMITED", wake: str = "") -> None:
        super().__init__(message, code=code)
        self.resume_at_ms, self.wake = resume_at_ms, wake


class InvalidParameters(ExecutorError):
    """The definition itself is wrong (`field` names where): trying again can't help."""

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(f"{field}: {message}" if field else message, code="INVALID_PARAMETERS", retryable=False)
        self.field = field


class Guarded(Protocol):
    """Something alive outside the event loop that belongs to the attempt."""

    def terminate(self) -> None:
        """Ask it to end (SIGTERM to a process group). Must not block."""

    def kill(self) -> int:
        """End it for good; answers how many processes (or contexts) were still there. Must not block."""

    def alive(self) -> bool:
        """Whether anything of it is left."""

    async def release(self) -> None:
        """Clean up behind it; called once, when nothing of it is left."""


@runtime_checkable
class Graceful(Protocol):
    """What something guarded may offer besides: a time of its own to end in, and an account of its end."""

    grace_seconds: float

    def receipt(self) -> tuple[str, int]:
        """(how: cooperative | term | kill, how many processes did not end by themselves with what was guarded)"""


class RunContext(Protocol):
    """What an attempt may say while it works. All of it is batched; only `emit` and `save_checkpoint` can wait."""

    job: Job

    def log(self, level: str, message: str, **data: Json) -> None:
        """Add a line to the run's log; level debug | info | warn | error."""

    def problem(self, what: str, where: str, message: str, *, example: str = "", count: int = 1) -> None:
        """Count what could not be known or was cut. `what`: a constant of `problems`.

        It stands in the run's result, and the first of each kind is logged as a warning.
        """

    def progress(self, done: int, total: int | None = None, step: str | None = None) -> None:
        """Say how far it is; `step` is what is being done now."""

    async def emit(self, items: Sequence[Item]) -> None:
        """Store result items, each key exactly once whatever the number of attempts. Waits for a slow store."""

    async def save_checkpoint(self, state: Json) -> None:
        """Store where the next attempt should go on; every item emitted before is stored first."""

    def guard(self, what: Guarded) -> None:
        """Hand `what` to the supervisor, which sees to its end when the attempt ends, however it ends."""

    async def save_blob(self, name: str, data: bytes, content_type: str, *, replace: bool = False) -> str:
        """Keep a file with the run; answers the name to fetch it by, which differs where `name` is taken.

        `replace`: there is one such file, the newest.
        """


@runtime_checkable
class KeptFiles(Protocol):
    """What a run context may offer besides: reading what runs have kept."""

    async def read_blob(self, name: str) -> tuple[bytes, str]:
        """A kept file of any run, by the name that `save_blob` answered, and its content type. Raises ExecutorError."""


class Executor(Protocol):
    """Does attempts. One instance serves all runs of a process."""

    name: str

    async def run(self, context: RunContext) -> Json:
        """Do it, and answer the run's `result` (JSON). Raises `ExecutorError`."""

    async def close(self) -> None:
        """Give back what is shared between runs."""
