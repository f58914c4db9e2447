"""Keeps the delivery log within its bounds. Owns: how old, how many, and what happens to a backlog."""

import asyncio
from collections.abc import Awaitable, Callable

from chassis.clock import now_ms
from chassis.errors import Conflict, Unavailable
from chassis.logs import get_logger
from chassis.poison import passed_over

from gateway.webhooks.deliverer import BACKLOG
from gateway.webhooks.directory import Directory
from gateway.webhooks.mongo_deliveries import MongoDeliveries
from gateway.webhooks.webhook import State, Webhook

log = get_logger("webhooks")
CLEAN_SECONDS = 60.0
DAY_MS = 24 * 3600 * 1000


class Cleaner:
    """`disable` switches a webhook off, for a reason."""

    def __init__(
        self,
        directory: Directory,
        deliveries: MongoDeliveries,
        *,
        disable: Callable[[str, str], Awaitable[None]],
        kept_days: float,
        kept_deliveries: int,
        max_pending: int,
    ) -> None:
        self._directory, self._deliveries, self._disable = directory, deliveries, disable
        self._kept_ms, self._kept, self._max_pending = int(kept_days * DAY_MS), kept_deliveries, max_pending

    async def run(self) -> None:
        """For ever."""
        while True:
            await asyncio.sleep(CLEAN_SECONDS)
            try:
                await self.clean()
            except (Unavailable, Conflict) as error:
                log.warning("the delivery log is not cleaned", reason=error.message)

    async def clean(self) -> None:
        """Drop what is too old or too much; disable webhooks that can't keep up."""
        await self._deliveries.drop_before(now_ms() - self._kept_ms)
        for webhook in self._directory.active:
            with passed_over("webhook-log", webhook.id):
                await self._clean(webhook)

    async def _clean(self, webhook: Webhook) -> None:
        pending = await self._deliveries.count(webhook.id, State.PENDING)
        if pending > self._max_pending:
            await self._disable(webhook.id, BACKLOG)
        excess = await self._deliveries.count(webhook.id) - pending - self._kept
        while excess > 0:
            await self._deliveries.drop_oldest(webhook.id, excess)
            excess -= 1_000
