"""The browser pool. Owns: one Chromium that serves all runs, a fresh context for each, and the end of both.

Nothing runs until a run needs it, and nothing after some idle minutes. A lease is what a run holds; the supervisor can
end it without the run's help. A Chromium that died fails the runs in it with BROWSER_CRASHED, the next run gets a new
one. Must not know steps, executors or pages' contents.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from chassis.logs import get_logger
from playwright.async_api import Browser, BrowserContext, Page, Playwright, Route, async_playwright
from playwright.async_api import Error as PlaywrightError

from scraper.browser_options import BrowserOptions
from scraper.browser_process import (
    ARGUMENTS,
    browser_pid,
    find_chromium,
    group_alive,
    group_memory_bytes,
    is_root,
    kill_group,
    make_profile,
    remove_profile,
)
from scraper.egress import Allowed, EgressProxy
from scraper.executor import ExecutorError, Guarded, Json

log = get_logger("browser")

LAUNCH_SECONDS = 30
CONTEXT_SECONDS = 15
CLOSE_SECONDS = 1.0
# A cancelled run has half a second to clean up; the pool goes on closing after that.
CLOSE_WAIT_SECONDS = 0.4
# Chromium gets no more of this process's environment: that holds keys and addresses.
_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "XDG_RUNTIME_DIR")


def browser_crashed(detail: str = "the browser ended unexpectedly") -> ExecutorError:
    """The attempt lost its browser; another attempt gets a new one."""
    return ExecutorError(detail, code="BROWSER_CRASHED", retryable=True)


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """`marker` names this worker among those that share `work_dir`."""

    work_dir: Path
    marker: str
    slots: int = 2
    executable: str | None = None
    recycle_runs: int = 200
    recycle_bytes: int = 1024**3
    idle_seconds: float = 120
    # None: yes, unless this process is root.
    sandbox: bool | None = None


class _Chromium:
    """One browser process with its driver and profile."""

    def __init__(self, driver: Playwright, root: BrowserContext, browser: Browser, pid: int, profile: Path) -> None:
        self.root, self.browser, self.pid, self.profile = root, browser, pid, profile
        self._driver = driver
        self._driver_pid = psutil.Process(pid).ppid()
        self.leases: set[BrowserLease] = set()
        self.runs = 0
        self.dead = False
        root.on("close", lambda _: self.mark_dead())

    def mark_dead(self) -> None:
        self.dead = True

    async def responds(self) -> bool:
        """Whether driver and browser still answer; settles `dead`."""
        if not self.dead:
            try:
                async with asyncio.timeout(0.5):
                    await self.root.cookies("http://probe.invalid")
            except (PlaywrightError, TimeoutError):
                self.dead = True
            except Exception as error:
                if not is_driver_end(error):
                    raise
                self.dead = True
        return not self.dead

    def kill(self) -> int:
        """End it now."""
        self.dead = True
        return kill_group(self.pid)

    def memory_bytes(self) -> int:
        return group_memory_bytes(self.pid)

    async def close(self) -> None:
        """End browser and driver, by force after a second each, and remove the profile."""
        self.dead = True
        await _within(CLOSE_SECONDS * 2, self.root.close())
        if group_alive(self.pid):
            kill_group(self.pid)
        if not await _within(CLOSE_SECONDS * 2, self._driver.stop()):
            with contextlib.suppress(psutil.NoSuchProcess):
                psutil.Process(self._driver_pid).kill()
        await asyncio.to_thread(remove_profile, self.profile)


def is_driver_end(error: Exception) -> bool:
    """Playwright reports the end of its driver as a bare Exception, known by its text only."""
    return type(error) is Exception and "Connection closed" in str(error)


async def _within(seconds: float, work: Any) -> bool:
    """Await something of Playwright that may fail or hang because its other side is gone."""
    try:
        async with asyncio.timeout(seconds):
            await work
    except (PlaywrightError, TimeoutError):
        return False
    except Exception as error:
        if not is_driver_end(error):
            raise
        return False
    return True


class BrowserLease:
    """A run's own context. `Guarded`: the supervisor may end it at any time."""

    def __init__(
        self,
        chromium: _Chromium,
        context: BrowserContext,
        release: "Callable[[BrowserLease], None]",
        why: Callable[[str], str | None],
    ) -> None:
        self.context = context
        self.page_crashed = False
        self._chromium = chromium
        self._release = release
        # Why no connection to a host was made: see `EgressProxy.why`.
        self.why = why
        self._closing: asyncio.Task[None] | None = None
        self._ended = False
        context.on("page", self._watch)

    def _watch(self, page: Page) -> None:
        page.on("crash", self._crashed)

    def _crashed(self, _page: Page) -> None:
        self.page_crashed = True

    async def crashed(self) -> bool:
        """Whether the browser under this run is gone, rather than the page closed by itself."""
        return self.page_crashed or not await self._chromium.responds()

    def terminate(self) -> None:
        """Start closing the context."""
        self._close()

    def kill(self) -> int:
        """Close the context; a close that hangs for a second ends the whole browser."""
        if self._ended:
            return 0
        self._close()
        return 1

    def alive(self) -> bool:
        """Whether the context may still be open."""
        return not self._ended

    async def release(self) -> None:
        """Nothing is left to clean up: the context has no files."""

    async def close(self) -> None:
        """Close the context; comes back within half a second even when that takes longer."""
        await asyncio.wait({self._close()}, timeout=CLOSE_WAIT_SECONDS)

    def _close(self) -> "asyncio.Task[None]":
        if self._closing is None:
            self._closing = asyncio.create_task(self._end(), name="browser context close")
        return self._closing

    async def _end(self) -> None:
        try:
            if not await _within(CLOSE_SECONDS, self.context.close()) and not self._chromium.dead:
                log.warning("a browser context would not close, so its browser is ended", pid=self._chromium.pid)
                self._chromium.kill()
        finally:
            self._ended = True
            self._release(self)


class BrowserPool:
    """Hands out leases. `allowed` judges each address that a page wants to connect to."""

    def __init__(self, settings: PoolSettings, allowed: Allowed) -> None:
        self._settings = settings
        self._proxy = EgressProxy(allowed)
        self._slots = asyncio.Semaphore(settings.slots)
        self._current: _Chromium | None = None
        self._retired: set[_Chromium] = set()
        self._launching: asyncio.Task[_Chromium] | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._work: set[asyncio.Task[Any]] = set()
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
    ) -> AsyncIterator[BrowserLease]:
        """A fresh context, waited for while all slots are taken. `guard` is the run's `RunContext.guard`.

        `way_out`: a started proxy that this context goes through instead of the pool's own.
        """
        await self._slots.acquire()
        try:
            lease = await self._open(options, storage_state, way_out)
        except BaseException:
            self._slots.release()
            self._watch_idle()
            raise
        try:
            guard(lease)
            yield lease
        finally:
            await lease.close()

    async def close(self) -> None:
        """End everything; no lease can be had after."""
        self._closed = True
        if self._idle:
            self._idle.cancel()
        if self._launching:
            await asyncio.wait({self._launching})
        every = [*self._retired, *([self._current] if self._current else [])]
        await asyncio.gather(*(lease.close() for chromium in every for lease in list(chromium.leases)))
        self._current = None
        self._retired.clear()
        await asyncio.gather(*(chromium.close() for chromium in every))
        if self._work:
            await asyncio.wait(self._work)
        await self._proxy.close()

    async def _open(self, options: BrowserOptions, storage_state: Json, way_out: EgressProxy | None) -> BrowserLease:
        proxy = await way_out.start() if way_out else None
        for attempt in (1, 2):
            chromium = await self._chromium()
            chromium.runs += 1
            try:
                async with asyncio.timeout(CONTEXT_SECONDS):
                    context = await _new_context(chromium, options, storage_state, proxy)
            except (PlaywrightError, TimeoutError) as error:
                # It may have died while nobody looked. Twice in a row is worth the run's attempt.
                if await chromium.responds():
                    raise ExecutorError(f"no browser context: {_first_line(error)}", code="BROWSER_FAILED") from error
                self._discard(chromium)
                if attempt == 2:
                    raise browser_crashed() from error
                continue
            lease = BrowserLease(chromium, context, self._released, (way_out or self._proxy).why)
            chromium.leases.add(lease)
            return lease
        raise AssertionError("unreachable")

    async def _chromium(self) -> _Chromium:
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

    async def _launch(self) -> _Chromium:
        try:
            self._current = await _launch(self._settings, await self._proxy.start())
        finally:
            self._launching = None
        self._watch_idle()
        return self._current

    def _released(self, lease: BrowserLease) -> None:
        chromium = lease._chromium  # noqa: SLF001  the two are one unit
        chromium.leases.discard(lease)
        self._slots.release()
        if chromium.dead:
            self._discard(chromium)
        elif chromium in self._retired:
            if not chromium.leases:
                self._retired.discard(chromium)
                self._spawn(chromium.close())
        elif self._worn(chromium):
            self._retire(chromium)
        self._watch_idle()

    def _worn(self, chromium: _Chromium) -> bool:
        if chromium.runs >= self._settings.recycle_runs:
            return True
        return chromium.memory_bytes() > self._settings.recycle_bytes

    def _retire(self, chromium: _Chromium) -> None:
        """Give new runs a new browser; this one ends with its last run. One at a time, which bounds the memory."""
        if chromium.leases and self._retired:
            return
        if self._current is chromium:
            self._current = None
        if chromium.leases:
            self._retired.add(chromium)
        else:
            self._spawn(chromium.close())

    def _discard(self, chromium: _Chromium) -> None:
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


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]


async def _launch(settings: PoolSettings, proxy: str) -> _Chromium:
    profile = await asyncio.to_thread(make_profile, settings.work_dir, settings.marker)
    driver = await async_playwright().start()
    sandbox = settings.sandbox if settings.sandbox is not None else not is_root()
    environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    try:
        root = await driver.chromium.launch_persistent_context(
            profile,
            executable_path=find_chromium(settings.executable),
            headless=True,
            chromium_sandbox=sandbox,
            args=list(ARGUMENTS),
            # Without the bypass rule Chromium would reach loopback beside the proxy.
            proxy={"server": proxy, "bypass": "<-loopback>"},
            env={**environment, "TRAWL_BROWSER": settings.marker},
            timeout=LAUNCH_SECONDS * 1000,
            handle_sigint=False,
            handle_sigterm=False,
            handle_sighup=False,
        )
        chromium = await _found(driver, root, profile)
    except BaseException as error:
        await _within(CLOSE_SECONDS * 2, driver.stop())
        await asyncio.to_thread(remove_profile, profile)
        if isinstance(error, PlaywrightError):
            raise ExecutorError(f"no browser: {_first_line(error)}", code="BROWSER_UNAVAILABLE") from error
        raise
    log.info("a browser started", pid=chromium.pid, version=chromium.browser.version, sandbox=sandbox)
    return chromium


async def _found(driver: Playwright, root: BrowserContext, profile: Path) -> _Chromium:
    pid = await asyncio.to_thread(browser_pid, profile)
    if root.browser is None or pid is None:
        raise browser_crashed("the browser ended while it started")
    # The profile's own window is used by nobody, and its renderers cost some 50 MB.
    for page in root.pages:
        await page.close()
    return _Chromium(driver, root, root.browser, pid, profile)


async def _new_context(
    chromium: _Chromium, options: BrowserOptions, storage_state: Json, proxy: str | None
) -> BrowserContext:
    context = await chromium.browser.new_context(
        user_agent=options.user_agent,
        viewport={"width": options.viewport.width, "height": options.viewport.height},
        locale=options.locale,
        timezone_id=options.timezone,
        accept_downloads=False,
        storage_state=storage_state,
        proxy={"server": proxy, "bypass": "<-loopback>"} if proxy else None,
    )
    if options.block:

        async def block(route: Route) -> None:
            # The context may close while a request waits here.
            with contextlib.suppress(PlaywrightError):
                if route.request.resource_type in options.block:
                    await route.abort()
                else:
                    await route.fallback()

        await context.route("**/*", block)
    return context
