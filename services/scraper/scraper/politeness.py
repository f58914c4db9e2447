"""How a run treats the hosts it visits. Owns: robots.txt, and pace for each host. Must not know pages or items.

A host's pace follows its answers: quick ones let more requests run at once, slow ones fewer; 429 and 503 halve them,
stretch the delay and hold everything back for as long as `Retry-After` asks, within a bound.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from protego import Protego

from scraper.addresses import shown_url
from scraper.executor import ExecutorError
from scraper.fetch import Fetched, FetchFailed, FetchRequest, FetchSession

ROBOTS_BYTES = 512 * 1024
ROBOTS_SECONDS = 10
ROBOTS_TRIES = 2
SLOW_SECONDS = 1.0
SLOWING_STATUSES = frozenset({429, 503})


class Disallowed(ExecutorError):
    """robots.txt forbids it."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="ROBOTS_DISALLOWED", retryable=False)


class RobotsUnreachable(ExecutorError):
    """robots.txt exists perhaps, but can't be read now: RFC 9309 has this count as forbidden."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="ROBOTS_UNREACHABLE", retryable=True)


@dataclass(frozen=True, slots=True)
class PolitenessRules:
    """What a run asks for, and the bounds on what hosts may ask for."""

    robots: bool = True
    concurrency: int = 4
    delay_seconds: float = 0
    max_delay_seconds: float = 30
    max_wait_seconds: float = 120


class HostPace:
    """Lets requests to one host begin, in the order in which they ask."""

    def __init__(self, rules: PolitenessRules, *, clock: Callable[[], float] = monotonic) -> None:
        self._rules, self._clock = rules, clock
        self._line = asyncio.Lock()
        self._freed = asyncio.Event()
        self._running = 0
        self._next_start = 0.0
        self._least_delay = min(rules.delay_seconds, rules.max_delay_seconds)
        self._usual_seconds: float | None = None
        self._slowings = 0
        self.limit: float = rules.concurrency
        self.delay = self._least_delay

    def ask_delay(self, seconds: float) -> None:
        """The host wants at least `seconds` between requests (Crawl-delay)."""
        self._least_delay = min(max(self._least_delay, seconds), self._rules.max_delay_seconds)
        self.delay = max(self.delay, self._least_delay)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for the turn of one request, and hold it while it runs."""
        async with self._line:
            while self._running >= int(self.limit):
                self._freed.clear()
                await self._freed.wait()
            # The time may move while it is waited for.
            while (seconds := self._next_start - self._clock()) > 0:  # noqa: ASYNC110  # a time, not an event
                await asyncio.sleep(seconds)
            self._running += 1
            self._next_start = self._clock() + self.delay
        try:
            yield
        finally:
            self._running -= 1
            self._freed.set()

    def answered(self, seconds: float) -> None:
        """A usable answer came after `seconds`."""
        usual = self._usual_seconds
        self._usual_seconds = seconds if usual is None else 0.8 * usual + 0.2 * seconds
        if usual is not None and seconds > SLOW_SECONDS and seconds > 2 * usual:
            self.limit = max(1, self.limit - 1)
            return
        self.limit = min(self._rules.concurrency, self.limit + 1 / self.limit)
        self.delay = max(self._least_delay, self.delay * 0.8 if self.delay > 0.05 else 0)
        self._slowings = max(0, self._slowings - 1)

    def slow_down(self, retry_after: float | None) -> float:
        """The host is overloaded or has had enough; answers the seconds for which nothing is sent to it."""
        self._slowings += 1
        self.limit = max(1, self.limit / 2)
        self.delay = min(max(2 * self.delay, 0.25), self._rules.max_delay_seconds)
        wanted = retry_after if retry_after is not None else min(2.0 ** (self._slowings - 1), 60)
        seconds = min(max(wanted, 0), self._rules.max_wait_seconds)
        self._next_start = max(self._next_start, self._clock() + seconds)
        return seconds


class Politeness:
    """The manners of one run."""

    def __init__(self, rules: PolitenessRules, session: FetchSession, *, user_agent: str) -> None:
        self.rules = rules
        self._session, self._user_agent = session, user_agent
        self._paces: dict[str, HostPace] = {}
        self._robots: dict[str, asyncio.Task[Any]] = {}

    def pace_of(self, url: str) -> HostPace:
        """The pace of the host of `url`."""
        host = urlsplit(url).netloc.rpartition("@")[2].lower()
        return self._paces.setdefault(host, HostPace(self.rules))

    async def check(self, url: str) -> None:
        """Raise Disallowed or RobotsUnreachable unless the host's robots.txt lets `url` be fetched."""
        if not self.rules.robots:
            return
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}".lower()
        if origin not in self._robots:
            self._robots[origin] = asyncio.create_task(self._read_robots(origin))
        # Shielded: one page that gives up must not take the answer from the others.
        rules = await asyncio.shield(self._robots[origin])
        if rules is not None and not rules.can_fetch(url, self._user_agent):
            raise Disallowed(f"robots.txt of {parts.hostname} disallows {shown_url(url)}")

    async def close(self) -> None:
        """Stop what is still being read."""
        for task in self._robots.values():
            task.cancel()
        await asyncio.gather(*self._robots.values(), return_exceptions=True)

    async def _read_robots(self, origin: str) -> Any:
        """The host's rules, or None when it has none."""
        pace = self.pace_of(origin)
        answer: Fetched | None = None
        reason = ""
        for _ in range(ROBOTS_TRIES):
            try:
                async with pace.turn():
                    answer = await self._session.fetch(_robots_request(origin))
            except FetchFailed as error:
                reason = error.message
                continue
            if answer.status < 500 and answer.status != 429:
                break
            reason = f"status {answer.status}"
            pace.slow_down(retry_after_seconds(answer))
            answer = None
        if answer is None:
            raise RobotsUnreachable(f"{origin}/robots.txt can't be read ({reason}), which counts as disallowed")
        if not 200 <= answer.status < 300:
            return None
        rules = Protego.parse(answer.body.decode(errors="replace"))
        pace.ask_delay(rules.crawl_delay(self._user_agent) or 0)
        return rules


def _robots_request(origin: str) -> FetchRequest:
    return FetchRequest(f"{origin}/robots.txt", timeout_seconds=ROBOTS_SECONDS, max_bytes=ROBOTS_BYTES, max_redirects=5)


def is_slowing(answer: Fetched) -> bool:
    """Whether the answer asks for a slower pace."""
    return answer.status in SLOWING_STATUSES


def retry_after_seconds(answer: Fetched) -> float | None:
    """`Retry-After` in seconds from now, given as seconds or as a date; None without a usable one."""
    text = answer.headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdecimal():
        return float(text[:9])
    try:
        when = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError):
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())
