"""Fills an archive with made-up ended runs, through the scheduler's own repository. Owns what they look like."""

import time
from collections.abc import Iterator, Sequence

from chassis.stores import mongo_client, mongo_database
from scheduler.mongo_runs import Archive
from scheduler.mongo_tasks import Tasks
from scheduler.records import document
from scheduler.settings import SchedulerSettings
from trawl.scheduler.v1 import runs_pb2

CHUNK = 2_000
RUN_EVERY_MS = 250
WORKERS = 5
# One run in so many of each.
FAILED_EVERY, ABORTED_EVERY = 20, 50


async def fill_archive(mongodb_uri: str, tasks: Sequence[int], count: int) -> None:
    """Archive that many runs of these tasks, four a second up to now."""
    if not count:
        return
    settings = SchedulerSettings.model_validate({"mongodb_uri": mongodb_uri})
    client = mongo_client(settings)
    try:
        database = mongo_database(client, settings, "scheduler")
        archive = Archive(database)
        # Ids come from the scheduler's counter, so that later runs come after these in every index.
        first = await Tasks(database).allocate("run_id", count)
        for chunk in _chunks(first, count, tasks):
            await archive.add([document(run) for run in chunk])
    finally:
        client.close()


def _chunks(first: int, count: int, tasks: Sequence[int]) -> Iterator[list[runs_pb2.Run]]:
    began = int(time.time() * 1000) - count * RUN_EVERY_MS
    for start in range(0, count, CHUNK):
        numbers = range(start, min(start + CHUNK, count))
        yield [_ended(first + n, tasks[n % len(tasks)], began + n * RUN_EVERY_MS, _worker(n)) for n in numbers]


def _worker(number: int) -> str:
    # Another stride than the tasks', so that each worker has had runs of each task.
    return f"worker-{number // 3 % WORKERS + 1:03d}"


def _ended(run_id: int, task_id: int, created_ms: int, worker_id: str) -> runs_pb2.Run:
    spec = runs_pb2.RunSpec(
        run_id=run_id, task_id=task_id, task_name=f"benchmark-{task_id}", task_type="benchmark", executor="noop",
        queue="noop", parameters_json=b'{"t": 1700000000.000000}', priority=runs_pb2.PRIORITY_NORMAL,
        timeout_ms=3_600_000, created_ms=created_ms, contract="scheduler",
    )  # fmt: skip
    status = runs_pb2.RUN_STATUS_COMPLETED
    if run_id % FAILED_EVERY == 0:
        status = runs_pb2.RUN_STATUS_FAILED
    elif run_id % ABORTED_EVERY == 1:
        status = runs_pb2.RUN_STATUS_ABORTED
    return runs_pb2.Run(
        spec=spec, status=status, attempt=1, worker_id=worker_id, worker_hostname="worker",
        started_ms=created_ms + 3, completed_ms=created_ms + 4, updated_ms=created_ms + 4, result_json=b"null",
    )  # fmt: skip
