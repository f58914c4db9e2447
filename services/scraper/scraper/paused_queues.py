"""Which queues are paused, as far as this worker knows. Owns when to ask. Must not know how anything is pulled.

It only spares pulls that would bring nothing: what a paused queue holds is never granted, whoever asks.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable

from chassis.errors import TrawlError
from chassis.events import Msg
from chassis.logs import get_logger

log = get_logger("paused")
# While something is paused, the scheduler is asked this often: the word of a resumption may have been missed.
ASK_SECONDS = 5.0
RETRY_SECONDS = 1.0


class PausedQueues:
    """`ask` answers the paused queues; `changed` is called when `names` has become another."""

    def __init__(self, ask: Callable[[], Awaitable[Iterable[str]]], changed: Callable[[], None]) -> None:
        self._ask, self._changed = ask, changed
        self._wake = asyncio.Event()
        self.names: frozenset[str] = frozenset()

    def saw(self, queue: str) -> None:
        """A claim was refused because the queue is paused."""
        self._become(self.names | {queue})
        self._wake.set()

    async def look_again(self) -> None:
        """Something may have been missed."""
        self._wake.set()

    async def on_notice(self, _message: Msg) -> None:
        """Callback: some queue was paused or resumed."""
        self._wake.set()

    def _become(self, names: frozenset[str]) -> None:
        if names != self.names:
            log.info("paused queues", names=sorted(names))
            self.names = names
            self._changed()

    async def run(self) -> None:
        """For ever: know the paused queues; asks nobody while none is paused and nothing is said."""
        while True:
            self._wake.clear()
            try:
                self._become(frozenset(await self._ask()))
            except TrawlError as error:
                log.debug("cannot ask which queues are paused", reason=error.message)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ASK_SECONDS if self.names else None):
                    await self._wake.wait()
