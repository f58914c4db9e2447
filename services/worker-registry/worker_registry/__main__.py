"""The worker registry's process. Owns: what is connected to what."""

import asyncio
from functools import partial

from chassis.addresses import AddressGuard
from chassis.events import Events
from chassis.grpc_server import GrpcServer
from chassis.health import Readiness
from chassis.run import Lifetime, run_service
from chassis.store_clock import StoreClock
from chassis.stores import mongo_client, mongo_database, redis_client
from trawl.workerregistry.v1.endpoints_pb2_grpc import add_EndpointServiceServicer_to_server
from trawl.workerregistry.v1.workers_pb2_grpc import add_WorkerServiceServicer_to_server
from wire.subjects import dead_letter

from worker_registry.beat_streams import BeatStreams
from worker_registry.events import Broker, Publisher
from worker_registry.grpc_api import WorkerApi
from worker_registry.grpc_endpoints import EndpointApi
from worker_registry.http_probe import HttpProbe
from worker_registry.mongo_endpoints import MongoEndpoints
from worker_registry.mongo_workers import MongoWorkers
from worker_registry.prober import Prober
from worker_registry.redis_heartbeats import RedisHeartbeats
from worker_registry.registry import Registry
from worker_registry.settings import Settings
from worker_registry.sweeper import Sweeper

# Measuring a connection's bandwidth takes a ping for each heartbeat, and nothing here is large.
OPTIONS = (("grpc.http2.bdp_probe", 0),)


async def serve(life: Lifetime, settings: Settings) -> None:
    """Serve until `life.stopping`. Nothing needs to be up at the start: health says NOT_SERVING until all is."""
    mongo, redis = mongo_client(settings), redis_client(settings)
    events = Events(settings.nats_url, "worker-registry", dead_letter=dead_letter)
    database = mongo_database(mongo, settings, "worker_registry")
    workers, endpoints = MongoWorkers(database), MongoEndpoints(database)
    # A small part of the shortest time after which somebody is lost.
    heartbeats = RedisHeartbeats(redis, patience_seconds=settings.shortest_heartbeat_ms / 4000)
    publisher = Publisher(events, heartbeats)
    serving, sweep_now = asyncio.Event(), asyncio.Event()

    registry = Registry(
        workers,
        heartbeats,
        max_workers=settings.max_workers,
        facts_added=publisher.wake,
        deadlines_moved=sweep_now.set,
    )
    sweeper = Sweeper(heartbeats, registry, serving=serving, wake=sweep_now, facts_added=publisher.wake)
    # Half of the shortest interval: nobody who keeps to it is ever made to wait.
    spacing_seconds = settings.shortest_heartbeat_ms / 2000
    keep = partial(registry.heartbeat, patient=True)
    streams = BeatStreams(keep, most=settings.max_workers, spacing_seconds=spacing_seconds)
    server = GrpcServer(settings.grpc_host, settings.grpc_port, OPTIONS)
    server.add(
        add_WorkerServiceServicer_to_server,
        WorkerApi(
            registry,
            streams,
            heartbeat_ms=settings.heartbeat_ms,
            shortest_heartbeat_ms=settings.shortest_heartbeat_ms,
        ),
    )

    guard = AddressGuard(settings.allowed_addresses, ports=settings.allowed_ports)
    http = HttpProbe(guard, at_once=settings.probes_at_once)
    prober = Prober(
        endpoints, http.probe, timeout_seconds=settings.probe_timeout_seconds, at_once=settings.probes_at_once
    )
    server.add(
        add_EndpointServiceServicer_to_server,
        EndpointApi(endpoints, guard, most=settings.max_endpoints, added=prober.wake),
    )

    broker = Broker(events, replicas=settings.stream_replicas, ready=publisher.wake)
    checks = {"NATS": broker.check, "Redis": heartbeats.ping, "MongoDB": workers.check}
    life.keep("clock", StoreClock(redis).run)
    await server.start(serving=False)
    life.spawn("nats", broker.connect())
    life.keep("readiness", Readiness(checks, serving=serving, changed=server.set_serving).run)
    life.keep("publisher", publisher.run)
    life.keep("sweeper", sweeper.run)
    life.keep("prober", prober.run)
    await life.stopping.wait()
    streams.close()
    await server.stop()
    await life.cancel_all()
    await prober.stop()
    await http.close()
    await events.close()
    await redis.aclose()
    mongo.close()


def main() -> None:
    """Console script `trawl-worker-registry`."""
    settings = Settings()
    run_service("worker-registry", settings, lambda life: serve(life, settings))


if __name__ == "__main__":
    main()
