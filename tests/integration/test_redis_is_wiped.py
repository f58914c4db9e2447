"""All of Redis is gone: a reader is told to come again, and never that a live run does not exist."""

import asyncio

import pytest
import redis.asyncio as aioredis
from chassis.errors import NotFound, Unavailable
from chassis.settings import ServiceSettings
from chassis.stores import mongo_client, mongo_database
from scheduler.durations import Durations
from scheduler.list_runs import ListRuns
from scheduler.mongo_runs import Archive
from scheduler.read_runs import ReadRuns
from scheduler.redis_runs import LiveRuns
from scheduler.redis_snapshot import LiveSnapshots
from trawl.scheduler.v1 import runs_pb2


async def test_what_may_be_live_is_not_said_to_be_unknown(
    redis_url: str, mongodb_uri: str, mongodb_prefix: str
) -> None:
    settings = ServiceSettings(mongodb_uri=mongodb_uri, mongodb_prefix=mongodb_prefix)
    client = aioredis.Redis.from_url(redis_url)
    mongo = mongo_client(settings)
    live = LiveRuns(client, lease_ms=1_000, deadline_grace_ms=1_000)
    archive = Archive(mongo_database(mongo, settings, "scheduler"))
    lists = ListRuns(live, LiveSnapshots(client), archive.pages)
    reader = ReadRuns(live, archive, Durations(), lists=lists)
    try:
        for ask in (
            lambda: reader.get(1),
            lambda: reader.by_external("scheduler", "x"),
            lambda: lists.page(runs_pb2.ListRunsRequest(limit=10)),
        ):
            live.lost.clear()
            with pytest.raises(Unavailable):
                await ask()
            # Whoever brings runs back is told at once.
            await asyncio.wait_for(live.lost.wait(), 60)
        await live.set_epoch(1)
        with pytest.raises(NotFound):
            await reader.get(1)
    finally:
        await client.aclose()
        mongo.close()
