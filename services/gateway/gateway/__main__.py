"""Composition root: reads the settings, connects the parts, serves the ports, and stops them in order."""

import socket
import sys
from collections.abc import Sequence
from functools import partial

from chassis.events import Events
from chassis.health import until_available
from chassis.logs import get_logger
from chassis.run import Lifetime, run_service
from chassis.store_clock import StoreClock
from chassis.stores import mongo_client, mongo_database, redis_client
from pydantic import ValidationError
from trawl.scheduler.v1 import runs_pb2
from wire import subjects

from gateway.access import Role, make_access
from gateway.apps import Parts, build_apps, listeners
from gateway.backend import Backend
from gateway.body_budget import BodyBudget
from gateway.connections import ConnectionLimits
from gateway.cursors import Cursors
from gateway.event_feed import EventFeed
from gateway.event_stream import Streams
from gateway.log_follower import LogFollower
from gateway.mongo_answers import KeptAnswers
from gateway.mongo_keys import MongoKeys, PoolGauge
from gateway.native.system import check_health
from gateway.ports import PortProblem, Servers, bind
from gateway.probes import Probes, grpc_check, nats_check, redis_check
from gateway.redis_buckets import make_limits
from gateway.redis_idempotency import Idempotency
from gateway.run_watcher import RunWatcher
from gateway.settings import GatewaySettings
from gateway.tokens import signing_secret
from gateway.traffic import Traffic
from gateway.webhooks.service import Webhooks

log = get_logger("gateway")


class Gateway:
    """The parts, connected to each other and to what they need."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        pool = PoolGauge()
        self._mongo, self._redis = mongo_client(settings, event_listeners=[pool]), redis_client(settings)
        self._events = Events(settings.nats_url, "gateway", dead_letter=subjects.dead_letter)
        self._backend = Backend(
            scheduler=settings.scheduler_target, scraper=settings.scraper_target, registry=settings.registry_target
        )
        database = mongo_database(self._mongo, settings, "gateway")
        self._keys, self._answers = MongoKeys(database), KeptAnswers(database)
        self._watcher = RunWatcher(self._events, self._fetch)
        jwt_secret = settings.jwt_secret.get_secret_value() if settings.jwt_secret is not None else None
        secret = signing_secret(jwt_secret, settings.jwt_secret_file)
        access = make_access(self._keys, settings, secret)
        self._follower = LogFollower(self._events, self._watcher, self._read_lines)
        self._streams = Streams(partial(access.authorize, role=Role.VIEWER), per_key=settings.max_streams_per_key)
        probes = self._probes()
        self._webhooks = Webhooks(
            settings, database=database, redis=self._redis, events=self._events, backend=self._backend,
            health=partial(check_health, probes),
        )  # fmt: skip
        self.apps = build_apps(
            Parts(
                settings=settings,
                backend=self._backend,
                access=access,
                cursors=Cursors(secret),
                idempotency=Idempotency(self._redis, self._answers),
                watcher=self._watcher,
                probes=probes,
                traffic=Traffic(),
                pool=pool,
                limits=make_limits(self._redis, settings),
                webhooks=self._webhooks,
                feed=EventFeed(self._events),
                follower=self._follower,
                streams=self._streams,
                bodies=BodyBudget(settings.max_bodies_bytes),
            )
        )

    async def _fetch(self, run_id: int) -> runs_pb2.Run:
        run: runs_pb2.Run = await self._backend.run(self._backend.runs.GetRun, runs_pb2.GetRunRequest(run_id=run_id))
        return run

    async def _read_lines(self, run_id: int, offset: int, limit: int) -> Sequence[runs_pb2.LogLine]:
        request = runs_pb2.ListLogsRequest(run_id=run_id, offset=offset, limit=limit)
        return list((await self._backend.run(self._backend.runs.ListLogs, request)).lines)

    def _probes(self) -> Probes:
        backend = self._backend
        services = {"scheduler": backend.scheduler, "scraper": backend.scraper, "worker_registry": backend.registry}
        return Probes(
            {
                "database": self._keys.ping,
                "message_queue": nats_check(self._events),
                "cache": redis_check(self._redis),
                **{name: grpc_check(client) for name, client in services.items()},
            }
        )

    def start(self, life: Lifetime) -> None:
        """Begin what goes on beside the requests. What is not reachable yet is waited for."""
        life.keep("clock", StoreClock(self._redis).run)
        life.spawn("events", self._listen(life))
        life.spawn("keys", self._keys.prepare_when_reachable())
        life.spawn("answers", until_available(self._answers.prepare))

    async def _listen(self, life: Lifetime) -> None:
        await self._watcher.listen()
        await self._follower.listen()
        await self._events.declare_streams(subjects.STREAMS, self._settings.stream_replicas)
        await self._webhooks.start(life)

    def release(self) -> None:
        """Answer the requests that wait for something to happen."""
        self._watcher.close()
        self._streams.close()

    async def close(self) -> None:
        """Hang up, the stores last."""
        await self._webhooks.close()
        await self._backend.close()
        await self._events.close()
        await self._redis.aclose(close_connection_pool=True)
        self._mongo.close()


async def serve(settings: GatewaySettings, sockets: dict[str, socket.socket], life: Lifetime) -> None:
    """Serve the bound sockets until the lifetime ends."""
    gateway = Gateway(settings)
    limits = ConnectionLimits(settings.max_connections_per_address)
    servers = Servers([(bound, gateway.apps[name]) for name, bound in sockets.items()], limits)
    serving = life.spawn("http", servers.serve())
    gateway.start(life)
    log.info("serving", **{name: bound.getsockname()[1] for name, bound in sockets.items()})
    await life.stopping.wait()
    gateway.release()
    servers.stop()
    await serving
    await life.cancel_all()
    await gateway.close()


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
