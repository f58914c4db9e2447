"""Use case: apply the ends of attempts, each once. Owns the decision between retry and terminal, and the archive.

Order for a retry: parked document, then Redis. Order for an end: Redis, archive, out of Redis, event. Every step can be
repeated, so a batch that failed half-way is simply handled again.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from chassis.clock import now_ms
from chassis.errors import InvalidInput
from chassis.events import Msg
from chassis.json_fields import read_json
from chassis.logs import get_logger
from chassis.poison import apart
from google.protobuf.message import DecodeError
from trawl.scheduler.v1 import runs_pb2 as pb
from trawl.scraper.v1 import events_pb2 as scraper_pb

from scheduler.durations import Durations
from scheduler.events import Announcer, run_event
from scheduler.mongo_runs import Archive, LogChunk, Parked
from scheduler.parked import ParkedRuns
from scheduler.records import FROM_PROTO, TO_PROTO, document, ended_run, external_key
from scheduler.redis_runs import Changes, Ending, LiveRuns
from scheduler.run import ErrorCode, Retry, Status

log = get_logger("finish")
# Ends of attempts that are not the work's own fault.
CRASHES = frozenset({"BROWSER_CRASHED", "WORKER_LOST"})
# No limit that a run waits for is longer; a worker that says so has its clock wrong.
MAX_PARKED_MS = 7 * 86_400_000
MAX_WAKE = 100
TERMINAL_KIND = {Status.COMPLETED: "completed", Status.FAILED: "failed", Status.ABORTED: "aborted"}


@dataclass(slots=True)
class _End:
    """One reported end, and what follows from it."""

    report: scraper_pb.RunFinished
    run: pb.Run
    parked: Parked | None


def log_documents(lines: Iterable[pb.LogLine]) -> list[dict[str, object]]:
    """Log lines as they are stored; data that is no JSON is left out."""
    return [
        {"t": line.time_ms, "level": line.level, "message": line.message, "data": _data(line.data_json)}
        for line in lines
    ]


def _data(raw: bytes) -> str:
    try:
        read_json(raw, "data")
    except InvalidInput:
        return ""
    return raw.decode()


class FinishRuns:
    """Handles batches of `RunsFinished` messages, and ends runs that no worker can speak for any more."""

    def __init__(
        self, *, live: LiveRuns, archive: Archive, announcer: Announcer, parked: ParkedRuns, durations: Durations
    ) -> None:
        self._live, self._archive, self._announcer = live, archive, announcer
        self._parked, self._durations = parked, durations

    async def handle(self, messages: Sequence[Msg]) -> None:
        """Apply what the messages report. Raises `Unavailable` with nothing lost: the batch comes again."""
        ends: list[_End] = []
        for message in messages:
            try:
                reports = scraper_pb.RunsFinished.FromString(message.data).runs
            except DecodeError as error:
                await self._announcer.dead_letter("finished", message.data, repr(error))
                continue
            for report in reports:
                try:
                    ends.append(self._decide(report))
                except DecodeError as error:
                    await self._announcer.dead_letter("finished", report.SerializeToString(), repr(error))
        if ends:
            await self._apply(ends)

    async def set_aside(self, message: Msg, reason: str) -> None:
        """A message with an end that can't be applied: the others are, and that run fails with the reason."""
        reports = scraper_pb.RunsFinished.FromString(message.data).runs
        broken = await apart(list(reports), lambda some: self._apply([self._decide(report) for report in some]))
        for report, _ in broken:
            bare = scraper_pb.RunFinished(
                run_id=report.run_id, token=report.token, attempt=report.attempt, worker_id=report.worker_id,
                outcome=scraper_pb.OUTCOME_FAILED, error_message=f"the run's end can't be stored: {reason}",
                error_code=ErrorCode.INTERNAL.value, ended_ms=now_ms(), spec=report.spec,
            )  # fmt: skip
            await self._apply([self._decide(bare)])

    def _decide(self, report: scraper_pb.RunFinished) -> _End:
        spec = pb.RunSpec.FromString(report.spec)
        retry = Retry(
            spec.retry.max_retries, spec.retry.initial_ms or 1, spec.retry.factor or 1.0, spec.retry.max_ms or 1
        )
        if report.outcome == scraper_pb.OUTCOME_COMPLETED:
            return _End(report, ended_run(spec, report, Status.COMPLETED), None)
        if report.outcome == scraper_pb.OUTCOME_ABORTED:
            return _End(report, ended_run(spec, report, Status.ABORTED), None)
        run = ended_run(spec, report, Status.FAILED)
        if report.outcome == scraper_pb.OUTCOME_PARKED:
            return _End(report, run, _parked(report))
        crashed = report.error_code in CRASHES
        may_retry = report.retryable and (crashed or not spec.retry.crashes_only)
        if not may_retry or not retry.allows(report.attempt):
            return _End(report, run, None)
        again = pb.RunSpec.FromString(report.spec)
        again.attempt = report.attempt
        release = now_ms() + retry.delay_ms(report.attempt)
        return _End(report, run, Parked(spec.run_id, release, report.token, again.SerializeToString()))

    async def _apply(self, ends: Sequence[_End]) -> None:
        now = now_ms()
        await self._archive.park([end.parked for end in ends if end.parked])
        verdicts = await self._live.finish([_ending(end) for end in ends], now)
        unknown = [
            end.run.spec.run_id for end, (verdict, *_) in zip(ends, verdicts, strict=True) if verdict == "unknown"
        ]
        archived = await self._archive.archived(unknown)
        done: list[pb.Run] = []
        waiting: list[Parked] = []
        changes: dict[int, Changes] = {}
        for end, (verdict, abort_ms, changed) in zip(ends, verdicts, strict=True):
            if verdict == "stale" or end.run.spec.run_id in archived:
                log.info("late report refused", run_id=end.run.spec.run_id, token=end.report.token)
                continue
            if end.parked is None or (abort_ms and await self._abort_parked(end, abort_ms)):
                if end.run.status == pb.RUN_STATUS_ABORTED:
                    end.run.stop.MergeFromString(changed.asked)
                done.append(end.run)
                if end.parked is None:
                    changes[end.run.spec.run_id] = changed
            else:
                waiting.append(end.parked)
        await self._store_logs(ends)
        await self.archive_runs(done, changes)
        retrying = [end.run for end in ends if end.parked in waiting]
        for run in retrying:
            run.status = pb.RUN_STATUS_PENDING
        kinds = {end.report.run_id: _waiting_kind(end) for end in ends}
        await self._announcer.runs([run_event(kinds[run.spec.run_id], run) for run in retrying])
        self._parked.add(waiting)

    async def _abort_parked(self, end: _End, abort_ms: int) -> bool:
        """An attempt that failed while its abort was under way is not tried again: the run is aborted."""
        end.run.status = TO_PROTO[Status.ABORTED]
        end.run.stop.requested_ms = end.run.stop.requested_ms or abort_ms
        end.run.stop.stopped_ms = end.run.stop.stopped_ms or end.report.ended_ms
        end.run.stop.how = end.run.stop.how or "cooperative"
        verdict, _ = await self._live.abort(end.run.spec.run_id, now_ms(), end.run.SerializeToString())
        return verdict in ("aborted", "done", "unknown")

    async def _store_logs(self, ends: Sequence[_End]) -> None:
        await self._archive.add_logs(
            [
                LogChunk(end.run.spec.run_id, end.report.attempt, end.report.first_log, log_documents(end.report.logs))
                for end in ends
                if end.report.logs
            ]
        )
        await self._announcer.logs_stored([end.run.spec.run_id for end in ends if end.report.logs])

    async def archive_runs(self, runs: Sequence[pb.Run], changes: Mapping[int, Changes] | None = None) -> None:
        """Move ended runs from Redis to MongoDB and say so. The first end that is archived stays.

        `changes`: as far as they are known; else Redis is asked.
        """
        if not runs:
            return
        known = dict(changes or {})
        known |= await self._live.changes([run.spec.run_id for run in runs if run.spec.run_id not in known])
        before = await self._archive.add([document(run, known[run.spec.run_id]) for run in runs])
        await self._live.forget([(run.spec.run_id, run.spec.task_id, external_key(run.spec)) for run in runs])
        fresh = [run for run in runs if run.spec.run_id not in before]
        for run in fresh:
            execution_ms = max(0, run.completed_ms - run.started_ms) if run.started_ms else 0
            self._durations.count(execution_ms)
            if run.status == pb.RUN_STATUS_COMPLETED:
                self._durations.add(run.spec.task_id, execution_ms)
        # An end that was archived before may not have been announced: saying it twice is allowed, never is not.
        await self._announcer.runs([run_event(TERMINAL_KIND[FROM_PROTO[run.status]], run) for run in runs])


def _parked(report: scraper_pb.RunFinished) -> Parked:
    """The run goes on when what limits it allows: the attempt uses up no retry."""
    spec = pb.RunSpec.FromString(report.spec)
    spec.attempt = report.attempt
    spec.retry.max_retries += 1
    release = min(max(report.resume_at_ms, now_ms()), now_ms() + MAX_PARKED_MS)
    raw = spec.SerializeToString()
    return Parked(spec.run_id, release, report.token, raw, report.wake[:MAX_WAKE], report.ended_ms)


def _waiting_kind(end: _End) -> str:
    return "parked" if end.report.outcome == scraper_pb.OUTCOME_PARKED else "retrying"


def _ending(end: _End) -> Ending:
    if end.parked is not None:
        why = end.run.error_message or "parked" if _waiting_kind(end) == "parked" else ""
        return Ending(end.run.spec.run_id, end.report.token, "park", end.parked.release_ms, why)
    return Ending(end.run.spec.run_id, end.report.token, "done")
