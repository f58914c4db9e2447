"""What a webhook and a delivery are. Owns: event types, secrets, ids, when to try again, when to give up. Pure."""

import base64
import random
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

import orjson
from standardwebhooks.webhooks import Webhook as Signer

from gateway.happenings import HEALTH_CHECK, STREAMED_TYPES, WORKER_HEARTBEAT, Happening

DOCUMENTED_TYPES: Final = (
    "task.created",
    "task.updated",
    "task.deleted",
    "task.triggered",
    "task.completed",
    "task.failed",
    "worker.registered",
    "worker.unregistered",
    WORKER_HEARTBEAT,
    HEALTH_CHECK,
)
EVENT_TYPES: Final = (*DOCUMENTED_TYPES, *(kind for kind in STREAMED_TYPES if kind not in DOCUMENTED_TYPES))
SECRET_BYTES = 32
# A secret that was replaced goes on signing beside the new one for this long.
OLD_SECRET_MS = 24 * 3600 * 1000
# The longest wait that a target may ask for with Retry-After.
MAX_RETRY_AFTER_SECONDS = 24 * 3600.0
MAX_LOGGED_ATTEMPTS = 20
# Clocks of the machines differ by less.
SKEW_MS = 2_000
_WEBHOOK_ID = re.compile(r"[0-9a-f]{16}")
_DELIVERY_ID = re.compile(r"[0-9a-f]{16}-[0-9a-f]{24}")


class State(StrEnum):
    """Where a delivery stands."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Webhook:
    """A target. `since_ms`: what happened before is not told. `disabled_reason` is empty while it is active."""

    id: str
    url: str
    events: tuple[str, ...]
    secret: str
    created_ms: int
    updated_ms: int
    since_ms: int
    description: str = ""
    created_by: str = ""
    disabled_reason: str = ""
    disabled_ms: int = 0
    old_secret: str = ""
    old_until_ms: int = 0
    version: int = 1

    @property
    def active(self) -> bool:
        """Whether anything is sent."""
        return not self.disabled_reason

    def wants(self, happening: Happening) -> bool:
        """Whether it is to be told."""
        return self.active and happening.type in self.events and happening.time_ms >= self.since_ms - SKEW_MS

    def disabled(self, reason: str, now_ms: int) -> "Webhook":
        """This webhook, switched off."""
        return replace(self, disabled_reason=reason, disabled_ms=now_ms, updated_ms=now_ms)

    def enabled(self, now_ms: int) -> "Webhook":
        """This webhook, switched on: it is told what happens from now on."""
        return replace(self, disabled_reason="", disabled_ms=0, since_ms=now_ms, updated_ms=now_ms)

    def with_new_secret(self, now_ms: int) -> "Webhook":
        """This webhook with another secret; the old one signs too for a while, so that receivers can change over."""
        return replace(
            self,
            secret=new_secret(),
            old_secret=self.secret,
            old_until_ms=now_ms + OLD_SECRET_MS,
            updated_ms=now_ms,
        )

    def signatures(self, message_id: str, now: datetime, body: str) -> str:
        """The value of `webhook-signature`: one signature for each secret that counts, separated by spaces."""
        both = self.old_secret and now.timestamp() * 1000 < self.old_until_ms
        used = [self.secret, self.old_secret] if both else [self.secret]
        return " ".join(Signer(secret).sign(message_id, now, body) for secret in used)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try. `status` 0: no answer came, and `error` says why. `milliseconds`: how long it took."""

    time_ms: int
    status: int
    error: str
    milliseconds: int
    retry_after_seconds: float = 0

    @property
    def delivered(self) -> bool:
        """Whether the target took it."""
        return 200 <= self.status < 300

    @property
    def gone(self) -> bool:
        """Whether the target wants nothing more."""
        return self.status == 410


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message to one webhook. `tries`: attempts since it was made or replayed; `single`: it is tried only once.

    `due_ms` is when somebody should look at it: the next attempt, or while one is under way, the moment from which
    whoever makes it counts as dead. 0: nothing is left to do.
    """

    id: str
    webhook_id: str
    event: str
    message_id: str
    body: str
    created_ms: int
    state: State = State.PENDING
    due_ms: int = 0
    tries: int = 0
    single: bool = False
    completed_ms: int = 0
    attempts: tuple[Attempt, ...] = ()

    def after(self, attempt: Attempt, delays: Sequence[float], *, may_retry: bool = True) -> "Delivery":
        """The delivery once `attempt` was made."""
        tries = self.tries + 1
        tried = replace(self, tries=tries, attempts=(*self.attempts, attempt)[-MAX_LOGGED_ATTEMPTS:])
        ended_ms = attempt.time_ms + attempt.milliseconds
        if attempt.delivered:
            return replace(tried, state=State.DELIVERED, due_ms=0, completed_ms=ended_ms)
        if self.single or attempt.gone or not may_retry or tries > len(delays):
            return replace(tried, state=State.FAILED, due_ms=0, completed_ms=ended_ms)
        wait_seconds = delays[tries - 1] * random.uniform(0.9, 1.1)  # noqa: S311 - spreads load, guards nothing
        wait_seconds = max(wait_seconds, min(attempt.retry_after_seconds, MAX_RETRY_AFTER_SECONDS))
        return replace(tried, due_ms=ended_ms + int(wait_seconds * 1000))


def make_delivery(webhook: Webhook, happening: Happening, now_ms: int) -> Delivery:
    """The delivery that tells `webhook`; the same happening always makes one of the same id."""
    message_id = happening.message_id
    return Delivery(
        id=f"{webhook.id}-{message_id.removeprefix('msg_')}",
        webhook_id=webhook.id,
        event=happening.type,
        message_id=message_id,
        body=orjson.dumps(happening.body).decode(),
        created_ms=now_ms,
        due_ms=now_ms,
    )


def new_webhook_id() -> str:
    """16 hexadecimal digits."""
    return secrets.token_hex(8)


def new_secret() -> str:
    """A secret as the convention writes one."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def is_webhook_id(text: str) -> bool:
    """Whether it could be one."""
    return _WEBHOOK_ID.fullmatch(text) is not None


def is_delivery_id(text: str) -> bool:
    """Whether it could be one."""
    return _DELIVERY_ID.fullmatch(text) is not None
