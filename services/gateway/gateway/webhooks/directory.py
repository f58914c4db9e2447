"""The webhooks that there are, as this process knows them. Owns: keeping that fresh. Must not know what is sent.

Every change is told to all replicas over NATS; a slow look covers what a lost word left out.
"""

import asyncio
import contextlib
from collections.abc import Callable

from chassis.errors import Unavailable
from chassis.events import NATS_DOWN, Events, Msg
from chassis.logs import get_logger
from wire import subjects

from gateway.webhooks.mongo_webhooks import MongoWebhooks
from gateway.webhooks.webhook import Webhook

log = get_logger("webhooks")
MAX_WEBHOOKS = 100
LOOK_SECONDS = 30.0
RETRY_SECONDS = 1.0


class Directory:
    """`active` and `find` answer from memory. `some` is set while any webhook is active."""

    def __init__(self, webhooks: MongoWebhooks, events: Events) -> None:
        self._webhooks, self._events = webhooks, events
        self._known: dict[str, Webhook] = {}
        self._look = asyncio.Event()
        # Called when other webhooks are active than before.
        self.told: list[Callable[[], None]] = []
        self.some, self.none = asyncio.Event(), asyncio.Event()
        self.none.set()

    @property
    def active(self) -> list[Webhook]:
        """Those that are sent to."""
        return [webhook for webhook in self._known.values() if webhook.active]

    def find(self, webhook_id: str) -> Webhook | None:
        """The webhook with that id."""
        return self._known.get(webhook_id)

    def wanted(self, event_type: str) -> bool:
        """Whether any active webhook wants that type."""
        return any(event_type in webhook.events for webhook in self.active)

    async def refresh(self) -> list[Webhook]:
        """Read them all; answers the active ones. Raises `Unavailable`."""
        before = {webhook.id for webhook in self.active}
        self._known = {webhook.id: webhook for webhook in await self._webhooks.all(MAX_WEBHOOKS * 2)}
        active = self.active
        for event, holds in ((self.some, bool(active)), (self.none, not active)):
            if holds:
                event.set()
            else:
                event.clear()
        if before != {webhook.id for webhook in active}:
            for tell in self.told:
                tell()
        return active

    async def changed(self) -> None:
        """Something was changed here: read it, and tell the others."""
        with contextlib.suppress(*NATS_DOWN):
            if self._events.connected:
                await self._events.nc.publish(subjects.LIVE_WEBHOOKS, b"")
        await self.refresh()

    async def listen(self) -> None:
        """Hear of changes; once, when NATS is connected."""
        await self._events.nc.subscribe(subjects.LIVE_WEBHOOKS, cb=self._heard)

    async def _heard(self, _message: Msg) -> None:
        self._look.set()

    async def run(self) -> None:
        """Keep it fresh, for ever."""
        while True:
            self._look.clear()
            wait_seconds = LOOK_SECONDS
            try:
                await self.refresh()
            except Unavailable as error:
                log.debug("cannot read the webhooks", reason=error.message)
                wait_seconds = RETRY_SECONDS
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_seconds):
                    await self._look.wait()
