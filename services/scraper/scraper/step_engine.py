"""Runs a step list on a surface. Owns: order, loops, branches, retries, progress, and what a failure becomes.

Every step start is a heartbeat. The first failure that no step is told to bear ends the run as an `ExecutorError` that
names the step, its target and the page's address, with a picture of the page kept. Must not know how the steps came,
nor what the surface is.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Literal

from scraper import step_kinds as kinds
from scraper.executor import ExecutorError, Json, RunContext
from scraper.step_error import StepError, TargetMissingError
from scraper.step_kinds import Step
from scraper.step_results import StepResults
from scraper.step_surface import Surface, describe_target
from scraper.step_templates import Scope
from scraper.step_trace import Entry, Trace

RETRIES_BY_DEFAULT = 2
RETRY_PAUSE_SECONDS = 0.5
PICTURE_SECONDS = 5.0
MAX_COUNT = 100_000
_UNSAFE = re.compile(r"[^A-Za-z0-9]+")

# When pictures are kept besides those that steps ask for.
Pictures = Literal["never", "failure", "every"]


class StepEngine:
    """One run's steps. `rows` are what a loop over rows goes through; `after_step` is told the place of each."""

    def __init__(
        self,
        surface: Surface,
        run: RunContext,
        scope: Scope,
        results: StepResults,
        trace: Trace,
        *,
        rows: Sequence[Mapping[str, Json]] = (),
        pictures: Pictures = "failure",
        after_step: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        self._surface, self._run, self._scope, self._rows = surface, run, scope, rows
        self._after_step = after_step
        self._results, self._trace, self._pictures = results, trace, pictures
        self._done = 0
        self._total = 0

    async def run(
        self, steps: Sequence[Step], root: str = "steps", *, first: Sequence[Step] = (), first_root: str = "BASE_URL"
    ) -> dict[str, Json]:
        """Do the steps, after those of `first`; answers what they stored. `root` names them in messages."""
        self._total += len(first) + len(steps)
        try:
            await self._surface.guarded(self._surface.open())
            await self._sequence(first, first_root)
            await self._sequence(steps, root)
        except StepError as failure:
            message = self._scope.redactor.text(failure.message)
            raise ExecutorError(message, code=failure.code, retryable=not failure.fatal) from failure
        self._run.progress(self._done, self._total, step="done")
        return self._results.as_json()

    async def _sequence(self, steps: Sequence[Step], path: str) -> None:
        for index, step in enumerate(steps):
            await self._step(step, f"{path}[{index}]")

    async def _step(self, step: Step, path: str) -> None:
        source = f" ({step.source})" if step.source else ""
        where = f"{path}{source} {step.type}"
        self._run.progress(self._done, self._total, step=where)
        if step.pause_ms:
            await asyncio.sleep(step.pause_ms / 1000)
        entry = self._trace.begin(path, step.type, step.source)
        try:
            left_out = await self._attempts(step, path, where, entry)
            if step.screenshot or (self._pictures == "every" and step.type != "screenshot"):
                await self._keep_picture(path, "after", entry)
            self._trace.end(entry, "left_out" if left_out else "done", self._page_url())
            await self._ended(path)
        except StepError as failure:
            bears = step.on_error == "continue" and not failure.fatal
            entry.code, entry.error = failure.code, failure.message
            self._trace.end(entry, "continued" if bears else "failed", self._page_url())
            await self._ended(path)
            if not bears:
                raise
            self._run.log("warn", f"{where}: went on after the failure")
        self._done += 1

    async def _ended(self, path: str) -> None:
        if self._after_step is not None:
            await self._after_step(path)

    async def _attempts(self, step: Step, path: str, where: str, entry: Entry) -> bool:
        """Whether the step was left out. Raises the last attempt's failure, reported."""
        retries = step.retries or (RETRIES_BY_DEFAULT if step.on_error == "retry" else 0)
        for attempt in range(retries + 1):
            self._surface.where, entry.attempts = where, attempt + 1
            try:
                await self._once(step, path)
            except TargetMissingError as failure:
                if step.optional and not failure.reported:
                    self._run.log("info", f"{where}: left out, its target is not there")
                    return True
                if attempt == retries:
                    raise await self._reported(step, path, where, failure, entry) from failure
            except StepError as failure:
                if failure.fatal or failure.done or attempt == retries:
                    raise await self._reported(step, path, where, failure, entry) from failure
            else:
                return False
            self._run.log("warn", f"{where}: attempt {attempt + 1} failed, trying again")
            await asyncio.sleep(RETRY_PAUSE_SECONDS * (attempt + 1))
        raise AssertionError("unreachable")

    async def _once(self, step: Step, path: str) -> None:
        match step:
            case kinds.Loop():
                await self._loop(step, path)
            case kinds.If():
                holds = await self._surface.guarded(self._surface.holds(step.when))
                branch, name = (step.then, "then") if holds else (step.otherwise, "else")
                self._total += len(branch)
                await self._sequence(branch, f"{path}.{name}")
            case _:
                await self._surface.guarded(self._surface.before(step))
                await self._surface.guarded(self._in_time(step))

    async def _in_time(self, step: Step) -> None:
        seconds = step.timeout_ms / 1000
        if isinstance(step, kinds.WaitFor) and step.time_ms is not None:
            seconds = max(seconds, step.time_ms / 1000 + 1)
        if isinstance(step, kinds.Click):
            seconds += step.hold_ms / 1000 * (2 if step.type == "double_click" else 1)
        deadline = asyncio.get_running_loop().time() + seconds
        # The pages that it leads to have a time of their own.
        longest = seconds + step.timeout_ms / 1000 if step.expect_navigation else seconds
        try:
            # A little later than the deadline that the action itself knows, whose words say more.
            async with asyncio.timeout(longest + 0.5):
                await self._surface.do(step, deadline)
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
        if not (text.isascii() and text.isdecimal() and len(text) < 10) or int(text) > MAX_COUNT:
            message = f"count must be a whole number up to {MAX_COUNT}, not {text[:50]!r}"
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
        deadline = asyncio.get_running_loop().time() + step.timeout_ms / 1000
        elements = await self._surface.guarded(self._surface.elements(targets, deadline))
        elements = elements[: step.max_iterations]
        self._total += len(elements) * len(step.steps)
        for index, element in enumerate(elements):
            with self._surface.within(element):
                await self._iteration(step, path, index)

    async def _loop_until(self, step: kinds.Loop, path: str, until: kinds.Condition) -> None:
        for index in range(step.max_iterations):
            self._total += len(step.steps)
            await self._iteration(step, path, index)
            if await self._surface.guarded(self._surface.holds(until)):
                return
        self._run.log("warn", f"{path} loop: stopped at maxIterations, its condition never came true")

    async def _iteration(self, step: kinds.Loop, path: str, index: int) -> None:
        variables = self._scope.variables
        outer, was_in_loop = variables.get("index"), self._surface.in_loop
        variables["index"], self._surface.in_loop = index, True
        try:
            await self._sequence(step.steps, f"{path}.steps")
            # A loop of nothing must still let a cancellation through.
            await asyncio.sleep(0)
        finally:
            variables["index"], self._surface.in_loop = outer, was_in_loop

    # --- failures

    async def _reported(self, step: Step, path: str, where: str, failure: StepError, entry: Entry) -> StepError:
        """The failure with its place in the message, after a log line and a picture. Once for each failure."""
        if failure.reported:
            return failure
        target = describe_target(step)
        page = self._page_url() or "a closed page"
        message = f"{where}{f' {target}' if target else ''} on {page}: {failure.message}"
        failure.message, failure.reported = self._scope.redactor.text(message), True
        failure.args = (failure.message,)
        self._run.log("error", failure.message, code=failure.code, step=path, type=step.type, url=page)
        if self._pictures != "never":
            await self._keep_picture(path, "failed", entry)
        return failure

    def _page_url(self) -> str | None:
        try:
            return self._scope.redactor.text(self._surface.address())[:2000]
        except StepError:
            return None

    async def _keep_picture(self, path: str, why: str, entry: Entry) -> None:
        """A picture is a help, not a duty: without one the run says so and goes on."""
        try:
            async with asyncio.timeout(PICTURE_SECONDS + 1):
                picture = await self._surface.guarded(self._surface.picture(PICTURE_SECONDS))
        except (StepError, TimeoutError) as error:
            self._run.log("warn", f"{path}: no picture could be taken ({type(error).__name__})")
            return
        if picture is None:
            return
        name = await self._run.save_blob(f"{_UNSAFE.sub('-', path).strip('-')}-{why}.png", picture, "image/png")
        entry.screenshot = name
        self._run.log("info", f"{path}: picture kept", blob=name)
