"""Use case: why a run has not started, or how it ended. Owns the words; changes nothing."""

from collections.abc import Callable

from chassis.clock import now_ms
from trawl.scheduler.v1 import runs_pb2 as pb

from scheduler.held_runs import DependencyGate
from scheduler.mongo_tasks import Tasks
from scheduler.mongo_waiting import Waiting, WaitingRuns
from scheduler.pauses import Pauses
from scheduler.read_runs import ReadRuns
from scheduler.records import FROM_PROTO, PRIORITY_NAMES
from scheduler.redis_runs import LiveRuns
from scheduler.redis_tasks import LiveTasks
from scheduler.run import TERMINAL, Status
from scheduler.task import Task
from scheduler.worker_offers import WorkerOffers

# The queue position is counted among this many of the oldest pending runs, of all queues.
MAX_COUNTED = 1_000
# A younger pending run is not said to lack a worker: it is about to be claimed.
PATIENCE_MS = 1_000


class ExplainRun:
    """Reads all that may hold a run back. `trouble` says what keeps all that wait from being handed out."""

    def __init__(
        self, *, reader: ReadRuns, live: LiveRuns, tasks: Tasks, waiting: WaitingRuns, live_tasks: LiveTasks,
        gate: DependencyGate, offers: WorkerOffers, pauses: Pauses, trouble: Callable[[], str],
    ) -> None:  # fmt: skip
        self._pauses, self._trouble = pauses, trouble
        self._reader, self._live, self._tasks, self._waiting = reader, live, tasks, waiting
        self._live_tasks, self._gate, self._offers = live_tasks, gate, offers

    def with_reason(self, run: pb.Run) -> pb.Run:
        """The run; a queued one whose queue no worker takes from says so. Waits for nothing."""
        queued = run.status == pb.RUN_STATUS_PENDING and not run.waiting_reason
        if queued and run.spec.created_ms < now_ms() - PATIENCE_MS and self._offers.lacks(run.spec.queue):
            run.waiting_reason = f"no worker offers {run.spec.queue!r}"
        return run

    async def explain(self, run_id: int) -> pb.RunExplanation:
        """Raises `NotFound`."""
        run = await self._reader.get(run_id)
        status = FROM_PROTO[run.status]
        answer = pb.RunExplanation(
            run_id=run_id, status=run.status, attempts=run.attempt, error_code=run.error_code,
            error_message=run.error_message,
        )  # fmt: skip
        if run.HasField("stop"):
            answer.stop.CopyFrom(run.stop)
        if status in TERMINAL:
            answer.reasons.append(_ended(run, status))
        elif status is Status.RUNNING:
            answer.reasons.append(_running(run))
        else:
            answer.reasons.extend(await self._pending(run))
        if run.abort_requested_ms and status not in TERMINAL:
            answer.reasons.add(code="abort_requested", message="its abort was requested, and is on its way")
        answer.summary = "; ".join(reason.message for reason in answer.reasons)
        return answer

    async def _pending(self, run: pb.Run) -> list[pb.RunReason]:
        task = (await self._tasks.many([run.spec.task_id])).get(run.spec.task_id)
        waiting = await self._waiting.get(run.spec.run_id)
        if run.not_before_ms:
            seconds = max(0, run.not_before_ms - now_ms()) / 1000
            if run.waiting_reason != "retry":
                message = f"{run.waiting_reason}; it goes on in {seconds:.1f} s"
                return [pb.RunReason(code="rate_limit", message=message, until_ms=run.not_before_ms)]
            message = f"attempt {run.attempt} failed; the next one starts in {seconds:.1f} s at the earliest"
            return [pb.RunReason(code="retry_delay", message=message, until_ms=run.not_before_ms)]
        if waiting is not None and run.waiting_reason:
            reasons = await self._held(run, waiting, task)
        else:
            reasons = await self._queued(run)
        if task is not None and task.status == "paused":
            message = "its task is paused: schedule and dependencies start nothing; this run is not held back by that"
            reasons.append(pb.RunReason(code="paused", task_id=task.id, message=message))
        return reasons

    async def _held(self, run: pb.Run, waiting: Waiting, task: Task | None) -> list[pb.RunReason]:
        if waiting.kind == "overlap":
            live = await self._live_tasks.live_run_ids(waiting.task_id)
            ahead = live.index(waiting.run_id) if waiting.run_id in live else 0
            message = f"waits for {ahead} earlier runs of its task (overlap=queue)"
            return [
                pb.RunReason(code="overlap", message=message, run_id=live[0] if ahead else 0, ahead=ahead, exact=True)
            ]
        if task is None:
            return [pb.RunReason(code="dependency", message=run.waiting_reason)]
        _, missing, _ = await self._gate.missing(task)
        if not missing:
            return [pb.RunReason(code="dependency", message="its dependencies have completed; it is being released")]
        return [
            pb.RunReason(
                code="dependency",
                message=await self._gate.describe(dependency),
                task_id=0 if isinstance(dependency, str) else dependency.id,
            )
            for dependency in missing
        ]

    async def _queued(self, run: pb.Run) -> list[pb.RunReason]:
        queue = run.spec.queue
        reasons: list[pb.RunReason] = []
        if queue in await self._pauses.paused():
            reasons.append(pb.RunReason(code="queue_paused", queue=queue, message=f"queue {queue!r} is paused"))
        if trouble := self._trouble():
            reasons.append(pb.RunReason(code="not_handed_out", queue=queue, message=trouble))
        offers = await self._offers.queues()
        if offers is None:
            reasons.append(pb.RunReason(code="workers_unknown", queue=queue, message="the registry of workers can't be "
                                        "asked whether one offers its queue"))  # fmt: skip
        elif queue not in offers:
            reasons.append(pb.RunReason(code="no_worker", queue=queue, message=f"no worker offers {queue!r}"))
        ahead, exact = await self._ahead(run)
        priority = PRIORITY_NAMES.get(run.spec.priority, "normal")
        about = "" if exact else "at least "
        message = f"{about}{ahead} runs are before it in queue {queue!r} with priority {priority}"
        return [
            *reasons,
            pb.RunReason(code="queue_position", message=message, ahead=ahead, exact=exact, queue=queue),
        ]

    async def _ahead(self, run: pb.Run) -> tuple[int, bool]:
        """How many older runs of the same queue and priority are pending, and whether all were looked at."""
        ids = await self._live.ids("pending", newest_first=False, limit=MAX_COUNTED)
        ahead = 0
        for live in await self._live.get_many(ids):
            if live is None:
                continue
            if live.run_id == run.spec.run_id:
                return ahead, True
            spec = pb.RunSpec.FromString(live.spec)
            ahead += (spec.queue, spec.priority) == (run.spec.queue, run.spec.priority)
        return ahead, len(ids) < MAX_COUNTED


def _ended(run: pb.Run, status: Status) -> pb.RunReason:
    attempts = f"{run.attempt} attempt{'s' if run.attempt != 1 else ''}"
    if status is Status.COMPLETED:
        return pb.RunReason(code="completed", message=f"completed after {attempts}")
    if status is Status.FAILED:
        return pb.RunReason(code="failed", message=f"failed for good after {attempts}: {run.error_message}")
    how = f" ({run.stop.how})" if run.stop.how else ""
    return pb.RunReason(code="aborted", message=f"aborted{how} after {attempts}")


def _running(run: pb.Run) -> pb.RunReason:
    return pb.RunReason(code="running", message=f"attempt {run.attempt} is running on {run.worker_id}")
