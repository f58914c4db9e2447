"""Runs a step list in a browser context. Owns: order, loops, branches, retries, progress, and what a failure becomes.

Every step start is a heartbeat. The first failure that no step is told to bear ends the run as an `ExecutorError` that
names the step, its target and the page's address, with a picture of the page kept. Must not know how the steps came.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Locator, Page

from scraper import steps as kinds
from scraper.browser import BrowserLease, browser_crashed, is_driver_end
from scraper.executor import ExecutorError, Json, RunContext
from scraper.step_actions import StepActions, describe_target
from scraper.step_error import StepError, TargetMissingError
from scraper.step_results import StepResults
from scraper.step_templates import Scope
from scraper.steps import Step
from scraper.tabs import Tabs
from scraper.targets import GONE

RETRIES_BY_DEFAULT = 2
RETRY_PAUSE_SECONDS = 0.5
PICTURE_SECONDS = 5.0
_UNSAFE = re.compile(r"[^A-Za-z0-9]+")
_NET_ERROR = re.compile(r"net::ERR_[A-Z_]+")

T = TypeVar("T")


class StepEngine:
    """One run's steps. `rows` are what a loop over rows goes through."""

    def __init__(
        self,
        lease: BrowserLease,
        run: RunContext,
        scope: Scope,
        *,
        tabs: Tabs | None = None,
        rows: Sequence[Mapping[str, Json]] = (),
        base_url: str | None = None,
    ) -> None:
        self._lease, self._run, self._scope, self._rows = lease, run, scope, rows
        self.tabs = tabs or Tabs(lease)
        self.results = StepResults(run, scope.redactor)
        self._actions = StepActions(self.tabs, run, scope, self.results, base_url)
        self._done = 0
        self._total = 0

    @property
    def status(self) -> int | None:
        """The HTTP status of the page that was navigated to last."""
        return self._actions.status

    async def run(
        self, steps: Sequence[Step], root: str = "steps", *, first: Sequence[Step] = (), first_root: str = "BASE_URL"
    ) -> dict[str, Json]:
        """Do the steps, after those of `first`; answers what they stored. `root` names them in messages."""
        self._done, self._total = 0, len(first) + len(steps)
        try:
            await self._guarded(self.tabs.open())
            await self._sequence(first, first_root)
            await self._sequence(steps, root)
        except StepError as failure:
            message = self._scope.redactor.text(failure.message)
            raise ExecutorError(message, code=failure.code, retryable=not failure.fatal) from failure
        self._run.progress(self._done, self._total, step="done")
        return self.results.as_json()

    async def reading(self, read: Callable[[Page], Awaitable[T]], seconds: float) -> T:
        """What `read` makes of the current page, with the engine's errors."""
        try:
            async with asyncio.timeout(seconds):
                return await self._guarded(read(self.tabs.page))
        except TimeoutError as error:
            raise ExecutorError("the page could not be read in time", code="PAGE_TIMEOUT") from error
        except StepError as failure:
            raise ExecutorError(failure.message, code=failure.code, retryable=not failure.fatal) from failure

    async def _sequence(self, steps: Sequence[Step], path: str) -> None:
        for index, step in enumerate(steps):
            await self._step(step, f"{path}[{index}]")

    async def _step(self, step: Step, path: str) -> None:
        source = f" ({step.source})" if step.source else ""
        where = f"{path}{source} {step.type}"
        self._run.progress(self._done, self._total, step=where)
        if step.pause_ms:
            await asyncio.sleep(step.pause_ms / 1000)
        try:
            await self._attempts(step, path, where)
            if step.screenshot:
                await self._keep_picture(path, "after")
        except StepError as failure:
            if step.on_error != "continue" or failure.fatal:
                raise
            self._run.log("warn", f"{where}: went on after the failure")
        self._done += 1

    async def _attempts(self, step: Step, path: str, where: str) -> None:
        retries = step.retries or (RETRIES_BY_DEFAULT if step.on_error == "retry" else 0)
        for attempt in range(retries + 1):
            self._actions.where = where
            try:
                await self._once(step, path)
            except TargetMissingError as failure:
                if step.optional and not failure.reported:
                    self._run.log("info", f"{where}: left out, its target is not there")
                    return
                if attempt == retries:
                    raise await self._reported(step, path, where, failure) from failure
            except StepError as failure:
                if failure.fatal or attempt == retries:
                    raise await self._reported(step, path, where, failure) from failure
            else:
                return
            self._run.log("warn", f"{where}: attempt {attempt + 1} failed, trying again")
            await asyncio.sleep(RETRY_PAUSE_SECONDS * (attempt + 1))

    async def _once(self, step: Step, path: str) -> None:
        match step:
            case kinds.Loop():
                await self._loop(step, path)
            case kinds.If():
                holds = await self._guarded(self._actions.holds(step.when))
                branch, name = (step.then, "then") if holds else (step.otherwise, "else")
                self._total += len(branch)
                await self._sequence(branch, f"{path}.{name}")
            case _:
                await self._guarded(self._in_time(step))

    async def _in_time(self, step: Step) -> None:
        seconds = step.timeout_ms / 1000
        if isinstance(step, kinds.WaitFor) and step.time_ms is not None:
            seconds = max(seconds, step.time_ms / 1000 + 1)
        deadline = asyncio.get_running_loop().time() + seconds
        try:
            # A little later than the deadline that the action itself knows, whose words say more.
            async with asyncio.timeout(seconds + 0.5):
                await self._actions.do(step, deadline)
        except TimeoutError as error:
            raise StepError(f"took longer than {step.timeout_ms} ms", code="STEP_TIMEOUT") from error

    # --- loops

    async def _loop(self, step: kinds.Loop, path: str) -> None:
        if step.rows:
            await self._loop_rows(step, path)
        elif step.target is not None:
            await self._loop_elements(step, path, step.target)
        elif step.until is not None:
            await self._loop_until(step, path, step.until)
        else:
            count = self._count(step)
            self._total += count * len(step.steps)
            for index in range(count):
                await self._iteration(step, path, index)

    def _count(self, step: kinds.Loop) -> int:
        text = self._scope.text(step.count).strip()
        if not text.isdecimal() or int(text) > 100_000:
            message = f"count must be a whole number up to 100000, not {text[:50]!r}"
            raise StepError(message, code="INVALID_PARAMETERS", fatal=True)
        return int(text)

    async def _loop_rows(self, step: kinds.Loop, path: str) -> None:
        self._total += len(self._rows) * len(step.steps)
        outer = self._scope.row
        try:
            for index, row in enumerate(self._rows):
                self._scope.row = row
                await self._iteration(step, path, index)
        finally:
            self._scope.row = outer

    async def _loop_elements(self, step: kinds.Loop, path: str, targets: tuple[kinds.Target, ...]) -> None:
        elements, count = await self._guarded(self._elements(targets, step.timeout_ms))
        count = min(count, step.max_iterations)
        self._total += count * len(step.steps)
        finder = self._actions.finder
        outer = finder.within
        try:
            for index in range(count):
                finder.within = elements.nth(index)
                await self._iteration(step, path, index)
        finally:
            finder.within = outer

    async def _elements(self, targets: tuple[kinds.Target, ...], timeout_ms: int) -> tuple[Locator, int]:
        elements = await self._actions.some(targets, asyncio.get_running_loop().time() + timeout_ms / 1000)
        return elements, await elements.count()

    async def _loop_until(self, step: kinds.Loop, path: str, until: kinds.Condition) -> None:
        for index in range(step.max_iterations):
            self._total += len(step.steps)
            await self._iteration(step, path, index)
            if await self._guarded(self._actions.holds(until)):
                return
        self._run.log("warn", f"{path} loop: stopped at maxIterations, its condition never came true")

    async def _iteration(self, step: kinds.Loop, path: str, index: int) -> None:
        variables = self._scope.variables
        outer, was_in_loop = variables.get("index"), self._actions.in_loop
        variables["index"], self._actions.in_loop = index, True
        try:
            await self._sequence(step.steps, f"{path}.steps")
            # A loop of nothing must still let a cancellation through.
            await asyncio.sleep(0)
        finally:
            variables["index"], self._actions.in_loop = outer, was_in_loop

    # --- failures

    async def _guarded(self, work: Awaitable[T]) -> T:
        """Turn what Playwright raises into a step's failure, and a dead browser into BROWSER_CRASHED."""
        try:
            return await work
        except PlaywrightError as error:
            text = str(error)
            if GONE.search(text) and await self._lease.crashed():
                raise browser_crashed() from error
            raise StepError(_in_words(text), code=_code_of(text)) from error
        except StepError as failure:
            if failure.code == "PAGE_CLOSED" and await self._lease.crashed():
                raise browser_crashed() from failure
            raise
        except ExecutorError as error:
            raise StepError(error.message, code=error.code, fatal=not error.retryable) from error
        except Exception as error:
            if not is_driver_end(error):
                raise
            raise browser_crashed() from error

    async def _reported(self, step: Step, path: str, where: str, failure: StepError) -> StepError:
        """The failure with its place in the message, after a log line and a picture. Once for each failure."""
        if failure.reported:
            return failure
        target = describe_target(step)
        page = self._page_url()
        message = f"{where}{f' {target}' if target else ''} on {page}: {failure.message}"
        failure.message, failure.reported = self._scope.redactor.text(message), True
        failure.args = (failure.message,)
        self._run.log("error", failure.message, code=failure.code, step=path, type=step.type, url=page)
        await self._keep_picture(path, "failed")
        return failure

    def _page_url(self) -> str:
        try:
            return self._scope.redactor.text(self.tabs.page.url)[:2000]
        except StepError:
            return "a closed page"

    async def _keep_picture(self, path: str, why: str) -> None:
        """A picture is a help, not a duty: without one the run says so and goes on."""
        try:
            async with asyncio.timeout(PICTURE_SECONDS + 1):
                picture = await self._actions.picture(seconds=PICTURE_SECONDS)
        except (PlaywrightError, StepError, TimeoutError) as error:
            self._run.log("warn", f"{path}: no picture could be taken ({type(error).__name__})")
            return
        name = await self._run.save_blob(f"{_UNSAFE.sub('-', path).strip('-')}-{why}.png", picture, "image/png")
        self._run.log("info", f"{path}: picture kept", blob=name)


def _in_words(text: str) -> str:
    """The first line of Playwright's message; the call log after it repeats what was typed."""
    first = (text.splitlines() or ["failed"])[0][:500]
    return first.split(": ", 1)[1] if first.startswith(("Locator.", "Page.", "Keyboard.")) and ": " in first else first


def _code_of(text: str) -> str:
    if "Timeout" in text and "exceeded" in text:
        return "STEP_TIMEOUT"
    return "NAVIGATION_FAILED" if _NET_ERROR.search(text) else "STEP_FAILED"
