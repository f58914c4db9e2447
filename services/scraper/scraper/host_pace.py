"""The pace of the hosts that this process calls. Owns: who may send when, for all runs together. Must not know pages.

A host's pace follows its answers: quick ones let more requests run at once, slow ones fewer; 429 and 503 halve them,
stretch the delay and hold everything back for as long as `Retry-After` asks. Runs of one process share a host's pace;
through `SharedPaces` all workers do, and runs that come later begin where earlier ones have ended.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic
from types import TracebackType
from typing import Protocol

from chassis.errors import Unavailable
from chassis.logs import get_logger

log = get_logger("hosts")
SLOW_SECONDS = 1.0
EXCHANGE_SECONDS = 0.5
# A host that asks for more than this is mistaken or hostile.
MAX_PAUSE_SECONDS = 6 * 3600
# A delay below this isn't worth its bookkeeping.
LEAST_DELAY = 0.05


@dataclass(frozen=True, slots=True)
class PolitenessRules:
    """What a run asks for, and the bounds on what hosts may ask for.

    A host that asks for a longer pause than `max_wait_seconds` is asked again after that time, or parks the run.
    """

    robots: bool = True
    concurrency: int = 4
    delay_seconds: float = 0
    max_delay_seconds: float = 30
    max_wait_seconds: float = 120
    parks: bool = False


class HostPaused(Exception):
    """The host wants nothing for longer than a run waits."""

    def __init__(self, host: str, seconds: float) -> None:
        super().__init__(f"{host} wants no requests for {seconds:.0f} s")
        self.host, self.seconds = host, seconds


@dataclass(frozen=True, slots=True)
class HostReport:
    """What this process has seen of a host since its last report. `wanted` 0: nobody here calls it any more."""

    host: str
    wanted: int
    good: int = 0
    slow: int = 0
    refused: int = 0
    pause_seconds: float = 0


@dataclass(frozen=True, slots=True)
class HostView:
    """What all workers know together: requests at once and delay for all, how many workers call, the pause's rest."""

    limit: float
    delay: float
    workers: int
    pause_seconds: float


class SharedPaces(Protocol):
    """What workers know together. Both raise `Unavailable`."""

    async def exchange(self, reports: Sequence[HostReport]) -> list[HostView]:
        """Tell and learn, one view for each report."""

    async def reserve(self, host: str, delay: float) -> float:
        """Take the next start of a host that wants a delay between them; answers in how many seconds it is."""


@dataclass(slots=True)
class _News:
    good: int = 0
    slow: int = 0
    refused: int = 0
    pause_until: float = 0


class HostPace:
    """Lets requests to one host begin, in the order in which they ask."""

    def __init__(
        self,
        rules: PolitenessRules,
        *,
        host: str = "",
        clock: Callable[[], float] = monotonic,
        shared: SharedPaces | None = None,
        alarm: Callable[[], None] = lambda: None,
    ) -> None:
        self.host, self._clock, self._shared, self._alarm = host, clock, shared, alarm
        self._line = asyncio.Lock()
        self._freed = asyncio.Event()
        self._running = 0
        self._next_start = 0.0
        self._asked_delay = 0.0
        self._usual_seconds: float | None = None
        self._refusals = 0
        self._callers: list[PolitenessRules] = [rules]
        self._news = _News()
        self._bound()
        self.limit: float = self._ceiling
        self.delay = self._least_delay
        # Whether requests began since the last report.
        self._touched = True
        # Whether the first view came: nobody is called before it is known whether somebody was told to wait.
        self.known = asyncio.Event()

    def _bound(self) -> None:
        self._ceiling = max((rules.concurrency for rules in self._callers), default=1)
        self._max_pause = max(
            (MAX_PAUSE_SECONDS if rules.parks else rules.max_wait_seconds for rules in self._callers), default=0
        )
        self._max_delay = max((rules.max_delay_seconds for rules in self._callers), default=30.0)
        asked = max([self._asked_delay, *(rules.delay_seconds for rules in self._callers)])
        self._least_delay = min(asked, self._max_delay)

    def join(self, rules: PolitenessRules) -> None:
        """One more run calls the host."""
        if not self._callers:
            self.limit = rules.concurrency
        self._callers.append(rules)
        self._bound()
        self.delay = max(self.delay, self._least_delay)

    def leave(self, rules: PolitenessRules) -> None:
        """A run has ended."""
        self._callers.remove(rules)
        self._bound()

    @property
    def used(self) -> bool:
        """Whether a run calls the host."""
        return bool(self._callers)

    def ask_delay(self, seconds: float) -> None:
        """The host wants at least `seconds` between requests (Crawl-delay)."""
        self._asked_delay = max(self._asked_delay, seconds)
        self._bound()
        self.delay = max(self.delay, self._least_delay)

    def turn(self, max_wait_seconds: float | None = None) -> "Turn":
        """Wait for the turn of one request, and hold it while it runs. Raises HostPaused."""
        return Turn(self, max_wait_seconds)

    @property
    def silent(self) -> bool:
        """Whether there is nothing to tell of it."""
        return self.used and self.known.is_set() and not self._touched and not self._running

    async def begin(self, max_wait_seconds: float | None) -> None:
        """Return when a request may start; `end` must follow."""
        self._touched = True
        free = not self._line.locked() and self._running < int(self.limit)
        if free and not self.delay and self._next_start <= self._clock():
            self._running += 1
            return
        async with self._line:
            while self._running >= int(self.limit):
                self._freed.clear()
                await self._freed.wait()
            await self._await_start(max_wait_seconds)
            self._running += 1

    async def _await_start(self, max_wait_seconds: float | None) -> None:
        # The time may move while it is waited for.
        while (seconds := self._next_start - self._clock()) > 0:
            if max_wait_seconds is not None and seconds > max_wait_seconds:
                raise HostPaused(self.host, seconds)
            await asyncio.sleep(seconds)
        if self.delay and self._shared is not None:
            try:
                seconds = await self._shared.reserve(self.host, self.delay)
            except Unavailable:
                log.debug("a host's pace is this worker's own for now", host=self.host)
            else:
                await asyncio.sleep(min(seconds, self._max_delay))
                return
        self._next_start = self._clock() + self.delay

    def end(self) -> None:
        """The request is over."""
        self._running -= 1
        self._freed.set()

    def answered(self, seconds: float) -> None:
        """A usable answer came after `seconds`."""
        usual = self._usual_seconds
        self._usual_seconds = seconds if usual is None else 0.8 * usual + 0.2 * seconds
        if usual is not None and seconds > SLOW_SECONDS and seconds > 2 * usual:
            self._news.slow += 1
            self.limit = max(1, self.limit - 1)
            return
        self._news.good += 1
        if self.limit < self._ceiling:
            self.limit = min(self._ceiling, self.limit + 1 / self.limit)
        if self.delay:
            self.delay = max(self._least_delay, self.delay * 0.8 if self.delay > LEAST_DELAY else 0)
        self._refusals = max(0, self._refusals - 1)

    def slow_down(self, retry_after: float | None) -> float:
        """The host is overloaded or has had enough; answers the seconds for which nothing is sent to it."""
        self._refusals += 1
        self._news.refused += 1
        self.limit = max(1, self.limit / 2)
        self.delay = min(max(2 * self.delay, 0.25), self._max_delay)
        wanted = retry_after if retry_after is not None else min(2.0 ** (self._refusals - 1), 60)
        seconds = min(max(wanted, 0), self._max_pause)
        self._next_start = max(self._next_start, self._clock() + seconds)
        self._news.pause_until = self._next_start
        self._alarm()
        return seconds

    def take_report(self) -> HostReport:
        """What is new since the last one."""
        news, self._news = self._news, _News()
        self._touched = False
        pause = max(0.0, news.pause_until - self._clock()) if news.pause_until else 0.0
        wanted = self._ceiling if self._callers else 0
        return HostReport(self.host, wanted, news.good, news.slow, news.refused, pause)

    def learn(self, view: HostView) -> None:
        """Adopt what all workers know together: this one's share of the requests at once."""
        self.limit = max(1.0, min(self._ceiling, view.limit / max(1, view.workers)))
        self.delay = max(self._least_delay, view.delay)
        self._next_start = max(self._next_start, self._clock() + view.pause_seconds if view.pause_seconds else 0)
        self._freed.set()
        self.known.set()


class Turn:
    """One request's turn."""

    __slots__ = ("_max_wait", "_pace")

    def __init__(self, pace: HostPace, max_wait_seconds: float | None) -> None:
        self._pace, self._max_wait = pace, max_wait_seconds

    async def __aenter__(self) -> None:
        await self._pace.begin(self._max_wait)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pace.end()


@dataclass(slots=True)
class HostPaces:
    """The paces of all hosts that this process calls now, told to the other workers while it does."""

    shared: SharedPaces | None = None
    _paces: dict[str, HostPace] = field(default_factory=dict)
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _exchanging: asyncio.Task[None] | None = None

    async def join(self, host: str, rules: PolitenessRules) -> HostPace:
        """The host's pace for one more run; `leave` must follow."""
        pace = self._paces.get(host)
        if pace is None:
            pace = self._paces[host] = HostPace(rules, host=host, shared=self.shared, alarm=self._news.set)
        else:
            pace.join(rules)
        if self.shared is None:
            return pace
        if self._exchanging is None or self._exchanging.done():
            self._exchanging = asyncio.create_task(self._exchange(), name="host paces")
        self._news.set()
        try:
            await pace.known.wait()
        except BaseException:
            self.leave(host, rules)
            raise
        return pace

    def leave(self, host: str, rules: PolitenessRules) -> None:
        """A run needs the host no more."""
        pace = self._paces[host]
        pace.leave(rules)
        if not pace.used and self.shared is None:
            del self._paces[host]
        self._news.set()

    async def close(self) -> None:
        """Stop telling."""
        if self._exchanging is not None:
            self._exchanging.cancel()
            await asyncio.gather(self._exchanging, return_exceptions=True)

    async def _exchange(self) -> None:
        """Tell and learn while hosts are called; what happens to one of them is told at once."""
        try:
            while self._paces:
                self._news.clear()
                if loud := [pace for pace in self._paces.values() if not pace.silent]:
                    await self._exchange_once(loud)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(EXCHANGE_SECONDS):
                        await self._news.wait()
        finally:
            # Whatever ended it, nobody waits for it any more.
            for pace in self._paces.values():
                pace.known.set()

    async def _exchange_once(self, paces: Sequence[HostPace]) -> None:
        assert self.shared is not None
        reports = [pace.take_report() for pace in paces]
        try:
            views = await self.shared.exchange(reports)
        except Unavailable as error:
            log.warning("hosts' paces are this worker's own for now", error=str(error))
            for pace in paces:
                pace.known.set()
        else:
            for pace, view in zip(paces, views, strict=True):
                pace.learn(view)
        for pace, report in zip(paces, reports, strict=True):
            if not pace.used and report.wanted == 0:
                del self._paces[pace.host]
