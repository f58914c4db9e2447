"""The scraper's composition root: builds the parts, works until told to stop."""

import asyncio
import uuid

from chassis.errors import Unavailable
from chassis.events import Events
from chassis.grpc_client import GrpcClient
from chassis.grpc_server import GrpcServer
from chassis.logs import get_logger
from chassis.run import Lifetime, run_service
from chassis.stores import mongo_client, mongo_database
from trawl.scraper.v1 import results_pb2_grpc
from wire import subjects

from scraper.blobs import LocalBlobs
from scraper.composition import build_executors, slot_limits
from scraper.grpc_results import ResultApi
from scraper.held import HeldRuns
from scraper.mongo_results import Results
from scraper.settings import ScraperSettings
from scraper.worker import Identity, Worker

log = get_logger("main")


async def serve(settings: ScraperSettings, life: Lifetime) -> None:
    """Run the scraper until `life` ends."""
    worker_id = settings.worker_id or f"worker-{settings.hostname}"
    identity = Identity(worker_id, f"{worker_id}-{uuid.uuid4().hex[:12]}".replace(".", "_"), settings.hostname)
    events = Events(settings.nats_url, worker_id)
    mongo = mongo_client(settings)
    results, blobs = Results(mongo_database(mongo, settings, "scraper")), LocalBlobs(settings.blob_dir)
    scheduler = GrpcClient("scheduler", settings.scheduler_target)
    executors = build_executors(settings)
    limits, groups = slot_limits(settings)
    held = HeldRuns(limits, settings.worker_slots, groups)
    worker = Worker(
        identity=identity, events=events, scheduler=scheduler, results=results, blobs=blobs, executors=executors,
        held=held,
    )  # fmt: skip
    server = GrpcServer(settings.grpc_host, settings.grpc_port)
    server.add(results_pb2_grpc.add_ResultServiceServicer_to_server, ResultApi(results, blobs, list(executors)))

    async def start() -> None:
        await events.connect()
        await events.declare_streams(subjects.STREAMS, settings.stream_replicas)
        await _prepare(results)
        await server.start()
        await worker.start()
        for name, loop in worker.loops().items():
            life.spawn(name, loop)
        log.info("working", worker_id=worker_id, executors=sorted(executors))

    life.spawn("start", start())
    await life.stopping.wait()
    await worker.drain(settings.drain_seconds)
    await server.stop()
    await life.cancel_all()
    for executor in executors.values():
        await executor.close()
    await scheduler.close()
    await events.close()
    mongo.close()


async def _prepare(results: Results) -> None:
    waiting = True
    while waiting:
        try:
            await results.prepare()
            waiting = False
        except Unavailable as error:
            log.warning("waiting", reason=error.message)
            await asyncio.sleep(0.3)


def main() -> None:
    """Console script."""
    settings = ScraperSettings()
    run_service("scraper", settings, lambda life: serve(settings, life))


if __name__ == "__main__":
    main()
