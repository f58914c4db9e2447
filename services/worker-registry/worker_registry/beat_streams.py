"""Workers' heartbeats as streams. Owns: which streams there are, what is answered on them, how fast one is read.
Must not know how heartbeats are kept.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from chassis.errors import Exhausted, InvalidInput, Unavailable
from trawl.workerregistry.v1 import workers_pb2 as pb

from worker_registry import beat_messages
from worker_registry.worker import Beat, Status


class BeatStreams:
    """`keep` takes note of a heartbeat and answers what the worker should be, None for a session that is not known.

    At most `most` streams; each is read once in `spacing_seconds` at most, so that one who sends more waits for room
    to write.
    """

    def __init__(self, keep: Callable[[Beat], Awaitable[Status | None]], *, most: int, spacing_seconds: float) -> None:
        self._keep, self._most, self._spacing_seconds = keep, most, spacing_seconds
        self._tasks: set[asyncio.Task[object]] = set()
        self._closing = False

    async def serve(self, requests: AsyncIterator[pb.HeartbeatRequest]) -> AsyncIterator[pb.HeartbeatResponse]:
        """The answers to one worker's heartbeats, until it hangs up or isn't known any more."""
        if self._closing:
            raise Unavailable("the worker registry is stopping")
        if len(self._tasks) >= self._most:
            raise Exhausted("too many workers send heartbeats", retry_after_seconds=60)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        now, next_at = asyncio.get_running_loop().time, 0.0
        worker_id, session, said = "", "", ""
        try:
            async for request in requests:
                if not worker_id:
                    worker_id, session = beat_messages.whose(request)
                elif request.id not in ("", worker_id) or request.session not in ("", session):
                    raise InvalidInput("must be that of the stream's first heartbeat", field="session")
                status = await self._keep(beat_messages.read(request, worker_id, session))
                if status != said or request.answer:
                    yield beat_messages.answer(status)
                if status is None:
                    return
                said = status
                if (early := next_at - now()) > 0:
                    await asyncio.sleep(early)
                next_at = now() + self._spacing_seconds
        except asyncio.CancelledError:
            if not self._closing:
                raise
            task.uncancel()
            raise Unavailable("the worker registry is stopping") from None
        finally:
            self._tasks.discard(task)

    def close(self) -> None:
        """End all streams: workers then look for another registry, or wait for this one."""
        self._closing = True
        for task in self._tasks:
            task.cancel()
