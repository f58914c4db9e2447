"""Sends what is to be sent, when its time has come. Owns: claims, timers, and giving up on targets.

A delivery is claimed by moving its time into the future: one replica wins, and if it dies, the time comes again for
the others. Each webhook has a few places of its own, so that a slow target holds up nobody else. The loop sleeps until
the next delivery's time; deliveries that other replicas have stored are found by a slow look.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterable, Sequence

from chassis.clock import now_ms
from chassis.errors import Conflict, Unavailable
from chassis.logs import get_logger
from chassis.poison import TEMPORARY, Isolation, passed_over

from gateway.webhooks.directory import Directory
from gateway.webhooks.mongo_deliveries import MongoDeliveries
from gateway.webhooks.mongo_webhooks import MongoWebhooks
from gateway.webhooks.sender import Sender
from gateway.webhooks.webhook import Attempt, Delivery, State, Webhook

log = get_logger("webhooks")
PLACES = 16
ALL_PLACES = 64
LOOK_SECONDS = 15.0
RETRY_SECONDS = 1.0
# An attempt that is not settled this long after its time limit belongs to a replica that is dead.
CLAIM_MARGIN_SECONDS = 10.0
STOP_SECONDS = 3.0
GONE = "gone"
FAILING = "failing"
BACKLOG = "backlog"


class Deliverer:
    """`delays`: seconds between one attempt and the next. `timeout_seconds`: how long an attempt may take."""

    def __init__(
        self,
        *,
        directory: Directory,
        webhooks: MongoWebhooks,
        deliveries: MongoDeliveries,
        sender: Sender,
        delays: Sequence[float],
        timeout_seconds: float,
    ) -> None:
        self._directory, self._webhooks, self._deliveries = directory, webhooks, deliveries
        self._sender, self._delays = sender, tuple(delays)
        self._claim_ms = int((timeout_seconds + CLAIM_MARGIN_SECONDS) * 1000)
        self._looks: dict[str, int] = {}
        self._busy: Counter[str] = Counter()
        self._attempts: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._isolation: Isolation[Delivery] = Isolation(
            "webhook-deliveries", self._set_aside, key=lambda delivery: delivery.id, tries=1
        )

    def look(self, webhook_ids: Iterable[str]) -> None:
        """There is something to send to these."""
        for webhook_id in webhook_ids:
            self._looks[webhook_id] = 0
        self._wake.set()

    async def run(self) -> None:
        """For ever."""
        while True:
            self._wake.clear()
            try:
                wait_seconds = await self._round()
            except TEMPORARY as error:
                log.warning("webhooks wait", reason=error.message)
                wait_seconds = RETRY_SECONDS
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_seconds):
                    await self._wake.wait()

    async def stop(self) -> None:
        """Let attempts under way end, for a moment; what is cut off is tried again by another replica."""
        if self._attempts:
            _, late = await asyncio.wait(self._attempts, timeout=STOP_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _round(self) -> float:
        """Start what is due; answers in how many seconds to look again."""
        webhooks = {webhook.id: webhook for webhook in self._directory.active}
        self._looks = {webhook_id: self._looks.get(webhook_id, 0) for webhook_id in webhooks}
        for webhook in webhooks.values():
            free = min(PLACES - self._busy[webhook.id], ALL_PLACES - len(self._attempts))
            # Without a free place the end of an attempt brings the next look.
            if free > 0 and self._looks[webhook.id] <= now_ms():
                self._looks[webhook.id] = now_ms() + int(LOOK_SECONDS * 1000)
                with passed_over("webhook-deliveries", webhook.id):
                    next_ms = await self._start(webhook, free)
                    self._looks[webhook.id] = min(self._looks[webhook.id], next_ms)
        next_look_ms = min(self._looks.values(), default=0)
        return min(max((next_look_ms - now_ms()) / 1000, 0.005), LOOK_SECONDS) if next_look_ms else LOOK_SECONDS

    async def _start(self, webhook: Webhook, free: int) -> int:
        """Claim and start what is due; answers when the next one is."""
        next_ms = now_ms() + int(LOOK_SECONDS * 1000)
        due = []
        for delivery in await self._deliveries.next_due(webhook.id, free + 1):
            if delivery.due_ms > now_ms():
                next_ms = delivery.due_ms
                break
            due.append(delivery)
        until_ms = now_ms() + self._claim_ms
        for held in await asyncio.gather(*(self._deliveries.claim(delivery, until_ms) for delivery in due[:free])):
            if held is not None:
                self._busy[webhook.id] += 1
                task = asyncio.create_task(self._attempt(webhook, held))
                self._attempts.add(task)
                task.add_done_callback(self._attempts.discard)
        return next_ms

    async def _attempt(self, webhook: Webhook, held: Delivery) -> None:
        try:
            await self._isolation.each([held], lambda delivery: self.attempt(webhook, delivery))
        except TEMPORARY as error:
            log.warning("a delivery waits for its claim to run out", delivery=held.id, reason=error.message)
        finally:
            self._busy[webhook.id] -= 1
            self.look([webhook.id])

    async def _set_aside(self, held: Delivery, reason: str) -> None:
        """An attempt that fails with anything unexpected is one of the delivery's attempts."""
        await self._settle(held, held.after(Attempt(now_ms(), 0, reason, 0), self._delays))

    async def attempt(self, webhook: Webhook, held: Delivery) -> Delivery:
        """Send a delivery that is held, and write what came of it."""
        attempt = await self._sender.send(webhook, held)
        outcome = held.after(attempt, self._delays)
        if not attempt.delivered:
            log.info("a webhook's attempt failed", webhook=webhook.id, status=attempt.status, error=attempt.error)
        if await self._settle(held, outcome) and outcome.state is State.FAILED:
            await self._judge(webhook, outcome, attempt)
        return outcome

    async def _settle(self, held: Delivery, outcome: Delivery) -> bool:
        """Keep trying while the claim holds; after that another attempt is made, and the target hears it twice."""
        while now_ms() < held.due_ms:
            try:
                return await self._deliveries.settle(held, outcome)
            except Unavailable as error:
                log.warning("a webhook's outcome waits", delivery=held.id, reason=error.message)
                await asyncio.sleep(RETRY_SECONDS)
        return False

    async def _judge(self, webhook: Webhook, outcome: Delivery, attempt: Attempt) -> None:
        """Disable a target that wants no more, or that took nothing while a delivery used up all its attempts."""
        try:
            if attempt.gone:
                await self.disable(webhook.id, GONE)
            elif not outcome.single and not await self._deliveries.delivered_since(webhook.id, outcome.created_ms):
                await self.disable(webhook.id, FAILING)
        except (Unavailable, Conflict) as error:
            log.warning("a webhook stays enabled for now", webhook=webhook.id, reason=error.message)

    async def disable(self, webhook_id: str, reason: str) -> None:
        """Switch it off. What is still to be sent waits until somebody switches it on, or is dropped with age."""
        webhook = await self._webhooks.get(webhook_id)
        if webhook is not None and webhook.active:
            await self._webhooks.replace(webhook.disabled(reason, now_ms()))
            log.warning("a webhook is disabled", webhook=webhook_id, reason=reason)
            await self._directory.changed()
