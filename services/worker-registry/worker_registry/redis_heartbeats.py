"""Liveness and occupancy in Redis. Owns: the keys `{registry}:*`. Must not know MongoDB or NATS.

Heartbeats that arrive together are one call to Redis. See `redis_scripts` for the keys and the transitions.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson
import redis.asyncio as aioredis
from chassis.batching import Batcher
from chassis.stores import redis_errors

from worker_registry import redis_scripts as scripts
from worker_registry.worker import Beat, Liveness, Worker, WorkerFact

NAMES = ("known", "beats", "deadlines", "intervals", "outbox", "stamp", "publisher")
KEYS = tuple(f"{{registry}}:{name}" for name in NAMES)
KNOWN, BEATS, DEADLINES, _INTERVALS, _OUTBOX, STAMP, _PUBLISHER = KEYS
# A replica that dies while it publishes holds the others up for this long.
# Two at it at once would do no harm: both use the same message ids.
PUBLISHER_MS = 2_000
SWEEP_AT_ONCE = 500
# Heartbeats that somebody waits for: at 200 a second one call to Redis carries ten of them.
PATIENCE_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Answer:
    """What a heartbeat is answered. `wanted` is empty when the worker is not known; `replaced`: by another session."""

    wanted: str
    replaced: bool
    outbox: int


@dataclass(frozen=True, slots=True)
class Sweep:
    """What a look at the deadlines found. Times in ms."""

    # Redis has lost what it knew: nothing was looked at.
    empty: bool
    # Nobody had watched for a while: every worker got the full time again.
    grace: bool
    # -1: no worker is alive.
    next_deadline: int
    # 0: there is no worker.
    shortest_interval: int
    outbox: int
    lost: int


@dataclass(frozen=True, slots=True)
class Facts:
    """What was taken from the outbox: it stays there until it is dropped. `first` tells where it began.

    `busy_ms`: for how long another replica may be at it, instead of any facts.
    """

    facts: list[WorkerFact]
    first: bytes = b""
    busy_ms: int = 0


class RedisHeartbeats:
    """All methods raise `Unavailable` when Redis can't be reached. `patience_seconds`: how long heartbeats whose answer
    nobody waits for may wait for each other.
    """

    def __init__(self, redis: aioredis.Redis, *, patience_seconds: float) -> None:
        self._redis = redis
        self._replica = secrets.token_hex(8)
        self._put = redis.register_script(scripts.PUT)
        self._beat = redis.register_script(scripts.BEAT)
        self._remove = redis.register_script(scripts.REMOVE)
        self._sweep = redis.register_script(scripts.SWEEP)
        self._take = redis.register_script(scripts.TAKE_FACTS)
        self._drop = redis.register_script(scripts.DROP_FACTS)
        self._mark = redis.register_script(scripts.MARK_REBUILT)
        self._beats: Batcher[Beat, Answer] = Batcher(
            self._send_beats, max_in_flight=1, patience_seconds=min(PATIENCE_SECONDS, patience_seconds)
        )
        self._patient_beats: Batcher[Beat, Answer] = Batcher(
            self._send_beats, max_in_flight=1, patience_seconds=patience_seconds
        )

    async def ping(self) -> None:
        """Return when Redis answers."""
        with redis_errors():
            await self._redis.ping()

    async def put(self, worker: Worker, mode: Literal["register", "update", "restore"]) -> None:
        """Make Redis know this version of the worker. What became of earlier sessions goes to the outbox.

        `register` is a sign of life, `update` isn't, `restore` changes nothing that Redis still knows and gives the
        worker the full time to be heard.
        """
        with redis_errors():
            await self._put(
                KEYS,
                [mode, worker.id, worker.version, worker.interval_ms, worker.wanted.value, worker.session,
                 worker.hostname, *worker.unannounced],
            )  # fmt: skip

    async def beat(self, beat: Beat, *, patient: bool = False) -> Answer:
        """Store a heartbeat."""
        return await (self._patient_beats if patient else self._beats).call(beat)

    async def _send_beats(self, beats: list[Beat]) -> Sequence[Answer]:
        arguments: list[Any] = []
        for beat in beats:
            arguments += (beat.id, beat.session, _encode(beat))
        with redis_errors():
            *answers, outbox = await self._beat(KEYS, arguments)
        return [Answer("" if wanted == b"?" else wanted.decode(), wanted == b"?", outbox) for wanted in answers]

    async def remove(self, worker: Worker, reason: str) -> None:
        """Forget the worker, and put that into the outbox."""
        with redis_errors():
            await self._remove(
                KEYS, [worker.id, worker.version, worker.session, worker.hostname, reason, *worker.unannounced]
            )

    async def liveness(self, worker_ids: Sequence[str]) -> dict[str, Liveness]:
        """What the heartbeats say about these workers."""
        if not worker_ids:
            return {}
        with redis_errors():
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.hmget(BEATS, list(worker_ids))
                pipe.zmscore(DEADLINES, list(worker_ids))
                pipe.exists(STAMP)
                beats, deadlines, rebuilt = await pipe.execute()
        return {
            worker_id: _liveness(worker_id, beat, alive=deadline is not None or not rebuilt)
            for worker_id, beat, deadline in zip(worker_ids, beats, deadlines, strict=True)
        }

    async def sweep(self) -> Sweep:
        """Take the workers that were silent for too long, each exactly once among all replicas, into the outbox."""
        with redis_errors():
            state, next_deadline, shortest, outbox, lost = await self._sweep(KEYS, [SWEEP_AT_ONCE])
        return Sweep(state == -1, state == 1, next_deadline, shortest, outbox, lost)

    async def mark_rebuilt(self) -> None:
        """Say that Redis knows every worker again."""
        with redis_errors():
            await self._mark(KEYS)

    async def take_facts(self) -> Facts:
        """The oldest facts of the outbox, unless another replica is publishing."""
        with redis_errors():
            raw = await self._take(KEYS, [self._replica, PUBLISHER_MS])
        if isinstance(raw, int):
            return Facts([], busy_ms=max(raw, 1))
        items = [orjson.loads(item) for item in raw]
        facts = [WorkerFact(**(item | {"time_ms": int(item["time_ms"])})) for item in items]
        return Facts(facts, raw[0] if raw else b"")

    async def drop_facts(self, facts: Facts) -> int:
        """Drop these, which are published. Answers how many are left, -1 if another replica took over."""
        with redis_errors():
            return int(await self._drop(KEYS, [self._replica, len(facts.facts), facts.first]))

    async def give_up_facts(self) -> None:
        """Let another replica publish what was taken."""
        with redis_errors():
            await self._drop(KEYS, [self._replica, 0, b""])


def _encode(beat: Beat) -> bytes:
    return orjson.dumps(
        (beat.current_task_count, beat.load_average, beat.memory_usage, beat.cpu_usage, beat.current_runs)
    )


def _liveness(worker_id: str, raw: bytes | None, *, alive: bool) -> Liveness:
    if raw is None:
        return Liveness(alive)
    heard_ms, _, said = raw.partition(b" ")
    count, load, memory, cpu, runs = orjson.loads(said)
    return Liveness(alive, int(heard_ms), Beat(worker_id, "", count, load, memory, cpu, tuple(runs)))
