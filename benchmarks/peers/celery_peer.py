"""Celery with Redis for broker and results, behind a FastAPI gateway. Runs in the peers' own environment."""

import os
import time

from celery import Celery
from fastapi import FastAPI
from pydantic import BaseModel

REDIS = f"redis://127.0.0.1:{os.environ['REDIS_PORT']}"
app = Celery("celery_peer", broker=f"{REDIS}/0", backend=f"{REDIS}/1")
gateway = FastAPI()
count = 0


class Submission(BaseModel):
    """When the client made its request."""

    t: float


@app.task(name="noop")
def noop(submitted: float) -> list[float]:
    """Nothing but the time at which it began."""
    return [submitted, time.time()]


@gateway.post("/tasks", status_code=202)
def submit(submission: Submission) -> dict[str, str]:
    """Celery's client blocks: in a plain function FastAPI gives it a thread, as its users do."""
    global count  # noqa: PLW0603 - one process, and a benchmark's only counter
    result = noop.delay(submission.t)
    count += 1
    return {"id": result.id}


@gateway.get("/accepted")
def accepted() -> dict[str, int]:
    """How many tasks were accepted."""
    return {"accepted": count}
