"""The scheduler's composition root: builds the parts, serves until told to stop."""

import asyncio

from chassis.events import Events
from chassis.grpc_server import GrpcServer
from chassis.health import Readiness, until_available
from chassis.logs import get_logger
from chassis.run import Lifetime, run_service
from chassis.stores import mongo_client, mongo_database, redis_client
from trawl.scheduler.v1 import runs_pb2_grpc, tasks_pb2_grpc, work_pb2_grpc
from wire import subjects

from scheduler.abort_run import AbortRun, EndedRuns
from scheduler.change_tasks import ChangeTasks
from scheduler.durations import Durations
from scheduler.events import Announcer
from scheduler.finish_runs import FinishRuns
from scheduler.grpc_runs import RunApi, WorkApi
from scheduler.grpc_tasks import TaskApi
from scheduler.lost_runs import LostRuns
from scheduler.mongo_runs import Archive
from scheduler.mongo_tasks import Tasks
from scheduler.parked import ParkedRuns
from scheduler.read_runs import ReadRuns
from scheduler.rebuild import Rebuilder
from scheduler.redis_runs import LiveRuns
from scheduler.settings import SchedulerSettings
from scheduler.start_runs import StartRuns
from scheduler.work import Work

log = get_logger("main")
# Ends are archived in batches: under load a few more milliseconds until a run reads as completed cost nobody anything.
FINISH_PATIENCE_SECONDS = 0.02


async def serve(settings: SchedulerSettings, life: Lifetime) -> None:
    """Run the scheduler until `life` ends."""
    events = Events(settings.nats_url, "scheduler")
    mongo, redis = mongo_client(settings), redis_client(settings)
    database = mongo_database(mongo, settings, "scheduler")
    tasks, archive = Tasks(database), Archive(database)
    live = LiveRuns(
        redis,
        lease_ms=int(settings.lease_seconds * 1000),
        deadline_grace_ms=int(settings.deadline_grace_seconds * 1000),
    )
    announcer, durations, ended = Announcer(events), Durations(), EndedRuns()
    parked = ParkedRuns(live, archive, announcer)
    finish = FinishRuns(live=live, archive=archive, announcer=announcer, parked=parked, durations=durations)
    lost = LostRuns(
        live=live, archive=archive, announcer=announcer, finish=finish, lease_seconds=settings.lease_seconds
    )
    starter = StartRuns(
        tasks=tasks, live=live, archive=archive, announcer=announcer, durations=durations,
        inline_parameters_bytes=settings.inline_parameters_bytes,
    )  # fmt: skip
    reader = ReadRuns(live, archive, durations)
    aborter = AbortRun(live=live, reader=reader, finish=finish, announcer=announcer, ended=ended)
    changes = ChangeTasks(tasks=tasks, live=live, announcer=announcer, starter=starter)
    rebuilder = Rebuilder(live, archive, events)

    server = GrpcServer(settings.grpc_host, settings.grpc_port)
    server.add(
        runs_pb2_grpc.add_RunServiceServicer_to_server,
        RunApi(
            starter=starter,
            reader=reader,
            aborter=aborter,
            archive=archive,
            live=live,
            tasks=tasks,
            durations=durations,
        ),
    )
    server.add(work_pb2_grpc.add_WorkServiceServicer_to_server, WorkApi(Work(live, archive, announcer)))
    server.add(tasks_pb2_grpc.add_TaskServiceServicer_to_server, TaskApi(tasks=tasks, changes=changes, reader=reader))

    readiness = Readiness(
        {"nats": events.check, "redis": live.ping, "mongodb": archive.ping},
        serving=asyncio.Event(),
        changed=server.set_serving,
    )

    async def start() -> None:
        await events.connect()
        await events.declare_streams(subjects.STREAMS, settings.stream_replicas)
        await until_available(lambda: _prepare(tasks, archive, rebuilder))
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
        life.spawn("parked", parked.run())
        life.spawn("sweeper", lost.run())
        life.spawn("rebuild", rebuilder.run())
        log.info("serving", port=server.port)

    life.spawn("start", start())
    await life.stopping.wait()
    await server.stop()
    await life.cancel_all()
    await events.close()
    await redis.aclose()
    mongo.close()


async def _prepare(tasks: Tasks, archive: Archive, rebuilder: Rebuilder) -> None:
    await tasks.prepare()
    await archive.prepare()
    await rebuilder.ensure()


def main() -> None:
    """Console script."""
    settings = SchedulerSettings()
    run_service("scheduler", settings, lambda life: serve(settings, life))


if __name__ == "__main__":
    main()
