"""The scheduler's composition root: builds the parts, serves until told to stop."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

from chassis.events import Events, Msg
from chassis.grpc_client import GrpcClient
from chassis.grpc_server import GrpcServer
from chassis.health import Readiness, until_available
from chassis.logs import get_logger
from chassis.run import Lifetime, run_service
from chassis.store_clock import StoreClock
from chassis.stores import mongo_client, mongo_database, redis_client
from trawl.scheduler.v1 import (
    lease_pb2_grpc,
    queues_pb2_grpc,
    runs_pb2_grpc,
    standings_pb2_grpc,
    tasks_pb2_grpc,
    work_pb2_grpc,
    workflows_pb2_grpc,
)
from wire import subjects

from scheduler.abort_run import AbortRun, EndedRuns
from scheduler.abort_runs import AbortRuns
from scheduler.change_tasks import ChangeTasks
from scheduler.durations import Durations
from scheduler.events import Announcer
from scheduler.explain_run import ExplainRun
from scheduler.finish_runs import FinishRuns
from scheduler.grpc_runs import RunApi, WorkApi
from scheduler.grpc_standings import StandingApi
from scheduler.grpc_tasks import TaskApi
from scheduler.leasing import Leasing
from scheduler.list_runs import ListRuns
from scheduler.lost_messages import LostMessages
from scheduler.lost_runs import LostRuns
from scheduler.mongo_marks import StreamMarks
from scheduler.mongo_runs import Archive
from scheduler.mongo_tasks import Tasks
from scheduler.outside_reports import OutsideReports
from scheduler.parked import ParkedRuns
from scheduler.queueing import Queueing
from scheduler.read_runs import ReadRuns
from scheduler.rebuild import Rebuilder
from scheduler.redis_runs import LiveRuns
from scheduler.redis_snapshot import LiveSnapshots
from scheduler.runs_stream import RunsStream
from scheduler.self_starting import SelfStarting
from scheduler.settings import SchedulerSettings
from scheduler.standings import Standings
from scheduler.start_runs import StartRuns
from scheduler.work import Work
from scheduler.worker_offers import WorkerOffers
from scheduler.workflow_parts import WorkflowParts

log = get_logger("main")
# Ends are archived in batches: under load a few more milliseconds until a run reads as completed cost nobody anything.
FINISH_PATIENCE_SECONDS = 0.02


class Stores:
    """What the scheduler is connected to."""

    def __init__(self, settings: SchedulerSettings) -> None:
        self.events = Events(settings.nats_url, "scheduler", dead_letter=subjects.dead_letter)
        self.mongo, self.redis = mongo_client(settings), redis_client(settings)
        self.database = mongo_database(self.mongo, settings, "scheduler")
        self.registry = GrpcClient("worker-registry", settings.registry_target)

    async def close(self) -> None:
        """Leave them all."""
        for close in (self.events.close, self.registry.close, self.redis.aclose):
            await close()
        self.mongo.close()


class Scheduler:
    """The scheduler's parts, connected with each other."""

    def __init__(self, settings: SchedulerSettings, stores: Stores) -> None:
        database, redis, events = stores.database, stores.redis, stores.events
        lease_ms, grace_ms = int(settings.lease_seconds * 1000), int(settings.deadline_grace_seconds * 1000)
        self.tasks, self.archive = tasks, archive = Tasks(database), Archive(database)
        self.live = live = LiveRuns(
            redis, lease_ms=lease_ms, deadline_grace_ms=grace_ms, max_pending=settings.max_pending_runs
        )
        self.announcer, self.durations, self.ended = announcer, durations, ended = (
            Announcer(events), Durations(), EndedRuns(),
        )  # fmt: skip
        self.selfstart = SelfStarting(database, redis, tasks=tasks, archive=archive, live=live, announcer=announcer)
        self.parked, self.queueing = ParkedRuns(live, archive, announcer), Queueing(database, redis, announcer)
        self.finish = FinishRuns(
            live=live, archive=archive, announcer=announcer, parked=self.parked, durations=durations
        )
        self.parked.fail = self.finish.archive_runs
        self.leasing = Leasing(
            database, redis, live=live, archive=archive, announcer=announcer, finish=self.finish, lease_ms=lease_ms,
            deadline_grace_ms=grace_ms,
        )  # fmt: skip
        self.lost = LostRuns(
            live=live, announcer=announcer, finish=self.finish, leased=self.leasing.runs,
            lease_seconds=settings.lease_seconds,
        )  # fmt: skip
        self.starter = StartRuns(
            tasks=tasks, live=live, archive=archive, announcer=announcer, durations=durations,
            inline_parameters_bytes=settings.inline_parameters_bytes, gate=self.selfstart.gate,
        )  # fmt: skip
        lists = ListRuns(live, LiveSnapshots(redis), archive.pages)
        self.reader = ReadRuns(live, archive, durations, lists=lists)
        self.aborter = AbortRun(live=live, reader=self.reader, finish=self.finish, announcer=announcer, ended=ended)
        self.standings = Standings(database, tasks=tasks, reader=self.reader, announcer=announcer)
        self.changes = ChangeTasks(
            tasks=tasks, live=live, announcer=announcer, starter=self.starter,
            dependencies=self.selfstart.dependencies, watch=self.selfstart.watch, standings=self.standings,
            aborts=AbortRuns(live=live, finish=self.finish, announcer=announcer, ended=ended),
        )  # fmt: skip
        self.offers = WorkerOffers(stores.registry)
        self.workflows = WorkflowParts(
            database, tasks=tasks, live=live, archive=archive, announcer=announcer, starter=self.starter,
            aborter=self.aborter, changes=self.changes, dependencies=self.selfstart.dependencies, offers=self.offers,
        )  # fmt: skip
        self.selfstart.connect(self.starter, self.aborter, self.workflows.engine.on_run_ends)
        stream = RunsStream(events)
        self.messages = LostMessages(
            live=live, leased=self.leasing.leased, stream=stream, announcer=announcer,
            marks=StreamMarks(database, subjects.RUNS_STREAM),
        )  # fmt: skip
        self.rebuilder = Rebuilder(live, archive, stream, waiting=self.selfstart.waiting, leased=self.leasing.runs)
        self.work = Work(live, archive, announcer, self.queueing.pauses, self.lost)
        self.explainer = ExplainRun(
            reader=self.reader, live=live, tasks=tasks, waiting=self.selfstart.waiting,
            live_tasks=self.selfstart.live_tasks, gate=self.selfstart.gate, offers=self.offers,
            pauses=self.queueing.pauses, trouble=self.messages.trouble,
        )  # fmt: skip

    def serve_on(self, server: GrpcServer, events: Events) -> None:
        """Answer all of the scheduler's services there."""
        outside = OutsideReports(live=self.live, reader=self.reader, finish=self.finish, announcer=self.announcer)
        runs = RunApi(
            starter=self.starter, reader=self.reader, aborter=self.aborter, archive=self.archive, live=self.live,
            tasks=self.tasks, durations=self.durations, explainer=self.explainer, outside=outside,
        )  # fmt: skip
        tasks = TaskApi(tasks=self.tasks, changes=self.changes, reader=self.reader, fires=self.selfstart.fires)
        leases = self.leasing.connect(
            work=self.work, reader=self.reader, events=events, ended=self.ended, pauses=self.queueing.pauses
        )
        queues = self.queueing.connect(
            live=self.live, finish=self.finish, ended=self.ended, tasks=self.tasks, archive=self.archive,
            offers=self.offers, reader=self.reader, starter=self.starter, events=events,
        )  # fmt: skip
        server.add(runs_pb2_grpc.add_RunServiceServicer_to_server, runs)
        server.add(work_pb2_grpc.add_WorkServiceServicer_to_server, WorkApi(self.work))
        server.add(lease_pb2_grpc.add_LeaseServiceServicer_to_server, leases)
        server.add(tasks_pb2_grpc.add_TaskServiceServicer_to_server, tasks)
        server.add(standings_pb2_grpc.add_StandingServiceServicer_to_server, StandingApi(self.standings))
        server.add(workflows_pb2_grpc.add_WorkflowServiceServicer_to_server, self.workflows.api)
        server.add(queues_pb2_grpc.add_QueueServiceServicer_to_server, queues)

    async def prepare(self) -> None:
        """Make the indexes, and Redis what MongoDB says."""
        for part in (self.tasks, self.archive, self.standings, self.leasing, self.selfstart, self.workflows):
            await part.prepare()
        await self.rebuilder.ensure()

    async def _finish(self, messages: Sequence[Msg]) -> None:
        """Fire times that are due in masses come before the ends of runs."""
        await self.selfstart.rush.calm()
        await self.finish.handle(messages)

    async def start(self, life: Lifetime, events: Events) -> None:
        """Begin all loops."""
        stream = subjects.EVENTS_STREAM
        loops: Mapping[str, Callable[[], Awaitable[None]]] = {
            "finished": partial(
                events.consume, stream, "scheduler-finished", subjects.RUNS_FINISHED, self._finish,
                loaded_patience_seconds=FINISH_PATIENCE_SECONDS, set_aside=self.finish.set_aside,
            ),
            "workers": partial(events.consume, stream, "scheduler-workers", subjects.WORKER_EVENTS, self.lost.handle),
            "offers": self.offers.run,
            "parked": self.parked.run,
            "sweeper": self.lost.run,
            "messages": self.messages.run,
            "rebuild": self.rebuilder.run,
            "standings": partial(self.standings.run, events),
        }  # fmt: skip
        for name, loop in loops.items():
            life.keep(name, loop)
        for part in (self.leasing, self.selfstart, self.workflows):
            await part.start(life, events)


async def serve(settings: SchedulerSettings, life: Lifetime) -> None:
    """Run the scheduler until `life` ends."""
    stores = Stores(settings)
    events = stores.events
    scheduler = Scheduler(settings, stores)
    server = GrpcServer(settings.grpc_host, settings.grpc_port)
    scheduler.serve_on(server, events)
    readiness = Readiness(
        {"nats": events.check, "redis": scheduler.live.ping, "mongodb": scheduler.archive.ping},
        serving=asyncio.Event(),
        changed=server.set_serving,
    )

    async def start() -> None:
        await events.connect()
        await events.declare_streams(subjects.STREAMS, settings.stream_replicas)
        clock = StoreClock(stores.redis)
        await until_available(clock.sync)
        life.keep("clock", clock.run)
        await until_available(scheduler.prepare)
        await events.nc.subscribe(subjects.RUN_EVENTS, cb=scheduler.ended.on_events)
        await events.nc.subscribe(subjects.LIVE_WAKES, cb=scheduler.parked.on_wake)
        server.answer()
        life.keep("readiness", readiness.run)
        await scheduler.start(life, events)
        log.info("serving", port=server.port)

    await server.start(serving=False, prepared=False)
    life.spawn("start", start())
    await life.stopping.wait()
    scheduler.leasing.stop()
    await server.stop()
    await life.cancel_all()
    await stores.close()


def main() -> None:
    """Console script."""
    settings = SchedulerSettings()
    run_service("scheduler", settings, lambda life: serve(settings, life))


if __name__ == "__main__":
    main()
