"""Use case: accept runs. Owns the order that makes a 2xx a promise: Redis (visible), JetStream (durable), answer.

Redis comes first because a worker may have done a short run before a later write would come. A run that was written
and never published (the process died in between) was never promised: the sweeper removes it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import orjson
from chassis.clock import now_ms
from chassis.errors import Conflict, Exhausted, InvalidInput, TrawlError, Unavailable
from chassis.json_fields import read_object
from chassis.logs import get_logger
from chassis.telemetry import current_traceparent, span
from trawl.scheduler.v1 import runs_pb2 as pb
from wire import subjects

from scheduler.cached_tasks import CachedTask, CachedTasks
from scheduler.durations import Durations
from scheduler.events import Announcer, message_id, run_event
from scheduler.mongo_runs import Archive
from scheduler.mongo_tasks import Tasks
from scheduler.mongo_waiting import Kind, Waiting
from scheduler.records import PRIORITY_NAMES, external_key
from scheduler.redis_runs import LiveRuns, NewRun, batch_mark
from scheduler.run_ids import RunIds
from scheduler.task import MAX_TIMEOUT_SECONDS, Task

log = get_logger("start")
MAX_EXTERNAL_ID = 200


@dataclass(frozen=True, slots=True)
class Reserved:
    """A start under an id that was promised before, so that it can be repeated. `hold`: it must wait (`overlap`)."""

    run_id: int
    hold: str = ""


class Gate(Protocol):
    """Decides about runs that may not start yet, and keeps them."""

    async def why(self, task: Task) -> str:
        """Why a run of this task must wait now; empty when it may start."""

    async def hold(self, runs: Sequence[Waiting], reasons: Mapping[int, str]) -> None:
        """Keep runs that wait, durably."""

    async def recheck(self, task_ids: Iterable[int]) -> None:
        """What they wait for may have come while they were written."""


@dataclass(slots=True)
class _Draft:
    """A run on its way to being accepted."""

    index: int
    cached: CachedTask
    spec: pb.RunSpec
    raw: bytes
    large_parameters: bytes | None
    checked_version: bool
    max_retries: int
    reserved: bool = False
    # Why it waits: what for, and in words.
    hold: Kind | None = None
    why: str = ""


class StartRuns:
    """Accepts batches of runs; each run has a result of its own."""

    def __init__(
        self, *, tasks: Tasks, live: LiveRuns, archive: Archive, announcer: Announcer, durations: Durations,
        inline_parameters_bytes: int, gate: Gate,
    ) -> None:  # fmt: skip
        self._gate = gate
        self._live, self._archive, self._announcer = live, archive, announcer
        self._durations = durations
        self._inline_bytes = inline_parameters_bytes
        self._ids = RunIds(tasks)
        self._cached = CachedTasks(tasks, live)

    async def start(
        self, requests: Sequence[pb.StartRun], reserved: Sequence[Reserved] = ()
    ) -> list[pb.StartRunResult]:
        """Results in the order of the requests. A dependency that is down: `unavailable`.

        `reserved` is empty, or says for each request which id it has; one that is there already is `existing`.
        """
        results = [pb.StartRunResult() for _ in requests]
        pending = list(enumerate(requests))
        for _ in range(3):  # a stale cached task sends its runs round again, freshly loaded
            drafts = await self._draft(pending, results, reserved)
            stale = await self._commit(drafts, results)
            if not stale:
                return results
            pending = [(index, requests[index]) for index in stale]
        for index, _ in pending:
            _fail(results[index], Unavailable("the task is being changed; try again"))
        return results

    async def _draft(
        self, pending: Sequence[tuple[int, pb.StartRun]], results: Sequence[pb.StartRunResult],
        reserved: Sequence[Reserved],
    ) -> list[_Draft]:  # fmt: skip
        try:
            ids = [reserved[i].run_id for i, _ in pending] if reserved else await self._ids.take(len(pending))
        except TrawlError as error:
            for index, _ in pending:
                _fail(results[index], error)
            return []
        drafts = []
        now = now_ms()
        for (index, request), run_id in zip(pending, ids, strict=True):
            try:
                cached = await self._cached.of(request)
                draft = self._build(index, request, cached, run_id, now)
                if reserved:
                    draft.reserved = True
                if cached.task.dependencies or (reserved and reserved[index].hold):
                    await self._hold_back(draft, request, reserved[index] if reserved else None)
                drafts.append(draft)
            except TrawlError as error:
                _fail(results[index], error)
        return drafts

    async def _hold_back(self, draft: _Draft, request: pb.StartRun, reserved: Reserved | None) -> None:
        if reserved is not None and reserved.hold:
            draft.hold, draft.why = "overlap", "waits for earlier runs of its task"
        elif draft.cached.task.dependencies and not request.ignore_dependencies:
            draft.why = await self._gate.why(draft.cached.task)
            draft.hold = "dependency" if draft.why else None

    async def reserve(self, count: int) -> list[int]:
        """New run ids, for `Reserved` starts."""
        return await self._ids.take(count)

    def prime(self, tasks: Sequence[Task]) -> None:
        """These are about to start; Redis knows their versions."""
        self._cached.prime(tasks)

    def forget_task(self, task_id: int) -> None:
        """It was changed."""
        self._cached.forget(task_id)

    def _build(self, index: int, request: pb.StartRun, cached: CachedTask, run_id: int, now: int) -> _Draft:
        if not 0 <= request.timeout_ms <= MAX_TIMEOUT_SECONDS * 1000:
            raise InvalidInput(f"timeout_seconds must be 1 to {MAX_TIMEOUT_SECONDS}", field="timeout_seconds")
        if len(request.external_id) > MAX_EXTERNAL_ID:
            raise InvalidInput(f"the id must be at most {MAX_EXTERNAL_ID} characters", field="taskId")
        own = pb.RunSpec(
            run_id=run_id,
            created_ms=now,
            priority=request.priority,
            timeout_ms=request.timeout_ms,
            contract=request.contract,
            external_id=request.external_id,
            request_digest=request.request_digest,
            restarted_from=request.restarted_from,
        )
        if request.retry_crashes_only:
            own.retry.crashes_only = True
        if request.traceparent:
            with span("accept run", parent=request.traceparent, run_id=run_id, task_id=cached.task.id):
                own.traceparent = current_traceparent() or request.traceparent
        large = None
        if request.parameters_json:
            own.parameters_json = _overlay(cached.task, request.parameters_json)
        own.scope = scope_of(cached.task, own.parameters_json)
        if len(own.parameters_json) > self._inline_bytes:
            large, own.parameters_json = own.parameters_json, b"{}"
            own.parameters_by_reference = True
        # Serialised messages that stand one after the other are merged by a reader: the later field wins.
        raw = cached.template + own.SerializeToString()
        if request.HasField("retry"):
            # Merging would keep the task's value wherever the override says 0.
            whole = pb.RunSpec.FromString(raw)
            whole.retry.CopyFrom(request.retry)
            raw = whole.SerializeToString()
        retries = request.retry.max_retries if request.HasField("retry") else cached.task.retry_count
        return _Draft(index, cached, own, raw, large, request.HasField("inline"), retries)

    async def _commit(self, drafts: Sequence[_Draft], results: Sequence[pb.StartRunResult]) -> list[int]:
        """Write, publish, confirm. Answers the indexes of those whose cached task was stale."""
        if not drafts:
            return []
        try:
            for draft in drafts:
                if draft.large_parameters is not None:
                    await self._archive.save_parameters(draft.spec.run_id, draft.large_parameters)
            mark = batch_mark([draft.spec.run_id for draft in drafts])
            verdicts = await self._live.accept([_new_run(draft) for draft in drafts], mark=mark)
        except TrawlError as error:
            for draft in drafts:
                _fail(results[draft.index], error)
            return []
        stale, accepted = [], []
        for draft, verdict in zip(drafts, verdicts, strict=True):
            if verdict == "ok":
                accepted.append(draft)
            elif verdict == "stale":
                self._cached.forget(draft.cached.task.id)
                stale.append(draft.index)
            elif verdict == "full":
                _fail(results[draft.index], Exhausted("too many runs are waiting"))
            else:
                await self._answer_existing(draft, verdict, results[draft.index])
        await self._hold([draft for draft in accepted if draft.hold], results)
        await self._publish([draft for draft in accepted if not draft.hold], results, mark)
        return stale

    async def _answer_existing(self, draft: _Draft, verdict: str, result: pb.StartRunResult) -> None:
        kind, _, run_id = verdict.partition(" ")
        if draft.reserved and kind == "exists":
            kind, run_id = "same", str(draft.spec.run_id)
        if kind == "same":
            result.existing = True
            result.run.CopyFrom(
                _pending(draft.cached.task, pb.RunSpec(run_id=int(run_id), created_ms=draft.spec.created_ms))
            )
        else:
            _fail(result, Conflict("another run with this id is still going", field="taskId", run_id=run_id))

    async def _publish(self, drafts: Sequence[_Draft], results: Sequence[pb.StartRunResult], mark: str) -> None:
        runs = [_pending(draft.cached.task, draft.spec) for draft in drafts]
        try:
            await self._announcer.accepted([_message(draft) for draft in drafts], runs)
        except TrawlError as error:
            await self._withdraw(drafts)
            for draft in drafts:
                _fail(results[draft.index], error)
            return
        self._live.confirm(mark)
        for draft, run in zip(drafts, runs, strict=True):
            run.expected_ms = self._durations.expected_ms(draft.cached.task.id)
            results[draft.index].run.CopyFrom(run)

    async def _hold(self, drafts: Sequence[_Draft], results: Sequence[pb.StartRunResult]) -> None:
        """Keep runs that may not start yet, instead of publishing them."""
        if not drafts:
            return
        waiting = [
            Waiting(
                draft.spec.run_id, draft.cached.task.id, draft.hold or "dependency", draft.spec.created_ms, draft.raw
            )
            for draft in drafts
        ]
        try:
            await self._gate.hold(waiting, {draft.spec.run_id: draft.why for draft in drafts})
        except TrawlError as error:
            await self._withdraw(drafts)
            for draft in drafts:
                _fail(results[draft.index], error)
            return
        runs = [_pending(draft.cached.task, draft.spec) for draft in drafts]
        for draft, run in zip(drafts, runs, strict=True):
            run.waiting_reason = draft.why
            results[draft.index].run.CopyFrom(run)
        try:
            await self._announcer.runs([run_event("triggered", run) for run in runs])
        except Unavailable:
            log.warning("waiting runs were accepted without their events", count=len(runs))
        await self._gate.recheck({run.task_id for run in waiting})

    async def _withdraw(self, drafts: Sequence[_Draft]) -> None:
        try:
            await self._live.forget(
                [(draft.spec.run_id, draft.cached.task.id, external_key(draft.spec)) for draft in drafts]
            )
        except Unavailable:
            log.warning("unpublished runs stay for the sweeper", count=len(drafts))


def _message(draft: _Draft) -> tuple[str, bytes, str]:
    task, spec = draft.cached.task, draft.spec
    priority = PRIORITY_NAMES.get(spec.priority, task.priority)
    return subjects.ready_subject(task.queue, priority), draft.raw, message_id(spec.run_id)


def _overlay(task: Task, parameters_json: bytes) -> bytes:
    """The task's params overlaid by the trigger's. Raises `InvalidInput`."""
    own = read_object(parameters_json, "parameters_json")
    return orjson.dumps({**task.parameters, **own}) if task.parameters else parameters_json


def scope_of(task: Task, parameters_json: bytes) -> str:
    """What the run belongs to besides its task: the project of a pipeline run, whichever contract started it."""
    if not subjects.is_pipeline_queue(task.queue):
        return ""
    parameters = orjson.loads(parameters_json) if parameters_json else task.parameters
    project = parameters.get("project_id")
    return subjects.project_scope(project if type(project) is int and project > 0 else 0)


def _new_run(draft: _Draft) -> NewRun:
    task, spec = draft.cached.task, draft.spec
    return NewRun(
        run_id=spec.run_id,
        task_id=task.id,
        created_ms=spec.created_ms,
        queue=task.queue,
        max_retries=draft.max_retries,
        timeout_ms=spec.timeout_ms or task.timeout_seconds * 1000,
        attempt=0,
        spec=draft.raw,
        external_key=external_key(spec),
        digest=spec.request_digest,
        state="k" if draft.hold else "p",
        task_version="" if draft.checked_version else str(task.version),
        scope=spec.scope,
    )


def _pending(task: Task, spec: pb.RunSpec) -> pb.Run:
    head = pb.RunSpec(run_id=spec.run_id, task_id=task.id, task_name=task.name, created_ms=spec.created_ms,
                      contract=spec.contract, external_id=spec.external_id, collects=task.collects)  # fmt: skip
    return pb.Run(spec=head, status=pb.RUN_STATUS_PENDING, updated_ms=spec.created_ms)


def _fail(result: pb.StartRunResult, error: TrawlError) -> None:
    result.error.kind, result.error.message, result.error.field = error.kind, error.message, error.field or ""
