"""Turns what happens into deliveries. Owns: the durable consumer that all replicas share. Must not know how is sent.

A message is acknowledged after its deliveries are stored, so that whatever dies in between, the message comes again;
the deliveries' ids make the repetition change nothing. Without an active webhook nothing is read.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence

from chassis.clock import now_ms
from chassis.errors import Unavailable
from chassis.events import JETSTREAM_DOWN, Events, Msg
from chassis.logs import get_logger
from chassis.run import end_task
from nats.js.api import DeliverPolicy
from wire import subjects

from gateway.happenings import Happening, read_message
from gateway.webhooks.directory import Directory
from gateway.webhooks.mongo_deliveries import MongoDeliveries
from gateway.webhooks.webhook import Webhook, make_delivery

log = get_logger("webhooks")
CONSUMER = "gateway-webhooks"
BATCH = 256
# Under load deliveries are stored in larger batches; nobody counts on these milliseconds.
LOADED_PATIENCE_SECONDS = 0.05
DECLARE_SECONDS = 5.0


class Intake:
    """`added` is told the webhooks that something is to be sent to now."""

    def __init__(
        self,
        events: Events,
        directory: Directory,
        deliveries: MongoDeliveries,
        *,
        added: Callable[[Iterable[str]], None],
    ) -> None:
        self._events, self._directory, self._deliveries, self._added = events, directory, deliveries, added

    async def declare(self) -> None:
        """Make the consumer, unless it is there: what happens from now on waits for it. Raises `Unavailable`."""
        try:
            async with asyncio.timeout(DECLARE_SECONDS):
                await self._events.ensure_consumer(
                    subjects.EVENTS_STREAM,
                    CONSUMER,
                    subjects.ALL_EVENTS,
                    ack_wait=30,
                    max_ack_pending=5_000,
                    deliver_policy=DeliverPolicy.NEW,
                )
        except JETSTREAM_DOWN as error:
            raise Unavailable("NATS is unavailable", dependency="nats") from error

    async def run(self) -> None:
        """For ever: consume while there is somebody to tell."""
        while True:
            await self._directory.some.wait()
            consuming = asyncio.create_task(
                self._events.consume(
                    subjects.EVENTS_STREAM,
                    CONSUMER,
                    subjects.ALL_EVENTS,
                    self.handle,
                    batch=BATCH,
                    loaded_patience_seconds=LOADED_PATIENCE_SECONDS,
                )
            )
            idle = asyncio.create_task(self._directory.none.wait())
            try:
                await asyncio.wait({consuming, idle}, return_when=asyncio.FIRST_COMPLETED)
                if consuming.done():
                    consuming.result()
            finally:
                await asyncio.gather(end_task(consuming), end_task(idle))

    async def handle(self, messages: Sequence[Msg]) -> None:
        """Store deliveries for what the messages say. Raises `Unavailable`."""
        # Read anew for each batch: a webhook that was made on another replica a moment ago must miss nothing.
        webhooks = await self._directory.refresh()
        happenings: list[Happening] = []
        for message in messages:
            try:
                happenings.extend(read_message(message.subject, message.data))
            except ValueError as error:
                log.warning("an event is left out", reason=str(error))
        await self.tell(webhooks, happenings)

    async def tell(self, webhooks: Sequence[Webhook], happenings: Iterable[Happening]) -> None:
        """Store a delivery for each webhook that wants a happening. Raises `Unavailable`."""
        now = now_ms()
        deliveries = [
            make_delivery(webhook, happening, now)
            for happening in happenings
            for webhook in webhooks
            if webhook.wants(happening)
        ]
        if deliveries:
            await self._deliveries.add(deliveries)
            self._added({delivery.webhook_id for delivery in deliveries})
