"""Use case: paused queues. Owns the order of a decision: MongoDB (it lasts), Redis (claims obey), the word to all.

From the moment that `decide` answers, no claim of a paused queue is granted anywhere: claims read the same hash in
Redis that was written before. Whoever pulls is told only to save them the trouble.
"""

from chassis.clock import now_ms

from scheduler.events import Announcer
from scheduler.mongo_queues import QueueBook
from scheduler.redis_queues import LiveQueues, QueueState


class Pauses:
    """Raises `Unavailable` when a store can't be reached; a decision that was cut short is completed by a repeat."""

    def __init__(self, book: QueueBook, live: LiveQueues, announcer: Announcer) -> None:
        self._book, self._live, self._announcer = book, live, announcer

    async def decide(self, name: str, *, paused: bool) -> QueueState:
        """Pause or resume a queue."""
        state = await self._book.decide(name, paused=paused, now=now_ms())
        await self._live.tell([state])
        await self._announcer.queue_changed(name)
        return state

    async def restore(self) -> None:
        """Make Redis know every decision, after it may have lost some."""
        await self._live.tell(await self._book.states(), complete=True)

    async def states(self) -> dict[str, QueueState]:
        """Every decision, by queue."""
        return {state.name: state for state in await self._book.states()}

    async def paused(self) -> frozenset[str]:
        """The queues that nobody gets runs of."""
        found = await self._live.paused()
        if found is None:
            await self.restore()
            found = await self._live.paused()
        return found or frozenset()
