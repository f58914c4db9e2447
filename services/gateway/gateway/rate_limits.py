"""How much one caller may ask for. Owns: token buckets, and the blocks of tokens that this process holds of them.

The buckets are shared by all replicas (in Redis). A busy caller's tokens are taken in blocks of a tenth of a second's
worth and spent from memory, and the next block is fetched before the last one is used up: most requests ask nobody.
What a process holds and does not spend within a second is lost, so a limit is never exceeded, and a caller that jumps
between replicas may get a little less. While Redis is away nobody is limited.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from chassis.errors import Exhausted, Unavailable
from chassis.logs import get_logger

log = get_logger("limits")
BLOCK_SECONDS = 0.1
HELD_SECONDS = 1.0
MAX_CALLERS = 10_000
ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Limit:
    """`per_minute` tokens are added every minute, up to `burst`. 0 per minute: no limit."""

    per_minute: int
    burst: int

    @property
    def block(self) -> int:
        """How many tokens are taken at once."""
        return max(1, min(int(self.per_minute / 60 * BLOCK_SECONDS), self.burst // 10))


class Caller(Protocol):
    """Who is limited."""

    @property
    def id(self) -> str:
        """Names the bucket."""

    @property
    def limit(self) -> Limit | None:
        """The caller's own limit, or None for everybody's."""


class Buckets(Protocol):
    """Where the buckets are."""

    async def take(self, caller: str, limit: Limit) -> tuple[int, float]:
        """How many of a block's tokens there were; if none, in how many seconds one is. Raises `Unavailable`."""


@dataclass(slots=True)
class _Held:
    tokens: int = 0
    until: float = 0.0
    # Before this nothing can be had: no need to ask.
    empty_until: float = 0.0
    fetching: "asyncio.Task[None] | None" = None


class RateLimits:
    """`spend` first, and when it says no, `refill`."""

    def __init__(
        self,
        buckets: Buckets,
        default: Limit,
        *,
        limit_admin: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._buckets, self._default, self._clock = buckets, default, clock
        self._free = frozenset() if limit_admin else frozenset({ADMIN})
        self._held: OrderedDict[str, _Held] = OrderedDict()

    def spend(self, caller: Caller) -> bool:
        """Whether a token was at hand, or none is needed."""
        limit = caller.limit or self._default
        if not limit.per_minute or (caller.limit is None and caller.id in self._free):
            return True
        held = self._held.get(caller.id)
        if held is None or held.tokens <= 0 or self._clock() >= held.until:
            return False
        held.tokens -= 1
        if held.tokens <= limit.block // 4 and held.fetching is None and limit.block > 1:
            self._fetch(caller.id, held, limit)
        return True

    async def refill(self, caller: Caller) -> None:
        """Take a token from the caller's bucket. Raises `Exhausted`, which says when to come back."""
        limit = caller.limit or self._default
        held = self._held.setdefault(caller.id, _Held())
        self._held.move_to_end(caller.id)
        if len(self._held) > MAX_CALLERS:
            self._held.popitem(last=False)
        # Others may wait for the same block and leave nothing of it.
        for _ in range(100):
            now = self._clock()
            if now < held.empty_until:
                raise _exhausted(limit, held.empty_until - now)
            await asyncio.shield(held.fetching or self._fetch(caller.id, held, limit))
            if self._clock() < held.until and held.tokens > 0:
                held.tokens -= 1
                return
        raise _exhausted(limit, BLOCK_SECONDS)

    def _fetch(self, caller: str, held: _Held, limit: Limit) -> "asyncio.Task[None]":
        async def fetch() -> None:
            try:
                granted, wait_seconds = await self._buckets.take(caller, limit)
            except Unavailable as error:
                log.warning("requests are not limited", reason=error.message)
                granted, wait_seconds = max(limit.block, 100), 0.0
            finally:
                held.fetching = None
            now = self._clock()
            held.tokens = granted + (held.tokens if now < held.until else 0)
            held.until = now + HELD_SECONDS
            if not held.tokens:
                held.empty_until = now + wait_seconds

        held.fetching = asyncio.create_task(fetch())
        return held.fetching


def _exhausted(limit: Limit, wait_seconds: float) -> Exhausted:
    return Exhausted(
        "请求频率过高", retry_after_seconds=max(wait_seconds, 0.01), rule="rate_limit", value=limit.per_minute
    )
