"""Composition root: reads the settings, connects the parts, serves the ports, and stops them in order."""

import socket
import sys
from collections.abc import Sequence
from functools import partial

from chassis.events import Events
from chassis.logs import get_logger
from chassis.run import Lifetime, run_service
from chassis.stores import mongo_client, mongo_database, redis_client
from pydantic import ValidationError
from trawl.scheduler.v1 import runs_pb2
from wire import subjects

from gateway.access import make_access
from gateway.apps import Parts, build_apps, listeners
from gateway.backend import Backend
from gateway.event_feed import EventFeed
from gateway.event_stream import Streams
from gateway.log_follower import LogFollower
from gateway.mongo_keys import MongoKeys, PoolGauge
from gateway.native.system import check_health
from gateway.ports import PortProblem, Servers, bind
from gateway.probes import Probes, grpc_check, nats_check, redis_check
from gateway.redis_buckets import make_limits
from gateway.redis_idempotency import Idempotency
from gateway.run_watcher import RunWatcher
from gateway.settings import GatewaySettings
from gateway.traffic import Traffic
from gateway.webhooks.service import Webhooks

log = get_logger("gateway")


async def serve(settings: GatewaySettings, sockets: dict[str, socket.socket], life: Lifetime) -> None:
    """Serve the bound sockets until the lifetime ends."""
    pool = PoolGauge()
    mongo, redis = mongo_client(settings, event_listeners=[pool]), redis_client(settings)
    backend = Backend(
        scheduler=settings.scheduler_target, scraper=settings.scraper_target, registry=settings.registry_target
    )
    events = Events(settings.nats_url, "gateway")

    async def fetch(run_id: int) -> runs_pb2.Run:
        run: runs_pb2.Run = await backend.run(backend.runs.GetRun, runs_pb2.GetRunRequest(run_id=run_id))
        return run

    async def read_lines(run_id: int, offset: int, limit: int) -> Sequence[runs_pb2.LogLine]:
        request = runs_pb2.ListLogsRequest(run_id=run_id, offset=offset, limit=limit)
        return list((await backend.run(backend.runs.ListLogs, request)).lines)

    database = mongo_database(mongo, settings, "gateway")
    keys, watcher = MongoKeys(database), RunWatcher(events, fetch)
    clients = {"scheduler": backend.scheduler, "scraper": backend.scraper, "worker_registry": backend.registry}
    probes = Probes(
        {"database": keys.ping, "message_queue": nats_check(events), "cache": redis_check(redis)}
        | {name: grpc_check(client) for name, client in clients.items()}
    )
    webhooks = Webhooks(
        settings, database=database, redis=redis, events=events, backend=backend, health=partial(check_health, probes)
    )
    follower, streams = LogFollower(events, watcher, read_lines), Streams()
    apps = build_apps(
        Parts(
            settings=settings,
            backend=backend,
            access=make_access(keys, settings),
            idempotency=Idempotency(redis),
            watcher=watcher,
            probes=probes,
            traffic=Traffic(),
            pool=pool,
            limits=make_limits(redis, settings),
            webhooks=webhooks,
            feed=EventFeed(events),
            follower=follower,
            streams=streams,
        )
    )

    async def listen() -> None:
        await watcher.listen()
        await follower.listen()
        await events.declare_streams(subjects.STREAMS, settings.stream_replicas)
        await webhooks.start(life)

    servers = Servers([(bound, apps[name]) for name, bound in sockets.items()])
    serving = life.spawn("http", servers.serve())
    life.spawn("events", listen())
    life.spawn("keys", keys.prepare_when_reachable())
    log.info("serving", **{name: bound.getsockname()[1] for name, bound in sockets.items()})
    await life.stopping.wait()
    watcher.close()
    streams.close()
    servers.stop()
    await serving
    await life.cancel_all()
    await webhooks.close()
    await backend.close()
    await events.close()
    await redis.aclose(close_connection_pool=True)
    mongo.close()


def main() -> None:
    """Entry point of `trawl-gateway`. Exits with 1 and one sentence when it can't start."""
    try:
        settings = GatewaySettings()
        sockets = {listener.contract: bind(listener) for listener in listeners(settings)}
    except ValidationError as error:
        sys.exit("\n".join(f"{'.'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors()))
    except PortProblem as problem:
        sys.exit(str(problem))
    run_service("gateway", settings, partial(serve, settings, sockets))


if __name__ == "__main__":
    main()
