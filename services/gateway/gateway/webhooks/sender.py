"""Sends one message to one target. Owns: the HTTP request of a delivery. Must not know what is sent next, or stored.

A target is somebody's choice: the guard judges the address that is really connected to, redirects are not followed,
and no more of an answer is read than keeps the connection usable.
"""

import time
from datetime import UTC, datetime

import aiohttp
from chassis.addresses import AddressGuard, AddressNotAllowed
from chassis.clock import now_ms
from chassis.logs import redact
from chassis.retry_after import retry_after

from gateway.webhooks.webhook import Attempt, Delivery, Webhook

MAX_ANSWER_BYTES = 16 * 1024
MAX_ERROR_CHARACTERS = 200
CONNECTIONS = 100
USER_AGENT = "Trawl-Webhooks/1"


class Sender:
    """To be made inside a running loop, and closed."""

    def __init__(self, guard: AddressGuard, timeout_seconds: float) -> None:
        self._guard = guard
        self._session = aiohttp.ClientSession(
            connector=guard.connector(limit=CONNECTIONS, ttl_dns_cache=10),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=timeout_seconds),
            auto_decompress=False,
            trust_env=False,
        )

    async def send(self, webhook: Webhook, delivery: Delivery) -> Attempt:
        """Try once. Never fails: what went wrong is in the attempt."""
        started_ms, started = now_ms(), time.perf_counter()
        status, error, asked = 0, "", 0.0
        try:
            self._guard.check_url(webhook.url)
            async with self._session.post(
                webhook.url, data=delivery.body.encode(), headers=_headers(webhook, delivery), allow_redirects=False
            ) as answer:
                await answer.content.read(MAX_ANSWER_BYTES)
                status = answer.status
                asked = retry_after(answer.headers) or 0.0
                if 300 <= status < 400:
                    error = "redirects are not followed"
        except TimeoutError:
            error = "no answer in time"
        except (AddressNotAllowed, aiohttp.ClientError, OSError, ValueError) as failure:
            error = f"{type(failure).__name__}: {redact(str(failure))}"[:MAX_ERROR_CHARACTERS]
        return Attempt(started_ms, status, error, int((time.perf_counter() - started) * 1000), asked)

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()


def _headers(webhook: Webhook, delivery: Delivery) -> dict[str, str]:
    now = datetime.now(UTC)
    return {
        "Content-Type": "application/json",
        "User-Agent": USER_AGENT,
        "webhook-id": delivery.message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": webhook.signatures(delivery.message_id, now, delivery.body),
    }
