"""Use case: tasks together with the state of their newest runs. Owns creation in bulk, and how states follow runs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from chassis.clock import now_ms
from chassis.errors import Conflict, InvalidInput, TrawlError, Unavailable
from chassis.events import Events, Msg
from chassis.logs import get_logger
from chassis.stores import Database
from google.protobuf.message import DecodeError
from trawl.scheduler.v1 import events_pb2
from trawl.scheduler.v1 import runs_pb2 as pb
from wire import subjects

from scheduler.events import Announcer
from scheduler.mongo_standings import ASIDE, ENDED, LIVE, News, StandingRow, StandingRows
from scheduler.mongo_tasks import Tasks
from scheduler.read_runs import ReadRuns
from scheduler.records import FROM_PROTO
from scheduler.run import TERMINAL, Status
from scheduler.task import Task, check

log = get_logger("standings")
MAX_BULK = 1_000


@dataclass(frozen=True, slots=True)
class Standing:
    """A task and the state of its newest run."""

    task: Task
    row: StandingRow


def news_of(run: pb.Run) -> News:
    """What the run says about its task."""
    return _news(run.spec.task_id, run.spec.run_id, run.status, run.updated_ms, run.error_message)


def _news(task_id: int, run_id: int, status: pb.RunStatus.ValueType, time_ms: int, error_message: str) -> News:
    reached = FROM_PROTO[status]
    ended = reached in TERMINAL
    return News(
        task_id, run_id, reached.value if ended else "live", ENDED if ended else LIVE, time_ms,
        error_message if reached is Status.FAILED else "",
    )  # fmt: skip


class Standings:
    """Creates, reads and follows."""

    def __init__(self, database: Database, *, tasks: Tasks, reader: ReadRuns, announcer: Announcer) -> None:
        self._tasks, self._reader, self._announcer = tasks, reader, announcer
        self._rows = StandingRows(database)

    async def prepare(self) -> None:
        """Make the indexes."""
        await self._rows.prepare()

    async def run(self, events: Events) -> None:
        """For ever: follow the runs."""
        await events.consume(subjects.EVENTS_STREAM, "scheduler-standings", subjects.RUN_EVENTS, self.handle)

    async def create(self, wanted: Sequence[tuple[dict[str, Any], str]]) -> list[Standing]:
        """All tasks, given as `(fields, owner)`, or none. Raises `InvalidInput` whose field begins with `tasks[i]`."""
        if len(wanted) > MAX_BULK:
            raise InvalidInput(f"at most {MAX_BULK} tasks at once", field="tasks", rule="max_items")
        if not wanted:
            return []
        drafts = [_checked(index, fields) for index, (fields, _) in enumerate(wanted)]
        now, first = now_ms(), await self._tasks.allocate("task_id", len(drafts))
        tasks = [
            replace(draft, id=first + index, created_ms=now, updated_ms=now, schedule_since_ms=now)
            for index, draft in enumerate(drafts)
        ]
        rows = [
            StandingRow(task.id, task.contract, owner, task.task_type)
            for task, (_, owner) in zip(tasks, wanted, strict=True)
        ]
        await self._rows.add_many(rows)
        try:
            named = await self._tasks.add_many(tasks)
        except TrawlError:
            await self._rows.remove([task.id for task in tasks])
            raise
        await self._announce(named)
        return [Standing(task, row) for task, row in zip(named, rows, strict=True)]

    async def _announce(self, tasks: Sequence[Task]) -> None:
        # No schedule is among them: the schedule book needs to hear of them no sooner than by these events.
        try:
            await self._announcer.tasks("created", [(task.id, task.name) for task in tasks])
        except Unavailable:
            log.warning("tasks were created without their events", count=len(tasks))

    async def get(self, task_id: int) -> Standing:
        """The task as it is now. Raises `NotFound`."""
        task = await self._tasks.get(task_id)
        row = await self._rows.get(task_id) or StandingRow(task_id, task.contract, "", task.task_type)
        newest = await self._reader.newest(task_id)
        if newest is not None:
            row = await self._brought_up(row, news_of(newest))
        return Standing(task, row)

    async def _brought_up(self, row: StandingRow, news: News) -> StandingRow:
        if news.reached <= row.reached:
            return row
        await self._rows.apply([news])
        return replace(
            row, state=news.state, error_message=news.error_message, run_id=news.run_id, changed_ms=news.time_ms,
            reached=news.reached,
        )  # fmt: skip

    async def rearm(self, task_id: int) -> Standing:
        """Make an ended task idle. Raises `NotFound`, or `Conflict` while it is live."""
        standing = await self.get(task_id)
        row = standing.row
        if row.state == "live":
            raise Conflict(f"task {task_id} is running", id=task_id)
        if row.state == "idle":
            return standing
        return Standing(standing.task, await self._brought_up(row, News(task_id, row.run_id, "idle", ASIDE, now_ms())))

    async def page(self, wanted: dict[str, str], *, offset: int, limit: int) -> tuple[list[Standing], int]:
        """A page of tasks, newest first, and how many match."""
        rows, total = await self._rows.find(wanted, offset=offset, limit=limit)
        tasks = await self._tasks.many([row.task_id for row in rows])
        return [Standing(tasks[row.task_id], row) for row in rows if row.task_id in tasks], total

    async def changed(self, task: Task) -> None:
        """A task that collects has another type."""
        await self._rows.set_type(task.id, task.task_type)

    async def forget(self, task_id: int) -> None:
        """The task is deleted."""
        await self._rows.remove([task_id])

    async def handle(self, messages: Sequence[Msg]) -> None:
        """Follow a batch of `RunEvents`. Raises `Unavailable`."""
        newest: dict[int, News] = {}
        for message in messages:
            try:
                events = events_pb2.RunEvents.FromString(message.data).events
            except DecodeError:
                log.warning("unreadable run events")  # only the scheduler publishes there
                continue
            for event in events:
                if event.collects and event.status in FROM_PROTO:
                    news = _news(event.task_id, event.run_id, event.status, event.time_ms, event.error_message)
                    if (held := newest.get(news.task_id)) is None or held.reached < news.reached:
                        newest[news.task_id] = news
        await self._rows.apply(list(newest.values()))


def _checked(index: int, fields: dict[str, Any]) -> Task:
    try:
        return check(Task(id=0, collects=True, **fields))
    except InvalidInput as error:
        raise InvalidInput(error.message, field=f"tasks[{index}].{error.field}", **error.details) from error
