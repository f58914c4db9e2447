"""One Chromium with its driver and profile: its launch, whether it still answers, its end. Must not know runs."""

import asyncio
import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from chassis.logs import get_logger
from playwright.async_api import Browser, BrowserContext, Playwright, ProxySettings, Route, async_playwright
from playwright.async_api import Error as PlaywrightError

from scraper.browser_options import BrowserOptions
from scraper.browser_process import (
    ARGUMENTS,
    DOWNLOADS,
    HANDLERS,
    TRACES,
    UNWANTED,
    browser_pid,
    find_chromium,
    group_alive,
    group_memory_bytes,
    is_root,
    kill_group,
    make_profile,
    remove_profile,
)
from scraper.executor import ExecutorError, Json
from scraper.playwright_trace import TraceFolder
from scraper.selector_engines import register_selectors

log = get_logger("browser")

LAUNCH_SECONDS = 30
CLOSE_SECONDS = 1.0
RESPOND_SECONDS = 0.5
QUESTION_SECONDS = 60.0
# A proxy that isn't there, for what Chromium asks for by itself.
NOWHERE = "socks5://nowhere.invalid:1"
# Chromium gets no more of this process's environment: that holds keys and addresses.
_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "XDG_RUNTIME_DIR")


CRASHED = "the browser ended unexpectedly"


def browser_crashed(detail: str = CRASHED) -> ExecutorError:
    """The attempt lost its browser; another attempt gets a new one."""
    return ExecutorError(detail, code="BROWSER_CRASHED", retryable=True)


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """`marker` names this worker among those that share `work_dir`."""

    work_dir: Path
    marker: str
    slots: int = 2
    executable: str | None = None
    # Of all browsers together: above it new contexts wait. None: no bound.
    memory_bytes: int | None = None
    recycle_runs: int = 200
    recycle_bytes: int = 1024**3
    recycle_seconds: float = 3600
    idle_seconds: float = 120
    # None: yes, unless this process is root.
    sandbox: bool | None = None


class Chromium:
    """One browser process with its driver and profile."""

    def __init__(self, driver: Playwright, root: BrowserContext, browser: Browser, pid: int, profile: Path) -> None:
        self.root, self.browser, self.pid, self.profile = root, browser, pid, profile
        self.traces = TraceFolder(profile / TRACES)
        self._driver = driver
        self.driver_pid = psutil.Process(pid).ppid()
        self.leases: set[Any] = set()
        self.runs = 0
        self.started = time.monotonic()
        self.dead = False
        # Why a renderer was ended, and when (`time.monotonic`).
        self.ended, self.ended_at = "", 0.0
        root.on("close", lambda _: self.mark_dead())

    def mark_dead(self) -> None:
        self.dead = True

    async def responds(self) -> bool:
        """Whether driver and browser still answer; settles `dead`."""
        if not self.dead:
            self.dead = not await within(RESPOND_SECONDS, self.root.cookies("http://probe.invalid"))
        return not self.dead

    async def answers(self) -> bool:
        """Ask the browser for something that costs nothing, and wait for the answer."""
        return await within(QUESTION_SECONDS, self.root.cookies("http://probe.invalid"))

    def kill(self) -> int:
        """End it now."""
        self.dead = True
        return kill_group(self.pid)

    def age_seconds(self) -> float:
        """Since its launch."""
        return time.monotonic() - self.started

    def memory_bytes(self) -> int:
        return group_memory_bytes(self.pid)

    async def close(self) -> None:
        """End browser and driver, by force after a second each, and remove the profile."""
        self.dead = True
        await within(CLOSE_SECONDS * 2, self.root.close())
        if group_alive(self.pid):
            kill_group(self.pid)
        if not await within(CLOSE_SECONDS * 2, self._driver.stop()):
            with contextlib.suppress(psutil.NoSuchProcess):
                psutil.Process(self.driver_pid).kill()
        await asyncio.to_thread(remove_profile, self.profile)


def is_driver_end(error: Exception) -> bool:
    """Playwright reports the end of its driver as a bare Exception, known by its text only."""
    return type(error) is Exception and "Connection closed" in str(error)


async def within(seconds: float, work: Any) -> bool:
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


def first_line(error: BaseException) -> str:
    """What Playwright says, without its call log."""
    return (str(error).splitlines() or [type(error).__name__])[0][:300]


async def launch(settings: PoolSettings) -> Chromium:
    """A started browser, which itself reaches nothing: each context brings its way out. Raises `ExecutorError`."""
    profile = await asyncio.to_thread(make_profile, settings.work_dir, settings.marker)
    driver = await async_playwright().start()
    await register_selectors(driver)
    sandbox = settings.sandbox if settings.sandbox is not None else not is_root()
    environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    environment["PATH"] = f"{profile / HANDLERS}:{environment.get('PATH', os.defpath)}"
    try:
        root = await driver.chromium.launch_persistent_context(
            profile,
            executable_path=find_chromium(settings.executable),
            headless=True,
            chromium_sandbox=sandbox,
            args=list(ARGUMENTS),
            ignore_default_args=list(UNWANTED),
            # In the profile, so that a killed worker's downloads go with it.
            downloads_path=profile / DOWNLOADS,
            traces_dir=profile / TRACES,
            proxy=_proxy(NOWHERE),
            env={**environment, "TRAWL_BROWSER": settings.marker},
            timeout=LAUNCH_SECONDS * 1000,
            handle_sigint=False,
            handle_sigterm=False,
            handle_sighup=False,
        )
        chromium = await _found(driver, root, profile)
    except BaseException as error:
        await within(CLOSE_SECONDS * 2, driver.stop())
        await asyncio.to_thread(remove_profile, profile)
        if isinstance(error, PlaywrightError):
            raise ExecutorError(f"no browser: {first_line(error)}", code="BROWSER_UNAVAILABLE") from error
        raise
    log.info("a browser started", pid=chromium.pid, version=chromium.browser.version, sandbox=sandbox)
    return chromium


async def _found(driver: Playwright, root: BrowserContext, profile: Path) -> Chromium:
    pid = await asyncio.to_thread(browser_pid, profile)
    if root.browser is None or pid is None:
        raise browser_crashed("the browser ended while it started")
    # The profile's own window is used by nobody, and its renderers cost some 50 MB.
    for page in root.pages:
        await page.close()
    return Chromium(driver, root, root.browser, pid, profile)


def _proxy(server: str) -> ProxySettings:
    # Without the bypass rule Chromium would reach loopback beside the proxy.
    return {"server": server, "bypass": "<-loopback>"}


async def new_context(chromium: Chromium, options: BrowserOptions, storage_state: Json, proxy: str) -> BrowserContext:
    """A fresh context, with what an earlier one has kept. Raises what Playwright raises."""
    context = await chromium.browser.new_context(
        user_agent=options.user_agent,
        viewport={"width": options.viewport.width, "height": options.viewport.height},
        device_scale_factor=options.viewport.device_scale_factor,
        is_mobile=options.viewport.is_mobile,
        has_touch=options.viewport.has_touch,
        locale=options.locale,
        timezone_id=options.timezone,
        accept_downloads=True,
        storage_state=storage_state,
        proxy=_proxy(proxy),
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
