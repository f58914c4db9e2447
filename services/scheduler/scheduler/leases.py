"""Use case: workers that speak only HTTP lease runs, report and end them. Owns the order of claim, document and
acknowledgement, and the answers; the rules of a lease are in `lua/lease.lua`.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from chassis.clock import now_ms
from chassis.errors import Conflict, InvalidInput, TrawlError
from chassis.events import NATS_DOWN, Events, Msg
from chassis.json_fields import read_json
from chassis.logs import get_logger
from google.protobuf.message import DecodeError
from trawl.scheduler.v1 import lease_pb2, runs_pb2, work_pb2
from trawl.scraper.v1 import events_pb2 as ends_pb
from trawl.workerregistry.v1 import events_pb2 as registry_pb
from wire import subjects

from scheduler.abort_run import EndedRuns
from scheduler.events import Announcer
from scheduler.finish_runs import log_documents
from scheduler.leased_runs import LeasedRuns
from scheduler.mongo_leases import Leased, LeasedRun
from scheduler.mongo_runs import Archive, LogChunk
from scheduler.pauses import Pauses
from scheduler.queue_pull import QueuePull, QueuePulls
from scheduler.read_runs import ReadRuns
from scheduler.records import FROM_PROTO
from scheduler.redis_leases import LeaseCheck, LiveLeases, Sign
from scheduler.redis_runs import Holder, LiveRun, LiveRuns, Verdict
from scheduler.run import TERMINAL, fencing_token
from scheduler.work import MAX_STEP, Work

log = get_logger("leases")
MAX_WAIT_MS = 60_000
MAX_LEASED = 100
# Within what a NATS message carries.
MAX_RESULT_BYTES = 4 * 1024 * 1024
MAX_MESSAGE_CHARACTERS = 10_000
# A worker whose slots are all taken is answered after this long, not at once.
FULL_SECONDS = 1.0
PAUSED_SECONDS = 5.0
APPLIED_SECONDS = 3.0
RECHECK_SECONDS = 0.25
STOP_KINDS = frozenset({"draining", "lost", "unregistered"})
OUTCOMES = {
    lease_pb2.LeaseEnd.OUTCOME_COMPLETED: ends_pb.OUTCOME_COMPLETED,
    lease_pb2.LeaseEnd.OUTCOME_FAILED: ends_pb.OUTCOME_FAILED,
    lease_pb2.LeaseEnd.OUTCOME_ABORTED: ends_pb.OUTCOME_ABORTED,
}


@dataclass(slots=True)
class _Calls:
    """The calls of one worker that wait here: one of them at a time gets runs, so that slots hold."""

    # By the event that ends it: the queues that a call waits for.
    waiting: dict[asyncio.Event, frozenset[str]] = field(default_factory=dict)
    granting: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(frozen=True, slots=True)
class _Candidate:
    message: Msg
    spec: runs_pb2.RunSpec
    token: int


class Leases:
    """Serves outside workers. Raises `Unavailable` when a store can't be reached."""

    def __init__(
        self, *, work: Work, live: LiveRuns, leases: LiveLeases, leased: Leased, runs: LeasedRuns, archive: Archive,
        reader: ReadRuns, announcer: Announcer, events: Events, ended: EndedRuns, lease_ms: int,
        pauses: Pauses,
    ) -> None:  # fmt: skip
        self._pauses = pauses
        self._work, self._live, self._leases, self._leased, self._runs = work, live, leases, leased, runs
        self._archive, self._reader, self._announcer = archive, reader, announcer
        self._events, self._ended, self._lease_ms = events, ended, lease_ms
        self._pulls = QueuePulls(events)
        self._calls: dict[str, _Calls] = defaultdict(_Calls)

    # --- handing out

    async def lease(self, request: lease_pb2.LeaseRequest) -> list[lease_pb2.LeasedRun]:
        """Runs for this worker, in its hands; none when there was none in time."""
        until = asyncio.get_running_loop().time() + min(max(request.wait_ms, 0), MAX_WAIT_MS) / 1000
        paused = await self._pauses.paused()
        named = dict.fromkeys(name for name in request.task_types if subjects.is_queue_name(name))
        queues = [name for name in named if name not in paused]
        stop = asyncio.Event()
        calls = self._calls[request.worker_id]
        calls.waiting[stop] = frozenset(named)
        try:
            free = await self._free(request)
            if not queues or free <= 0:
                # A call that has nothing to take waits for its queues to be resumed, one that is full for a moment.
                patience = FULL_SECONDS if queues else PAUSED_SECONDS
                await _sleep(stop, min(patience, until - asyncio.get_running_loop().time()))
                return []
            async with self._pulls.open(queues) as pull:
                return await self._first_runs(request, pull, calls, most=free, until=until, stop=stop)
        finally:
            calls.waiting.pop(stop, None)
            if not calls.waiting:
                self._calls.pop(request.worker_id, None)

    async def _free(self, request: lease_pb2.LeaseRequest) -> int:
        wanted = min(request.max_runs, MAX_LEASED)
        return min(wanted, request.slots - await self._leased.count(request.worker_session))

    async def _first_runs(
        self, request: lease_pb2.LeaseRequest, pull: QueuePull, calls: _Calls, *, most: int, until: float,
        stop: asyncio.Event,
    ) -> list[lease_pb2.LeasedRun]:  # fmt: skip
        while messages := await pull.take(most, until, stop):
            task = asyncio.ensure_future(self._grant(request, calls, messages))
            try:
                leases = await asyncio.shield(task)
            except asyncio.CancelledError:
                # Nobody is left to take the runs.
                await _to_the_end(self._give_back(await task or []))
                raise
            if leases is None:
                break
            if leases:
                return leases
        return []

    async def _grant(
        self, request: lease_pb2.LeaseRequest, calls: _Calls, messages: Sequence[Msg]
    ) -> list[lease_pb2.LeasedRun] | None:
        """Claim, write the documents, acknowledge: in this order, so that a crash in between loses nothing. None: other
        calls of the worker have taken its last slots, or the queue was just paused.
        """
        async with calls.granting:
            try:
                free = await self._free(request)
                candidates = await self._decoded(messages[: max(0, free)])
                verdicts = await self._claim(request, candidates)
                granted = [c for c, verdict in zip(candidates, verdicts, strict=True) if verdict.kind == "granted"]
                attempts = {c.token: verdict.attempt for c, verdict in zip(candidates, verdicts, strict=True)}
                await self._store(request, granted, attempts)
            except TrawlError:
                for message in messages:
                    await _quietly(message.nak(delay=1))
                raise
            for message in messages[max(0, free) :]:
                await _quietly(message.nak())
            if free <= 0:
                return None
            for candidate, verdict in zip(candidates, verdicts, strict=True):
                if verdict.kind in ("later", "paused"):
                    await _quietly(candidate.message.nak(delay=max(1.0, verdict.retry_after_ms / 1000)))
                else:
                    await _quietly(candidate.message.ack())
            if not granted and any(verdict.kind == "paused" for verdict in verdicts):
                return None
            signs = [Sign(c.spec.run_id, c.token, lease_ms=request.lease_ms or self._lease_ms) for c in granted]
            checks = await self._leases.check(request.worker_id, signs, now_ms())
            return [
                lease_pb2.LeasedRun(
                    spec=c.spec, token=c.token, attempt=attempts[c.token], expires_ms=check.expires_ms
                )
                for c, check in zip(granted, checks, strict=True)
            ]  # fmt: skip

    async def _decoded(self, messages: Sequence[Msg]) -> list[_Candidate]:
        candidates = []
        for message in messages:
            try:
                spec = runs_pb2.RunSpec.FromString(message.data)
            except DecodeError as error:
                await self._announcer.dead_letter("ready", message.data, repr(error))
                await _quietly(message.term())
                continue
            place = message.metadata
            candidates.append(_Candidate(message, spec, fencing_token(place.sequence.stream, place.num_delivered)))
        return candidates

    async def _claim(self, request: lease_pb2.LeaseRequest, candidates: Sequence[_Candidate]) -> list[Verdict]:
        """A verdict for each; runs that Redis does not know are claimed again with their definition."""
        if not candidates:
            return []
        holder = Holder(request.worker_id, request.worker_session, request.worker_hostname)
        claims = [work_pb2.Claim(run_id=c.spec.run_id, token=c.token) for c in candidates]
        verdicts = await self._work.claim(holder, claims)
        for index, verdict in enumerate(verdicts):
            if verdict.kind == "unknown":
                claims[index].spec = candidates[index].message.data
                (verdicts[index],) = await self._work.claim(holder, [claims[index]])
        return verdicts

    async def _store(
        self, request: lease_pb2.LeaseRequest, granted: Sequence[_Candidate], attempts: dict[int, int]
    ) -> None:
        now = now_ms()
        leases = [
            LeasedRun(
                run_id=c.spec.run_id, token=c.token, attempt=attempts[c.token], worker_id=request.worker_id,
                session=request.worker_session, hostname=request.worker_hostname, started_ms=now,
                lease_ms=request.lease_ms or self._lease_ms, spec=c.message.data,
            )
            for c in granted
        ]  # fmt: skip
        try:
            await self._leased.add(leases)
        except TrawlError:
            # The messages go back, and so must the claims.
            for c in granted:
                with contextlib.suppress(TrawlError):
                    await self._live.lose(
                        c.spec.run_id, now, session=request.worker_session, token=c.token, counts=False
                    )
            raise

    async def _give_back(self, leases: Sequence[lease_pb2.LeasedRun]) -> None:
        for lease in leases:
            with contextlib.suppress(TrawlError):  # then the lease runs out instead
                verdict, attempt = await self._live.lose(lease.spec.run_id, now_ms(), token=lease.token, counts=False)
                if verdict == "requeued":
                    await self._runs.queue_again(lease.spec, attempt, lease.token, subjects.OUTSIDE_SESSION)

    async def give_back(self, run_id: int, token: int) -> None:
        """Take a run back unharmed from a worker that stops. Raises `Conflict` for a lost lease."""
        check = await self._held(Sign(run_id, token))
        if check.verdict == "abort":
            raise Conflict(f"the abort of run {run_id} was asked for: end it as aborted", field="run_id", rule="abort")
        live = await self._live.get(run_id)
        if live is not None and live.token == token:
            lease = lease_pb2.LeasedRun(spec=runs_pb2.RunSpec.FromString(live.spec), token=token)
            await self._give_back([lease])

    async def on_worker_event(self, message: Msg) -> None:
        """Callback of a plain subscription to the workers' events: who drains or is gone waits for nothing."""
        with contextlib.suppress(DecodeError):  # the durable consumer makes it a dead letter
            event = registry_pb.WorkerEvent.FromString(message.data)
            if event.kind in STOP_KINDS and event.worker_id in self._calls:
                self._stop(event.worker_id)

    async def on_queue_changed(self, message: Msg) -> None:
        """Callback: a queue was paused or resumed. Calls that wait for it end, and come again knowing it."""
        queue = message.data.decode(errors="replace")
        for calls in self._calls.values():
            for waiting, queues in calls.waiting.items():
                if queue in queues:
                    waiting.set()

    def _stop(self, worker_id: str) -> None:
        for waiting in self._calls[worker_id].waiting:
            waiting.set()

    def stop(self) -> None:
        """End every wait with an empty answer."""
        for worker_id in list(self._calls):
            self._stop(worker_id)

    # --- holding

    async def renew(self, worker_id: str, run_ids: Sequence[int]) -> lease_pb2.RenewResponse:
        """Renew what the worker says it holds."""
        checks = await self._check(worker_id, [Sign(run_id) for run_id in dict.fromkeys(run_ids)])
        return lease_pb2.RenewResponse(
            abort=[run_id for run_id, check in checks.items() if check.verdict == "abort"],
            lost=[run_id for run_id, check in checks.items() if check.verdict in ("lost", "unknown")],
        )

    async def _check(self, worker_id: str, signs: Sequence[Sign]) -> dict[int, LeaseCheck]:
        """What became of each sign; leases that Redis has lost are restored from their documents."""
        checks = await self._leases.check(worker_id, signs, now_ms())
        found = {sign.run_id: check for sign, check in zip(signs, checks, strict=True)}
        again = [sign for sign in signs if found[sign.run_id].verdict == "unknown"]
        if again:
            await self._runs.restore_of_worker(worker_id, [sign.run_id for sign in again])
            checks = await self._leases.check(worker_id, again, now_ms())
            found |= {sign.run_id: check for sign, check in zip(again, checks, strict=True)}
        return found

    async def _held(self, sign: Sign) -> LeaseCheck:
        """The lease of that sign. Raises `Conflict`, or `NotFound` when there never was such a run."""
        check = (await self._check("", [sign]))[sign.run_id]
        if check.verdict in ("ok", "abort"):
            return check
        run = await self._reader.get(sign.run_id)  # raises NotFound
        status = FROM_PROTO[run.status].value
        raise Conflict(f"the lease of run {sign.run_id} is not, or no longer, yours", field="lease_token",
                       rule="lease", run_id=sign.run_id, status=status)  # fmt: skip

    async def report(self, report: lease_pb2.LeaseReport) -> lease_pb2.LeaseState:
        """Take progress, log lines and the number of result items; renews the lease."""
        step = report.step[:MAX_STEP]
        progress = (report.progress_done, report.progress_total, step) if report.has_progress else None
        check = await self._held(Sign(report.run_id, report.token, progress=progress, lines=len(report.logs)))
        first, collects = 0, False
        if report.logs:
            documents = log_documents(report.logs)
            await self._archive.add_logs([LogChunk(report.run_id, check.attempt, check.first_line, documents)])
        if report.item_count:
            total = await self._leased.announce_items(report.run_id, report.token, report.item_count)
            if total is not None:
                first = total - report.item_count
            check = await self._held(Sign(report.run_id, report.token, items=total))
            live = await self._live.get(report.run_id)
            collects = live is not None and runs_pb2.RunSpec.FromString(live.spec).collects
        return lease_pb2.LeaseState(
            abort=check.verdict == "abort", expires_ms=check.expires_ms, task_id=check.task_id, attempt=check.attempt,
            first_position=first, collects=collects,
        )  # fmt: skip

    # --- ending

    async def finish(self, end: lease_pb2.LeaseEnd) -> runs_pb2.Run:
        """Store the end on JetStream, and wait a little until it is applied. Raises `Conflict` for a lost lease."""
        if len(end.result_json) > MAX_RESULT_BYTES:
            raise InvalidInput(f"the result must not exceed {MAX_RESULT_BYTES} bytes", field="result", rule="max_size")
        read_json(end.result_json, "result")
        if end.outcome not in OUTCOMES:
            raise InvalidInput("the outcome is not known", field="outcome")
        check = await self._held(Sign(end.run_id, end.token))
        if end.outcome == lease_pb2.LeaseEnd.OUTCOME_ABORTED and check.verdict != "abort":
            raise Conflict(f"nobody asked for the abort of run {end.run_id}", field="aborted", rule="abort_requested")
        live = await self._live.get(end.run_id)
        if live is None or live.state != "r" or live.token != end.token:
            raise Conflict(f"the lease of run {end.run_id} has just been lost", field="lease_token", rule="lease")
        payload = ends_pb.RunsFinished(runs=[_finished(end, live, check)]).SerializeToString()
        await self._events.publish(subjects.RUNS_FINISHED, payload, message_id=f"end-{end.run_id}-{end.token}")
        await self._runs.released(end.run_id, end.token, live.session)
        await self._applied(end)
        run = await self._reader.get(end.run_id)
        ended = end.outcome != lease_pb2.LeaseEnd.OUTCOME_FAILED
        if ended and FROM_PROTO[run.status] not in TERMINAL and not await self._holds(end):
            raise Conflict(f"the lease of run {end.run_id} was lost meanwhile", field="lease_token", rule="lease")
        return run

    async def _holds(self, end: lease_pb2.LeaseEnd) -> bool:
        """Whether the attempt's end is still to be applied."""
        live = await self._live.get(end.run_id)
        return live is None or (live.state in ("r", "d") and live.token == end.token)

    async def _applied(self, end: lease_pb2.LeaseEnd) -> None:
        """Return once the end is applied, or has taken too long: it is stored, and will be."""
        loop = asyncio.get_running_loop()
        until = loop.time() + APPLIED_SECONDS
        while (left := until - loop.time()) > 0:
            live = await self._live.get(end.run_id)
            if live is None or live.state not in ("r", "d") or live.token != end.token:
                return
            await self._ended.wait(end.run_id, min(left, RECHECK_SECONDS))


def _finished(end: lease_pb2.LeaseEnd, live: LiveRun, check: LeaseCheck) -> ends_pb.RunFinished:
    now = now_ms()
    finished = ends_pb.RunFinished(
        run_id=end.run_id, token=end.token, attempt=live.attempt, worker_id=live.worker_id,
        worker_hostname=live.hostname, outcome=OUTCOMES[end.outcome], result_json=end.result_json,
        error_message=end.error_message[:MAX_MESSAGE_CHARACTERS], error_code=end.error_code, retryable=end.retryable,
        started_ms=live.started_ms, ended_ms=max(now, live.started_ms), progress_done=live.done,
        progress_total=live.total, item_count=live.items, spec=live.spec,
    )  # fmt: skip
    if end.outcome == lease_pb2.LeaseEnd.OUTCOME_ABORTED:
        stop = runs_pb2.StopReceipt(
            requested_ms=check.abort_ms, delivered_ms=check.abort_delivered_ms, stopped_ms=now,
            how=end.stop.how or "worker", leftovers_killed=end.stop.leftovers_killed,
        )  # fmt: skip
        finished.stop.CopyFrom(stop)
    elif end.HasField("stop"):
        finished.stop.CopyFrom(end.stop)
    return finished


async def _sleep(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(max(0.0, seconds)):
            await stop.wait()


async def _quietly(call: Coroutine[Any, Any, Any]) -> None:
    """What gets lost with the connection comes again by itself."""
    with contextlib.suppress(*NATS_DOWN):
        await call


async def _to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Let it finish although the caller is being cancelled."""
    task = asyncio.ensure_future(work)
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.shield(task)
