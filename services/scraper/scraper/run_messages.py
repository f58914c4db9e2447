"""What a worker says about its runs: reports, and ends. Pure translation; decides nothing."""

from dataclasses import dataclass

from chassis.clock import now_ms
from trawl.scheduler.v1 import runs_pb2, work_pb2
from trawl.scraper.v1 import events_pb2 as ends_pb

from scraper.attempt import Ending
from scraper.held import Held
from scraper.run_context import Context

MAX_REPORTED_LINES = 500
OUTCOMES = {
    "completed": ends_pb.OUTCOME_COMPLETED,
    "failed": ends_pb.OUTCOME_FAILED,
    "timed_out": ends_pb.OUTCOME_TIMED_OUT,
    "aborted": ends_pb.OUTCOME_ABORTED,
    "parked": ends_pb.OUTCOME_PARKED,
}


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this worker process is. `session` changes with each start."""

    worker_id: str
    session: str
    hostname: str


def report_of(run: Held) -> tuple[work_pb2.RunReport, int]:
    """The report, and the number of the first line that it does not carry."""
    assert run.attempt is not None
    context = run.attempt.context
    lines = context.lines(MAX_REPORTED_LINES)
    context.dirty = False
    report = work_pb2.RunReport(
        run_id=run.spec.run_id, token=run.token, attempt=run.attempt_number, progress_done=context.done,
        progress_total=context.total, step=context.step, item_count=context.item_count,
        logs=[runs_pb2.LogLine(time_ms=n.time_ms, level=n.level, message=n.message, data_json=n.data) for n in lines],
        first_log=lines[0].number if lines else 0,
    )  # fmt: skip
    return report, lines[-1].number + 1 if lines else 0


def finished(run: Held, identity: Identity, context: Context, ending: Ending) -> ends_pb.RunFinished:
    """How the attempt ended."""
    assert ending.outcome is not None
    lines = context.lines(2_001)
    message = ends_pb.RunFinished(
        run_id=run.spec.run_id, token=run.token, attempt=run.attempt_number, worker_id=identity.worker_id,
        worker_hostname=identity.hostname, outcome=OUTCOMES[ending.outcome], result_json=ending.result_json,
        error_message=ending.error_message, error_code=ending.error_code, retryable=ending.retryable,
        started_ms=ending.started_ms, ended_ms=max(ending.ended_ms, ending.started_ms),
        progress_done=context.done, progress_total=context.total, item_count=context.item_count,
        spec=run.message.data,
        logs=[runs_pb2.LogLine(time_ms=n.time_ms, level=n.level, message=n.message, data_json=n.data) for n in lines],
        first_log=lines[0].number if lines else 0, resume_at_ms=ending.resume_at_ms,
        wake=ending.wake,
    )  # fmt: skip
    if ending.stop is not None:
        stop = ending.stop
        message.stop.CopyFrom(
            runs_pb2.StopReceipt(
                requested_ms=stop.requested_ms,
                delivered_ms=stop.delivered_ms,
                stopped_ms=stop.stopped_ms or now_ms(),
                how=stop.how,
                leftovers_killed=stop.leftovers,
            )
        )
    return message


def failed(run: Held, identity: Identity, reason: str) -> ends_pb.RunFinished:
    """The end of an attempt that nobody can say more of."""
    now = now_ms()
    return ends_pb.RunFinished(
        run_id=run.spec.run_id, token=run.token, attempt=run.attempt_number, worker_id=identity.worker_id,
        worker_hostname=identity.hostname, outcome=ends_pb.OUTCOME_FAILED, error_message=reason,
        error_code="INTERNAL", retryable=True, started_ms=now, ended_ms=now, spec=run.message.data,
    )  # fmt: skip
