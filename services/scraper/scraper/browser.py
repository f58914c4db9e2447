"""The browser pool. Owns: one Chromium that serves all runs, a fresh context for each, and the end of both.

Nothing runs until a run needs it, and nothing after some idle minutes. A lease is what a run holds; the supervisor can
end it without the run's help. A Chromium that died fails the runs in it with BROWSER_CRASHED, the next run gets a new
one. Must not know steps, executors or pages' contents.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from chassis.logs import get_logger
from playwright.async_api import Error as PlaywrightError

from scraper.addresses import AddressGuard
from scraper.browser_chromium import Chromium, PoolSettings, browser_crashed, first_line, launch, new_context
from scraper.browser_lease import BrowserLease
from scraper.browser_options import BrowserOptions
from scraper.browser_watch import LOOK_SECONDS, BrowserWatch
from scraper.browser_windows import Log
from scraper.egress import EgressProxy
from scraper.executor import ExecutorError, Guarded, Json

log = get_logger("browser")

CONTEXT_SECONDS = 15
# Measured, and counted as `group_memory_bytes` does: a browser, and each context with one page.
BROWSER_BYTES, CONTEXT_BYTES = 200 * 2**20, 60 * 2**20
# Memory may come free without anybody's saying so.
ROOM_SECONDS = 2.0


def _unsaid(level: str, message: str, **data: object) -> None:
    """For leases without a run."""


class BrowserPool:
    """Hands out leases. `address_guard` judges each address that a page wants to connect to."""

    def __init__(self, settings: PoolSettings, address_guard: AddressGuard) -> None:
        self._settings, self._address_guard = settings, address_guard
        self._slots = asyncio.Semaphore(settings.slots)
        self._current: Chromium | None = None
        self._retired: set[Chromium] = set()
        self._launching: asyncio.Task[Chromium] | None = None
        self._idle: asyncio.TimerHandle | None = None
        # Who waits for memory, and what tells them that there may be some; contexts that are on their way.
        self._entrance, self._freed, self._opening = asyncio.Lock(), asyncio.Event(), 0
        self._work: set[asyncio.Task[Any]] = set()
        self._watch = BrowserWatch(settings.memory_bytes)
        self._watching: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def process_id(self) -> int | None:
        """The running Chromium's process (and process group), None while there is none."""
        return self._current.pid if self._current and not self._current.dead else None

    @asynccontextmanager
    async def lease(
        self,
        options: BrowserOptions,
        guard: Callable[[Guarded], None],
        storage_state: Json = None,
        *,
        way_out: EgressProxy | None = None,
        log: Log = _unsaid,
    ) -> AsyncIterator[BrowserLease]:
        """A fresh context, waited for while all slots or all memory are taken. `guard` and `log` are those of the run's
        `RunContext`.

        `way_out`: what this context goes through, in the care of the caller; without one the context gets its own.
        """
        async with AsyncExitStack() as stack:
            if way_out is None:
                way_out = EgressProxy(self._address_guard)
                stack.push_async_callback(way_out.close)
            lease = await self._wait_for(lambda: self._open(options, storage_state, way_out, log))
            try:
                guard(lease)
                yield lease
            finally:
                lease.windows.report()
                await lease.close()

    async def _wait_for(self, open_lease: Callable[[], Awaitable[BrowserLease]]) -> BrowserLease:
        await self._slots.acquire()
        try:
            await self._room()
            self._opening += 1
            try:
                return await open_lease()
            finally:
                self._opening -= 1
        except BaseException:
            self._slots.release()
            self._watch_idle()
            raise

    async def close(self) -> None:
        """End everything; no lease can be had after."""
        self._closed = True
        if self._idle:
            self._idle.cancel()
        if self._launching:
            await asyncio.wait({self._launching})
        if self._watching:
            self._watching.cancel()
        every = self._browsers()
        await asyncio.gather(*(lease.close() for chromium in every for lease in list(chromium.leases)))
        self._current = None
        self._retired.clear()
        await asyncio.gather(*(chromium.close() for chromium in every))
        if self._work:
            await asyncio.wait(self._work)

    async def _room(self) -> None:
        """Wait until the browsers leave memory for one more context. One is always let in."""
        async with self._entrance:
            waited = False
            while not await self._has_room():
                if not waited:
                    log.warning("a run waits for the browsers' memory", limit_bytes=self._settings.memory_bytes)
                waited = True
                self._freed.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(ROOM_SECONDS):
                        await self._freed.wait()

    def _browsers(self) -> list[Chromium]:
        return [*self._retired, *([self._current] if self._current else [])]

    async def _keep_watch(self) -> None:
        """As long as there are contexts."""
        try:
            while any(one.leases for one in self._browsers()):
                await asyncio.sleep(LOOK_SECONDS)
                await self._watch.look(self._browsers())
        finally:
            self._watching = None

    async def _has_room(self) -> bool:
        limit = self._settings.memory_bytes
        browsers = self._browsers()
        contexts = sum(len(one.leases) for one in browsers) + self._opening
        if limit is None or contexts == 0:
            return True
        # A context that has just been opened takes its memory later.
        if BROWSER_BYTES + (contexts + 1) * CONTEXT_BYTES > limit:
            return False
        used = await asyncio.to_thread(lambda: sum(one.memory_bytes() for one in browsers))
        return used + (self._opening + 1) * CONTEXT_BYTES <= limit

    async def _open(
        self, options: BrowserOptions, storage_state: Json, way_out: EgressProxy, log_line: Log
    ) -> BrowserLease:
        proxy = await way_out.start()
        for attempt in (1, 2):
            chromium = await self._chromium()
            chromium.runs += 1
            try:
                async with asyncio.timeout(CONTEXT_SECONDS):
                    context = await new_context(chromium, options, storage_state, proxy)
            except (PlaywrightError, TimeoutError) as error:
                # It may have died while nobody looked. Twice in a row is worth the run's attempt.
                if await chromium.responds():
                    raise ExecutorError(f"no browser context: {first_line(error)}", code="BROWSER_FAILED") from error
                self._discard(chromium)
                if attempt == 2:
                    raise browser_crashed() from error
                continue
            lease = BrowserLease(chromium, context, self._released, way_out, log_line)
            chromium.leases.add(lease)
            if self._watching is None:
                self._watching = asyncio.create_task(self._keep_watch(), name="browser watch")
            return lease
        raise AssertionError("unreachable")

    async def _chromium(self) -> Chromium:
        if self._closed:
            raise ExecutorError("the worker is stopping", code="WORKER_STOPPING")
        if self._idle:
            self._idle.cancel()
            self._idle = None
        if self._current and self._current.dead:
            self._discard(self._current)
        if self._current:
            return self._current
        if self._launching is None:
            self._launching = asyncio.create_task(self._launch(), name="browser launch")
            # Every run that waits may be cancelled: then nobody is left to look at a failure.
            self._launching.add_done_callback(lambda task: task.cancelled() or task.exception())
        # Shielded: a cancelled run must not take the launch from the others that wait for it.
        return await asyncio.shield(self._launching)

    async def _launch(self) -> Chromium:
        try:
            self._current = await launch(self._settings)
        finally:
            self._launching = None
        self._watch_idle()
        return self._current

    def _released(self, lease: BrowserLease) -> None:
        chromium = lease.chromium
        chromium.leases.discard(lease)
        self._slots.release()
        self._freed.set()
        if chromium.dead:
            self._discard(chromium)
        elif chromium in self._retired:
            if not chromium.leases:
                self._retired.discard(chromium)
                self._spawn(chromium.close())
        elif self._worn(chromium):
            self._retire(chromium)
        self._watch_idle()

    def _worn(self, chromium: Chromium) -> bool:
        if chromium.runs >= self._settings.recycle_runs:
            return True
        if chromium.age_seconds() >= self._settings.recycle_seconds:
            return True
        # What its contexts take now goes with them.
        return chromium.memory_bytes() - len(chromium.leases) * CONTEXT_BYTES > self._settings.recycle_bytes

    def _retire(self, chromium: Chromium) -> None:
        """Give new runs a new browser; this one ends with its last run. One at a time, which bounds the memory."""
        if chromium.leases and self._retired:
            return
        if self._current is chromium:
            self._current = None
        if chromium.leases:
            self._retired.add(chromium)
        else:
            self._spawn(chromium.close())

    def _discard(self, chromium: Chromium) -> None:
        """Forget a dead browser and clear up after it, once."""
        known = self._current is chromium or chromium in self._retired
        if self._current is chromium:
            self._current = None
        self._retired.discard(chromium)
        if known:
            log.warning("a browser died", pid=chromium.pid, runs=chromium.runs)
            self._spawn(chromium.close())

    def _watch_idle(self) -> None:
        if self._idle:
            self._idle.cancel()
            self._idle = None
        if self._current and not self._current.leases and not self._closed:
            self._idle = asyncio.get_running_loop().call_later(self._settings.idle_seconds, self._idled)

    def _idled(self) -> None:
        self._idle = None
        if self._current and not self._current.leases:
            chromium, self._current = self._current, None
            self._spawn(chromium.close())

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)


__all__ = ["BrowserPool", "PoolSettings"]
