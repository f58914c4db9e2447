"""What a run leaves to look at besides its trace: a filmstrip, a Playwright trace file. Owns: when each is kept.

Both are asked for by the run; neither ever fails it. Must not know executors.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

from chassis.clock import now_ms

from scraper import filmstrip, playwright_trace
from scraper.browser_chromium import within
from scraper.executor import ExecutorError, InvalidParameters, Json
from scraper.filmstrip import Film, make_frame
from scraper.page_tools import PageTools
from scraper.playwright_trace import PlaywrightTrace, TraceFolder
from scraper.step_error import StepError

FRAME_SECONDS = 3.0
# While a step goes on, a picture comes this often.
TICK_SECONDS = 1.0
Keep = Literal["never", "failure", "always"]


@dataclass(frozen=True, slots=True)
class RecordingWanted:
    """What to keep of a run."""

    filmstrip: Keep = "never"
    playwright: Keep = "never"


NOTHING = RecordingWanted()


def parse_recording(filmstrip: Json, playwright: Json) -> RecordingWanted:
    """The checked wishes. Raises `InvalidParameters`."""
    return RecordingWanted(_keep(filmstrip, "filmstrip"), _keep(playwright, "playwrightTrace"))


def _keep(value: Json, field: str) -> Keep:
    match value:
        case None | "never":
            return "never"
        case "failure" | "always":
            return value  # type: ignore[no-any-return]  # narrowed by the pattern
        case _:
            raise InvalidParameters("must be never, failure or always", field=field)


class RunRecording:
    """One attempt's. `traces`: where the browser may put raw traces, None where it can't."""

    def __init__(self, tools: PageTools, wanted: RecordingWanted, traces: TraceFolder | None) -> None:
        self._tools, self._wanted = tools, wanted
        self._film = Film()
        self._busy = asyncio.Lock()
        self._trace: PlaywrightTrace | None = None
        if wanted.playwright != "never" and traces is not None:
            self._trace = PlaywrightTrace(tools.held.context, traces)

    @asynccontextmanager
    async def going(self) -> AsyncIterator[None]:
        """Record while the block lasts, and keep what is wanted of it."""
        ticking = None
        if self._wanted.filmstrip != "never":
            ticking = asyncio.create_task(self._tick(), name="filmstrip")
        try:
            await self._start()
            yield
        except ExecutorError:
            await self._keep(failed=True)
            raise
        except asyncio.CancelledError:
            # Half a second is left: the pictures are there already, a trace would have to be packed.
            await self._keep_film()
            raise
        else:
            await self._keep(failed=False)
        finally:
            if ticking is not None:
                ticking.cancel()
            if self._trace is not None:
                await self._trace.close()

    async def _start(self) -> None:
        if self._trace is not None:
            self._tools.before_secret = self._end_trace
            if not await within(FRAME_SECONDS, self._trace.start()):
                self._tools.run.log("warn", "the Playwright trace could not be started")

    async def _end_trace(self) -> None:
        """A secret is about to be used: what follows must not get into the trace."""
        if self._trace is None or not self._trace.recording:
            return
        here = self._tools.trace.current
        # A failure is the step's: better none of it than a secret in the file.
        try:
            await self._trace.stop(here.path if here else "")
        except TimeoutError as error:
            raise StepError("the Playwright trace could not be ended", code="STEP_TIMEOUT") from error
        self._tools.log("info", "the Playwright trace ends here: what follows uses a secret")

    async def frame(self, step: str) -> None:
        """Take a picture, if there is a page to take it of."""
        if self._wanted.filmstrip == "never":
            return
        async with self._busy:
            try:
                async with asyncio.timeout(FRAME_SECONDS):
                    picture = await self._tools.guarded(self._tools.snapshot(FRAME_SECONDS))
            except (StepError, ExecutorError, TimeoutError):
                return  # the page is gone, or busy
            self._film.add(await asyncio.to_thread(make_frame, picture, now_ms(), step))

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            here = self._tools.trace.current
            if here is not None and not self._busy.locked():
                await self.frame(here.path)

    async def _keep(self, *, failed: bool) -> None:
        if self._wanted.filmstrip == "always" or failed:
            await self._keep_film()
        if self._trace is not None:
            await self._keep_trace(self._trace, wanted=self._wanted.playwright == "always" or failed)

    async def _keep_film(self) -> None:
        data = filmstrip.put_together(self._film)
        if not data or self._wanted.filmstrip == "never":
            return
        name = await self._tools.run.save_blob(filmstrip.FILE_NAME, data, "image/webp", replace=True)
        shown = [{"timeMs": one.at_ms, "step": one.step} for one in self._film.frames]
        self._tools.trace.facts |= {"filmstrip": {"file": name, "frames": shown}}

    async def _keep_trace(self, trace: PlaywrightTrace, *, wanted: bool) -> None:
        stopped = await within(playwright_trace.STOP_SECONDS, trace.stop(keep=wanted))
        if not wanted:
            return
        data = await trace.take(self._tools.scope.redactor) if stopped else None
        if data is None:
            self._tools.run.log("warn", "the Playwright trace could not be kept: too large, or its browser is gone")
            return
        name = await self._tools.run.save_blob(playwright_trace.FILE_NAME, data, "application/zip", replace=True)
        self._tools.trace.facts |= {"playwrightTrace": {"file": name, "endedBefore": trace.ended_at}}
