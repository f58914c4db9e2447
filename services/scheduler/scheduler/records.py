"""One run in its forms: RunSpec (message), LiveRun (Redis), archived document (MongoDB), Run (reader).

Pure translation; decides nothing. The archive keeps the fields that are filtered and sorted by flat and readable, and
the whole run as the serialised `Run` beside them, so that archiving and reading cost one (de)serialisation.
"""

from collections.abc import Mapping
from typing import Any

from trawl.scheduler.v1 import runs_pb2 as pb
from trawl.scraper.v1 import events_pb2 as scraper_pb

from scheduler.archive_keys import composed_keys
from scheduler.archive_keys import run_key as key
from scheduler.redis_runs import Changes, LiveRun
from scheduler.run import Status
from scheduler.run_order import sorted_start_ms

TO_PROTO = {
    Status.PENDING: pb.RUN_STATUS_PENDING,
    Status.RUNNING: pb.RUN_STATUS_RUNNING,
    Status.COMPLETED: pb.RUN_STATUS_COMPLETED,
    Status.FAILED: pb.RUN_STATUS_FAILED,
    Status.ABORTED: pb.RUN_STATUS_ABORTED,
}
FROM_PROTO = {value: status for status, value in TO_PROTO.items()}
PRIORITY_NAMES: dict[int, str] = {
    pb.PRIORITY_LOW: "low",
    pb.PRIORITY_NORMAL: "normal",
    pb.PRIORITY_HIGH: "high",
    pb.PRIORITY_CRITICAL: "critical",
}
PRIORITY_NUMBERS = {
    "low": pb.PRIORITY_LOW,
    "normal": pb.PRIORITY_NORMAL,
    "high": pb.PRIORITY_HIGH,
    "critical": pb.PRIORITY_CRITICAL,
}


def external_key(spec: pb.RunSpec) -> str:
    """The key under which a client's own id is found; empty when there is none."""
    return f"{spec.contract}:{spec.external_id}" if spec.external_id else ""


def ended_run(spec: pb.RunSpec, end: scraper_pb.RunFinished, status: Status) -> pb.Run:
    """The run as that end leaves it."""
    run = pb.Run(
        spec=spec,
        status=TO_PROTO[status],
        attempt=end.attempt,
        worker_id=end.worker_id,
        worker_hostname=end.worker_hostname,
        started_ms=end.started_ms,
        completed_ms=end.ended_ms,
        updated_ms=end.ended_ms,
        result_json=end.result_json,
        error_message=end.error_message,
        error_code=end.error_code,
        progress_done=end.progress_done,
        progress_total=end.progress_total,
        item_count=end.item_count,
    )
    if end.HasField("stop"):
        run.stop.CopyFrom(end.stop)
    return run


def document(run: pb.Run, changes: Changes | None = None) -> dict[str, Any]:
    """The archived form: the run itself, and what it is found by. Every byte more costs all lists.

    `started_ms` is for sorting: the time of the claim, which lists of live runs have gone by.
    """
    changes = changes or Changes()
    found_by = {
        "_id": key(run.spec.run_id),
        "task_id": run.spec.task_id,
        "status": FROM_PROTO[run.status].value,
        "worker_id": run.worker_id,
        "queue": run.spec.queue,
        "contract": run.spec.contract,
        "created_ms": run.spec.created_ms,
        "started_ms": sorted_start_ms(run, changes.claimed_ms),
        "completed_ms": run.completed_ms,
        "execution_ms": max(0, run.completed_ms - run.started_ms) if run.started_ms else 0,
        "ended_tick": changes.ended_tick,
        "claimed_tick": changes.claimed_tick if run.started_ms else 0,
    }
    if run.spec.scope:
        found_by["scope"] = run.spec.scope
    if run.spec.external_id:
        found_by["external_key"] = external_key(run.spec)
    return found_by | composed_keys(found_by, run.spec.run_id) | {"run": run.SerializeToString()}


def run_of_document(raw: Mapping[str, Any]) -> pb.Run:
    """An archived run."""
    return pb.Run.FromString(raw["run"])


def run_of_live(live: LiveRun) -> pb.Run:
    """A live run. Whose attempt has ended reads as running until the end is in the archive."""
    if live.state == "d" and live.ending:
        return pb.Run.FromString(live.ending)
    spec = pb.RunSpec.FromString(live.spec)
    running = live.state in ("r", "d")
    run = pb.Run(
        spec=spec,
        status=pb.RUN_STATUS_RUNNING if running else pb.RUN_STATUS_PENDING,
        attempt=live.attempt,
        updated_ms=live.updated_ms,
        progress_done=live.done,
        progress_total=live.total,
        item_count=live.items,
        abort_requested_ms=live.abort_ms,
        not_before_ms=live.not_before_ms,
        waiting_reason=live.why,
    )
    if running:
        run.worker_id, run.worker_hostname, run.started_ms = live.worker_id, live.hostname, live.started_ms
        run.step = live.step
    return run


def never_started(spec: pb.RunSpec, status: Status, now: int, *, message: str, how: str) -> pb.Run:
    """A run that ended without a worker's word: aborted while it waited, or lost with its worker."""
    return pb.Run(
        spec=spec,
        status=TO_PROTO[status],
        completed_ms=now,
        updated_ms=now,
        error_message=message,
        stop=pb.StopReceipt(requested_ms=now, stopped_ms=now, how=how) if status is Status.ABORTED else None,
    )
