"""How a run treats the hosts it visits. Owns: robots.txt, and its part in the hosts' pace. Must not know pages."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from chassis.retry_after import retry_after

from scraper.addresses import shown_url
from scraper.exchanges import Fetched, FetchFailed, FetchRequest
from scraper.executor import ExecutorError
from scraper.fetch import FetchSession
from scraper.host_pace import HostPace, HostPaces, PolitenessRules
from scraper.robots import MAX_BYTES, Rules, header_says_nofollow, read_robots
from scraper.urls import normal_url

ROBOTS_SECONDS = 10
ROBOTS_TRIES = 2
SLOWING_STATUSES = frozenset({429, 503})


class Disallowed(ExecutorError):
    """robots.txt forbids it."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="ROBOTS_DISALLOWED", retryable=False)


class RobotsUnreachable(ExecutorError):
    """robots.txt exists perhaps, but can't be read now: RFC 9309 has this count as forbidden."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="ROBOTS_UNREACHABLE", retryable=True)


class RunPace:
    """A host's pace as one run sees it: no more requests at once than the run itself wants."""

    def __init__(self, pace: HostPace, rules: PolitenessRules) -> None:
        self.host, self._rules = pace, rules
        self._own = asyncio.Semaphore(rules.concurrency)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """As `HostPace.turn`."""
        async with self._own, self.host.turn(self._rules.max_wait_seconds if self._rules.parks else None):
            yield


class Politeness:
    """The manners of one run."""

    def __init__(
        self, rules: PolitenessRules, session: FetchSession, *, user_agent: str, paces: HostPaces | None = None
    ) -> None:
        """`paces`: those of the process, which runs share; without them the run has its own."""
        self.rules = rules
        self._session, self._user_agent, self._hosts = session, user_agent, paces or HostPaces()
        self._paces: dict[str, RunPace] = {}
        self._joining: dict[str, asyncio.Task[RunPace]] = {}
        self._robots: dict[str, asyncio.Task[Rules | None]] = {}
        self._allowed: dict[str, Rules | None] = {}

    async def pace_of(self, url: str) -> RunPace:
        """The pace of the host of `url`."""
        host = urlsplit(url).netloc.rpartition("@")[2].lower()
        if (pace := self._paces.get(host)) is not None:
            return pace
        if host not in self._joining:
            self._joining[host] = asyncio.create_task(self._join(host))
        # Shielded: one page that gives up must not take the pace from the others.
        return await asyncio.shield(self._joining[host])

    async def _join(self, host: str) -> RunPace:
        pace = self._paces[host] = RunPace(await self._hosts.join(host, self.rules), self.rules)
        return pace

    async def check(self, url: str) -> None:
        """Raise Disallowed or RobotsUnreachable unless the host's robots.txt lets `url` be fetched."""
        if not self.rules.robots:
            return
        # Judged in the form in which it is called: `/a/../b` is `/b`.
        url = normal_url(url) or url
        rules = await self._rules_of(_origin(url))
        if rules is not None and not rules.allow(url):
            raise Disallowed(f"robots.txt of {urlsplit(url).hostname} disallows {shown_url(url)}")

    async def sitemaps_of(self, url: str) -> list[str]:
        """The sitemaps that the host's robots.txt names. Raises RobotsUnreachable."""
        rules = await self._rules_of(_origin(url))
        return list(rules.sitemaps) if rules is not None else []

    def header_says_nofollow(self, values: Sequence[str]) -> bool:
        """Whether an answer's X-Robots-Tag headers ask this crawler not to follow the page's links."""
        return bool(values) and header_says_nofollow(values, self._user_agent)

    async def _rules_of(self, origin: str) -> Rules | None:
        if origin in self._allowed:
            return self._allowed[origin]
        if origin not in self._robots:
            self._robots[origin] = asyncio.create_task(self._read_robots(origin))
        # Shielded: one page that gives up must not take the answer from the others.
        rules = await asyncio.shield(self._robots[origin])
        self._allowed[origin] = rules
        return rules

    async def close(self) -> None:
        """Stop what is still being read, and leave the hosts."""
        tasks = [*self._robots.values(), *self._joining.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for host in self._paces:
            self._hosts.leave(host, self.rules)
        self._paces.clear()

    async def _read_robots(self, origin: str) -> Rules | None:
        """The host's rules, or None when it has none."""
        pace = await self.pace_of(origin)
        answer: Fetched | None = None
        reason = ""
        for _ in range(ROBOTS_TRIES):
            try:
                async with pace.turn():
                    answer = await self._session.fetch(_robots_request(origin))
            except FetchFailed as error:
                reason = error.message
                if not error.retryable:
                    break
                continue
            if answer.status < 500 and answer.status != 429:
                break
            reason = f"status {answer.status}"
            pace.host.slow_down(retry_after(answer.headers))
            answer = None
        if answer is None:
            raise RobotsUnreachable(f"{origin}/robots.txt can't be read ({reason}), which counts as disallowed")
        if not 200 <= answer.status < 300:
            return None
        rules = read_robots(answer.body, self._user_agent)
        pace.host.ask_delay(rules.delay or 0)
        return rules


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}".lower()


def _robots_request(origin: str) -> FetchRequest:
    return FetchRequest(f"{origin}/robots.txt", timeout_seconds=ROBOTS_SECONDS, max_bytes=MAX_BYTES, max_redirects=5)


def is_slowing(answer: Fetched) -> bool:
    """Whether the answer asks for a slower pace."""
    return answer.status in SLOWING_STATUSES


def retry_after_seconds(answer: Fetched) -> float | None:
    """As `retry_after`, of an answer."""
    return retry_after(answer.headers)
