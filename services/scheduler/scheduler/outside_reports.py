"""Use case: progress and ends that a client reports without a lease. Owns what they do to a run, whoever has it."""

from chassis.clock import now_ms
from chassis.errors import Conflict, InvalidInput, NotFound
from chassis.json_fields import read_json
from trawl.scheduler.v1 import runs_pb2 as pb

from scheduler.events import Announcer
from scheduler.finish_runs import FinishRuns
from scheduler.read_runs import ReadRuns
from scheduler.records import FROM_PROTO
from scheduler.redis_runs import LiveRuns
from scheduler.run import TERMINAL

ENDS = (pb.RUN_STATUS_COMPLETED, pb.RUN_STATUS_FAILED)
GOES_ON = (pb.RUN_STATUS_UNSPECIFIED, pb.RUN_STATUS_RUNNING)
CODE = "REPORTED_BY_CLIENT"


class OutsideReports:
    """Takes a client's word for a run."""

    def __init__(self, *, live: LiveRuns, reader: ReadRuns, finish: FinishRuns, announcer: Announcer) -> None:
        self._live, self._reader, self._finish, self._announcer = live, reader, finish, announcer

    async def report(self, report: pb.OutsideReport) -> pb.Run:
        """The run after the report. A worker that had it is told to stop, and what it still says is refused.

        Raises `NotFound`, `InvalidInput`, or `Conflict` when the run has ended already.
        """
        if report.status not in (*ENDS, *GOES_ON):
            raise InvalidInput("a report completes, fails or goes on", field="status")
        if not -1 <= report.percent <= 100:
            raise InvalidInput("must be 0 to 100", field="percent")
        read_json(report.result_json, "result")
        run = await self._reader.get(report.run_id)
        if FROM_PROTO[run.status] in TERMINAL:
            raise _ended(report.run_id)
        now = now_ms()
        ended = _as_reported(run, report, now) if report.status in ENDS else None
        percent = "" if report.percent < 0 else str(report.percent)
        summary = b"" if ended is None else ended.SerializeToString()
        verdict, session = await self._live.outside(report.run_id, now, percent, summary)
        if verdict == "done":
            raise _ended(report.run_id)
        if verdict == "unknown":
            # Redis has lost it: it is rebuilt from its message, and the client may say it again.
            raise NotFound(f"run {report.run_id} is not live", resource="run", id=report.run_id)
        if ended is None:
            return await self._reader.get(report.run_id)
        if session:
            await self._announcer.order_abort(session, [report.run_id])
        await self._finish.archive_runs([ended])
        return ended


def _ended(run_id: int) -> Conflict:
    return Conflict(f"run {run_id} has ended already", id=run_id)


def _as_reported(run: pb.Run, report: pb.OutsideReport, now: int) -> pb.Run:
    ended = pb.Run()
    ended.CopyFrom(run)
    ended.status, ended.completed_ms, ended.updated_ms = report.status, now, now
    ended.waiting_reason, ended.not_before_ms = "", 0
    if report.percent >= 0:
        ended.progress_done, ended.progress_total = report.percent, 100
    if report.status == pb.RUN_STATUS_COMPLETED:
        ended.result_json = report.result_json
    else:
        ended.error_message, ended.error_code = report.error_message or "reported as failed", CODE
    return ended
