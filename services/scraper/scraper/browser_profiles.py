"""A run's browser profile: held alone, loaded before, renewed after. Owns: which profile a run uses, and when it waits.

A run without a browser id starts with what logins without one have kept, holds nothing, and leaves it as it was. Must
not know how steps are done.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar

from chassis.clock import now_ms
from chassis.errors import Unavailable
from chassis.logs import get_logger

from scraper.executor import ExecutorError, InvalidParameters, Json, Parked, RunContext
from scraper.redis_profiles import ProfileBusy
from scraper.storage_state import OriginState, join_states, split_state

T = TypeVar("T")
log = get_logger("profiles")
# What a login without a browser id is kept under.
DEFAULT_ID = "default"
MAX_ID = 200
# A busy profile is asked for again after this, in ms; more than one may wait, so they spread by their ids.
BUSY_MS = 2_000
SAVE_SECONDS = 10.0
_NAMES = ("浏览器id", "browserId")


class Sessions(Protocol):
    """Where states are kept."""

    async def load(self, browser_id: str) -> list[OriginState]:
        """What the browser id has kept."""

    async def replace(self, browser_id: str, states: Sequence[OriginState], loaded: Sequence[OriginState]) -> None:
        """Keep these instead of the loaded ones."""


class Leases(Protocol):
    """Who holds which profile."""

    def hold(self, profile: str, run_id: int) -> contextlib.AbstractAsyncContextManager[asyncio.Event]:
        """Hold it; the event says that the lease was lost. Raises `ProfileBusy`, `Unavailable`."""


def browser_id_of(parameters: Mapping[str, Json], rows: Sequence[Mapping[str, Json]]) -> str:
    """The browser profile that the parameters or the first row name; empty when none does."""
    for place in (parameters, rows[0] if rows else {}):
        for name in _NAMES:
            value = place.get(name)
            if value in (None, ""):
                continue
            text = str(value) if type(value) is int else value
            if not isinstance(text, str) or len(text) > MAX_ID or not text.isprintable():
                raise InvalidParameters(f"must be a line of at most {MAX_ID} characters", field=name)
            return text
    return ""


@dataclass(slots=True)
class Profile:
    """A run's profile. `state`: what a context starts with, None for nothing."""

    browser_id: str
    loaded: Sequence[OriginState]
    renewed: bool
    lost: asyncio.Event
    _sessions: Sessions | None

    @property
    def state(self) -> dict[str, Json] | None:
        """As Playwright wants it."""
        return join_states(self.loaded) if self.loaded else None

    async def keep(self, state: Mapping[str, Json], visited: Sequence[str]) -> bool:
        """Keep what the context has now; whether that was done. Waits a little for a store that is away."""
        if self._sessions is None or not self.renewed or self.lost.is_set():
            return False
        states = split_state(state, visited)
        if not states and not self.loaded:
            return True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SAVE_SECONDS):
                while not self.lost.is_set():
                    try:
                        await self._sessions.replace(self.browser_id, states, self.loaded)
                    except Unavailable:
                        await asyncio.sleep(0.5)
                    else:
                        return True
        return False

    async def unless_lost(self, work: Awaitable[T]) -> T:
        """The work's result. Raises `ExecutorError`, with the work stopped, once another run may have the profile."""
        doing = asyncio.ensure_future(work)
        losing = asyncio.create_task(self.lost.wait())
        try:
            await asyncio.wait({doing, losing}, return_when=asyncio.FIRST_COMPLETED)
            if not doing.done():
                raise ExecutorError("the lease of the browser profile was lost", code="PROFILE_LOST")
            return doing.result()
        finally:
            losing.cancel()
            doing.cancel()
            await asyncio.wait({doing, losing})


class Profiles:
    """Profiles of runs. Without stores (tests, tools) every run starts with nothing."""

    def __init__(self, sessions: Sessions | None = None, leases: Leases | None = None) -> None:
        self._sessions, self._leases = sessions, leases

    @asynccontextmanager
    async def use(self, browser_id: str, run: RunContext, *, renew: bool = True) -> AsyncIterator[Profile]:
        """The profile of that browser id, held alone. Raises `Parked` while another run has it."""
        if not browser_id or self._leases is None:
            loaded = await self._load(DEFAULT_ID) if not browser_id else []
            yield Profile(DEFAULT_ID, loaded, renewed=False, lost=asyncio.Event(), _sessions=self._sessions)
            return
        async with self.hold(f"browser:{browser_id}", run) as lost:
            loaded = await self._load(browser_id)
            yield Profile(browser_id, loaded, renewed=renew, lost=lost, _sessions=self._sessions)

    @asynccontextmanager
    async def hold(self, profile: str, run: RunContext) -> AsyncIterator[asyncio.Event]:
        """Hold a profile by its whole name. Raises `Parked` while another run has it."""
        if self._leases is None:
            yield asyncio.Event()
            return
        run_id = run.job.run_id
        async with contextlib.AsyncExitStack() as stack:
            try:
                lost = await stack.enter_async_context(self._leases.hold(profile, run_id))
            except ProfileBusy as busy:
                message = f"the browser profile {profile.partition(':')[2]} is in use by run {busy.holder}"
                raise _later(message, run_id, "PROFILE_BUSY") from busy
            except Unavailable as error:
                raise _later(error.message, run_id, "STORE_UNAVAILABLE") from error
            yield lost

    async def _load(self, browser_id: str) -> list[OriginState]:
        if self._sessions is None:
            return []
        try:
            return await self._sessions.load(browser_id)
        except Unavailable as error:
            raise _later(error.message, 0, "STORE_UNAVAILABLE") from error


def _later(message: str, run_id: int, code: str) -> Parked:
    return Parked(message, resume_at_ms=now_ms() + BUSY_MS + run_id % 7 * 150, code=code)
