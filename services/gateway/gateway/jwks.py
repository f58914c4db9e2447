"""Access tokens of an outside issuer (JWT, RS256). Owns: its public keys, and what its tokens must say.

Which kind a token is of is decided by its `alg`, and each kind has keys of its own: RS256 is only ever checked against
the issuer's RSA keys, HS256 only against our own secret, and anything else is refused.
"""

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import jwt
from chassis.errors import Unauthenticated, Unavailable
from chassis.logs import get_logger

from gateway.settings import GatewaySettings

log = get_logger("jwks")
ALGORITHM = "RS256"
FETCH_SECONDS = 5.0
MAX_BYTES = 1024 * 1024
# An unknown key id asks for the keys again, but not more often than this: ids come from outside.
AGAIN_SECONDS = 30.0
LEEWAY_SECONDS = 10
MAX_ROLES = 100
Fetch = Callable[[], Awaitable[bytes]]
Json = Any


@dataclass(frozen=True, slots=True)
class OutsideBearer:
    """Whom a token speaks for. `expires` in seconds since the epoch."""

    id: str
    name: str
    roles: tuple[str, ...]
    expires: float


def make_issuer(settings: GatewaySettings) -> "OutsideIssuer | None":
    """The issuer that the settings name, if any."""
    fetch: Fetch
    if settings.jwks_url:
        fetch = from_url(settings.jwks_url)
    elif settings.jwks_file is not None:
        fetch = from_file(settings.jwks_file)
    else:
        return None
    return OutsideIssuer(
        KeyRing(fetch, kept_seconds=settings.jwks_cache_seconds),
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
        role_claim=settings.jwt_role_claim,
    )


def from_url(url: str) -> Fetch:
    """Reads a JWKS over HTTP. The address is an operator's, so private ones are fine; redirects are not followed."""

    async def fetch() -> bytes:
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(FETCH_SECONDS)) as session,
                session.get(url, allow_redirects=False) as answer,
            ):
                data = await answer.content.read(MAX_BYTES)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable("the issuer's keys can't be fetched", dependency="jwks") from error
        if answer.status != 200:
            raise Unavailable(f"the issuer's keys can't be fetched: HTTP {answer.status}", dependency="jwks")
        return data

    return fetch


def from_file(path: Path) -> Fetch:
    """Reads a JWKS from a file."""

    async def fetch() -> bytes:
        try:
            return await asyncio.to_thread(path.read_bytes)
        except OSError as error:
            raise Unavailable("the issuer's keys can't be read", dependency="jwks") from error

    return fetch


class KeyRing:
    """The issuer's RSA keys by id. Keys that can't be fetched again stay in use: an outage there is none here."""

    def __init__(self, fetch: Fetch, *, kept_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._fetch, self._kept_seconds, self._clock = fetch, kept_seconds, clock
        self._keys: dict[str, jwt.PyJWK] = {}
        self._asked: float | None = None
        self._fresh_until = 0.0
        self._lock = asyncio.Lock()

    async def find(self, key_id: str) -> jwt.PyJWK:
        """The key. Raises `Unauthenticated` when there is none, `Unavailable` when none could ever be fetched."""
        if self._needed(key_id):
            async with self._lock:
                if self._needed(key_id):
                    await self._refresh()
        key = self._keys.get(key_id)
        if key is None:
            raise Unauthenticated("令牌的签名密钥未知")
        return key

    def _needed(self, key_id: str) -> bool:
        now = self._clock()
        if self._asked is not None and now - self._asked < min(AGAIN_SECONDS, self._kept_seconds):
            return False
        return key_id not in self._keys or now >= self._fresh_until

    async def _refresh(self) -> None:
        self._asked = self._clock()
        try:
            self._keys = _rsa_keys(await self._fetch())
            self._fresh_until = self._clock() + self._kept_seconds
        except Unavailable as error:
            log.warning("the issuer's keys are not renewed", reason=error.message)
            if not self._keys:
                self._asked = None
                raise


def _rsa_keys(data: bytes) -> dict[str, jwt.PyJWK]:
    try:
        keys = jwt.PyJWKSet.from_json(data.decode()).keys
    except (jwt.PyJWTError, ValueError, AttributeError, TypeError) as error:
        raise Unavailable("the issuer's keys can't be read", dependency="jwks") from error
    return {
        key.key_id: key
        for key in keys
        if key.key_id
        and key.key_type == "RSA"
        and key.public_key_use in (None, "sig")
        and key.algorithm_name == ALGORITHM
    }


class OutsideIssuer:
    """Reads tokens of one issuer for one audience."""

    def __init__(self, keys: KeyRing, *, issuer: str, audience: str, role_claim: str) -> None:
        self._keys, self._issuer, self._audience = keys, issuer, audience
        self._role_path = role_claim.split(".")
        self._prefix = "jwt:" + hashlib.sha256(issuer.encode()).hexdigest()[:8]

    def signs(self, token: str) -> bool:
        """Whether it is a token of the kind that the issuer makes."""
        return _header(token).get("alg") == ALGORITHM

    async def read(self, token: str) -> OutsideBearer:
        """Whom the token speaks for. Raises `Unauthenticated`, `Unavailable`."""
        key_id = _header(token).get("kid")
        if not isinstance(key_id, str):
            raise Unauthenticated("令牌无效")
        key = await self._keys.find(key_id)
        try:
            claims: Mapping[str, Json] = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                issuer=self._issuer,
                audience=self._audience,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "sub", "iss", "aud"]},
            )
        except jwt.PyJWTError as error:
            raise Unauthenticated("令牌无效或已过期") from error
        name = str(claims.get("name") or claims.get("preferred_username") or "")[:100]
        subject = hashlib.sha256(str(claims["sub"]).encode()).hexdigest()[:24]
        return OutsideBearer(f"{self._prefix}:{subject}", name, self._roles(claims), float(claims["exp"]))

    def _roles(self, claims: Mapping[str, Json]) -> tuple[str, ...]:
        value: Json = claims
        for part in self._role_path:
            value = value.get(part) if isinstance(value, dict) else None
        listed = value if isinstance(value, list) else [value]
        return tuple(role for role in listed[:MAX_ROLES] if isinstance(role, str))


def _header(token: str) -> dict[str, Json]:
    try:
        return jwt.get_unverified_header(token)
    except jwt.PyJWTError as error:
        raise Unauthenticated("令牌无效") from error
