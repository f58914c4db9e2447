"""Publishes how attempts ended, many in one message, and acknowledges the work only after that is stored."""

import asyncio
from collections.abc import Sequence

from chassis.batching import Batcher
from chassis.errors import Unavailable
from chassis.events import Events
from chassis.logs import get_logger
from trawl.scraper.v1 import events_pb2 as pb
from wire import subjects

log = get_logger("outcomes")
MAX_BATCH = 200
MAX_MESSAGE_BYTES = 2 * 1024 * 1024
RETRY_SECONDS = 0.3


class Outcomes:
    """`publish` returns when JetStream has it, however long NATS is away."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._batcher: Batcher[pb.RunFinished, None] = Batcher(
            self._send, max_batch=MAX_BATCH, max_in_flight=2, max_waiting=100_000, steady_patience_seconds=0.008
        )

    async def publish(self, finished: pb.RunFinished) -> None:
        """Store one end."""
        await self._batcher.call(finished)

    async def _send(self, ends: list[pb.RunFinished]) -> Sequence[None]:
        for part in _parts(ends):
            payload = pb.RunsFinished(runs=part).SerializeToString()
            message_id = f"end-{part[0].run_id}-{part[0].token}-{len(part)}"
            while True:
                try:
                    await self._events.publish(subjects.RUNS_FINISHED, payload, message_id=message_id)
                    break
                except Unavailable:
                    log.warning("ends wait for NATS", count=len(part))
                    await asyncio.sleep(RETRY_SECONDS)
        return [None] * len(ends)


def _parts(ends: Sequence[pb.RunFinished]) -> list[list[pb.RunFinished]]:
    """Split so that no message grows beyond what NATS carries."""
    parts: list[list[pb.RunFinished]] = [[]]
    size = 0
    for end in ends:
        length = end.ByteSize()
        if parts[-1] and size + length > MAX_MESSAGE_BYTES:
            parts.append([])
            size = 0
        parts[-1].append(end)
        size += length
    return parts
