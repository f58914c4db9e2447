"""taskiq on NATS JetStream with results in Redis, behind a FastAPI gateway. Runs in the peers' own environment.

The broker pulls one message at a time, its default: with larger batches it waits until one is full.
"""

import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from pydantic import BaseModel
from taskiq_nats import PullBasedJetStreamBroker
from taskiq_redis import RedisAsyncResultBackend

results = RedisAsyncResultBackend(f"redis://127.0.0.1:{os.environ['REDIS_PORT']}/1", prefix_str="taskiq")
broker = PullBasedJetStreamBroker([f"nats://127.0.0.1:{os.environ['NATS_PORT']}"]).with_result_backend(results)
count = 0


@asynccontextmanager
async def connected(_: FastAPI) -> AsyncIterator[None]:
    """The gateway's own connection to the broker."""
    await broker.startup()
    yield
    await broker.shutdown()


gateway = FastAPI(lifespan=connected)


class Submission(BaseModel):
    """When the client made its request."""

    t: float


@broker.task(task_name="noop")
async def noop(submitted: float) -> list[float]:
    """Nothing but the time at which it began."""
    return [submitted, time.time()]


@gateway.post("/tasks", status_code=202)
async def submit(submission: Submission) -> dict[str, str]:
    """Submit one task."""
    global count  # noqa: PLW0603 - one process, and a benchmark's only counter
    task = await noop.kiq(submission.t)
    count += 1
    return {"id": task.task_id}


@gateway.get("/accepted")
async def accepted() -> dict[str, int]:
    """How many tasks were accepted."""
    return {"accepted": count}
