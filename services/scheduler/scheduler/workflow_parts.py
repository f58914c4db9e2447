"""The parts that carry workflows, put together. A piece of the composition root; decides nothing."""

from chassis.events import Events
from chassis.health import until_available
from chassis.run import Lifetime
from chassis.stores import Database
from wire import subjects

from scheduler.abort_run import AbortRun
from scheduler.change_tasks import ChangeTasks
from scheduler.dependencies import Dependencies
from scheduler.events import Announcer
from scheduler.fire_schedules import FireSchedules
from scheduler.grpc_workflows import WorkflowApi
from scheduler.mongo_fires import Fires
from scheduler.mongo_runs import Archive
from scheduler.mongo_tasks import Tasks
from scheduler.mongo_workflow_executions import Executions
from scheduler.mongo_workflow_items import Items
from scheduler.mongo_workflows import Workflows
from scheduler.redis_runs import LiveRuns
from scheduler.schedule_book import ScheduleBook
from scheduler.start_runs import StartRuns
from scheduler.worker_offers import WorkerOffers
from scheduler.workflow_definitions import Definitions, StartExecutions
from scheduler.workflow_engine import WorkflowEngine
from scheduler.workflow_runs import StepRuns
from scheduler.workflow_schedules import ScheduledWorkflows, WorkflowWatch


class WorkflowParts:
    """`engine` hears of the ends of runs; `api` is the gRPC face."""

    def __init__(
        self, database: Database, *, tasks: Tasks, live: LiveRuns, archive: Archive, announcer: Announcer,
        starter: StartRuns, aborter: AbortRun, changes: ChangeTasks, dependencies: Dependencies,
        offers: WorkerOffers,
    ) -> None:  # fmt: skip
        self._workflows, self._executions, self._items = Workflows(database), Executions(database), Items(database)
        self._fires = Fires(database, "workflow_")
        runs = StepRuns(
            items=self._items, starter=starter, live=live, archive=archive, announcer=announcer, aborter=aborter
        )
        self.engine = WorkflowEngine(
            executions=self._executions, items=self._items, runs=runs, dependencies=dependencies, changes=changes
        )
        book = ScheduleBook()
        self._watch = WorkflowWatch(self._workflows, self._fires, book)
        starts = StartExecutions(self._workflows, self._executions, self.engine)
        scheduled = ScheduledWorkflows(
            workflows=self._workflows, executions=self._executions, tasks=tasks, starter=starts
        )
        self._firing = FireSchedules(
            book=book, watch=self._watch, fires=self._fires, tasks=scheduled, live_tasks=scheduled, reserved=scheduled
        )
        definitions = Definitions(
            workflows=self._workflows,
            tasks=tasks,
            dependencies=dependencies,
            announcer=announcer,
            watch=self._watch,
            offers=offers,
        )
        self.api = WorkflowApi(
            workflows=self._workflows, definitions=definitions, starts=starts, engine=self.engine,
            executions=self._executions, items=self._items,
        )  # fmt: skip

    async def prepare(self) -> None:
        """Make the indexes."""
        for store in (self._workflows, self._executions, self._items, self._fires):
            await store.prepare()

    async def start(self, life: Lifetime, events: Events) -> None:
        """Load the schedules and let the loops run."""
        await events.nc.subscribe(subjects.LIVE_WORKFLOWS, cb=self._watch.on_message)
        await until_available(self._watch.refresh)
        loops = {"workflows": self.engine.run, "workflow watch": self._watch.run, "workflow fire": self._firing.run,
                 "workflow fire records": self._firing.look_after}  # fmt: skip
        for name, loop in loops.items():
            life.keep(name, loop)
