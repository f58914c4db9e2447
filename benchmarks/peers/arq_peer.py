"""arq on Redis, polling every 10 ms (its default is 500), behind a FastAPI gateway. Has an environment of its own."""

import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from arq import ArqRedis, create_pool
from arq.connections import RedisSettings
from fastapi import FastAPI, Request
from pydantic import BaseModel

REDIS = RedisSettings(host="127.0.0.1", port=int(os.environ["REDIS_PORT"]))
count = 0


async def noop(_: dict[str, Any], submitted: float) -> list[float]:
    """Nothing but the time at which it began."""
    return [submitted, time.time()]


class WorkerSettings:
    """What `arq` reads."""

    functions = (noop,)
    redis_settings = REDIS
    max_jobs = 100
    poll_delay = 0.01


@asynccontextmanager
async def connected(app: FastAPI) -> AsyncIterator[None]:
    """The gateway's own connection."""
    app.state.pool = await create_pool(REDIS)
    yield
    await app.state.pool.aclose()


gateway = FastAPI(lifespan=connected)


class Submission(BaseModel):
    """When the client made its request."""

    t: float


@gateway.post("/tasks", status_code=202)
async def submit(submission: Submission, request: Request) -> dict[str, str]:
    """Submit one task."""
    global count  # noqa: PLW0603 - one process, and a benchmark's only counter
    pool: ArqRedis = request.app.state.pool
    job = await pool.enqueue_job("noop", submission.t)
    count += 1
    return {"id": job.job_id if job else ""}


@gateway.get("/accepted")
async def accepted() -> dict[str, int]:
    """How many tasks were accepted."""
    return {"accepted": count}
