"""The AdsPower local API: opening, finding and stopping browser profiles on hosts that a setting lists.

Owns: which hosts may be called, the pace of calls, and that only what was started here is stopped here. Must not know
Playwright; `adspower_browser.py` attaches to what is opened.
"""

import asyncio
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import orjson
from chassis.logs import get_logger

from scraper.executor import ExecutorError, InvalidParameters, Json

log = get_logger("adspower")
DEFAULT_PORT = 50325
CALL_SECONDS = 15.0
# A profile that starts has fingerprints, extensions and a proxy to set up.
START_SECONDS = 90.0
STOP_SECONDS = 15.0
MAX_ANSWER_BYTES = 1024 * 1024
# The API's own words when it is asked too often, told in an ordinary answer.
_TOO_MANY = re.compile(r"too many request", re.IGNORECASE)
TOO_MANY_TRIES = 5
_HOST = re.compile(r"(?P<host>[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:(?P<port>\d{1,5}))?")


@dataclass(frozen=True, slots=True)
class AdsPowerRules:
    """`hosts`: `host` (at the usual port) or `host:port`; no other is ever called."""

    hosts: tuple[str, ...] = ()
    api_key: str = ""
    requests_per_second: float = 1.0


@dataclass(frozen=True, slots=True)
class Place:
    """One profile on one host."""

    host: str
    port: int
    profile: str

    def __str__(self) -> str:
        return f"{self.host}:{self.port}/{self.profile}"

    @property
    def query(self) -> dict[str, str]:
        """How the API names the profile: numbers are serial numbers, anything else is the user id."""
        return {"serial_number" if self.profile.isdecimal() else "user_id": self.profile}


class AdsPowerApi:
    """Calls the API. One for each process; must be closed."""

    def __init__(self, rules: AdsPowerRules) -> None:
        self._rules = rules
        self._allowed = frozenset(filter(None, (_place_of(host) for host in rules.hosts)))
        self._client: aiohttp.ClientSession | None = None
        self._paces: dict[tuple[str, int], _Pace] = {}

    def place(self, host: str, profile: str) -> Place:
        """The profile there. Raises `InvalidParameters` for a host that no setting lists."""
        found = _place_of(host)
        if found is None or found not in self._allowed:
            raise InvalidParameters(
                f"the AdsPower host {host[:100]!r} is not listed in ADSPOWER_HOSTS", field="adsPowerId"
            )
        return Place(*found, profile)

    async def active(self, place: Place) -> str | None:
        """The profile's address for the DevTools protocol, None while it isn't open. Raises `ExecutorError`."""
        data = await self._call(place, "active", CALL_SECONDS)
        return _devtools_address(place, data) if data.get("status") == "Active" else None

    async def start(self, place: Place) -> str:
        """Open it; answers its address for the DevTools protocol."""
        address = _devtools_address(place, await self._call(place, "start", START_SECONDS))
        if address is None:
            raise ExecutorError("AdsPower has opened the profile without a DevTools address", code="ADSPOWER_FAILED")
        return address

    async def stop(self, place: Place) -> None:
        """Close it."""
        await self._call(place, "stop", STOP_SECONDS)

    async def close(self) -> None:
        """Give back connections."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def _call(self, place: Place, what: str, seconds: float) -> Mapping[str, Json]:
        for attempt in range(TOO_MANY_TRIES):
            answer = await self._ask(place, what, seconds)
            message = str(answer.get("msg", ""))[:300]
            if answer.get("code") == 0:
                data = answer.get("data")
                return data if isinstance(data, Mapping) else {}
            if not _TOO_MANY.search(message):
                raise ExecutorError(f"AdsPower refused to {what} the profile: {message}", code="ADSPOWER_REFUSED")
            await asyncio.sleep((attempt + 1) / self._rules.requests_per_second)
        raise ExecutorError("AdsPower is asked too often", code="ADSPOWER_BUSY")

    async def _ask(self, place: Place, what: str, seconds: float) -> Mapping[str, Json]:
        await self._paces.setdefault((place.host, place.port), _Pace(self._rules.requests_per_second)).wait()
        if self._client is None:
            self._client = aiohttp.ClientSession(trust_env=False)
        headers = {"Authorization": f"Bearer {self._rules.api_key}"} if self._rules.api_key else {}
        url = f"http://{place.host}:{place.port}/api/v1/browser/{what}"
        try:
            async with (
                asyncio.timeout(seconds),
                self._client.get(url, params=place.query, headers=headers, allow_redirects=False) as response,
            ):
                body = await response.content.read(MAX_ANSWER_BYTES)
        except TimeoutError as error:
            message = f"AdsPower at {place.host} did not {what} the profile within {seconds:g} s"
            raise ExecutorError(message, code="ADSPOWER_TIMEOUT") from error
        except (aiohttp.ClientError, OSError) as error:
            message = f"AdsPower at {place.host}:{place.port} can't be reached: {type(error).__name__}"
            raise ExecutorError(message, code="ADSPOWER_UNAVAILABLE") from error
        return _read(body)


class _Pace:
    """At most so many calls a second, in the order that they come."""

    def __init__(self, per_second: float) -> None:
        self._gap = 1 / per_second
        self._next = 0.0

    async def wait(self) -> None:
        now = time.monotonic()
        at = max(now, self._next)
        self._next = at + self._gap
        await asyncio.sleep(at - now)


def _read(body: bytes) -> Mapping[str, Json]:
    try:
        answer: Any = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ExecutorError("AdsPower's answer is not JSON", code="ADSPOWER_FAILED") from error
    if not isinstance(answer, Mapping):
        raise ExecutorError("AdsPower's answer is no object", code="ADSPOWER_FAILED")
    return answer


def _place_of(text: str) -> tuple[str, int] | None:
    match = _HOST.fullmatch(text.strip())
    if match is None:
        return None
    port = int(match["port"] or DEFAULT_PORT)
    return (match["host"].lower(), port) if 0 < port < 65_536 else None


def _devtools_address(place: Place, data: Mapping[str, Json]) -> str | None:
    """The address as it is reached from here: AdsPower names its own loopback."""
    sockets = data.get("ws")
    address = sockets.get("puppeteer") if isinstance(sockets, Mapping) else None
    if not isinstance(address, str) or not address:
        return None
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in ("ws", "wss") or port is None:
        return None
    return urlunsplit((parts.scheme, f"{place.host}:{port}", parts.path, parts.query, ""))
