"""The work loop: pulls, claims, runs, reports, ends, hands back. Owns the order of these; must not know any executor.

An outcome is published before its work message is acknowledged; a message that is neither acknowledged nor renewed
comes again by itself. So whatever happens to this process, the run goes on somewhere.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any

import orjson
from chassis.clock import now_ms
from chassis.errors import TrawlError, Unavailable
from chassis.events import NATS_DOWN, Events, Msg
from chassis.grpc_client import GrpcClient
from chassis.logs import get_logger
from chassis.poison import Isolation, passed_over, reason_of
from google.protobuf.message import DecodeError
from trawl.scheduler.v1 import events_pb2, queues_pb2, queues_pb2_grpc, runs_pb2, runs_pb2_grpc, work_pb2, work_pb2_grpc
from wire import subjects

from scraper.attempt import Attempt, Ending, StopReason
from scraper.blobs import LocalBlobs
from scraper.executor import Executor, Job
from scraper.held import Held, HeldRuns, token_of
from scraper.mongo_results import Results
from scraper.outcomes import Outcomes
from scraper.paused_queues import PausedQueues
from scraper.puller import ACK_WAIT_SECONDS, QueuePuller
from scraper.run_context import Context
from scraper.run_messages import Identity, failed, finished, report_of

log = get_logger("worker")
REPORT_SECONDS = 0.5
# So many claims of one queue may be under way, so that one that takes long doesn't hold up the next run.
CLAIMS_AT_ONCE = 3
RENEW_SECONDS = 4.0
# What stopping and handing back may take, after the drain.
HAND_BACK_SECONDS = 4.5
GONE = Ending(None, 0, 0)


class Worker:
    """One worker process."""

    def __init__(
        self, *, identity: Identity, events: Events, scheduler: GrpcClient, results: Results, blobs: LocalBlobs,
        executors: Mapping[str, Executor], held: HeldRuns,
    ) -> None:  # fmt: skip
        self._identity, self._events, self._scheduler = identity, events, scheduler
        self._work: work_pb2_grpc.WorkServiceAsyncStub = scheduler.stub(work_pb2_grpc.WorkServiceStub)
        self._runs: runs_pb2_grpc.RunServiceAsyncStub = scheduler.stub(runs_pb2_grpc.RunServiceStub)
        self._results, self._blobs, self._executors, self.held = results, blobs, executors, held
        self._queues: queues_pb2_grpc.QueueServiceAsyncStub = scheduler.stub(queues_pb2_grpc.QueueServiceStub)
        self._paused = PausedQueues(self._ask_paused, self._wake_pullers)
        self._outcomes = Outcomes(events)
        self._starved: set[QueuePuller] = set()
        self._pullers = {
            name: QueuePuller(events, name, free=partial(self._free, name), starved=self._starved) for name in executors
        }
        self.held.freed = self._slots_freed
        self._pulling, self._draining = True, False
        self._busy = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._isolation: Isolation[Msg] = Isolation("claims", self._dead_letter, key=_sequence)

    def _free(self, queue: str) -> int:
        return self.held.free(queue) if self._pulling and queue not in self._paused.names else 0

    async def _ask_paused(self) -> Sequence[str]:
        answer = await self._scheduler.call(self._queues.PausedQueues, queues_pb2.PausedQueuesRequest(), timeout=5)
        return list(answer.names)

    def _wake_pullers(self) -> None:
        for puller in self._pullers.values():
            puller.wake()

    def _slots_freed(self) -> None:
        # Queues share slots: whoever had too few looks again, whichever run has ended.
        for puller in self._starved:
            puller.wake()

    async def start(self) -> None:
        """Listen for work and for aborts."""
        subject = subjects.abort_subject(self._identity.session)
        await self._events.nc.subscribe(subject, cb=self._on_abort)
        await self._events.nc.subscribe(subjects.LIVE_QUEUES, cb=self._paused.on_notice)
        self._events.on_reconnect.append(self._paused.look_again)
        await asyncio.gather(*(puller.start() for puller in self._pullers.values()))

    def loops(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """The loops that must run beside, by name."""
        loops: dict[str, Callable[[], Awaitable[None]]] = {
            f"pull-{name}": partial(self._pull_loop, name) for name in self._pullers
        }
        return loops | {"reports": self._report_loop, "renewals": self._renew_loop, "paused": self._paused.run}

    async def follow_status(self, status: str) -> None:
        """Be what the registry wants: only an active worker takes new work."""
        self.set_pulling(status == "active" and not self._draining)

    def set_pulling(self, pulling: bool) -> None:
        """Take new work, or don't."""
        self._pulling = pulling
        self._wake_pullers()

    async def _pull_loop(self, queue: str) -> None:
        puller = self._pullers[queue]
        claims = asyncio.Semaphore(CLAIMS_AT_ONCE)
        while True:
            messages = await puller.pull()
            self.held.reserve(queue, len(messages))
            await claims.acquire()
            self._spawn(self._claim_reserved(queue, messages, claims))

    async def _claim_reserved(self, queue: str, messages: Sequence[Msg], claims: asyncio.Semaphore) -> None:
        try:
            for message in await self._isolation.all(messages, partial(self._claim, queue)):
                await self._give_back(message, delay=1.0)
        finally:
            self.held.reserve(queue, -len(messages))
            claims.release()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # A defect: the messages were not acknowledged, so the runs come again.
            log.error("a claim or an attempt failed unexpectedly", exc_info=error)

    async def _claim(self, queue: str, messages: Sequence[Msg]) -> None:
        candidates = []
        for message in messages:
            try:
                spec = runs_pb2.RunSpec.FromString(message.data)
                held, token = self.held.get(spec.run_id), token_of(message)
                # A batch of which one has failed unexpectedly is claimed again in parts.
                if held is None or held.token != token:
                    candidates.append(Held(message, spec, token, 0))
            except (DecodeError, ValueError, IndexError) as error:
                await self._dead_letter(message, repr(error))
        try:
            verdicts = await self._ask(candidates)
        except TrawlError as error:
            log.warning("cannot claim", queue=queue, count=len(candidates), reason=error.message)
            for run in candidates:
                await self._give_back(run.message, delay=1.0)
            await asyncio.sleep(0.5)
            return
        for run in candidates:
            result = verdicts[run.token]
            if result.verdict == work_pb2.CLAIM_VERDICT_GRANTED:
                run.attempt_number = result.attempt
                self._begin(run)
            elif result.verdict == work_pb2.CLAIM_VERDICT_LATER:
                if result.paused:
                    self._paused.saw(queue)
                await self._give_back(run.message, delay=max(1.0, result.retry_after_ms / 1000))
            else:
                await self._acknowledge(run.message)

    async def _ask(self, candidates: Sequence[Held]) -> dict[int, work_pb2.ClaimResult]:
        """A verdict for each, by token: a run may have two messages. Runs that the scheduler does not know are claimed
        again with their definition.
        """
        if not candidates:
            return {}
        claims = [work_pb2.Claim(run_id=run.spec.run_id, token=run.token) for run in candidates]
        results = await self._claim_call(claims)
        unknown = [run for run in candidates if results[run.token].verdict == work_pb2.CLAIM_VERDICT_UNKNOWN]
        if unknown:
            claims = [work_pb2.Claim(run_id=r.spec.run_id, token=r.token, spec=r.message.data) for r in unknown]
            results |= await self._claim_call(claims)
        return results

    async def _claim_call(self, claims: Sequence[work_pb2.Claim]) -> dict[int, work_pb2.ClaimResult]:
        request = work_pb2.ClaimRequest(
            worker_id=self._identity.worker_id, worker_session=self._identity.session,
            worker_hostname=self._identity.hostname, claims=claims,
        )  # fmt: skip
        answer = await self._scheduler.call(self._work.ClaimRuns, request, timeout=5)
        return {claim.token: result for claim, result in zip(claims, answer.results, strict=True)}

    def _begin(self, run: Held) -> None:
        self.held.add(run)
        self._busy.set()
        self._spawn(self._work_on(run))

    async def _work_on(self, run: Held) -> None:
        try:
            job, position = await self._job(run)
            context = Context(job, self._results, self._blobs, position=position)
            run.attempt = Attempt(self._executors[run.spec.queue], context, traceparent=run.spec.traceparent)
            ending = await run.attempt.run()
            await self._end(run, context, ending)
        except TrawlError as error:
            # The run's definition or checkpoint can't be read now: it goes back, and its lease with it.
            log.warning("cannot begin", run_id=run.spec.run_id, reason=error.message)
            await self._hand_back(run)
        except Exception as error:
            log.exception("an attempt failed unexpectedly", run_id=run.spec.run_id)
            await self._fail(run, reason_of(error))
        finally:
            self.held.remove(run)

    async def _job(self, run: Held) -> tuple[Job, int]:
        spec = run.spec
        parameters = spec.parameters_json
        if spec.parameters_by_reference:
            request = runs_pb2.GetParametersRequest(run_id=spec.run_id)
            parameters = b"".join(
                [part.data async for part in self._scheduler.stream(self._runs.GetParameters, request)]
            )
        checkpoint = await self._results.checkpoint(spec.run_id) if run.attempt_number > 1 else None
        job = Job(
            run_id=spec.run_id,
            task_id=spec.task_id,
            task_name=spec.task_name,
            executor=spec.executor,
            attempt=run.attempt_number,
            command=spec.command,
            arguments=tuple(spec.arguments) if spec.has_arguments else None,
            parameters=orjson.loads(parameters) if parameters else {},
            timeout_seconds=spec.timeout_ms / 1000,
            checkpoint=checkpoint.state if checkpoint else None,
            collects=spec.collects,
        )
        return job, checkpoint.position if checkpoint else 0

    async def _end(self, run: Held, context: Context, ending: Ending) -> None:
        if ending.outcome is None:
            if ending.stop is not None and ending.stop.reason is StopReason.DRAIN:
                await context.close()
                await self._hand_back(run)
            else:
                # Somebody else has the run: this copy of the message goes back, and the next claim drops it.
                await self._give_back(run.message, delay=1.0)
            return
        if ending.outcome != "completed":
            await context.close()
        run.ending = True
        await self._outcomes.publish(finished(run, self._identity, context, ending))
        await self._acknowledge(run.message)

    async def _hand_back(self, run: Held) -> None:
        run.ending = True
        claim = work_pb2.Claim(run_id=run.spec.run_id, token=run.token)
        request = work_pb2.ReleaseRequest(
            worker_id=self._identity.worker_id, worker_session=self._identity.session, claims=[claim]
        )
        with contextlib.suppress(TrawlError):  # then the lease runs out instead
            await self._scheduler.call(self._work.ReleaseRuns, request, timeout=2)
        await self._give_back(run.message, delay=0.1)

    async def _fail(self, run: Held, reason: str) -> None:
        """What nobody expected is the end of the attempt; another one follows as after any failure."""
        run.ending = True
        await self._outcomes.publish(failed(run, self._identity, reason))
        await self._acknowledge(run.message)

    async def _acknowledge(self, message: Msg) -> None:
        with contextlib.suppress(*NATS_DOWN):  # then it comes again, and the claim drops it
            await message.ack()

    async def _give_back(self, message: Msg, *, delay: float) -> None:
        with contextlib.suppress(*NATS_DOWN):  # then it comes again after its acknowledgement time
            await message.nak(delay=delay)

    async def _dead_letter(self, message: Msg, reason: str) -> None:
        log.error("a run's message can't be read", subject=message.subject, reason=reason)
        try:
            headers = subjects.dead_headers(reason, now_ms())
            await self._events.publish_with(subjects.dead_subject("ready"), message.data, headers)
        except Unavailable:
            await self._give_back(message, delay=5.0)
        else:
            with contextlib.suppress(*NATS_DOWN):
                await message.term()

    async def _on_abort(self, message: Msg) -> None:
        with contextlib.suppress(DecodeError):  # the next report's answer says it again
            for run_id in events_pb2.AbortOrder.FromString(message.data).run_ids:
                self._stop(run_id, StopReason.ABORT)

    def _stop(self, run_id: int, reason: StopReason) -> None:
        run = self.held.get(run_id)
        if run is not None and run.attempt is not None and not run.ending:
            run.attempt.stop(reason)

    async def _report_loop(self) -> None:
        """Tell the scheduler what is new, and renew the leases; sleeps while nothing is held."""
        while True:
            if not self.held:
                self._busy.clear()
                await self._busy.wait()
            await asyncio.sleep(REPORT_SECONDS)
            now = asyncio.get_running_loop().time()
            due = [
                run for run in self.held
                if run.attempt is not None and not run.ending
                and (run.attempt.context.dirty or now - run.reported_at > RENEW_SECONDS)
            ]  # fmt: skip
            if not due:
                continue
            try:
                await self._report(due)
            except TrawlError as error:
                log.warning("cannot report", count=len(due), reason=error.message)
                continue
            for run in due:
                run.reported_at = now

    async def _report(self, runs: Sequence[Held]) -> None:
        reports, confirmed = [], []
        for run in runs:
            # The lease of one that can't be reported runs out; those of the others must not.
            with passed_over("reports", run.spec.run_id):
                report, until = report_of(run)
                reports.append(report)
                confirmed.append((run, until))
        request = work_pb2.ReportRequest(
            worker_id=self._identity.worker_id, worker_session=self._identity.session, reports=reports
        )
        answer = await self._scheduler.call(self._work.ReportRuns, request, timeout=5)
        for run, until in confirmed:
            if run.attempt is not None:
                run.attempt.context.confirm_lines(until)
        for verdict in answer.verdicts:
            if verdict.lost:
                log.warning("the lease of a run was lost", run_id=verdict.run_id)
            self._stop(verdict.run_id, StopReason.LOST if verdict.lost else StopReason.ABORT)

    async def _renew_loop(self) -> None:
        """Tell JetStream that the messages are being worked on."""
        while True:
            await asyncio.sleep(ACK_WAIT_SECONDS / 3)
            for run in self.held:
                with contextlib.suppress(*NATS_DOWN):
                    await run.message.in_progress()

    async def drain(self, seconds: float) -> None:
        """Take nothing new, let what runs finish, hand back what doesn't."""
        self._draining = True
        self.set_pulling(False)
        await asyncio.gather(*(puller.stop() for puller in self._pullers.values()))
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        for run in self.held:
            if run.attempt is not None and not run.ending:
                run.attempt.stop(StopReason.DRAIN)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=HAND_BACK_SECONDS)


def _sequence(message: Msg) -> int:
    return int(message.metadata.sequence.stream)
