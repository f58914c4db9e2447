"""One attempt: runs the executor, and sees to its end. Owns timeout, abort, and the proof that nothing is left.

The supervisor stands outside the executor: when an attempt is to stop, the executor gets `COOPERATIVE_SECONDS` to end
by itself; then what it guards gets TERM, then KILL, whatever the executor does. A command has its own grace between
the two (`executor.Graceful`).
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from time import monotonic
from typing import Any

import orjson
from chassis.clock import now_ms
from chassis.errors import Unavailable
from chassis.logs import get_logger
from chassis.telemetry import span

from scraper.executor import Executor, ExecutorError, Graceful, Guarded, Json, Parked
from scraper.run_context import Context

log = get_logger("attempt")
COOPERATIVE_SECONDS = 0.5
TERM_SECONDS = 0.6
KILL_SECONDS = 0.5
# The most that a command has when the run goes on elsewhere: the worker itself is about to end, or has lost the run.
HURRIED_GRACE_SECONDS = 2.0
FIRST_CHECK_SECONDS, LONGEST_CHECK_SECONDS = 0.02, 0.25
MAX_RESULT_BYTES = 1024 * 1024
# From the mildest to the hardest way of being stopped.
HOW = ("cooperative", "term", "kill")


class StopReason(StrEnum):
    """Why an attempt is stopped from outside."""

    ABORT = "abort"
    TIMEOUT = "timeout"
    # Another worker has the run now, or will: say nothing more of it.
    LOST = "lost"
    # This worker is stopping: the run goes back unharmed.
    DRAIN = "drain"


@dataclass(slots=True)
class Stop:
    """How it was stopped; times in epoch ms."""

    reason: StopReason
    requested_ms: int
    delivered_ms: int = field(default_factory=now_ms)
    stopped_ms: int = 0
    # cooperative | term | kill
    how: str = "cooperative"
    leftovers: int = 0


@dataclass(frozen=True, slots=True)
class Ending:
    """How it ended. `outcome`: completed | failed | timed_out | aborted | parked; None: nothing to report."""

    outcome: str | None
    started_ms: int
    ended_ms: int
    result_json: bytes = b""
    error_message: str = ""
    error_code: str = ""
    retryable: bool = True
    stop: Stop | None = None
    # parked: when it may go on.
    resume_at_ms: int = 0
    wake: str = ""


class Attempt:
    """`run` returns how it ended; `stop` may be called at any time from the outside."""

    def __init__(self, executor: Executor, context: Context, *, traceparent: str = "") -> None:
        self.context = context
        self._executor, self._traceparent = executor, traceparent
        self._stop: Stop | None = None
        self._stopped_at = 0.0
        # What was killed of things that give no account of their own.
        self._killed = 0
        self._over: asyncio.Future[None] | None = None
        self._enforcer: asyncio.Task[None] | None = None
        self._task: asyncio.Task[Json] | None = None

    def stop(self, reason: StopReason, requested_ms: int | None = None) -> None:
        """Stop it. The first reason stays, but a lost run stays lost whatever came before."""
        if self._stop is None:
            self._stop = Stop(reason, requested_ms or now_ms())
            self._stopped_at = monotonic()
            if self._task is not None:
                self._enforce_stop(self._task)
        elif reason is StopReason.LOST:
            self._stop.reason = reason

    async def run(self) -> Ending:
        """Do it. Never raises for what the executor does."""
        started = now_ms()
        loop = asyncio.get_running_loop()
        timer = loop.call_later(self.context.job.timeout_seconds, self.stop, StopReason.TIMEOUT)
        self._over = loop.create_future()
        self._task = task = loop.create_task(self._execute())
        task.add_done_callback(self._executed)
        if self._stop is not None:
            self._enforce_stop(task)
        try:
            await self._over
        finally:
            timer.cancel()
            if self._enforcer is not None:
                self._enforcer.cancel()
        if self.context.guarded:
            await self._end_guarded()
        return await self._conclude(task, started)

    def _executed(self, _task: "asyncio.Task[Json]") -> None:
        if self._over is not None and not self._over.done():
            self._over.set_result(None)

    def _enforce_stop(self, task: "asyncio.Task[Json]") -> None:
        task.cancel()
        self._enforcer = asyncio.get_running_loop().create_task(self._enforce(task))

    async def _enforce(self, task: "asyncio.Task[Json]") -> None:
        """An executor that does not come back loses what it guards, and then its say."""
        await asyncio.wait({task}, timeout=COOPERATIVE_SECONDS)
        if not task.done():
            await self._end_guarded()
            await asyncio.wait({task}, timeout=KILL_SECONDS)
        self._executed(task)

    async def _execute(self) -> Json:
        if not self._traceparent:
            return await self._executor.run(self.context)
        job = self.context.job
        with span(f"run {job.executor}", parent=self._traceparent, run_id=job.run_id, attempt=job.attempt):
            return await self._executor.run(self.context)

    async def _end_guarded(self) -> None:
        """TERM what is alive, then KILL it, and count what did not end by itself."""
        guarded = self.context.guarded
        if any(what.alive() for what in guarded):
            await self._end_alive(guarded)
        if self._stop is not None:
            receipts = [what.receipt() for what in guarded if isinstance(what, Graceful)]
            self._stop.how = max([self._stop.how, *(how for how, _ in receipts)], key=HOW.index)
            self._stop.leftovers = self._killed + sum(count for _, count in receipts)
        for what in guarded:
            await what.release()
        guarded.clear()

    async def _end_alive(self, guarded: Sequence[Guarded]) -> None:
        if self._stop is not None:
            self._stop.how = "term"
        for what in guarded:
            what.terminate()
        await self._grace(guarded)
        left = [(what, what.kill()) for what in guarded if what.alive()]
        await _until_dead(guarded, KILL_SECONDS)
        if killed := sum(count for _, count in left):
            self.context.log("warn", f"{killed} processes that would not end were killed")
            if self._stop is not None:
                self._stop.how = "kill"
            self._killed += sum(count for what, count in left if not isinstance(what, Graceful))

    async def _grace(self, guarded: Sequence[Guarded]) -> None:
        """Give what was told to end its time."""
        loop = asyncio.get_running_loop()
        until = loop.time() + TERM_SECONDS
        if self._stop is not None and self._task is not None:
            longest = max((what.grace_seconds for what in guarded if isinstance(what, Graceful)), default=0.0)
            if self._stop.reason in (StopReason.LOST, StopReason.DRAIN):
                longest = min(longest, HURRIED_GRACE_SECONDS)
            # A command's executor ends with it: there is nothing to be looked at meanwhile.
            since = monotonic() - self._stopped_at
            await asyncio.wait({self._task}, timeout=max(0.0, longest - since))
            until = max(until, loop.time() + longest - since)
        await _until_dead(guarded, until - loop.time())

    async def _conclude(self, task: "asyncio.Task[Json]", started: int) -> Ending:
        stop = self._stop
        if stop is not None and (
            stop.reason is StopReason.LOST or (stop.reason is StopReason.DRAIN and not _done(task))
        ):
            _forget(task)
            return Ending(None, started, now_ms(), stop=stop)
        try:
            result = await self._outcome(task)
        except ExecutorError as error:
            result = error
        except Unavailable as error:
            result = ExecutorError(f"results could not be stored: {error.message}", code="STORE_UNAVAILABLE")
        ended = now_ms()
        if stop is not None and not isinstance(result, bytes):
            stop.stopped_ms = ended
            if stop.reason is StopReason.ABORT:
                return Ending("aborted", started, ended, error_message="aborted", error_code="ABORTED", stop=stop)
            seconds = self.context.job.timeout_seconds
            message = f"timed out after {seconds:g} s"
            return Ending("timed_out", started, ended, error_message=message, error_code="TIMED_OUT", stop=stop)
        if isinstance(result, ExecutorError):
            parked = isinstance(result, Parked)
            return Ending(
                "parked" if parked else "failed", started, ended,
                error_message=result.message, error_code=result.code, retryable=result.retryable,
                resume_at_ms=result.resume_at_ms if isinstance(result, Parked) else 0,
                wake=result.wake if isinstance(result, Parked) else "",
            )  # fmt: skip
        return Ending("completed", started, ended, result_json=result)

    async def _outcome(self, task: "asyncio.Task[Any]") -> bytes | ExecutorError:
        """The executor's result as JSON once all items are stored, or why there is none."""
        failure = _failure(task)
        if failure is not None:
            return failure
        encoded = _encode(result := self.context.result(task.result()))
        if isinstance(encoded, bytes):
            await self.context.complete()
            if self.context.problems:
                # The last items may have added some.
                return _encode(self.context.result(result))
        return encoded


def _done(task: "asyncio.Task[Any]") -> bool:
    """Whether it was done all the same when it was to stop: it need not be done again."""
    return task.done() and not task.cancelled() and task.exception() is None


def _failure(task: "asyncio.Task[Any]") -> ExecutorError | None:
    """Why there is no result."""
    if not task.done():
        _forget(task)
        return ExecutorError("the executor did not stop when it was told to", code="UNRESPONSIVE")
    if task.cancelled():
        return ExecutorError("cancelled", code="CANCELLED")
    error = task.exception()
    if isinstance(error, ExecutorError):
        return error
    if error is not None:
        # A defect of an executor must not take the worker with it; the run's owner learns its kind, the log the rest.
        log.error("an executor failed unexpectedly", exc_info=error)
        return ExecutorError(f"internal error of the executor: {type(error).__name__}", code="INTERNAL")
    return None


def _encode(result: Json) -> bytes | ExecutorError:
    try:
        encoded = orjson.dumps(result, option=orjson.OPT_NON_STR_KEYS)
    except TypeError as problem:
        return ExecutorError(f"the result is not JSON: {problem}", code="INVALID_RESULT", retryable=False)
    if len(encoded) > MAX_RESULT_BYTES:
        return ExecutorError(
            f"the result has {len(encoded)} bytes, more than {MAX_RESULT_BYTES}: emit items instead",
            code="RESULT_TOO_LARGE",
            retryable=False,
        )
    return encoded


async def _until_dead(guarded: Sequence[Guarded], seconds: float) -> None:
    """Wait for the end of processes that are no children of the loop: there is nothing to be told by."""
    loop = asyncio.get_running_loop()
    until, pause = loop.time() + seconds, FIRST_CHECK_SECONDS
    while loop.time() < until and any(what.alive() for what in guarded):
        await asyncio.sleep(pause)
        pause = min(LONGEST_CHECK_SECONDS, pause * 1.2)


def _forget(task: "asyncio.Task[Any]") -> None:
    """Leave a task behind without a complaint about its unread exception."""
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
