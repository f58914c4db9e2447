"""Live runs in Redis: every change of a run's state is one atomic script (`lua/`). Owns the keys `trawl:*`.

Must not know NATS, MongoDB or gRPC. All of it can be lost: the RUNS stream, the parked runs in MongoDB and the
workers' reports bring it back (see `rebuild`).
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from chassis.errors import Unavailable
from chassis.stores import redis_errors
from redis.asyncio import Redis

from scheduler.redis_scripts import Script

PREFIX = "trawl:"
EPOCH = PREFIX + "epoch"
DELETED_TASK_VERSION = 2**31 - 1
State = Literal["p", "k", "r", "d"]


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run to be written. `spec` is a serialised RunSpec; `task_version` "" skips the check of the cached task."""

    run_id: int
    task_id: int
    created_ms: int
    queue: str
    max_retries: int
    timeout_ms: int
    attempt: int
    spec: bytes
    external_key: str = ""
    digest: str = ""
    state: State = "p"
    not_before_ms: int = 0
    task_version: str = ""
    scope: str = ""

    def arguments(self) -> tuple[Any, ...]:
        """In the order of `accept.lua`."""
        return (
            self.run_id, self.task_id, self.created_ms, self.queue, self.max_retries, self.timeout_ms, self.attempt,
            self.spec, self.external_key, self.digest, self.state, self.not_before_ms, self.task_version,
            self.scope,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Holder:
    """The worker process that claims or reports."""

    worker_id: str
    session: str
    hostname: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a claim got: granted | drop | later | paused | unknown."""

    kind: str
    attempt: int = 0
    retry_after_ms: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """One run's line in a worker's report."""

    run_id: int
    token: int
    attempt: int
    done: int = 0
    total: int = 0
    step: str = ""
    items: int = 0


@dataclass(frozen=True, slots=True)
class Ending:
    """One attempt's end."""

    run_id: int
    token: int
    target: Literal["done", "park"]
    not_before_ms: int = 0
    # park: what it waits for, when that is not its own failure.
    why: str = ""


@dataclass(frozen=True, slots=True)
class Changes:
    """When a run changed, as lists order it: ticks (see `common.lua`) of its end and its last claim, and that claim's
    time; 0 = not. `asked`: who wanted its end and why, a `StopReceipt`.
    """

    ended_tick: int = 0
    claimed_tick: int = 0
    claimed_ms: int = 0
    asked: bytes = b""


@dataclass(frozen=True, slots=True)
class LiveRun:
    """A live run's hash, decoded. `asked`: see `Changes`."""

    run_id: int
    state: State
    attempt: int
    token: int
    spec: bytes
    worker_id: str = ""
    session: str = ""
    hostname: str = ""
    started_ms: int = 0
    claimed_tick: int = 0
    updated_ms: int = 0
    done: int = 0
    total: int = 0
    step: str = ""
    items: int = 0
    abort_ms: int = 0
    asked: bytes = b""
    not_before_ms: int = 0
    why: str = ""
    ending: bytes = b""


def _live(run_id: int, raw: Mapping[bytes, bytes]) -> LiveRun | None:
    if b"st" not in raw or b"spec" not in raw:
        return None

    def integer(name: bytes) -> int:
        return int(float(raw.get(name) or b"0"))

    def text(name: bytes) -> str:
        return raw.get(name, b"").decode(errors="replace")

    return LiveRun(
        run_id=run_id,
        state=cast("State", text(b"st")),
        attempt=integer(b"at"),
        token=integer(b"tk"),
        spec=raw[b"spec"],
        worker_id=text(b"w"),
        session=text(b"ws"),
        hostname=text(b"wh"),
        started_ms=integer(b"sa"),
        claimed_tick=integer(b"cs"),
        updated_ms=integer(b"up"),
        done=integer(b"dn"),
        total=integer(b"to"),
        step=text(b"sp"),
        items=integer(b"it"),
        abort_ms=integer(b"ab"),
        asked=raw.get(b"aw", b""),
        not_before_ms=integer(b"nb"),
        why=text(b"why"),
        ending=raw.get(b"end", b""),
    )


def batch_mark(run_ids: Sequence[int]) -> str:
    """What stands for a batch in `accepting`."""
    return ",".join(map(str, run_ids))


def _index_key(index: str) -> str:
    return PREFIX + ("leases" if index == "running" else f"idx:{index}")


class LiveRuns:
    """Each method raises `Unavailable` when Redis can't be reached."""

    def __init__(self, redis: Redis, *, lease_ms: int, deadline_grace_ms: int, max_pending: int = 0) -> None:
        self._redis = redis
        self._lease_ms, self._grace_ms = lease_ms, deadline_grace_ms
        self._max_pending = max_pending
        self._confirmed: set[str] = set()
        # Set by whoever finds that Redis has lost everything, for the one who brings it back.
        self.lost = asyncio.Event()
        self._scripts = {
            name: Script(redis, name)
            for name in (
                "accept", "claim", "report", "finish", "forget", "abort", "lose", "outside", "release", "version",
            )
        }  # fmt: skip

    async def _run(self, name: str, arguments: Sequence[Any]) -> Any:
        return await self._scripts[name].run(arguments)

    async def accept(self, runs: Sequence[NewRun], *, mark: str = "") -> list[str]:
        """Write runs that aren't there; the verdicts are in `accept.lua`. `mark` (see `batch_mark`) says that they
        are still to be published; `confirm` takes it away.
        """
        confirmed = self._take_confirmed()
        # What is only restored was accepted before: it is never refused.
        arguments: list[Any] = [mark, len(confirmed), *confirmed, self._max_pending if mark else 0]
        for run in runs:
            arguments.extend(run.arguments())
        try:
            return [verdict.decode() for verdict in await self._run("accept", arguments)]
        except Unavailable:
            self._confirmed.update(confirmed)
            raise

    def confirm(self, mark: str) -> None:
        """JetStream has acknowledged this batch. Its mark goes away with the next batch, or with `flush_confirmed`."""
        self._confirmed.add(mark)

    def _take_confirmed(self) -> list[str]:
        marks = list(self._confirmed)[:1_000]
        self._confirmed.difference_update(marks)
        return marks

    async def flush_confirmed(self) -> None:
        """Take away the marks that no later batch has."""
        while marks := self._take_confirmed():
            try:
                with redis_errors():
                    await self._redis.zrem(PREFIX + "accepting", *marks)
            except Unavailable:
                self._confirmed.update(marks)
                raise

    async def unpublished(self, until_ms: int) -> list[tuple[str, list[int]]]:
        """Batches that were written before that time and never acknowledged: (mark, run ids)."""
        with redis_errors():
            rows = await self._redis.zrangebyscore(PREFIX + "accepting", 0, until_ms, start=0, num=100)
        marks = [cast("bytes", row).decode() for row in rows]
        return [(mark, [int(run_id) for run_id in mark.split(",")]) for mark in marks]

    async def claim(self, holder: Holder, claims: Sequence[tuple[int, int]], now: int) -> list[Verdict]:
        """Claim `(run id, token)`s for a worker process; no verdicts when Redis has lost which queues are paused."""
        arguments: list[Any] = [holder.worker_id, holder.session, holder.hostname, now, now + self._lease_ms]
        for claim in claims:
            arguments.extend(claim)
        return [Verdict(kind.decode(), int(a), int(after)) for kind, a, after in await self._run("claim", arguments)]

    async def report(self, holder: Holder, reports: Sequence[Progress], now: int) -> list[str]:
        """Renew leases; answers ok | abort | lost | unknown for each."""
        arguments: list[Any] = [
            holder.worker_id, holder.session, holder.hostname, now, now + self._lease_ms, self._grace_ms,
        ]  # fmt: skip
        for line in reports:
            arguments.extend((line.run_id, line.token, line.attempt, line.done, line.total, line.step, line.items))
        return [verdict.decode() for verdict in await self._run("report", arguments)]

    async def finish(self, endings: Sequence[Ending], now: int) -> list[tuple[str, int, Changes]]:
        """Apply ends; answers (applied | again | stale | unknown, when an abort was requested or 0, ...) for each."""
        arguments: list[Any] = [now]
        for end in endings:
            arguments.extend((end.run_id, end.token, end.target, end.not_before_ms, end.why))
        return [
            (verdict.decode(), int(float(ab)), Changes(int(float(end)), int(float(claim)), int(float(at)), asked))
            for verdict, ab, end, claim, at, asked in await self._run("finish", arguments)
        ]

    async def changes(self, run_ids: Sequence[int]) -> dict[int, Changes]:
        """When these runs changed."""
        if not run_ids:
            return {}
        with redis_errors():
            async with self._redis.pipeline(transaction=False) as pipe:
                for run_id in run_ids:
                    pipe.hmget(f"{PREFIX}run:{run_id}", "cs", "sa")
                    pipe.zscore(PREFIX + "idx:ended", run_id)
                rows = await pipe.execute()
        return {
            run_id: Changes(int(ended or 0), int(float(claim or 0)), int(float(at or 0)))
            for run_id, (claim, at), ended in zip(run_ids, rows[::2], rows[1::2], strict=True)
        }

    async def forget(self, runs: Iterable[tuple[int, int, str]]) -> None:
        """Remove archived runs: (run id, task id, external key)."""
        if arguments := [part for run in runs for part in run]:
            await self._run("forget", arguments)

    async def abort(
        self, run_id: int, now: int, summary: bytes, *, waiting_only: bool = False, asked: bytes = b""
    ) -> tuple[str, str]:
        """(aborted | asked | running | done | unknown, the holder's session); `waiting_only`: a running one goes on.
        `asked`: see `Changes`.
        """
        verdict, session = await self._run("abort", (run_id, now, summary, "1" if waiting_only else "0", asked))
        return verdict.decode(), session.decode()

    async def outside(self, run_id: int, now: int, percent: str, summary: bytes) -> tuple[str, str]:
        """(ok | ended | done | unknown, the session of a worker that has it)."""
        verdict, session = await self._run("outside", (run_id, now, percent, summary))
        return verdict.decode(), session.decode()

    async def lose(
        self, run_id: int, now: int, *, session: str = "", token: int | None = None, counts: bool = True,
        failed: bytes = b"", aborted: bytes = b"",
    ) -> tuple[str, int]:  # fmt: skip
        """Take a run back: (requeued | failed | aborted | no, attempts begun)."""
        verdict, attempt = await self._run(
            "lose", (run_id, session, now, failed, aborted, "" if token is None else token, "1" if counts else "0")
        )
        return verdict.decode(), int(attempt)

    async def release(self, run_id: int, token: int, now: int) -> str:
        """Parked to pending: ok | unknown | later | gone."""
        verdict: bytes = await self._run("release", (run_id, token, now))
        return verdict.decode()

    async def get_many(self, run_ids: Sequence[int]) -> list[LiveRun | None]:
        """The live runs with these ids, in order."""
        if not run_ids:
            return []
        with redis_errors():
            async with self._redis.pipeline(transaction=False) as pipe:
                for run_id in run_ids:
                    pipe.hgetall(f"{PREFIX}run:{run_id}")
                rows = await pipe.execute()
        return [_live(run_id, raw) for run_id, raw in zip(run_ids, rows, strict=True)]

    async def get(self, run_id: int) -> LiveRun | None:
        """One live run."""
        return (await self.get_many([run_id]))[0]

    async def by_external(self, key: str) -> int | None:
        """The newest live run with that external key."""
        with redis_errors():
            held = await self._redis.get(f"{PREFIX}ext:{key}")
        return int(cast("bytes", held).split(b" ")[0]) if held else None

    async def ids(self, index: str, *, newest_first: bool, offset: int = 0, limit: int = 1000) -> list[int]:
        """Ids of one index (pending | parked | task:<id> | scope:<scope>) by creation; of `running` in no order."""
        with redis_errors():
            rows = await self._redis.zrange(_index_key(index), offset, offset + limit - 1, desc=newest_first)
        return [int(cast("bytes", row)) for row in rows]

    async def count(self, index: str) -> int:
        """How many are in that index."""
        with redis_errors():
            return int(await self._redis.zcard(_index_key(index)))

    async def session_runs(self, session: str) -> list[int]:
        """What a worker process holds."""
        running = await self.ids("running", newest_first=False, limit=1_000_000)
        held = await self.get_many(running)
        return [run.run_id for run in held if run is not None and run.state == "r" and run.session == session]

    async def expired(self, until_ms: int, limit: int = 500) -> list[int]:
        """Runs whose lease has run out."""
        with redis_errors():
            rows = await self._redis.zrangebyscore(PREFIX + "leases", 0, until_ms, start=0, num=limit)
        return [int(cast("bytes", row)) for row in rows]

    async def next_expiry(self) -> int | None:
        """When the earliest lease runs out, epoch ms."""
        with redis_errors():
            rows = await self._redis.zrange(PREFIX + "leases", 0, 0, withscores=True)
        return int(rows[0][1]) if rows else None

    async def raise_task_version(self, task_id: int, version: int) -> None:
        """Make every scheduler's older copy of that task stale."""
        await self._run("version", (task_id, version))

    async def oldest_pending_ms(self) -> int:
        """Creation time of the run that has waited longest, 0 = none."""
        with redis_errors():
            rows = await self._redis.zrange(PREFIX + "idx:pending", 0, 0, withscores=True)
        return int(rows[0][1]) if rows else 0

    async def has_epoch(self) -> bool:
        """False after Redis has lost everything."""
        with redis_errors():
            return bool(await self._redis.exists(EPOCH))

    async def require_whole(self) -> None:
        """Raises `Unavailable` while live runs may be missing here."""
        if not await self.has_epoch():
            self.lost.set()
            raise Unavailable("Redis has lost its runs, which are being brought back", dependency="redis")

    async def lock(self, work: str, seconds: int) -> bool:
        """True for the one scheduler that does this work now."""
        with redis_errors():
            return bool(await self._redis.set(PREFIX + "lock:" + work, "1", nx=True, ex=seconds))

    async def unlock(self, work: str) -> None:
        """It is done."""
        with redis_errors():
            await self._redis.delete(PREFIX + "lock:" + work)

    async def set_epoch(self, now: int) -> None:
        """Say that what is here is whole."""
        with redis_errors():
            await self._redis.set(EPOCH, str(now))

    async def ping(self) -> None:
        """Raises `Unavailable` when Redis does not answer."""
        with redis_errors():
            await self._redis.ping()
