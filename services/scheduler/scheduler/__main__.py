"""The scheduler's composition root: builds the parts, serves until told to stop."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Protocol

from chassis.events import Events
from chassis.grpc_client import GrpcClient
from chassis.grpc_server import GrpcServer
from chassis.health import Readiness, until_available
from chassis.logs import get_logger
from chassis.run import Lifetime, run_service
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
from scheduler.change_tasks import ChangeTasks
from scheduler.durations import Durations
from scheduler.events import Announcer
from scheduler.explain_run import ExplainRun
from scheduler.finish_runs import FinishRuns
from scheduler.grpc_runs import RunApi, WorkApi
from scheduler.grpc_standings import StandingApi
from scheduler.grpc_tasks import TaskApi
from scheduler.leasing import Leasing
from scheduler.lost_runs import LostRuns
from scheduler.mongo_runs import Archive
from scheduler.mongo_tasks import Tasks
from scheduler.outside_reports import OutsideReports
from scheduler.parked import ParkedRuns
from scheduler.queueing import Queueing
from scheduler.read_runs import ReadRuns
from scheduler.rebuild import Rebuilder
from scheduler.redis_runs import LiveRuns
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


async def serve(settings: SchedulerSettings, life: Lifetime) -> None:
    """Run the scheduler until `life` ends."""
    events = Events(settings.nats_url, "scheduler")
    mongo, redis = mongo_client(settings), redis_client(settings)
    database = mongo_database(mongo, settings, "scheduler")
    tasks, archive = Tasks(database), Archive(database)
    lease_ms, grace_ms = int(settings.lease_seconds * 1000), int(settings.deadline_grace_seconds * 1000)
    live = LiveRuns(redis, lease_ms=lease_ms, deadline_grace_ms=grace_ms, max_pending=settings.max_pending_runs)
    announcer, durations, ended = Announcer(events), Durations(), EndedRuns()
    selfstart = SelfStarting(database, redis, tasks=tasks, archive=archive, live=live, announcer=announcer)
    parked, queueing = ParkedRuns(live, archive, announcer), Queueing(database, redis, announcer)
    finish = FinishRuns(live=live, archive=archive, announcer=announcer, parked=parked, durations=durations)
    leasing = Leasing(
        database, redis, live=live, archive=archive, announcer=announcer, finish=finish, lease_ms=lease_ms,
        deadline_grace_ms=grace_ms,
    )  # fmt: skip
    lost = LostRuns(
        live=live, announcer=announcer, finish=finish, leased=leasing.runs, lease_seconds=settings.lease_seconds,
    )  # fmt: skip
    starter = StartRuns(
        tasks=tasks, live=live, archive=archive, announcer=announcer, durations=durations,
        inline_parameters_bytes=settings.inline_parameters_bytes, gate=selfstart.gate,
    )  # fmt: skip
    reader = ReadRuns(live, archive, durations)
    aborter = AbortRun(live=live, reader=reader, finish=finish, announcer=announcer, ended=ended)
    standings = Standings(database, tasks=tasks, reader=reader, announcer=announcer, watch=selfstart.watch)
    changes = ChangeTasks(
        tasks=tasks, live=live, announcer=announcer, starter=starter, dependencies=selfstart.dependencies,
        watch=selfstart.watch, standings=standings,
    )  # fmt: skip
    workflows = WorkflowParts(
        database, tasks=tasks, live=live, archive=archive, announcer=announcer, starter=starter, aborter=aborter,
        changes=changes, dependencies=selfstart.dependencies,
    )  # fmt: skip
    selfstart.connect(starter, aborter, workflows.engine.on_run_ends)
    rebuilder = Rebuilder(live, archive, events, waiting=selfstart.waiting, leased=leasing.runs)
    registry, work = (
        GrpcClient("worker-registry", settings.registry_target),
        Work(live, archive, announcer, queueing.pauses),
    )
    offers = WorkerOffers(registry)
    explainer = ExplainRun(
        reader=reader, live=live, tasks=tasks, waiting=selfstart.waiting, live_tasks=selfstart.live_tasks,
        gate=selfstart.gate, offers=offers, pauses=queueing.pauses,
    )  # fmt: skip

    server = GrpcServer(settings.grpc_host, settings.grpc_port)
    run_api = RunApi(
        starter=starter, reader=reader, aborter=aborter, archive=archive, live=live, tasks=tasks, durations=durations,
        explainer=explainer,
        outside=OutsideReports(live=live, reader=reader, finish=finish, announcer=announcer),
    )  # fmt: skip
    for add, api in (
        (runs_pb2_grpc.add_RunServiceServicer_to_server, run_api),
        (work_pb2_grpc.add_WorkServiceServicer_to_server, WorkApi(work)),
        (
            lease_pb2_grpc.add_LeaseServiceServicer_to_server,
            leasing.connect(work=work, reader=reader, events=events, ended=ended, pauses=queueing.pauses),
        ),
        (
            tasks_pb2_grpc.add_TaskServiceServicer_to_server,
            TaskApi(tasks=tasks, changes=changes, reader=reader, fires=selfstart.fires),
        ),
        (standings_pb2_grpc.add_StandingServiceServicer_to_server, StandingApi(standings)),
        (workflows_pb2_grpc.add_WorkflowServiceServicer_to_server, workflows.api),
        (
            queues_pb2_grpc.add_QueueServiceServicer_to_server,
            queueing.connect(
                live=live,
                finish=finish,
                ended=ended,
                tasks=tasks,
                archive=archive,
                offers=offers,
                reader=reader,
                starter=starter,
                events=events,
            ),
        ),
    ):
        server.add(add, api)

    readiness = Readiness(
        {"nats": events.check, "redis": live.ping, "mongodb": archive.ping},
        serving=asyncio.Event(),
        changed=server.set_serving,
    )

    async def start() -> None:
        await events.connect()
        await events.declare_streams(subjects.STREAMS, settings.stream_replicas)
        await until_available(lambda: _prepare((tasks, archive, standings, leasing, selfstart, workflows), rebuilder))
        await events.nc.subscribe(subjects.RUN_EVENTS, cb=ended.on_events)
        await server.start(serving=False)
        life.spawn("readiness", readiness.run())
        life.spawn(
            "finished",
            events.consume(
                subjects.EVENTS_STREAM,
                "scheduler-finished",
                subjects.RUNS_FINISHED,
                finish.handle,
                loaded_patience_seconds=FINISH_PATIENCE_SECONDS,
            ),
        )
        life.spawn(
            "workers", events.consume(subjects.EVENTS_STREAM, "scheduler-workers", subjects.WORKER_EVENTS, lost.handle)
        )
        loops = {"offers": offers.run, "parked": parked.run, "sweeper": lost.run, "rebuild": rebuilder.run}
        for name, loop in (loops | {"standings": partial(standings.run, events)}).items():
            life.spawn(name, loop())
        await leasing.start(life, events)
        await selfstart.start(life, events)
        await workflows.start(life, events)
        log.info("serving", port=server.port)

    life.spawn("start", start())
    await life.stopping.wait()
    leasing.stop()
    await server.stop()
    await life.cancel_all()
    for close in (events.close, registry.close, redis.aclose):
        await close()
    mongo.close()


async def _prepare(parts: "Sequence[_Prepared]", rebuilder: Rebuilder) -> None:
    for part in parts:
        await part.prepare()
    await rebuilder.ensure()


class _Prepared(Protocol):
    async def prepare(self) -> None:
        """Make the indexes."""


def main() -> None:
    """Console script."""
    settings = SchedulerSettings()
    run_service("scheduler", settings, lambda life: serve(settings, life))


if __name__ == "__main__":
    main()
