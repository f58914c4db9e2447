"""Leases of workers that speak HTTP, in Redis: two scripts on the keys of `redis_runs`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from scheduler.mongo_leases import LeasedRun
from scheduler.redis_scripts import Script


@dataclass(frozen=True, slots=True)
class Sign:
    """A sign of life of one leased run. None leaves a thing as it is; a `token` of None stands for any."""

    run_id: int
    token: int | None = None
    lease_ms: int | None = None
    # done, total, step
    progress: tuple[int, int, str] | None = None
    items: int | None = None
    lines: int = 0

    def arguments(self) -> tuple[Any, ...]:
        """In the order of `lease.lua`."""
        done, total, step = self.progress or (0, 0, "")
        return (
            self.run_id, _or_empty(self.token), _or_empty(self.lease_ms), "1" if self.progress else "0", done, total,
            step, _or_empty(self.items), self.lines,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class LeaseCheck:
    """What a sign of life found: ok | abort | lost | unknown. Times in epoch ms, 0 = not."""

    verdict: str
    token: int = 0
    attempt: int = 0
    expires_ms: int = 0
    task_id: int = 0
    first_line: int = 0
    abort_ms: int = 0
    abort_delivered_ms: int = 0


class LiveLeases:
    """Each method raises `Unavailable` when Redis can't be reached."""

    def __init__(self, redis: Redis, *, lease_ms: int, deadline_grace_ms: int) -> None:
        self._lease_ms, self._grace_ms = lease_ms, deadline_grace_ms
        self._lease = Script(redis, "lease")
        self._restore = Script(redis, "restore")

    async def check(self, worker_id: str, signs: Sequence[Sign], now: int) -> list[LeaseCheck]:
        """Renew what `worker_id` ("" = whoever) holds, and note what the signs say."""
        if not signs:
            return []
        arguments: list[Any] = [worker_id, now, self._grace_ms, self._lease_ms]
        for sign in signs:
            arguments.extend(sign.arguments())
        rows = await self._lease.run(arguments)
        return [LeaseCheck(verdict.decode(), *map(int, numbers)) for verdict, *numbers in rows]

    async def restore(self, lease: LeasedRun, now: int) -> bool:
        """Make the pending run running again, in the hands of the lease's worker."""
        done = await self._restore.run(
            [lease.run_id, lease.token, lease.attempt, lease.worker_id, lease.session, lease.hostname,
             lease.started_ms, now, lease.lease_ms, lease.items]
        )  # fmt: skip
        return bool(done)


def _or_empty(value: int | None) -> int | str:
    return "" if value is None else value
