"""What a scheduler that dies half-way leaves behind, and how the next sweep finishes it. The stores are real."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from chassis.clock import now_ms
from chassis.events import Events
from chassis.stores import mongo_client, mongo_database, redis_client
from scheduler.durations import Durations
from scheduler.events import Announcer, ready_message
from scheduler.finish_runs import FinishRuns
from scheduler.leased_runs import LeasedRuns
from scheduler.mongo_leases import Leased, LeasedRun
from scheduler.mongo_runs import Archive
from scheduler.parked import ParkedRuns, rebuilt
from scheduler.queue_pull import FAIR_EVERY, QueuePulls
from scheduler.records import never_started
from scheduler.redis_leases import LiveLeases, Sign
from scheduler.redis_queues import LiveQueues
from scheduler.redis_runs import Holder, LiveRuns, Progress
from scheduler.run import Status
from scheduler.settings import SchedulerSettings
from stores import SettingsEnv
from trawl.scheduler.v1 import runs_pb2
from wire import subjects

HOLDER = Holder("worker-9", "outside-9", "host")


@dataclass
class Parts:
    """A scheduler's parts, and a run in the hands of a worker."""

    live: LiveRuns
    leases: LiveLeases
    leased: Leased
    runs: LeasedRuns
    archive: Archive
    announcer: Announcer
    events: Events
    pulls: QueuePulls

    def spec(self, run_id: int, priority: int = runs_pb2.PRIORITY_NORMAL) -> runs_pb2.RunSpec:
        """A run of the queue `q`."""
        return runs_pb2.RunSpec(run_id=run_id, task_id=1, queue="q", task_type="q", priority=priority,
                                created_ms=now_ms(), timeout_ms=60_000,
                                retry=runs_pb2.RetryPolicy(max_retries=3))  # fmt: skip

    async def lease(self, run_id: int, token: int = 5000, max_retries: int = 3) -> LeasedRun:
        """A run that is held, with its document and without any message."""
        spec = self.spec(run_id)
        spec.retry.max_retries = max_retries
        await self.live.accept([rebuilt(spec, spec.SerializeToString(), "p")])
        await self.live.claim(HOLDER, [(run_id, token)], now_ms())
        lease = LeasedRun(run_id, token, 1, HOLDER.worker_id, HOLDER.session, "host", now_ms(), 15_000,
                          spec.SerializeToString())  # fmt: skip
        await self.leased.add([lease])
        return lease

    async def documents(self) -> list[LeasedRun]:
        """All leases."""
        return (await self.leased.page("", 100))[0]

    async def queued(self, at_least: int = 0) -> list[int]:
        """Ids of the runs that wait in the stream, once there are so many; they are taken from it."""
        found: list[int] = []
        async with asyncio.timeout(40), self.pulls.open(["q"]) as pull:
            while True:
                messages = await pull.take(100, asyncio.get_running_loop().time() + 0.2, asyncio.Event())
                for message in messages:
                    await message.ack()
                found += [runs_pb2.RunSpec.FromString(message.data).run_id for message in messages]
                if len(found) >= at_least:
                    return found

    async def waiting(self, priority: str, count: int) -> None:
        """Wait until that many runs of this priority can be pulled: a consumer hears of one after its publisher."""
        consumer = await self.pulls.ensure("q", priority)
        async with asyncio.timeout(40):
            while (await self.events.js.consumer_info(subjects.RUNS_STREAM, consumer)).num_pending < count:
                await asyncio.sleep(0.005)


@pytest.fixture
async def parts(settings_env: SettingsEnv, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Parts]:
    """A scheduler's parts on this test's stores."""
    for name, value in settings_env().items():
        monkeypatch.setenv(name, value)
    settings = SchedulerSettings()
    events = Events(settings.nats_url, "test", dead_letter=subjects.dead_letter)
    mongo, redis = mongo_client(settings), redis_client(settings)
    await events.connect()
    await events.declare_streams(subjects.STREAMS, 1)
    database = mongo_database(mongo, settings, "scheduler")
    archive, leased, announcer = Archive(database), Leased(database), Announcer(events)
    await archive.prepare()
    await leased.prepare()
    live = LiveRuns(redis, lease_ms=15_000, deadline_grace_ms=20_000)
    await LiveQueues(redis).tell([], complete=True)  # nothing is claimed before that is known
    leases = LiveLeases(redis, lease_ms=15_000, deadline_grace_ms=20_000)
    finish = FinishRuns(live=live, archive=archive, announcer=announcer, durations=Durations(),
                        parked=ParkedRuns(live, archive, announcer))  # fmt: skip
    runs = LeasedRuns(live=live, leases=leases, leased=leased, archive=archive, announcer=announcer,
                      archive_runs=finish.archive_runs)  # fmt: skip
    yield Parts(live, leases, leased, runs, archive, announcer, events, QueuePulls(events))
    await events.close()
    await redis.aclose(close_connection_pool=True)
    mongo.close()


async def test_a_held_lease_is_left_alone(parts: Parts) -> None:
    lease = await parts.lease(1)
    await parts.runs.sweep()
    assert await parts.documents() == [lease]
    assert await parts.queued() == []


async def test_a_run_that_was_taken_back_and_not_queued_is_queued(parts: Parts) -> None:
    """The scheduler died between the two: nothing but the document knows of the run."""
    lease = await parts.lease(2)
    await parts.live.lose(2, now_ms())
    await parts.runs.sweep()
    assert await parts.queued(1) == [2]
    assert await parts.documents() == []
    (check,) = await parts.leases.check("", [Sign(2, lease.token)], now_ms())
    assert check.verdict == "lost"


async def test_the_loss_of_redis_gives_the_lease_back_to_its_worker(parts: Parts) -> None:
    lease = await parts.lease(3)
    await parts.leased.announce_items(3, lease.token, 4)
    await parts.live.forget([(3, 1, "")])
    assert await parts.runs.restore_all() == 1
    run = await parts.live.get(3)
    assert run is not None
    assert (run.state, run.token, run.attempt, run.worker_id, run.session, run.items) == (
        "r", lease.token, 1, HOLDER.worker_id, HOLDER.session, 4)  # fmt: skip
    assert abs(run.started_ms - lease.started_ms) < 2
    assert await parts.live.next_expiry() is not None


async def test_a_document_whose_run_has_gone_on_is_dropped(parts: Parts) -> None:
    """Held again by another, waiting for its next attempt, or ended: the document has served."""
    old = await parts.lease(4)
    await parts.live.lose(4, now_ms())
    await parts.live.claim(HOLDER, [(4, old.token + 4096)], now_ms())
    await parts.lease(5)
    spec = parts.spec(5)
    await parts.archive.add([{"_id": "000000000000005", "run_id": 5, "task_id": 1}])
    await parts.live.forget([(spec.run_id, 1, "")])
    await parts.runs.sweep()
    assert await parts.documents() == []
    assert await parts.queued() == []
    assert await parts.live.get(5) is None


async def test_an_end_that_was_not_archived_is_archived(parts: Parts) -> None:
    """Its worker was lost after the last attempt, and the scheduler died before it could write that down."""
    await parts.lease(6, max_retries=0)
    ended = never_started(parts.spec(6), Status.FAILED, now_ms(), message="lost", how="")
    assert (await parts.live.lose(6, now_ms(), failed=ended.SerializeToString()))[0] == "failed"
    await parts.runs.sweep()
    assert await parts.archive.archived([6]) == {6}
    await parts.runs.sweep()
    assert await parts.documents() == []


async def test_a_lease_without_a_document_is_never_restored(parts: Parts) -> None:
    """A run that was queued again and rebuilt is nobody's, whatever an old token says."""
    lease = await parts.lease(7)
    await parts.live.lose(7, now_ms())
    await parts.runs.queue_again(parts.spec(7), 1, lease.token, lease.session)
    await parts.live.forget([(7, 1, "")])
    spec = parts.spec(7)
    await parts.live.accept([rebuilt(spec, spec.SerializeToString(), "p")])
    (check,) = await parts.leases.check("", [Sign(7, lease.token)], now_ms())
    assert check.verdict == "unknown"
    await parts.runs.restore_of_worker("", [7])
    (check,) = await parts.leases.check("", [Sign(7, lease.token)], now_ms())
    assert check.verdict == "unknown"


async def test_what_a_pull_gets_and_nobody_takes_goes_back_at_once(parts: Parts) -> None:
    async with parts.pulls.open(["q"]) as pull:
        waiting = asyncio.create_task(pull.take(1, asyncio.get_running_loop().time() + 60, asyncio.Event()))
        await asyncio.sleep(0.2)
        for run_id in (8, 9):
            await parts.announcer.ready([ready_message(parts.spec(run_id, runs_pb2.PRIORITY_LOW + run_id - 8))])
        (message,) = await waiting
        await message.ack()
    # Far less than the time after which an unacknowledged message comes again.
    taken = runs_pb2.RunSpec.FromString(message.data).run_id
    left = await parts.queued(1)
    assert {taken, *left} == {8, 9}


async def test_one_call_in_ten_is_served_lowest_priority_first(parts: Parts) -> None:
    """So that a steady stream of urgent runs starves nobody for good."""
    firsts = []
    for number in range(FAIR_EVERY):
        low, critical = 100 + number, 200 + number
        await parts.announcer.ready([ready_message(parts.spec(low, runs_pb2.PRIORITY_LOW)),
                                     ready_message(parts.spec(critical, runs_pb2.PRIORITY_CRITICAL))])  # fmt: skip
        await parts.waiting("low", 1)
        await parts.waiting("critical", 1)
        async with parts.pulls.open(["q"]) as pull:
            until = asyncio.get_running_loop().time() + 40
            (first,) = await pull.take(1, until, asyncio.Event())
            (second,) = await pull.take(1, until, asyncio.Event())
            for message in (first, second):
                await message.ack()
        firsts.append(runs_pb2.RunSpec.FromString(first.data).run_id // 100)
    assert sorted(firsts) == [1] + [2] * (FAIR_EVERY - 1)


@pytest.mark.parametrize("lease_ms", [1_000, 15_000, 600_000])
async def test_no_lease_is_longer_than_the_runs_time(parts: Parts, lease_ms: int) -> None:
    """A worker that is alive and lets its run go on for ever loses it on time, however rarely it is heard."""
    lease = await parts.lease(50)
    deadline = lease.started_ms + 60_000 + 20_000
    for now in (lease.started_ms, lease.started_ms + 79_000, deadline + 1, deadline + 5_000):
        (check,) = await parts.leases.check(HOLDER.worker_id, [Sign(50, lease.token, lease_ms=lease_ms)], now)
        assert check.verdict == "ok"
        # Redis has its own clock for when a run was claimed.
        assert check.expires_ms <= min(max(now, deadline), now + lease_ms) + 2_000
        due = await parts.live.next_expiry()
        assert due is not None
        assert due <= deadline + 2_000


async def test_no_lease_of_a_built_in_worker_is_either(parts: Parts) -> None:
    lease = await parts.lease(51)
    deadline = lease.started_ms + 60_000 + 20_000
    report = Progress(51, lease.token, 1, 0, 0, "", 0)
    for now in (deadline - 10_000, deadline - 5_000, deadline + 5_000):
        assert await parts.live.report(HOLDER, [report], now) == ["ok"]
        due = await parts.live.next_expiry()
        assert due is not None
        assert due <= deadline + 2_000
