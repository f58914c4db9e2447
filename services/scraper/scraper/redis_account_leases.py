"""Which run has which account. Owns: leases, rate-limit windows and daily use in Redis, each transition atomic. Must
not know MongoDB, secrets or X.

Keys, all below `{accounts}:` so that they share a slot
    token                       counter of fencing tokens
    lease:<account>             hash token, run, operation, worker; it expires with the lease
    limit:<account>:<operation> when that window ends, epoch ms; it expires then
    day:<account>:<yyyymmdd>    requests of that day (UTC)
    used                        hash account -> epoch ms of the last lease's end
Times are Redis's own clock.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from chassis.stores import redis_errors
from redis.asyncio import Redis

PREFIX = "{accounts}:"
DAY_MS = 86_400_000
# When a leased account may be free again is not known: look again after this.
BUSY_MS = 5_000

_COMMON = """
local P = KEYS[1]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local today = math.floor(now / 86400000)
local function day_key(id) return P .. 'day:' .. id .. ':' .. string.format('%d', today) end
local function holds(id, token) return redis.call('HGET', P .. 'lease:' .. id, 'token') == token end
"""

# ARGV: operations (comma list), run, worker, lease ms, busy ms, then account, budget, account, budget …
# Answers {token, account} or {0, when the soonest is free, why}.
_ACQUIRE = (
    _COMMON
    + """
local operations, run, worker, lease_ms, busy_ms = unpack(ARGV, 1, 5)
local best, best_used
local soonest, why
for i = 6, #ARGV, 2 do
  local id, budget = ARGV[i], tonumber(ARGV[i + 1])
  local free_at, reason = now, ''
  local holder = redis.call('HGET', P .. 'lease:' .. id, 'run')
  if holder and holder ~= run then free_at, reason = now + tonumber(busy_ms), 'busy' end
  for operation in string.gmatch(operations, '[^,]+') do
    local limited = tonumber(redis.call('GET', P .. 'limit:' .. id .. ':' .. operation) or '0')
    if limited > free_at then free_at, reason = limited, 'limited' end
  end
  local spent = tonumber(redis.call('GET', day_key(id)) or '0')
  if budget > 0 and spent >= budget and (today + 1) * 86400000 > free_at then
    free_at, reason = (today + 1) * 86400000, 'budget'
  end
  if reason == '' then
    local used = tonumber(redis.call('HGET', P .. 'used', id) or '0')
    if holder == run then used = -1 end
    if not best or used < best_used then best, best_used = id, used end
  elseif not soonest or free_at < soonest then
    soonest, why = free_at, reason
  end
end
if not best then return {'0', string.format('%d', soonest or 0), why or ''} end
local token = string.format('%d', redis.call('INCR', P .. 'token'))
local key = P .. 'lease:' .. best
redis.call('DEL', key)
redis.call('HSET', key, 'token', token, 'run', run, 'operation', operations, 'worker', worker)
redis.call('PEXPIRE', key, lease_ms)
return {token, best, ''}
"""
)

# ARGV: account, token, lease ms. Answers whether the lease still holds.
_RENEW = (
    _COMMON
    + """
if not holds(ARGV[1], ARGV[2]) then return 0 end
redis.call('PEXPIRE', P .. 'lease:' .. ARGV[1], ARGV[3])
return 1
"""
)

# ARGV: account, token, lease ms. Answers the day's requests with this one, or -1 when the lease is lost.
_SPEND = (
    _COMMON
    + """
if not holds(ARGV[1], ARGV[2]) then return -1 end
redis.call('PEXPIRE', P .. 'lease:' .. ARGV[1], ARGV[3])
local spent = redis.call('INCR', day_key(ARGV[1]))
redis.call('PEXPIRE', day_key(ARGV[1]), 172800000)
return spent
"""
)

# ARGV: account, token, operation, when the window ends. A holder whose lease was lost changes nothing.
_LIMIT = (
    _COMMON
    + """
if not holds(ARGV[1], ARGV[2]) then return 0 end
local wait = tonumber(ARGV[4]) - now
if wait <= 0 then return 1 end
redis.call('SET', P .. 'limit:' .. ARGV[1] .. ':' .. ARGV[3], ARGV[4], 'PX', string.format('%d', wait))
return 1
"""
)

# ARGV: account, token
_RELEASE = (
    _COMMON
    + """
if not holds(ARGV[1], ARGV[2]) then return 0 end
redis.call('DEL', P .. 'lease:' .. ARGV[1])
redis.call('HSET', P .. 'used', ARGV[1], string.format('%d', now))
return 1
"""
)


class Wait(StrEnum):
    """Why no account is free."""

    BUSY = "busy"
    LIMITED = "limited"
    BUDGET = "budget"


@dataclass(frozen=True, slots=True)
class Granted:
    """A lease; every later call must show the token."""

    account_id: str
    token: int


@dataclass(frozen=True, slots=True)
class NotBefore:
    """No account is free before `ms` (epoch), and why that of the soonest."""

    ms: int
    why: Wait


@dataclass(frozen=True, slots=True)
class AccountUse:
    """How an account stands. `limits`: when each exhausted window ends, by operation."""

    run_id: int | None
    operation: str
    spent_today: int
    used_ms: int | None
    limits: dict[str, int]


class AccountLeases:
    """Every method raises `Unavailable` when Redis can't be reached."""

    def __init__(self, redis: Redis, *, lease_seconds: float, busy_ms: int = BUSY_MS) -> None:
        self._redis, self.lease_ms, self._busy_ms = redis, int(lease_seconds * 1000), busy_ms
        self._acquire = redis.register_script(_ACQUIRE)
        self._renew, self._spend = redis.register_script(_RENEW), redis.register_script(_SPEND)
        self._limit, self._release = redis.register_script(_LIMIT), redis.register_script(_RELEASE)

    async def acquire(
        self, candidates: Sequence[tuple[str, int]], *, operations: Sequence[str], run_id: int, worker: str
    ) -> Granted | NotBefore:
        """Lease the free one that has rested longest. `candidates`: (account, requests a day or 0).

        A run finds its own lease again, under a new token: an attempt of it that still lives has lost it.
        """
        flat = [str(part) for candidate in candidates for part in candidate]
        arguments = [",".join(operations), run_id, worker, self.lease_ms, self._busy_ms, *flat]
        token, what, why = (_text(part) for part in await self._run(self._acquire, arguments))
        return NotBefore(int(what), Wait(why)) if why else Granted(what, int(token))

    async def renew(self, lease: Granted) -> bool:
        """Keep it; whether it still held."""
        return bool(await self._run(self._renew, [lease.account_id, lease.token, self.lease_ms]))

    async def spend(self, lease: Granted) -> int | None:
        """Count one request; the day's sum, or None when the lease is lost."""
        spent = int(await self._run(self._spend, [lease.account_id, lease.token, self.lease_ms]))
        return None if spent < 0 else spent

    async def limit(self, lease: Granted, operation: str, until_ms: int) -> None:
        """The account may not ask for that operation before `until_ms`."""
        await self._run(self._limit, [lease.account_id, lease.token, operation, until_ms])

    async def release(self, lease: Granted) -> None:
        """Give it back."""
        await self._run(self._release, [lease.account_id, lease.token])

    async def use_of(self, account_ids: Sequence[str], operations: Sequence[str]) -> list[AccountUse]:
        """How these accounts stand now."""
        with redis_errors():
            seconds, _ = await self._redis.time()
            day = int(seconds) * 1000 // DAY_MS
            pipe = self._redis.pipeline(transaction=False)
            for account_id in account_ids:
                pipe.hmget(f"{PREFIX}lease:{account_id}", ["run", "operation"])
                pipe.get(f"{PREFIX}day:{account_id}:{day}")
                pipe.hget(f"{PREFIX}used", account_id)
                pipe.mget([f"{PREFIX}limit:{account_id}:{operation}" for operation in operations])
            answers = await pipe.execute()
        return [_use(answers[start : start + 4], operations) for start in range(0, len(answers), 4)]

    async def forget(self, account_id: str, operations: Sequence[str]) -> None:
        """The account may work again: its windows are gone, and so is any lease."""
        with redis_errors():
            limits = [f"{PREFIX}limit:{account_id}:{operation}" for operation in operations]
            await self._redis.delete(f"{PREFIX}lease:{account_id}", *limits)

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose(close_connection_pool=True)

    async def _run(self, script: Any, arguments: Sequence[Any]) -> Any:
        with redis_errors():
            return await script(keys=[PREFIX], args=list(arguments))


def _text(part: Any) -> str:
    return part.decode() if isinstance(part, bytes) else str(part)


def _use(answers: Sequence[Any], operations: Sequence[str]) -> AccountUse:
    (run, operation), spent, used, limits = answers
    return AccountUse(
        run_id=int(run) if run else None,
        operation=_text(operation) if operation else "",
        spent_today=int(spent or 0),
        used_ms=int(used) if used else None,
        limits={name: int(until) for name, until in zip(operations, limits, strict=True) if until},
    )
