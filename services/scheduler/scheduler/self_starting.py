"""Part of the composition root: all that starts runs by itself. Builds schedules, dependencies and waiting runs."""

from functools import partial

from chassis.events import Events
from chassis.health import until_available
from chassis.run import Lifetime
from chassis.stores import Database
from redis.asyncio import Redis
from wire import subjects

from scheduler.abort_run import AbortRun
from scheduler.dependencies import Dependencies
from scheduler.events import Announcer
from scheduler.fire_schedules import FireSchedules
from scheduler.held_runs import DependencyGate, HeldRuns
from scheduler.mongo_fires import Fires
from scheduler.mongo_runs import Archive
from scheduler.mongo_tasks import Tasks
from scheduler.mongo_waiting import WaitingRuns
from scheduler.redis_runs import LiveRuns
from scheduler.redis_tasks import LiveTasks
from scheduler.reserved_runs import ReservedRuns
from scheduler.run_followers import RunFollowers, WorkflowEnds
from scheduler.rush import Rush
from scheduler.schedule_book import ScheduleBook
from scheduler.start_runs import StartRuns
from scheduler.task_watch import TaskWatch


class SelfStarting:
    """Stores, gate and watch first; `connect` adds what needs the starter, which itself needs the gate."""

    def __init__(
        self, database: Database, redis: Redis, *, tasks: Tasks, archive: Archive,
        live: LiveRuns, announcer: Announcer,
    ) -> None:  # fmt: skip
        self._tasks, self._archive, self._live, self._announcer = tasks, archive, live, announcer
        self.fires, self.waiting, self.live_tasks = Fires(database), WaitingRuns(database), LiveTasks(redis)
        self.rush = Rush()
        self.dependencies, self._book = Dependencies(tasks), ScheduleBook()
        self.watch = TaskWatch(tasks, self.fires, self._book)
        self.gate = DependencyGate(
            waiting=self.waiting, live_tasks=self.live_tasks, archive=archive, dependencies=self.dependencies
        )

    def connect(self, starter: StartRuns, aborter: AbortRun, workflows: WorkflowEnds) -> None:
        """Build the loops."""
        reserved = ReservedRuns(
            starter=starter, live=self._live, archive=self._archive, waiting=self.waiting,
            announcer=self._announcer,
        )  # fmt: skip
        self._held = self.gate.held = HeldRuns(
            gate=self.gate, tasks=self._tasks, waiting=self.waiting, live=self._live, live_tasks=self.live_tasks,
            archive=self._archive, announcer=self._announcer, reserved=reserved, aborter=aborter,
        )  # fmt: skip
        self._followers = RunFollowers(
            held=self._held, waiting=self.waiting, tasks=self._tasks, book=self._book, watch=self.watch,
            workflows=workflows,
        )  # fmt: skip
        self._firing = FireSchedules(
            book=self._book, watch=self.watch, fires=self.fires, tasks=self._tasks, live_tasks=self.live_tasks,
            reserved=reserved, rush=self.rush,
        )  # fmt: skip

    async def prepare(self) -> None:
        """Make the indexes."""
        await self.fires.prepare()
        await self.waiting.prepare()

    async def start(self, life: Lifetime, events: Events) -> None:
        """Load the schedules and let the loops run."""
        await events.nc.subscribe(subjects.TASK_EVENTS, cb=self.watch.on_event)
        await until_available(self.watch.load)
        life.keep("watch", self.watch.run)
        life.keep("fire", self._firing.run)
        life.keep("fire records", self._firing.look_after)
        life.keep("waiting runs", self._followers.run)
        handle = self._followers.handle
        consume = partial(events.consume, subjects.EVENTS_STREAM, "scheduler-followers", subjects.RUN_EVENTS, handle)
        life.keep("followers", consume)
