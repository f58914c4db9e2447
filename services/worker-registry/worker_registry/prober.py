"""Probes what is due. Owns: the loop, and that of many registries one makes each probe. Must not know HTTP."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from chassis.clock import now_ms
from chassis.errors import Unavailable
from chassis.logs import get_logger

from worker_registry.endpoint import Endpoint, Probe
from worker_registry.mongo_endpoints import MongoEndpoints

log = get_logger("prober")
# Another registry may have been given an endpoint meanwhile.
LONGEST_NAP_SECONDS = 5.0
RETRY_SECONDS = 1.0
# Results of the same endpoint are stored one after the other; a claim in between makes one read again.
TRIES = 5


class Prober:
    """`look` makes a probe: (url, timeout in seconds)."""

    def __init__(
        self, endpoints: MongoEndpoints, look: Callable[[str, float], Awaitable[Probe]], *, timeout_seconds: float,
        at_once: int,
    ) -> None:  # fmt: skip
        self._endpoints, self._look = endpoints, look
        self._timeout_seconds, self._at_once = timeout_seconds, at_once
        self._wake = asyncio.Event()
        self._under_way: set[asyncio.Task[None]] = set()

    def wake(self) -> None:
        """Something may be due earlier than was known."""
        self._wake.set()

    async def run(self) -> None:
        """For ever."""
        while True:
            self._wake.clear()
            try:
                await self._endpoints.prepare()
                await self._begin_due()
                seconds = await self._nap()
            except Unavailable as error:
                log.debug("probes wait", reason=error.message)
                seconds = RETRY_SECONDS
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._wake.wait()

    async def _nap(self) -> float:
        if len(self._under_way) >= self._at_once:
            return LONGEST_NAP_SECONDS  # a probe that ends wakes the loop
        due = await self._endpoints.next_due_ms()
        return LONGEST_NAP_SECONDS if due is None else min(LONGEST_NAP_SECONDS, max(0.0, (due - now_ms()) / 1000))

    async def _begin_due(self) -> None:
        free = self._at_once - len(self._under_way)
        for endpoint in await self._endpoints.due(now_ms(), free) if free > 0 else ():
            claimed = endpoint.claimed(now_ms())
            if await self._endpoints.replace(claimed):
                task = asyncio.create_task(self._probe(claimed))
                self._under_way.add(task)
                task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._under_way.discard(task)
        if len(self._under_way) == self._at_once - 1:
            self.wake()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("a probe was lost", error=repr(error))

    async def _probe(self, endpoint: Endpoint) -> None:
        probe = await self._look(endpoint.url, min(self._timeout_seconds, endpoint.interval_ms / 1000))
        before = endpoint.status
        newest: Endpoint | None = endpoint
        for _ in range(TRIES):
            if newest is None or await self._endpoints.replace(newest.probed(probe)):
                break
            newest = await self._endpoints.get(endpoint.id)
        now = "healthy" if probe.healthy else "unhealthy"
        if newest is not None and now != before:
            log.info("endpoint", endpoint=endpoint.id, name=endpoint.name, was=before, now=now, error=probe.error)

    async def stop(self) -> None:
        """Leave the probes that are under way."""
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
