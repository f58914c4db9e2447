"""Webhooks as the gateway runs and offers them. Owns: their parts, and what can be done with a webhook."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import redis.asyncio as aioredis
from chassis.addresses import AddressGuard
from chassis.clock import now_ms
from chassis.errors import Conflict, NotFound
from chassis.events import Events
from chassis.health import until_available
from chassis.run import Lifetime
from chassis.stores import Database

from gateway.backend import Backend
from gateway.happenings import Happening
from gateway.settings import GatewaySettings
from gateway.webhooks.cleaner import Cleaner
from gateway.webhooks.deliverer import Deliverer
from gateway.webhooks.directory import MAX_WEBHOOKS, Directory
from gateway.webhooks.intake import Intake
from gateway.webhooks.mongo_deliveries import MongoDeliveries
from gateway.webhooks.mongo_webhooks import MongoWebhooks
from gateway.webhooks.sender import Sender
from gateway.webhooks.ticks import Ticks
from gateway.webhooks.webhook import Delivery, State, Webhook, make_delivery

Health = Callable[[], Awaitable[Mapping[str, Any]]]
TEST_CLAIM_MARGIN_MS = 10_000


class Webhooks:
    """To be made inside a running loop."""

    def __init__(
        self,
        settings: GatewaySettings,
        *,
        database: Database,
        redis: aioredis.Redis,
        events: Events,
        backend: Backend,
        health: Health,
    ) -> None:
        self._settings = settings
        self.guard = AddressGuard(settings.allowed_addresses, ports=settings.allowed_ports)
        self._webhooks, self.deliveries = MongoWebhooks(database), MongoDeliveries(database)
        self._directory = Directory(self._webhooks, events)
        self._sender = Sender(self.guard, settings.webhook_timeout_seconds)
        self._deliverer = Deliverer(
            directory=self._directory,
            webhooks=self._webhooks,
            deliveries=self.deliveries,
            sender=self._sender,
            delays=settings.webhook_retry_seconds,
            timeout_seconds=settings.webhook_timeout_seconds,
        )
        self._intake = Intake(events, self._directory, self.deliveries, added=self._deliverer.look)
        self._directory.told.append(lambda: self._deliverer.look(()))
        self._ticks = Ticks(redis=redis, directory=self._directory, intake=self._intake, backend=backend, health=health)
        self._cleaner = Cleaner(
            self._directory,
            self.deliveries,
            disable=self._deliverer.disable,
            kept_days=settings.webhook_kept_days,
            kept_deliveries=settings.webhook_kept_deliveries,
            max_pending=settings.webhook_max_pending,
        )

    async def start(self, life: Lifetime) -> None:
        """Begin, once NATS is connected; needs nothing else to be there."""
        await self._directory.listen()
        await until_available(self.deliveries.prepare)
        life.keep("webhooks", self._directory.run)
        life.keep("webhook-intake", self._intake.run)
        life.keep("webhook-deliveries", self._deliverer.run)
        life.keep("webhook-health", partial(self._ticks.run_health, self._settings.health_event_seconds))
        life.keep("webhook-heartbeats", partial(self._ticks.run_heartbeats, self._settings.heartbeat_event_seconds))
        life.keep("webhook-log", self._cleaner.run)

    async def close(self) -> None:
        """End attempts under way, and close connections."""
        await self._deliverer.stop()
        await self._sender.close()

    async def all(self) -> list[Webhook]:
        """The webhooks, oldest first."""
        return await self._webhooks.all(MAX_WEBHOOKS * 2)

    async def get(self, webhook_id: str) -> Webhook:
        """One of them. Raises `NotFound`."""
        webhook = await self._webhooks.get(webhook_id)
        if webhook is None:
            raise NotFound(f"Webhook不存在: {webhook_id}", resource="webhook", id=webhook_id)
        return webhook

    async def add(self, webhook: Webhook) -> None:
        """Store a new one; it is told all that happens after this. Raises `Conflict` when there are too many."""
        if len(await self.all()) >= MAX_WEBHOOKS:
            raise Conflict(f"最多{MAX_WEBHOOKS}个Webhook", rule="max_webhooks")
        await self._intake.declare()
        await self._webhooks.add(webhook)
        await self._directory.changed()

    async def change(self, webhook: Webhook) -> None:
        """Store a change. Raises `Conflict` when another one was faster."""
        await self._intake.declare()
        await self._webhooks.replace(webhook)
        await self._directory.changed()

    async def remove(self, webhook_id: str) -> None:
        """Delete it and its log. Raises `NotFound`."""
        if not await self._webhooks.remove(webhook_id):
            raise NotFound(f"Webhook不存在: {webhook_id}", resource="webhook", id=webhook_id)
        await self._directory.changed()
        await self.deliveries.forget(webhook_id)

    async def test(self, webhook: Webhook, happening: Happening) -> Delivery:
        """Send one message now, once; answers what came of it."""
        claim_ms = int(self._settings.webhook_timeout_seconds * 1000) + TEST_CLAIM_MARGIN_MS
        held = replace(make_delivery(webhook, happening, now_ms()), single=True, due_ms=now_ms() + claim_ms)
        await self.deliveries.add([held])
        return await asyncio.shield(self._deliverer.attempt(webhook, held))

    async def delivery(self, webhook_id: str, delivery_id: str) -> Delivery:
        """One entry of the log. Raises `NotFound`."""
        delivery = await self.deliveries.get(delivery_id)
        if delivery is None or delivery.webhook_id != webhook_id:
            raise NotFound(f"投递记录不存在: {delivery_id}", resource="delivery", id=delivery_id)
        return delivery

    async def replay(self, webhook: Webhook, delivery: Delivery) -> Delivery:
        """Send it again, under the same `webhook-id`. Raises `Conflict` while it is being sent or can't be."""
        if not webhook.active:
            raise Conflict("Webhook已停用, 请先启用", resource="webhook", id=webhook.id)
        if delivery.state is State.PENDING:
            raise Conflict("该投递仍在进行", resource="delivery", id=delivery.id)
        again = replace(delivery, state=State.PENDING, tries=0, due_ms=now_ms(), completed_ms=0)
        if not await self.deliveries.settle(delivery, again):
            raise Conflict("该投递仍在进行", resource="delivery", id=delivery.id)
        self._deliverer.look([webhook.id])
        return again
