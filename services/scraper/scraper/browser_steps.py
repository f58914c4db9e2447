"""One run's steps in a browser: surface, engine, results and trace put together. Must not know how a browser is had."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

from playwright.async_api import Page

from scraper.browser_lease import HeldBrowser
from scraper.custom_actions import CustomActions
from scraper.executor import Json, RunContext
from scraper.page_surface import PageSurface
from scraper.page_tools import PageTools
from scraper.run_recording import NOTHING, RecordingWanted, RunRecording
from scraper.step_engine import Pictures, StepEngine
from scraper.step_kinds import Step
from scraper.step_results import StepResults
from scraper.step_templates import Scope
from scraper.step_trace import FILE_NAME, Trace
from scraper.tabs import Tabs

T = TypeVar("T")


class BrowserSteps:
    """`rows` are what a loop over rows goes through."""

    def __init__(
        self, held: HeldBrowser, run: RunContext, scope: Scope, *, tabs: Tabs | None = None,
        rows: Sequence[Mapping[str, Json]] = (), base_url: str | None = None, custom: CustomActions | None = None,
        pictures: Pictures = "failure", recording: RecordingWanted = NOTHING,
    ) -> None:  # fmt: skip
        results = StepResults(run, scope.redactor)
        self.trace = Trace(run.job.run_id, run.job.attempt, scope.redactor)
        self.tools = PageTools(held, run, scope, results, self.trace, tabs=tabs, base_url=base_url)
        self._surface = PageSurface(self.tools, custom)
        self._recording = RunRecording(self.tools, recording, held.traces)
        self._engine = StepEngine(
            self._surface, run, scope, results, self.trace, rows=rows, pictures=pictures,
            after_step=self._recording.frame,
        )  # fmt: skip
        self._run = run

    @property
    def status(self) -> int | None:
        """The HTTP status of the page that was navigated to last."""
        return self.tools.status

    async def run(self, steps: Sequence[Step], root: str = "steps", *, first: Sequence[Step] = ()) -> dict[str, Json]:
        """See `StepEngine.run`."""
        return await self._engine.run(steps, root, first=first)

    def recorded(self) -> AbstractAsyncContextManager[None]:
        """Meanwhile, what the run wants recorded is recorded. See `RunRecording.going`."""
        return self._recording.going()

    async def reading(self, read: Callable[[Page], Awaitable[T]], seconds: float) -> T:
        """See `PageSurface.reading`."""
        return await self._surface.reading(read, seconds)

    async def keep_trace(self) -> None:
        """Keep the trace with the run, however the run ends."""
        await self._run.save_blob(FILE_NAME, self.trace.dump(), "application/json", replace=True)
