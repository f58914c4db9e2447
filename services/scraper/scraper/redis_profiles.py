"""Who uses which browser profile now. Owns: a lease in Redis per profile, which no two runs hold at once.

The lease ends by itself `LEASE_SECONDS` after its holder's last sign of life. Must not know what a profile is.
"""

import asyncio
import hashlib
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chassis.errors import Unavailable
from chassis.logs import get_logger
from chassis.stores import redis_errors
from redis.asyncio import Redis

log = get_logger("profiles")
LEASE_SECONDS = 20.0
RENEW_SECONDS = 4.0
_PREFIX = "scraper:profile:"
_RENEW = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 0"
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class ProfileBusy(Exception):
    """Another run has it; `holder` is that run's id."""

    def __init__(self, holder: str) -> None:
        super().__init__(holder)
        self.holder = holder


class RedisProfiles:
    """Leases of profiles."""

    def __init__(
        self, redis: Redis, *, lease_seconds: float = LEASE_SECONDS, renew_seconds: float = RENEW_SECONDS
    ) -> None:
        self._redis = redis
        self._lease_seconds, self._renew_seconds = lease_seconds, renew_seconds
        self._renew, self._release = redis.register_script(_RENEW), redis.register_script(_RELEASE)

    @asynccontextmanager
    async def hold(self, profile: str, run_id: int) -> AsyncIterator[asyncio.Event]:
        """Hold the profile; the event is set should the lease be lost. Raises `ProfileBusy`, `Unavailable`."""
        key, token = _key(profile), f"{run_id}:{uuid.uuid4().hex}"
        with redis_errors():
            taken = await self._redis.set(key, token, nx=True, px=int(self._lease_seconds * 1000))
        if not taken:
            raise ProfileBusy(await self.holder(profile) or "another run")
        lost = asyncio.Event()
        keeper = asyncio.create_task(self._keep(key, token, lost), name="profile lease")
        try:
            yield lost
        finally:
            keeper.cancel()
            await self._give_back(key, token)

    async def holder(self, profile: str) -> str | None:
        """The id of the run that holds the profile. Raises `Unavailable`."""
        with redis_errors():
            value: bytes | None = await self._redis.get(_key(profile))  # type: ignore[assignment]  # bytes, see chassis
        return None if value is None else value.decode().partition(":")[0]

    async def _keep(self, key: str, token: str, lost: asyncio.Event) -> None:
        until = time.monotonic() + self._lease_seconds
        while time.monotonic() < until:
            await asyncio.sleep(self._renew_seconds)
            began = time.monotonic()
            try:
                with redis_errors():
                    renewed = await self._renew(keys=[key], args=[token, int(self._lease_seconds * 1000)])
            except Unavailable:
                continue  # it may come back in time
            if not renewed:
                break
            until = began + self._lease_seconds
        lost.set()

    async def _give_back(self, key: str, token: str) -> None:
        try:
            with redis_errors():
                async with asyncio.timeout(2):
                    await self._release(keys=[key], args=[token])
        except (Unavailable, TimeoutError):
            log.warning("a profile's lease could not be given back; it ends by itself")


def _key(profile: str) -> str:
    return _PREFIX + hashlib.sha256(profile.encode()).hexdigest()[:40]
