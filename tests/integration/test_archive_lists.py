"""Lists of ended runs: whatever the filter, the order and the page, they show what a plain sort of all runs shows."""

import itertools
import random
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from chassis.stores import mongo_client, mongo_database
from scheduler import mongo_run_pages
from scheduler.mongo_runs import Archive
from scheduler.records import document, run_of_document
from scheduler.settings import SchedulerSettings
from stores import SettingsEnv
from trawl.scheduler.v1 import runs_pb2 as pb

COUNT = 120
STATUSES = {"completed": pb.RUN_STATUS_COMPLETED, "failed": pb.RUN_STATUS_FAILED, "aborted": pb.RUN_STATUS_ABORTED}
TIMES: dict[str, Callable[[pb.Run], int]] = {
    "created_at": lambda run: run.spec.created_ms,
    "started_at": lambda run: run.started_ms,
    "completed_at": lambda run: run.completed_ms,
    "id": lambda run: run.spec.run_id,
}
FIELDS: dict[str, Callable[[pb.Run, Any], bool]] = {
    "task_id": lambda run, value: run.spec.task_id == value,
    "status": lambda run, value: run.status == STATUSES[value],
    "worker_id": lambda run, value: run.worker_id == value,
    "contract": lambda run, value: run.spec.contract == value,
    "scope": lambda run, value: run.spec.scope == value,
    "created_ms": lambda run, value: value["$gte"] <= run.spec.created_ms < value["$lt"],
}
VALUES = {"task_id": 2, "status": "completed", "worker_id": "w1", "contract": "xget", "scope": "xget:5",
          "created_ms": {"$gte": 1_000_100, "$lt": 1_000_400}}  # fmt: skip


def some_runs() -> list[pb.Run]:
    """Runs whose times of creation, start and end are in three different orders; some never started."""
    chance = random.Random(7)
    runs = []
    for run_id in range(1, COUNT + 1):
        scope = chance.choice(["", "xget:5", "xget:6"])
        spec = pb.RunSpec(
            run_id=run_id, task_id=chance.randint(1, 3), created_ms=1_000_000 + chance.randrange(500), scope=scope,
            contract=chance.choice(["scheduler", "xget"]), queue="q",
        )  # fmt: skip
        started = chance.choice([0, 2_000_000 + chance.randrange(500)])
        runs.append(pb.Run(
            spec=spec, status=chance.choice(list(STATUSES.values())), worker_id=chance.choice(["", "w1", "w2"]),
            started_ms=started, completed_ms=3_000_000 + chance.randrange(500),
        ))  # fmt: skip
    return runs


@pytest.fixture
async def archive(settings_env: SettingsEnv, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Archive]:
    """With `some_runs` in it."""
    for name, value in settings_env().items():
        monkeypatch.setenv(name, value)
    settings = SchedulerSettings()
    client = mongo_client(settings)
    archive = Archive(mongo_database(client, settings, "scheduler"))
    await archive.prepare()
    await archive.add([document(run) for run in some_runs()])
    yield archive
    client.close()


@pytest.mark.parametrize("sort_cost", [0, COUNT**2])
async def test_a_list_is_a_page_of_all_runs_that_match_in_their_order(
    archive: Archive, monkeypatch: pytest.MonkeyPatch, sort_cost: int
) -> None:
    """Whether to sort is little work or much, asked for few or for many."""
    monkeypatch.setattr(mongo_run_pages, "SORT_COST", sort_cost)
    monkeypatch.setattr(mongo_run_pages, "FEW", 10)
    filters: list[tuple[str, ...]] = [(), *itertools.combinations(FIELDS, 1), ("task_id", "status"),
                                      ("task_id", "status", "created_ms"), ("worker_id", "contract")]  # fmt: skip
    for names, ascending in itertools.product(filters, (False, True)):
        query = {name: VALUES[name] for name in names}
        matching = [run for run in some_runs() if all(FIELDS[name](run, VALUES[name]) for name in names)]
        assert await archive.pages.count(query) == len(matching)
        for sort, time in TIMES.items():
            matching.sort(key=lambda run: (time(run), run.spec.run_id), reverse=not ascending)
            for offset, limit in ((3, 5), (7, 50), (30, 20)):
                found = await archive.pages.find(query, sort=sort, ascending=ascending, offset=offset, limit=limit)
                ids = [run_of_document(row).spec.run_id for row in found]
                assert ids == [run.spec.run_id for run in matching[offset : offset + limit]], (query, sort, ascending)


async def test_queues_count_what_has_ended_since(archive: Archive) -> None:
    since = 3_000_250
    assert await archive.count_by_queue(since) == {"q": sum(run.completed_ms >= since for run in some_runs())}
