"""All live runs at one moment, as lists need them. Reads the keys that `redis_runs` owns. Must not know MongoDB."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from chassis.clock import now_ms
from redis.asyncio import Redis

from scheduler.redis_scripts import Script


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`waiting`: (created ms, id) of runs that wait, by creation, as far as it was asked for; `complete`: that is all
    of them. `busy`: runs that run, or have ended and may not be archived yet.

    `whole`: Redis has not lost any of them.

    Every end with a tick up to `archived_tick` is archived, and every claim and end up to now has one up to `tick`.
    """

    tick: int
    archived_tick: int
    waiting: Sequence[tuple[int, int]]
    waiting_total: int
    complete: bool
    busy: Sequence[int]
    whole: bool


class LiveSnapshots:
    """Raises `Unavailable` when Redis can't be reached."""

    def __init__(self, redis: Redis) -> None:
        self._snapshot = Script(redis, "snapshot")

    async def take(self, index: str, *, ascending: bool, from_ms: int | None, count: int) -> Snapshot:
        """`index`: task:<id> | scope:<scope> | "" for everything. `waiting` begins at `from_ms` (None: at its end) and
        has about `count` runs.
        """
        start: Any = from_ms if from_ms is not None else "-inf" if ascending else "+inf"
        tick, oldest, total, busy, whole, *lists = await self._snapshot.run([index, int(not ascending), start, count])
        # A Redis that has lost everything counts on from its clock, which is some machine's clock as well.
        last = int(tick) if tick else now_ms() * 1_000
        ids = [int(run_id) for run_id in busy]
        waiting, complete = _merged(lists, count, ascending=ascending, without=frozenset(ids) if index else frozenset())
        return Snapshot(last, int(float(oldest)) - 1 if oldest else last, waiting, total, complete, ids, bool(whole))


def _merged(
    lists: Sequence[Sequence[bytes]], count: int, *, ascending: bool, without: frozenset[int]
) -> tuple[list[tuple[int, int]], bool]:
    """Lists of ids and scores in one, as far as all of them were read: a full list may go on with its last score."""
    rows: list[tuple[int, int]] = []
    ends: list[int] = []
    for flat in lists:
        found = [(int(float(score)), int(run_id)) for run_id, score in zip(flat[::2], flat[1::2], strict=True)]
        if found and len(found) >= count:
            ends.append(found[-1][0])
        rows += found
    if ends and ascending:
        rows = [row for row in rows if row[0] < min(ends)]
    elif ends:
        rows = [row for row in rows if row[0] > max(ends)]
    rows.sort(reverse=not ascending)
    return [row for row in rows if row[1] not in without], not ends
