"""Token buckets in Redis. Owns: `trawl:gateway:bucket:<caller>`, a hash of `tokens` and the time they were counted at.

Redis' own clock counts for all replicas. A bucket that is full again is forgotten.
"""

import redis.asyncio as aioredis
from chassis.stores import redis_errors

from gateway.rate_limits import Limit, RateLimits
from gateway.settings import GatewaySettings

TAKE = """
local rate, burst, want = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + tonumber(clock[2]) / 1000
local tokens, at = unpack(redis.call('HMGET', KEYS[1], 'tokens', 'at'))
tokens = math.min(burst, (tonumber(tokens) or burst) + math.max(0, now - (tonumber(at) or now)) * rate)
local granted = math.min(want, math.floor(tokens))
tokens = tokens - granted
redis.call('HSET', KEYS[1], 'tokens', string.format('%.6f', tokens), 'at', string.format('%.3f', now))
redis.call('PEXPIRE', KEYS[1], math.ceil((burst - tokens) / rate) + 1000)
local wait = granted > 0 and 0 or math.ceil((1 - tokens) / rate)
return {granted, wait}
"""


class RedisBuckets:
    """`Buckets`."""

    def __init__(self, redis: aioredis.Redis) -> None:
        self._take = redis.register_script(TAKE)

    async def take(self, caller: str, limit: Limit) -> tuple[int, float]:
        """How many of a block's tokens there were; if none, in how many seconds one is. Raises `Unavailable`."""
        arguments = [limit.per_minute / 60_000, limit.burst, limit.block]
        with redis_errors():
            granted, wait_ms = await self._take([f"trawl:gateway:bucket:{caller}"], arguments)
        return int(granted), int(wait_ms) / 1000


def make_limits(redis: aioredis.Redis, settings: GatewaySettings) -> RateLimits:
    """The limits that the settings describe."""
    default = Limit(settings.rate_limit_per_minute, settings.rate_limit_burst)
    return RateLimits(RedisBuckets(redis), default, limit_admin=settings.rate_limit_admin)
