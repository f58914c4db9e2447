"""What Redis knows of tasks: their versions, their live runs, and the words for what waits. Must not know NATS, MongoDB
or gRPC. The keys are those of `redis_runs`.
"""

from collections.abc import Mapping, Sequence
from typing import cast

from chassis.stores import redis_errors
from redis.asyncio import Redis

from scheduler.redis_scripts import Script

PREFIX = "trawl:"
# Redis does nothing else while a script runs.
SCRIPT_TASKS = 500


class LiveTasks:
    """Each method raises `Unavailable` when Redis can't be reached."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._wait, self._version = Script(redis, "wait"), Script(redis, "version")
        self._live = Script(redis, "live")

    async def versions(self, task_ids: Sequence[int]) -> list[int]:
        """The newest known version of each; 0 = none is known."""
        with redis_errors():
            rows = await self._redis.hmget(PREFIX + "task_versions", [str(i) for i in task_ids]) if task_ids else []
        return [int(row) if row else 0 for row in rows]

    async def raise_versions(self, versions: Mapping[int, int]) -> None:
        """Make older copies of these tasks stale."""
        if versions:
            await self._version.run(part for pair in versions.items() for part in pair)

    async def live_runs(self, task_ids: Sequence[int]) -> list[tuple[int, int]]:
        """(how many runs are live, the oldest of them or 0) for each task."""
        if not task_ids:
            return []
        found: list[int] = []
        for first in range(0, len(task_ids), SCRIPT_TASKS):
            found += await self._live.run(task_ids[first : first + SCRIPT_TASKS])
        return list(zip(found[::2], found[1::2], strict=True))

    async def unstarted(self, run_ids: Sequence[int]) -> set[int]:
        """Those of the runs that wait to be started for the first time."""
        if not run_ids:
            return set()
        with redis_errors():
            async with self._redis.pipeline(transaction=False) as pipe:
                for run_id in run_ids:
                    pipe.hmget(f"{PREFIX}run:{run_id}", ["st", "at"])
                rows = await pipe.execute()
        return {
            run_id
            for run_id, (state, attempt) in zip(run_ids, rows, strict=True)
            if state == b"p" and attempt in (None, b"", b"0")
        }

    async def live_run_ids(self, task_id: int) -> list[int]:
        """A task's live runs, oldest first."""
        with redis_errors():
            return [int(cast("bytes", row)) for row in await self._redis.zrange(f"{PREFIX}idx:task:{task_id}", 0, -1)]

    async def say_why(self, reasons: Mapping[int, str]) -> None:
        """Tell readers why these runs wait."""
        if reasons:
            await self._wait.run(part for pair in reasons.items() for part in pair)
