"""Lists of runs while runs end: a walk gives each run that was there when it began once, and invents no holes.

The stores are real. What happens during a walk happens at known moments: between two pages, and within a page between
the looks at Redis and at MongoDB.
"""

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import pytest
from chassis.clock import now_ms
from chassis.stores import mongo_client, mongo_database, redis_client
from scheduler import list_runs
from scheduler.list_runs import ListRuns, Page
from scheduler.mongo_run_pages import RunPages
from scheduler.mongo_runs import Archive
from scheduler.parked import rebuilt
from scheduler.records import document, run_of_live
from scheduler.redis_queues import LiveQueues
from scheduler.redis_runs import Ending, Holder, LiveRun, LiveRuns
from scheduler.redis_snapshot import LiveSnapshots
from scheduler.settings import SchedulerSettings
from stores import SettingsEnv
from trawl.scheduler.v1 import runs_pb2 as pb

HOLDER = Holder("worker-1", "session-1", "host")
TASK = 7
Hook = Callable[[], Awaitable[None]]


class Pages(RunPages):
    """Archived runs; `before` happens before each look at them."""

    before: Hook | None = None

    async def _aggregate(self, *arguments: Any) -> list[dict[str, Any]]:
        if self.before:
            await self.before()
        return await super()._aggregate(*arguments)

    async def _page(self, *arguments: Any) -> list[dict[str, Any]]:
        if self.before:
            await self.before()
        return await super()._page(*arguments)


class Live(LiveRuns):
    """Live runs; `before` happens between the look at which there are and the look at them."""

    before: Hook | None = None

    async def get_many(self, run_ids: Sequence[int]) -> list[LiveRun | None]:
        if self.before and len(run_ids) > 1:
            await self.before()
        return await super().get_many(run_ids)


class Runs:
    """Runs that a test moves through their lives, and lists of them."""

    def __init__(self, live: Live, snapshots: LiveSnapshots, archive: Archive, pages: Pages) -> None:
        self.live, self.archive, self.pages = live, archive, pages
        self.lists = ListRuns(live, snapshots, pages)
        self.waiting: list[int] = []
        self.running: list[int] = []
        self.ended: list[int] = []
        self.accepted: list[int] = []
        self.most = 300
        self._chance = random.Random(3)

    async def accept(self, count: int) -> None:
        """New runs, some of them at the same time."""
        await self.live.set_epoch(now_ms())
        for _ in range(count):
            run_id = len(self.accepted) + 1
            spec = pb.RunSpec(run_id=run_id, task_id=TASK, queue="q", task_type="q",
                              created_ms=1_700_000_000_000 + run_id // 3)  # fmt: skip
            await self.live.accept([rebuilt(spec, spec.SerializeToString(), "p")])
            self.accepted.append(run_id)
            self.waiting.append(run_id)

    async def claim(self, count: int) -> None:
        """Waiting ones start."""
        for _ in range(min(count, len(self.waiting))):
            run_id = self.waiting.pop(self._chance.randrange(len(self.waiting)))
            await self.live.claim(HOLDER, [(run_id, 5_000)], now_ms())
            self.running.append(run_id)

    async def end(self, count: int) -> None:
        """Running ones end, but are not archived yet."""
        for _ in range(min(count, len(self.running))):
            run_id = self.running.pop(self._chance.randrange(len(self.running)))
            await self.live.finish([Ending(run_id, 5_000, "done")], now_ms())
            self.ended.append(run_id)

    async def file(self, count: int) -> None:
        """Ended ones get into the archive, and out of Redis."""
        for _ in range(min(count, len(self.ended))):
            run_id = self.ended.pop(self._chance.randrange(len(self.ended)))
            live = await self.live.get(run_id)
            assert live is not None
            run = run_of_live(live)
            # A worker's clock says other times than the scheduler's.
            run.started_ms += self._chance.randrange(-20, 20)
            run.status, run.completed_ms = pb.RUN_STATUS_COMPLETED, now_ms() - self._chance.randrange(30)
            await self.archive.add([document(run, (await self.live.changes([run_id]))[run_id])])
            await self.live.forget([(run_id, TASK, "")])

    async def go_on(self) -> None:
        """A bit of everything."""
        await self.file(2)
        await self.end(2)
        await self.file(1)
        await self.claim(3)
        await self.accept(2 if len(self.accepted) < self.most else 0)

    async def page(self, **query: Any) -> Page:
        """A page; its total is at most what was accepted."""
        page = await self.lists.page(pb.ListRunsRequest(**query))
        assert page.total <= len(self.accepted)
        return page


@pytest.fixture
async def runs(settings_env: SettingsEnv, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Runs]:
    """A hundred runs, in all states."""
    for name, value in settings_env().items():
        monkeypatch.setenv(name, value)
    settings = SchedulerSettings()
    client, redis = mongo_client(settings), redis_client(settings)
    database = mongo_database(client, settings, "scheduler")
    archive = Archive(database)
    await archive.prepare()
    await LiveQueues(redis).tell([], complete=True)  # nothing is claimed before that is known
    live = Live(redis, lease_ms=60_000, deadline_grace_ms=60_000)
    made = Runs(live, LiveSnapshots(redis), archive, Pages(database["runs"]))
    await made.accept(100)
    await made.claim(70)
    await made.end(50)
    await made.file(45)
    yield made
    client.close()
    await redis.aclose(close_connection_pool=True)


async def walk(runs: Runs, size: int, **query: Any) -> list[int]:
    """All ids of a walk by cursor; what goes on meanwhile, goes on between the looks too."""
    seen: list[int] = []
    after = ""
    runs.pages.before = runs.live.before = runs.go_on
    for _ in range(200):
        page = await runs.page(limit=size, after=after, **query)
        seen += [run.spec.run_id for run in page.runs]
        after = page.next
        if not after:
            runs.pages.before = runs.live.before = None
            return seen
        assert len(after) <= 100
        await runs.go_on()
    raise AssertionError("the walk has no end")


@pytest.mark.parametrize("ascending", [True, False])
@pytest.mark.parametrize("sort", ["id", "created_at", "started_at", "completed_at"])
async def test_a_walk_gives_every_run_that_was_there_once(runs: Runs, sort: str, ascending: bool) -> None:
    for index in ({"task_id": TASK}, {}):
        before = set(runs.accepted)
        seen = await walk(runs, 20, sort=sort, ascending=ascending, **index)
        assert len(seen) == len(set(seen))
        assert before <= set(seen)
        if sort == "id" and ascending:
            assert seen == list(range(1, max(seen) + 1))


async def pages(runs: Runs, size: int, **query: Any) -> list[int]:
    """All ids of a walk by number."""
    seen: list[int] = []
    runs.pages.before = runs.live.before = runs.go_on
    for number in range(200):
        found = (await runs.page(task_id=TASK, offset=number * size, limit=size, **query)).runs
        seen += [run.spec.run_id for run in found]
        if len(found) < size:
            runs.pages.before = runs.live.before = None
            return seen
        await runs.go_on()
    raise AssertionError("the walk has no end")


async def test_pages_by_number_are_exact_where_nothing_comes_before_them(runs: Runs) -> None:
    for size, runs.most in ((20, 300), (7, 400)):
        seen = await pages(runs, size, sort="id", ascending=True)
        assert seen == list(range(1, len(seen) + 1))


async def test_pages_by_number_lose_nothing_that_new_runs_push_on(runs: Runs) -> None:
    before = set(runs.accepted)
    assert before <= set(await pages(runs, 20, sort="created_at"))


@pytest.mark.parametrize("query", [{"contract": "scheduler"}, {"from_ms": 1_700_000_000_010}, {"scope": "pipeline:5"}])
async def test_a_filter_that_needs_each_run_ends_pages_early_and_loses_none(
    runs: Runs, query: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(list_runs, "MAX_WAITING", 5)
    await runs.accept(60)
    if "from_ms" not in query:
        assert await walk(runs, 20, task_id=TASK, **query) == []
        return
    before = {run_id for run_id in runs.accepted if 1_700_000_000_000 + run_id // 3 >= query["from_ms"]}
    seen = await walk(runs, 20, task_id=TASK, **query)
    assert len(seen) == len(set(seen))
    assert before <= set(seen)


async def test_the_total_is_exact_at_rest(runs: Runs) -> None:
    assert (await runs.page(limit=1)).total == (await runs.page(task_id=TASK, limit=1)).total == 100
    assert (await runs.page(limit=1, status=pb.RUN_STATUS_PENDING)).total == 30
    assert (await runs.page(limit=1, status=pb.RUN_STATUS_RUNNING)).total == 25
    assert (await runs.page(limit=1, status=pb.RUN_STATUS_COMPLETED)).total == 45


async def test_runs_that_have_ended_and_are_not_archived_yet_are_listed(runs: Runs) -> None:
    assert len((await runs.page(limit=200)).runs) == 100
