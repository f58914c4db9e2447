"""Pages by key, as the scheduler reads them: complete, in order, and found by an index.

The embedded store answers a range of `_id` by reading the whole collection, so no page may be asked for that way.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from chassis.stores import Database, mongo_client, mongo_database
from pymongo import monitoring
from scheduler.mongo_fires import Fire, Fires
from scheduler.mongo_leases import Leased, LeasedRun
from scheduler.mongo_tasks import Tasks
from scheduler.mongo_waiting import Waiting, WaitingRuns
from scheduler.settings import SchedulerSettings
from scheduler.task import Task
from stores import SettingsEnv

NUMBERS = range(1, 26)
PAGE = 10


class Filters(monitoring.CommandListener):
    """What was searched for, as the driver says it."""

    def __init__(self) -> None:
        self.seen: list[Mapping[str, Any]] = []

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        """A command goes out."""
        if "filter" in event.command:
            self.seen.append(event.command["filter"])

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        """Says nothing new."""

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """Says nothing new."""


@pytest.fixture
def filters() -> Filters:
    """Hears the driver."""
    return Filters()


@pytest.fixture
async def database(
    settings_env: SettingsEnv, filters: Filters, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Database]:
    """The scheduler's own; after the test, no filter was a range of `_id`."""
    for name, value in settings_env().items():
        monkeypatch.setenv(name, value)
    settings = SchedulerSettings()
    client = mongo_client(settings, event_listeners=[filters])
    yield mongo_database(client, settings, "scheduler")
    client.close()
    assert filters.seen
    assert not [one for one in filters.seen if isinstance(one.get("_id"), Mapping) and "$in" not in one["_id"]]


async def test_the_records_of_a_task_come_newest_first(database: Database) -> None:
    fires = Fires(database)
    await fires.prepare()
    await fires.claim([Fire(task, number, "started", 1, run_id=number) for task in (1, 2, 3) for number in NUMBERS])
    pages = [await fires.of_task(2, offset=offset, limit=PAGE) for offset in (0, 10, 20, 30)]
    assert [(fire.task_id, fire.fire_ms) for page in pages for fire in page] == [(2, n) for n in reversed(NUMBERS)]
    await fires.give_up(pages[0][0], "gone")
    assert (await fires.of_task(2, offset=0, limit=1))[0].reason == "gone"


async def test_all_waiting_runs_are_read_page_by_page(database: Database) -> None:
    waiting = WaitingRuns(database)
    await waiting.prepare()
    await waiting.add([Waiting(number, 7, "overlap", number, b"spec") for number in reversed(NUMBERS)])
    seen: list[int] = []
    while page := await waiting.page(seen[-1] if seen else 0, PAGE):
        seen += [run.run_id for run in page]
    assert seen == list(NUMBERS)


async def test_all_tasks_are_read_page_by_page(database: Database) -> None:
    tasks = Tasks(database)
    await tasks.prepare()
    await tasks.add_many([Task(number, f"t{number}", "x", "noop") for number in NUMBERS])
    seen: list[int] = []
    while page := await tasks.page_by_id(seen[-1] if seen else 0, PAGE):
        seen += [task.id for task in page]
    assert seen == list(NUMBERS)


async def test_all_leases_are_read_page_by_page(database: Database) -> None:
    leased = Leased(database)
    await leased.prepare()
    await leased.add([LeasedRun(number, 5, 1, "worker", "session", "host", 1, 2, b"spec") for number in NUMBERS])
    seen: list[int] = []
    after = ""
    while True:
        page, after = await leased.page(after, PAGE)
        if not page:
            break
        seen += [lease.run_id for lease in page]
    assert seen == list(NUMBERS)
