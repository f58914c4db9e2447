"""Whether what a service needs can be reached. Owns: the checks' rhythm and the log lines. Must not know what is
checked.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from chassis.errors import Unavailable
from chassis.logs import get_logger

log = get_logger("readiness")
CHECK_SECONDS = 5.0
RETRY_SECONDS = 0.3
CHECK_TIMEOUT_SECONDS = 2.0
Check = Callable[[], Awaitable[None]]


async def until_available(action: Callable[[], Awaitable[None]]) -> None:
    """Do it, again and again until what it needs is there."""
    waiting = True
    while waiting:
        try:
            await action()
            waiting = False
        except Unavailable as error:
            log.warning("waiting", reason=error.message)
            await asyncio.sleep(RETRY_SECONDS)


class Readiness:
    """`checks` raise `Unavailable`. `serving` is set while all of them pass; `changed` is told of every change."""

    def __init__(
        self, checks: Mapping[str, Check], *, serving: asyncio.Event, changed: Callable[[bool], Awaitable[None]]
    ) -> None:
        self._checks, self._serving, self._changed = checks, serving, changed
        self._down: set[str] = set()

    async def run(self) -> None:
        """For ever."""
        while True:
            down = set(await asyncio.gather(*(self._down_name(name) for name in self._checks))) - {""}
            for name in sorted(down - self._down):
                log.warning("waiting for a dependency", dependency=name)
            for name in sorted(self._down - down):
                log.info("a dependency can be reached again", dependency=name)
            self._down = down
            await self._tell(not down)
            await asyncio.sleep(RETRY_SECONDS if down else CHECK_SECONDS)

    async def _tell(self, serving: bool) -> None:
        if serving == self._serving.is_set():
            return
        if serving:
            log.info("serving")
            self._serving.set()
        else:
            self._serving.clear()
        await self._changed(serving)

    async def _down_name(self, name: str) -> str:
        """The name if it is down, else nothing."""
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_SECONDS):
                await self._checks[name]()
        except (Unavailable, TimeoutError):
            return name
        return ""
