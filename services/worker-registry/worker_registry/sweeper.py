"""Finding silent workers. Owns: when to look. Must not know how workers are stored or told about.

It sleeps until the next deadline, at most half of the shortest heartbeat interval: each look also stamps that somebody
is watching. After a time without a stamp (no registry ran or served, or Redis was away) every worker gets the full
three intervals again, so that nobody is lost because this side was deaf.
"""

import asyncio
import contextlib
from collections.abc import Callable

from chassis.errors import Unavailable
from chassis.logs import get_logger

from worker_registry.redis_heartbeats import RedisHeartbeats, Sweep
from worker_registry.registry import Registry

log = get_logger("sweeper")
LONGEST_NAP_SECONDS = 30.0
SHORTEST_NAP_SECONDS = 0.005
RETRY_SECONDS = 0.5


class Sweeper:
    """Sweeps while `serving` is set: workers can't be heard by a registry that calls are kept away from."""

    def __init__(
        self,
        heartbeats: RedisHeartbeats,
        registry: Registry,
        *,
        serving: asyncio.Event,
        wake: asyncio.Event,
        facts_added: Callable[[], None],
    ) -> None:
        self._heartbeats, self._registry = heartbeats, registry
        self._serving, self._wake, self._facts_added = serving, wake, facts_added

    async def run(self) -> None:
        """For ever."""
        while True:
            await self._serving.wait()
            self._wake.clear()
            try:
                nap_seconds = await self.sweep()
            except Unavailable as error:
                log.warning("cannot look for silent workers", reason=error.message)
                nap_seconds = RETRY_SECONDS
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), nap_seconds)

    async def sweep(self) -> float:
        """Look once; answers how long to sleep, in seconds."""
        found = await self._heartbeats.sweep()
        if found.empty:
            log.info("told Redis of the registered workers", count=await self._registry.rebuild())
            found = await self._heartbeats.sweep()
        if found.grace:
            log.info("nobody was watching for a while: workers get the full time again")
        if found.outbox:
            self._facts_added()
        return nap(found)


def nap(found: Sweep) -> float:
    """Seconds until the next look is due."""
    seconds = LONGEST_NAP_SECONDS
    if found.shortest_interval:
        seconds = min(seconds, found.shortest_interval / 2000)
    if found.next_deadline >= 0:
        seconds = min(seconds, found.next_deadline / 1000)
    return max(seconds, SHORTEST_NAP_SECONDS)
