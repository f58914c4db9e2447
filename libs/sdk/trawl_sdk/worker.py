"""The worker process: registers the functions, takes runs, supervises them, leaves in order. Owns the loops.

The author's code never runs here but in child processes, so that heartbeats, time limits and aborts depend on nobody.
"""

import asyncio
import contextlib
import logging
import secrets
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from chassis.errors import NotFound, TrawlError, Unavailable
from chassis.grpc_client import Backoff
from trawl.scheduler.v1 import lease_pb2
from wire.subjects import OUTSIDE_SESSION

from trawl_sdk.attempt import Attempt, Stop
from trawl_sdk.fleet import HEARTBEAT_MS, Fleet, Identity, Targets
from trawl_sdk.process import Pool

log = logging.getLogger("trawl.worker")
RENEW_SECONDS = 1.0
RETRY_SECONDS = 1.0
# After the heartbeats have failed for the first time; from then on longer and longer, up to their interval.
FIRST_PAUSE_SECONDS = 0.1
LEAVE_SECONDS = 1.5
LOOK_SECONDS = 0.5
# How long runs that are told to stop may take to be given back; and when nobody is there to take them.
GIVE_BACK_SECONDS, LOST_SECONDS = 10.0, 1.0


@dataclass(frozen=True, slots=True)
class Options:
    """How a worker works. `slots`: runs at once; `drain_seconds`: how long they may go on after the order to stop."""

    target: str
    slots: int = 4
    drain_seconds: float = 30.0
    worker_id: str = ""


class Worker:
    """One worker process."""

    def __init__(self, options: Options, look: Callable[[], Targets]) -> None:
        """`look` answers where the services are; it is asked again and again."""
        self._options, self._fleet = options, Fleet(look)
        self._pool = Pool(options.target)
        self._identity = Identity(options.worker_id, OUTSIDE_SESSION + secrets.token_hex(12), options.slots, ())
        self._attempts: dict[int, Attempt] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._freed = asyncio.Event()
        self._active = asyncio.Event()
        self._stopping, self._hurried = asyncio.Event(), asyncio.Event()
        self._registered = self._lost = False

    async def run(self) -> None:
        """Until SIGTERM or SIGINT. Raises `Unusable` for a module that can't be loaded, `NameTaken`."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop)
        stopping = asyncio.create_task(self._stopping.wait())
        preparing = asyncio.create_task(self._prepare())
        loops: list[asyncio.Task[Any]] = [asyncio.create_task(self._look_for_services())]
        try:
            await asyncio.wait({*loops, preparing, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not preparing.done():
                return  # whatever it waits for
            preparing.result()
            loops += [asyncio.create_task(work) for work in (self._heartbeats(), self._renewals(), self._take_runs())]
            done, _ = await asyncio.wait({*loops, stopping}, return_when=asyncio.FIRST_COMPLETED)
            for ended in done - {stopping}:
                ended.result()  # a loop that ends has failed
            await self._drain(loops[-1])
        finally:
            ending = [preparing, stopping, *loops, *self._tasks]
            for task in ending:
                task.cancel()
            await asyncio.gather(*ending, return_exceptions=True)
            await asyncio.gather(self._leave(), self._pool.close())
            await self._fleet.close()

    def _stop(self) -> None:
        """A signal: the first one ends the worker in order, another one at once."""
        if self._stopping.is_set():
            self._hurried.set()
        self._stopping.set()

    async def _look_for_services(self) -> None:
        """They may be started later, or anew and elsewhere."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if await self._fleet.look_again():
                log.info("the services are elsewhere now: %s", self._fleet.targets)

    async def _prepare(self) -> None:
        child = await self._pool.take()
        self._pool.give_back(child)
        queues = tuple(definition["queue"] for definition in child.tasks)
        self._identity = replace(self._identity, queues=queues)
        for definition in child.tasks:
            await self._until_answered(lambda definition=definition: self._fleet.define(definition))
        await self._register()
        names = ", ".join(definition["name"] for definition in child.tasks)
        log.info("worker %s takes runs of: %s", self._identity.worker_id, names)

    async def _until_answered(self, call: Any) -> Any:
        waiting = False
        while True:
            try:
                return await call()
            except TrawlError as error:
                if error.kind not in ("unavailable", "deadline_exceeded", "exhausted"):
                    raise
                if not waiting:
                    log.warning("waiting for the services (%s): %s", self._fleet.targets, error.message)
                waiting = True
                await asyncio.sleep(RETRY_SECONDS)

    async def _register(self) -> None:
        worker_id = await self._until_answered(lambda: self._fleet.register(self._identity))
        self._identity = replace(self._identity, worker_id=worker_id)
        self._registered = True
        self._active.set()

    async def _heartbeats(self) -> None:
        backoff = Backoff(FIRST_PAUSE_SECONDS, HEARTBEAT_MS / 1000)
        while True:
            try:
                await self._be_heard(backoff)
            except TrawlError as error:
                if not self._lost:
                    log.warning("lost the services (%s): %s; trying again", self._fleet.targets, error.message)
                self._lost = True
                log.debug("not heard: %s", error.message)
                await asyncio.sleep(backoff.failed())
            else:
                await self._register()

    async def _be_heard(self, backoff: Backoff) -> None:
        """Until the registry knows this worker no more. Raises a `TrawlError` when the stream ends otherwise."""
        identity = self._identity
        statuses = self._fleet.heartbeats(identity.worker_id, identity.session, lambda: list(self._attempts))
        async with contextlib.aclosing(statuses):
            async for status in statuses:
                backoff.succeeded()
                if self._lost:
                    log.info("the services are back (%s)", self._fleet.targets)
                self._lost = False
                if not status:
                    return
                if status == "active":
                    self._active.set()
                elif self._active.is_set():
                    log.info("asked to be %s: taking no more runs", status)
                    self._active.clear()
        raise Unavailable("the worker registry has hung up", dependency="worker-registry")

    async def _renewals(self) -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            if not self._attempts:
                continue
            try:
                abort, lost = await self._fleet.renew(self._identity.worker_id, list(self._attempts))
            except TrawlError as error:
                log.debug("not renewed: %s", error.message)
                continue
            for run_id, why in [(run_id, Stop.ABORT) for run_id in abort] + [(run_id, Stop.LOST) for run_id in lost]:
                if run_id in self._attempts:
                    self._attempts[run_id].stop(why)

    async def _take_runs(self) -> None:
        while True:
            await self._active.wait()
            self._freed.clear()
            free = self._options.slots - len(self._attempts)
            if free <= 0:
                await self._freed.wait()
                continue
            try:
                leased = await self._fleet.lease(self._identity, free)
            except NotFound:
                await self._register()
                continue
            except TrawlError as error:
                log.debug("no lease: %s", error.message)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            for one in leased:
                self._begin(one)

    def _begin(self, leased: lease_pb2.LeasedRun) -> None:
        attempt = Attempt(leased, self._fleet, self._pool)
        self._attempts[attempt.run_id] = attempt
        log.info("run %d of %s, attempt %d", attempt.run_id, leased.spec.task_name, leased.attempt)
        task = asyncio.create_task(attempt.run())
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._ended(attempt, done))

    def _ended(self, attempt: Attempt, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if self._attempts.get(attempt.run_id) is attempt:
            del self._attempts[attempt.run_id]
        self._freed.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            # A defect: the lease runs out, and the run is done elsewhere.
            log.error("run %d was given up", attempt.run_id, exc_info=error)

    async def _drain(self, taking: "asyncio.Task[Any]") -> None:
        """Take nothing new, let what runs end, give back what doesn't."""
        taking.cancel()
        await asyncio.gather(taking, return_exceptions=True)
        if self._tasks and not self._lost:
            seconds = self._options.drain_seconds
            log.info("stopping: %d runs may go on for %g s; a further signal stops them", len(self._tasks), seconds)
            waits = [asyncio.create_task(self._hurried.wait()), asyncio.create_task(_ends_of(self._tasks))]
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
        for attempt in self._attempts.values():
            attempt.stop(Stop.DRAIN)
        if self._tasks:
            # Without the services there is nobody to give a run back to.
            await asyncio.wait(self._tasks, timeout=LOST_SECONDS if self._lost else GIVE_BACK_SECONDS)

    async def _leave(self) -> None:
        if self._registered and not self._lost:
            with contextlib.suppress(TrawlError, TimeoutError):
                async with asyncio.timeout(LEAVE_SECONDS):
                    await self._fleet.leave(self._identity.worker_id, self._identity.session)


async def _ends_of(tasks: Iterable["asyncio.Task[None]"]) -> bool:
    """Wait for all of them, whatever comes of them."""
    await asyncio.wait(tasks)
    return True
