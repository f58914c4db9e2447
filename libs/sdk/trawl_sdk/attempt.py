"""One attempt of one run in a child process. Owns: its time limit, its stop, and the order of what is reported.

Items are stored before the checkpoint that follows them, logs and items before the end. A message of the child is taken
only when there is room for it, so that a store that is slow slows the function and grows nothing.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Any, TypeVar

import orjson
from chassis.clock import now_ms
from chassis.errors import Conflict, InvalidInput, NotFound, TrawlError
from trawl.scheduler.v1 import lease_pb2, runs_pb2
from trawl.scraper.v1 import results_pb2

from trawl_sdk.fleet import Fleet
from trawl_sdk.process import ChildProcess, Ended, Pool, Unusable

Json = Any
T = TypeVar("T")
REPORT_SECONDS = 0.3
MAX_LINES = 500
MAX_ITEMS = 200
RETRY_SECONDS = 0.5
# How long a function may take to end by itself when it is told to stop.
GRACE_SECONDS = 3.0


class Stop(StrEnum):
    """Why an attempt is stopped from outside."""

    ABORT = "abort"
    TIMEOUT = "timeout"
    # Somebody else has the run: say nothing more of it.
    LOST = "lost"
    # The worker ends: the run goes back unharmed.
    DRAIN = "drain"
    # An item can't be stored.
    INVALID = "invalid"


class LeaseLost(Exception):
    """The run is not ours any more."""


class Attempt:
    """`run` returns when the attempt is over and said to be; `stop` may be called at any time."""

    def __init__(self, leased: lease_pb2.LeasedRun, fleet: Fleet, pool: Pool) -> None:
        self.run_id, self.token = leased.spec.run_id, leased.token
        self._leased, self._fleet, self._pool = leased, fleet, pool
        self._stop: Stop | None = None
        self._stopping = asyncio.Event()
        self._stopped_ms = 0
        self._receipt: runs_pb2.StopReceipt | None = None
        self._lines: list[runs_pb2.LogLine] = []
        self._items: list[results_pb2.NewItem] = []
        self._progress: tuple[int, int, str] | None = None
        self._start_position = self._position = 0
        self._flushing = asyncio.Lock()
        self._invalid = ""

    def stop(self, why: Stop) -> None:
        """Stop it. The first reason stays, but a lost run is lost whatever came before."""
        if self._stop is None or why is Stop.LOST:
            self._stop = why
            self._stopped_ms = self._stopped_ms or now_ms()
        self._stopping.set()

    async def run(self) -> None:
        """Do it, and say how it ended. Never raises for what the function does."""
        try:
            await self._do()
        except LeaseLost:
            return
        except Unusable as error:
            await self._quietly(self._fail(f"the worker can't load its tasks: {error}"[:4_000], "UNUSABLE_WORKER"))

    async def _do(self) -> None:
        spec = self._leased.spec
        params = await self._until_answered(lambda: self._fleet.parameters(spec))
        # Also a first attempt may have a forerunner: one that was given back, which counts for nothing.
        checkpoint, self._start_position = await self._until_answered(lambda: self._fleet.checkpoint(self.run_id))
        self._position = self._start_position
        child = await self._child()
        if child is None:
            await self._conclude({"outcome": "not begun"})
            return
        reporting = asyncio.create_task(self._report_for_ever())
        timer = asyncio.get_running_loop().call_later(spec.timeout_ms / 1000, self.stop, Stop.TIMEOUT)
        try:
            child.send(
                {"do": "run", "task": spec.task_name, "run_id": self.run_id, "attempt": self._leased.attempt,
                 "params": params, "checkpoint": checkpoint}
            )  # fmt: skip
            end = await self._supervise(child)
        finally:
            timer.cancel()
            reporting.cancel()
            await asyncio.gather(reporting, return_exceptions=True)
        await self._conclude(end)

    async def _child(self) -> ChildProcess | None:
        """One to do it; None when it shall stop before there is one: loading a module may take long."""
        taking = asyncio.create_task(self._pool.take())
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({taking, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if taking.done():
                return taking.result()
        finally:
            stopping.cancel()
            taking.cancel()
            await asyncio.gather(taking, stopping, return_exceptions=True)
        if not taking.cancelled() and taking.exception() is None:
            self._pool.give_back(taking.result())
        return None

    async def _supervise(self, child: ChildProcess) -> dict[str, Json]:
        """How the function ended; afterwards the child is idle, or nothing of it is left."""
        listening = asyncio.create_task(self._listen(child))
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({listening, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not listening.done():
                child.send({"do": "cancel", "run_id": self.run_id, "attempt": self._leased.attempt})
                await asyncio.wait({listening}, timeout=GRACE_SECONDS)
            end = listening.result() if listening.done() else {"outcome": "killed"}
            if self._stop is None and end["outcome"] != "died" and not end["left"]:
                self._pool.give_back(child)
            else:
                # What was told to stop may have left something behind: its child is not used again.
                self._ended(end, await child.end())
        except BaseException:
            await child.end()
            raise
        else:
            return end
        finally:
            listening.cancel()
            stopping.cancel()
            await asyncio.gather(listening, stopping, return_exceptions=True)

    def _ended(self, end: dict[str, Json], how: Ended) -> None:
        """Keep how the child was ended, for the run's owner."""
        # A child whose function has returned in time waits idly: that TERM ends it says nothing of the run.
        stopped_itself = end["outcome"] != "killed" and not how.others and how.how == "term"
        self._receipt = runs_pb2.StopReceipt(
            how="cooperative" if stopped_itself else how.how, leftovers_killed=how.others,
            requested_ms=self._stopped_ms, delivered_ms=self._stopped_ms, stopped_ms=now_ms(),
        )  # fmt: skip
        if how.others:
            which = "1 process" if how.others == 1 else f"{how.others} processes"
            message = f"ended with the function: {which} that it had started"
            self._lines.append(runs_pb2.LogLine(time_ms=now_ms(), level="warn", message=message))

    async def _listen(self, child: ChildProcess) -> dict[str, Json]:
        async for message in child.messages():
            match message["say"]:
                case "log":
                    await self._add_line(message)
                case "progress":
                    self._progress = (message["done"], message["total"], message["step"][:200])
                case "item":
                    await self._add_item(message)
                case "checkpoint":
                    refusal = await self._save(message["state"])
                    child.send({"do": "answer", "number": message["number"], "refusal": refusal})
                case "end":
                    return message
        return {"outcome": "died"}

    async def _add_line(self, message: dict[str, Json]) -> None:
        data = message["data"]
        self._lines.append(
            runs_pb2.LogLine(
                time_ms=now_ms(), level=message["level"], message=message["message"],
                data_json=orjson.dumps(data) if data else b"",
            )
        )  # fmt: skip
        if len(self._lines) >= MAX_LINES:
            await self._flush()

    async def _add_item(self, message: dict[str, Json]) -> None:
        self._items.append(
            results_pb2.NewItem(
                key=message["key"] or "", position=self._position, data_type=message["type"][:64],
                data_json=orjson.dumps(message["data"]), metadata_json=b"{}",
            )
        )  # fmt: skip
        self._position += 1
        if len(self._items) >= MAX_ITEMS:
            await self._flush()

    async def _save(self, state: Json) -> str:
        """Keep a checkpoint; answers why it was refused, or nothing."""
        await self._flush()
        try:
            await self._report(lease_pb2.LeaseReport(run_id=self.run_id, token=self.token))
            await self._until_answered(lambda: self._fleet.save_checkpoint(self.run_id, state, self._position))
        except InvalidInput as error:
            return error.message
        return ""

    async def _report_for_ever(self) -> None:
        while True:
            await asyncio.sleep(REPORT_SECONDS)
            with contextlib.suppress(LeaseLost):
                await self._flush()

    async def _flush(self) -> None:
        """Hand over what has come together."""
        async with self._flushing:
            while self._lines or self._progress is not None:
                lines, self._lines = self._lines[:MAX_LINES], self._lines[MAX_LINES:]
                progress, self._progress = self._progress, None
                done, total, step = progress or (0, 0, "")
                await self._report(
                    lease_pb2.LeaseReport(
                        run_id=self.run_id, token=self.token, logs=lines, has_progress=progress is not None,
                        progress_done=done, progress_total=total, step=step,
                    )
                )  # fmt: skip
            while self._items:
                items, self._items = self._items[:MAX_ITEMS], self._items[MAX_ITEMS:]
                count = lease_pb2.LeaseReport(run_id=self.run_id, token=self.token, item_count=len(items))
                state = await self._report(count)
                request = results_pb2.AddItemsRequest(
                    run_id=self.run_id, task_id=state.task_id, attempt=state.attempt, items=items
                )
                await self._store(request)

    async def _store(self, request: results_pb2.AddItemsRequest) -> None:
        try:
            await self._until_answered(lambda: self._fleet.add_items(request))
        except InvalidInput as error:
            self._invalid = error.message
            self.stop(Stop.INVALID)

    async def _report(self, report: lease_pb2.LeaseReport) -> lease_pb2.LeaseState:
        state = await self._until_answered(lambda: self._fleet.report(report))
        if state.abort:
            self.stop(Stop.ABORT)
        return state

    async def _until_answered(self, call: Callable[[], Awaitable[T]]) -> T:
        """The answer, however long it takes. Raises `LeaseLost`, and `InvalidInput` as it comes."""
        while True:
            if self._stop is Stop.LOST:
                raise LeaseLost
            try:
                return await call()
            except (Conflict, NotFound) as error:
                self.stop(Stop.LOST)
                raise LeaseLost from error
            except InvalidInput:
                raise
            except TrawlError:
                await asyncio.sleep(RETRY_SECONDS)

    async def _conclude(self, end: dict[str, Json]) -> None:
        if self._stop is Stop.LOST:
            return
        if end["outcome"] == "completed" and not self._invalid:
            await self._flush()
        if self._invalid:
            await self._fail(self._invalid, "INVALID_ITEM", retryable=False)
        elif end["outcome"] == "completed":
            await self._complete(end["result"])
        elif self._stop is Stop.DRAIN:
            await self._flush()
            await self._until_answered(lambda: self._fleet.give_back(self.run_id, self.token))
        elif self._stop is Stop.ABORT:
            await self._flush()
            await self._end(lease_pb2.LeaseEnd.OUTCOME_ABORTED, message="aborted", code="ABORTED")
        elif self._stop is Stop.TIMEOUT:
            seconds = self._leased.spec.timeout_ms / 1000
            await self._fail(f"timed out after {seconds:g} s", "TIMED_OUT")
        elif end["outcome"] == "failed":
            await self._fail(end["error"], end["code"], retryable=end["retryable"])
        elif end["outcome"] == "cancelled":
            await self._fail("the function raised Cancelled although nobody had cancelled it", "CANCELLED")
        else:
            await self._fail("the process that did the run has died", "PROCESS_DIED")

    async def _complete(self, result: Json) -> None:
        request = results_pb2.AddItemsRequest(
            run_id=self.run_id, task_id=self._leased.spec.task_id, attempt=self._leased.attempt, last=True,
            keep_below=self._start_position,
        )  # fmt: skip
        await self._until_answered(lambda: self._fleet.add_items(request))
        await self._end(lease_pb2.LeaseEnd.OUTCOME_COMPLETED, result=orjson.dumps(result))

    async def _fail(self, message: str, code: str, *, retryable: bool = True) -> None:
        await self._flush()
        await self._end(lease_pb2.LeaseEnd.OUTCOME_FAILED, message=message, code=code, retryable=retryable)

    async def _end(
        self, outcome: "lease_pb2.LeaseEnd.Outcome.ValueType", *, result: bytes = b"", message: str = "",
        code: str = "", retryable: bool = True,
    ) -> None:  # fmt: skip
        end = lease_pb2.LeaseEnd(
            run_id=self.run_id, token=self.token, outcome=outcome, result_json=result, error_message=message,
            error_code=code, retryable=retryable, stop=self._receipt if self._stop is not None else None,
        )  # fmt: skip
        await self._until_answered(lambda: self._fleet.finish(end))

    async def _quietly(self, work: Awaitable[None]) -> None:
        with contextlib.suppress(LeaseLost):
            await work
