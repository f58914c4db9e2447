"""dramatiq with Redis for broker and results, behind a FastAPI gateway. Runs in the peers' own environment."""

import os
import time

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend
from fastapi import FastAPI
from pydantic import BaseModel

REDIS = f"redis://127.0.0.1:{os.environ['REDIS_PORT']}"
broker = RedisBroker(url=f"{REDIS}/0")
backend = RedisBackend(url=f"{REDIS}/1", namespace="dramatiq-results", use_namespace_prefix_keys=True)
broker.add_middleware(Results(backend=backend, store_results=True))
dramatiq.set_broker(broker)
gateway = FastAPI()
count = 0


class Submission(BaseModel):
    """When the client made its request."""

    t: float


@dramatiq.actor(actor_name="noop", broker=broker)
def noop(submitted: float) -> list[float]:
    """Nothing but the time at which it began."""
    return [submitted, time.time()]


@gateway.post("/tasks", status_code=202)
def submit(submission: Submission) -> dict[str, str]:
    """dramatiq's client blocks: in a plain function FastAPI gives it a thread."""
    global count  # noqa: PLW0603 - one process, and a benchmark's only counter
    message = noop.send(submission.t)
    count += 1
    return {"id": message.message_id}


@gateway.get("/accepted")
def accepted() -> dict[str, int]:
    """How many tasks were accepted."""
    return {"accepted": count}
