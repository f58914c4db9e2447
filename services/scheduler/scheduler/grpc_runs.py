"""gRPC face of runs and of work. Translates and delegates; no rule lives here."""

import secrets
from collections.abc import AsyncIterator
from typing import Any

from chassis import counters
from chassis.errors import InvalidInput, error_of
from trawl.scheduler.v1 import runs_pb2 as pb
from trawl.scheduler.v1 import runs_pb2_grpc, work_pb2, work_pb2_grpc

from scheduler.abort_run import AbortRun
from scheduler.durations import BOUNDS, Durations
from scheduler.explain_run import ExplainRun
from scheduler.mongo_runs import Archive
from scheduler.mongo_tasks import Tasks
from scheduler.outside_reports import OutsideReports
from scheduler.read_runs import ReadRuns
from scheduler.redis_runs import Holder, LiveRuns
from scheduler.start_runs import StartRuns
from scheduler.work import Work

MAX_BATCH = 10_000
MAX_REASON = 500
VERDICTS = {
    "granted": work_pb2.CLAIM_VERDICT_GRANTED,
    "drop": work_pb2.CLAIM_VERDICT_DROP,
    "later": work_pb2.CLAIM_VERDICT_LATER,
    "paused": work_pb2.CLAIM_VERDICT_LATER,
    "unknown": work_pb2.CLAIM_VERDICT_UNKNOWN,
}


class RunApi(runs_pb2_grpc.RunServiceServicer):
    """`RunService`."""

    def __init__(
        self, *, starter: StartRuns, reader: ReadRuns, aborter: AbortRun, archive: Archive, live: LiveRuns,
        tasks: Tasks, durations: Durations, explainer: ExplainRun, outside: OutsideReports,
    ) -> None:  # fmt: skip
        self._explainer, self._outside = explainer, outside
        self._durations = durations
        self._starter, self._reader, self._aborter = starter, reader, aborter
        self._archive, self._live, self._tasks = archive, live, tasks

    async def StartRuns(self, request: pb.StartRunsRequest, context: Any) -> pb.StartRunsResponse:
        """Accept a batch."""
        if len(request.runs) > MAX_BATCH:
            raise InvalidInput(f"at most {MAX_BATCH} runs at once", field="runs")
        return pb.StartRunsResponse(results=await self._starter.start(request.runs))

    async def GetRun(self, request: pb.GetRunRequest, context: Any) -> pb.Run:
        """One run."""
        if request.external_id:
            return await self._reader.by_external(request.contract, request.external_id)
        return self._explainer.with_reason(await self._reader.get(request.run_id))

    async def Explain(self, request: pb.ExplainRunRequest, context: Any) -> pb.RunExplanation:
        """Why a run has not started, or how it ended."""
        return await self._explainer.explain(request.run_id)

    async def ListRuns(self, request: pb.ListRunsRequest, context: Any) -> pb.ListRunsResponse:
        """A page of runs."""
        page = await self._reader.lists.page(request)
        return pb.ListRunsResponse(runs=page.runs, total=page.total, next=page.next)

    async def AbortRun(self, request: pb.AbortRunRequest, context: Any) -> pb.Run:
        """Abort and wait for the proof."""
        if len(request.reason) > MAX_REASON or len(request.requested_by) > MAX_REASON:
            raise InvalidInput(f"must be at most {MAX_REASON} characters", field="reason", rule="max_length")
        return await self._aborter.abort(
            request.run_id, request.wait_ms / 1000, by=request.requested_by, reason=request.reason
        )

    async def RestartRun(self, request: pb.RestartRunRequest, context: Any) -> pb.Run:
        """A new run with the parameters of an old one."""
        old = await self._reader.get(request.run_id)
        parameters = old.spec.parameters_json
        if old.spec.parameters_by_reference:
            parameters = b"".join([chunk async for chunk in self._archive.parameters(request.run_id)])
        start = pb.StartRun(
            task_id=old.spec.task_id,
            parameters_json=parameters,
            priority=old.spec.priority,
            timeout_ms=old.spec.timeout_ms,
            contract=old.spec.contract,
            restarted_from=request.run_id,
            # A task that collects has one live run; another start is a clash.
            external_id=old.spec.external_id if old.spec.collects else "",
            request_digest=f"restart of {request.run_id} {secrets.token_hex(8)}" if old.spec.collects else "",
            traceparent=request.traceparent,
        )
        (result,) = await self._starter.start([start])
        if result.HasField("error"):
            raise error_of(result.error.kind, result.error.message, result.error.field or None)
        return result.run

    async def ReportOutside(self, request: pb.OutsideReport, context: Any) -> pb.Run:
        """Progress or end by a client's word."""
        return await self._outside.report(request)

    async def ListLogs(self, request: pb.ListLogsRequest, context: Any) -> pb.ListLogsResponse:
        """Log lines of a run."""
        return await self._reader.logs(request)

    async def GetParameters(self, request: pb.GetParametersRequest, context: Any) -> AsyncIterator[pb.ParametersChunk]:
        """Parameters that were too large for the run's message."""
        async for chunk in self._archive.parameters(request.run_id):
            yield pb.ParametersChunk(data=chunk)

    async def GetStats(self, request: pb.GetStatsRequest, context: Any) -> pb.Stats:
        """Counts for health pages and metrics."""
        runs = await self._archive.count_by_status()
        runs["pending"] = await self._live.count("pending") + await self._live.count("parked")
        runs["running"] = await self._live.count("running")
        return pb.Stats(
            tasks_by_status=await self._tasks.count_by_status(),
            runs_by_status=runs,
            oldest_pending_ms=await self._live.oldest_pending_ms(),
            execution=pb.DurationHistogram(
                bounds=BOUNDS, counts=self._durations.counts, sum_seconds=self._durations.sum_seconds
            ),
            ended_last_minute=self._durations.ended_last_minute(),
            counters=[
                pb.ProcessCounter(name=name, place=place, value=value)
                for (name, place), value in counters.all_counts().items()
            ],
        )


class WorkApi(work_pb2_grpc.WorkServiceServicer):
    """`WorkService`."""

    def __init__(self, work: Work) -> None:
        self._work = work

    async def ClaimRuns(self, request: work_pb2.ClaimRequest, context: Any) -> work_pb2.ClaimResponse:
        """Claim what was pulled."""
        holder = Holder(request.worker_id, request.worker_session, request.worker_hostname)
        verdicts = await self._work.claim(holder, request.claims)
        return work_pb2.ClaimResponse(
            results=[
                work_pb2.ClaimResult(
                    run_id=claim.run_id,
                    verdict=VERDICTS[verdict.kind],
                    attempt=verdict.attempt,
                    retry_after_ms=verdict.retry_after_ms,
                    paused=verdict.kind == "paused",
                )
                for claim, verdict in zip(request.claims, verdicts, strict=True)
            ]
        )

    async def ReportRuns(self, request: work_pb2.ReportRequest, context: Any) -> work_pb2.ReportResponse:
        """Heartbeat of what a worker holds."""
        answers = await self._work.report(Holder(request.worker_id, request.worker_session), request.reports)
        return work_pb2.ReportResponse(
            verdicts=[
                work_pb2.ReportVerdict(run_id=run_id, abort=verdict == "abort", lost=verdict == "lost")
                for run_id, verdict in answers
            ]
        )

    async def ReleaseRuns(self, request: work_pb2.ReleaseRequest, context: Any) -> work_pb2.ReleaseResponse:
        """Take runs back unharmed."""
        await self._work.release(Holder(request.worker_id, request.worker_session), request.claims)
        return work_pb2.ReleaseResponse()
