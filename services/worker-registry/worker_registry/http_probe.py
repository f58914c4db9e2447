"""One look at an HTTP address. Owns: the request and what counts as healthy. Must not know what is watched, or why.

Healthy is an answer below 400 within the time, after at most five redirects, each of which passes the address guard.
"""

import asyncio
import time

import aiohttp
from chassis.addresses import AddressGuard, AddressNotAllowed
from chassis.clock import now_ms

from worker_registry.endpoint import Probe

MAX_REDIRECTS = 5
HEADERS = {"User-Agent": "Trawl-Endpoint-Probe/1", "Accept": "*/*", "Cache-Control": "no-cache"}


class HttpProbe:
    """Makes probes; each has a connection of its own, so that what is measured includes making it."""

    def __init__(self, guard: AddressGuard, *, at_once: int) -> None:
        self._session = aiohttp.ClientSession(
            connector=guard.connector(limit=at_once, force_close=True, use_dns_cache=False),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=HEADERS,
            auto_decompress=False,
        )

    async def probe(self, url: str, timeout_seconds: float) -> Probe:
        """What came back. Raises nothing for what the other side does."""
        began, started = now_ms(), time.perf_counter()
        try:
            async with (
                asyncio.timeout(timeout_seconds),
                self._session.get(url, max_redirects=MAX_REDIRECTS, timeout=aiohttp.ClientTimeout(None)) as response,
            ):
                latency_ms = (time.perf_counter() - started) * 1000
                healthy = response.status < 400
                error = "" if healthy else f"HTTP {response.status}"
                return Probe(began, healthy, latency_ms, response.status, error)
        except TimeoutError:
            error = f"no answer within {timeout_seconds:g} s"
        except AddressNotAllowed as refusal:
            error = str(refusal)
        except aiohttp.TooManyRedirects:
            error = f"more than {MAX_REDIRECTS} redirects"
        except (aiohttp.ClientError, OSError, ValueError, UnicodeError) as failure:
            cause = failure.__cause__
            error = str(cause) if isinstance(cause, AddressNotAllowed) else f"{type(failure).__name__}: {failure}"
        return Probe(began, healthy=False, latency_ms=-1, http_status=0, error=error)

    async def close(self) -> None:
        """Close what is open."""
        await self._session.close()
