"""Follows runs' logs. Owns: who follows which run, and when to look for more lines.

The scheduler says which runs have new lines; a follower then reads on from where it is. Words may be lost while NATS
reconnects, so it also looks by itself, rarely.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

from chassis.errors import DeadlineExceeded, Unavailable
from chassis.events import Events, Msg
from chassis.logs import get_logger
from trawl.scheduler.v1 import runs_pb2
from wire import subjects

from gateway.run_watcher import RunWatcher

log = get_logger("follower")
PAGE = 500
LOOK_SECONDS = 10.0
RETRY_SECONDS = 1.0
FOLLOW_SECONDS = 3_600.0
ReadLines = Callable[[int, int, int], Awaitable[Sequence[runs_pb2.LogLine]]]


class LogFollower:
    """`read` takes run id, offset and limit."""

    def __init__(self, events: Events, watcher: RunWatcher, read: ReadLines) -> None:
        self._events, self._watcher, self._read = events, watcher, read
        self._following: dict[int, set[asyncio.Event]] = {}

    async def listen(self) -> None:
        """Hear of new lines; once, when NATS is connected."""
        await self._events.nc.subscribe(subjects.LIVE_LOGS, cb=self._heard)

    async def _heard(self, message: Msg) -> None:
        if self._following:
            for text in message.data.split():
                for heard in self._following.get(int(text) if text.isdigit() else 0, ()):
                    heard.set()

    async def follow(
        self, run_id: int, offset: int
    ) -> AsyncGenerator[tuple[int, Sequence[runs_pb2.LogLine], runs_pb2.Run | None], None]:
        """Number of the first line, lines, and at the very end the run that has ended."""
        heard = asyncio.Event()
        self._following.setdefault(run_id, set()).add(heard)
        # The scheduler stores a run's last lines before it says that the run has ended.
        ended = asyncio.create_task(self._watcher.wait_ended(run_id, FOLLOW_SECONDS))
        ended.add_done_callback(lambda _: heard.set())
        try:
            while True:
                is_last_look = ended.done()
                heard.clear()
                wait_seconds = LOOK_SECONDS
                try:
                    while lines := await self._read(run_id, offset, PAGE):
                        yield offset, lines, None
                        offset += len(lines)
                except (Unavailable, DeadlineExceeded) as error:
                    log.debug("cannot read on", run_id=run_id, reason=error.message)
                    wait_seconds, is_last_look = RETRY_SECONDS, False
                if is_last_look:
                    yield offset, [], ended.result()
                    return
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait_seconds):
                        await heard.wait()
        finally:
            ended.cancel()
            await asyncio.gather(ended, return_exceptions=True)
            following = self._following[run_id]
            following.discard(heard)
            if not following:
                del self._following[run_id]
