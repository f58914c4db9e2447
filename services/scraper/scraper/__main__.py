"""The scraper's composition root: builds the parts, works until told to stop."""

import asyncio
import uuid
from functools import partial

from chassis.events import Events
from chassis.grpc_client import GrpcClient
from chassis.grpc_server import GrpcServer
from chassis.health import Readiness, until_available
from chassis.logs import get_logger
from chassis.memory import share_heaps
from chassis.run import Lifetime, run_service
from chassis.stores import mongo_client, mongo_database
from trawl.scraper.v1 import (
    accounts_pb2_grpc,
    browser_pb2_grpc,
    collections_pb2_grpc,
    definitions_pb2_grpc,
    papers_pb2_grpc,
    results_pb2_grpc,
)
from wire import subjects

from scraper import registration
from scraper.account_parts import make_account_parts
from scraper.blobs import LocalBlobs
from scraper.composition import Executors, slot_limits
from scraper.exports import Exports
from scraper.grpc_accounts import AccountApi
from scraper.grpc_browser import BrowserApi
from scraper.grpc_collections import CollectionApi
from scraper.grpc_definitions import DefinitionApi
from scraper.grpc_papers import PaperApi
from scraper.grpc_results import ResultApi
from scraper.held import HeldRuns
from scraper.mongo_results import Results
from scraper.pipeline import Pipeline
from scraper.run_messages import Identity
from scraper.search import Search
from scraper.settings import ScraperSettings
from scraper.wakes import say_woken
from scraper.worker import Worker

log = get_logger("main")


async def serve(settings: ScraperSettings, life: Lifetime) -> None:
    """Run the scraper until `life` ends."""
    worker_id = settings.worker_id or f"worker-{settings.hostname}"
    identity = Identity(worker_id, f"{worker_id}-{uuid.uuid4().hex[:12]}".replace(".", "_"), settings.hostname)
    events = Events(settings.nats_url, worker_id, dead_letter=subjects.dead_letter)
    mongo = mongo_client(settings)
    database, blobs = mongo_database(mongo, settings, "scraper"), LocalBlobs(settings.blob_dir)
    results, pipeline = Results(database), Pipeline(settings, database, blobs)
    accounts = make_account_parts(settings, database, worker_id, partial(say_woken, events))
    scheduler = GrpcClient("scheduler", settings.scheduler_target)
    registry = GrpcClient("worker-registry", settings.registry_target)
    executors = Executors(settings, worker_id, database, pipeline, accounts)
    held = HeldRuns(*slot_limits(settings), total=settings.worker_slots)
    worker = Worker(
        identity=identity, events=events, scheduler=scheduler, results=results, blobs=blobs,
        executors=executors.by_name, held=held,
    )  # fmt: skip
    presence = registration.Registration(
        registry,
        registration.Identity(
            session=identity.session, hostname=identity.hostname, task_types=tuple(executors.by_name),
            slots=settings.worker_slots, worker_id=worker_id, ip_address=settings.grpc_host, port=settings.grpc_port,
        ),
        occupancy=held.ids,
        on_status=worker.follow_status,
        interval_seconds=settings.heartbeat_seconds,
    )  # fmt: skip
    server = GrpcServer(settings.grpc_host, settings.grpc_port)
    search = Search(results.collections, settings.search_dir / f"index-{worker_id}")
    exports = Exports(results.collections, settings.work_dir / "exports")
    collections = CollectionApi(results.collections, search, exports)
    browser = BrowserApi(executors.sessions, executors.leases, executors.sealer)
    for register, api in (
        (results_pb2_grpc.add_ResultServiceServicer_to_server, ResultApi(results, blobs, list(executors.by_name))),
        (papers_pb2_grpc.add_PaperServiceServicer_to_server, PaperApi(pipeline.papers, pipeline.files)),
        (accounts_pb2_grpc.add_AccountServiceServicer_to_server, AccountApi(accounts.manage)),
        (collections_pb2_grpc.add_CollectionServiceServicer_to_server, collections),
        (browser_pb2_grpc.add_BrowserServiceServicer_to_server, browser),
        (definitions_pb2_grpc.add_DefinitionServiceServicer_to_server, DefinitionApi(executors.checks)),
    ):
        server.add(register, api)

    readiness = Readiness(
        {"nats": events.check, "mongodb": results.ping}, serving=asyncio.Event(), changed=server.set_serving
    )

    async def start() -> None:
        life.keep("clock", executors.clock.run)
        await executors.reap()
        exports.clear()
        await events.connect()
        await events.declare_streams(subjects.STREAMS, settings.stream_replicas)
        for part in (results, pipeline.papers, accounts, *executors.stores):
            await until_available(part.prepare)
        server.answer()
        life.keep("readiness", readiness.run)
        await worker.start()
        for name, loop in worker.loops().items():
            life.keep(name, loop)
        life.keep("registration", presence.run)
        life.keep("search", search.run)
        log.info("working", worker_id=worker_id, executors=sorted(executors.by_name))

    await server.start(serving=False, prepared=False)
    life.spawn("start", start())
    await life.stopping.wait()
    await worker.drain(settings.drain_seconds)
    await server.stop()
    await life.cancel_all()
    await presence.leave()
    await executors.close()
    await accounts.close()
    await scheduler.close()
    await registry.close()
    await events.close()
    mongo.close()


def main() -> None:
    """Console script."""
    share_heaps()
    settings = ScraperSettings()
    run_service("scraper", settings, lambda life: serve(settings, life))


if __name__ == "__main__":
    main()
