"""gRPC face of workflows. Translates and delegates; no rule lives here."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

import orjson
from chassis.errors import Conflict, InvalidInput, NotFound
from chassis.json_fields import read_json, read_object
from trawl.scheduler.v1 import runs_pb2, workflows_pb2_grpc
from trawl.scheduler.v1 import workflows_pb2 as pb

from scheduler.mongo_workflow_executions import Executions, place_of
from scheduler.mongo_workflow_items import Chunk, Items, StepKey
from scheduler.mongo_workflows import Workflows
from scheduler.records import PRIORITY_NAMES, PRIORITY_NUMBERS
from scheduler.run import DEFAULT_RETRY_FACTOR, DEFAULT_RETRY_INITIAL_MS, DEFAULT_RETRY_MAX_MS, Retry
from scheduler.workflow import Step, Workflow
from scheduler.workflow_definitions import Definitions, StartExecutions
from scheduler.workflow_engine import WorkflowEngine
from scheduler.workflow_schedules import next_fire_ms
from scheduler.workflow_state import Counts, Execution, Plan, StepStatus

Json = Any
MAX_PAGE: Final = 1_000
MAX_EXECUTIONS: Final = 100
MAX_WAIT_SECONDS: Final = 30.0
# Results that an answer about an execution carries, bytes; larger ones are asked for one by one.
MAX_STEP_RESULT: Final = 1024 * 1024
MAX_ALL_RESULTS: Final = 8 * 1024 * 1024
RESULT_CHUNK: Final = 1024 * 1024


class WorkflowApi(workflows_pb2_grpc.WorkflowServiceServicer):
    """`WorkflowService`."""

    def __init__(
        self, *, workflows: Workflows, definitions: Definitions, starts: StartExecutions, engine: WorkflowEngine,
        executions: Executions, items: Items,
    ) -> None:  # fmt: skip
        self._workflows, self._definitions, self._starts = workflows, definitions, starts
        self._engine, self._executions, self._items = engine, executions, items

    async def CreateWorkflow(self, request: pb.CreateWorkflowRequest, context: Any) -> pb.Workflow:
        """A new workflow."""
        return to_proto(await self._definitions.create(of_proto(request.definition)))

    async def GetWorkflow(self, request: pb.GetWorkflowRequest, context: Any) -> pb.Workflow:
        """One workflow."""
        return to_proto(await self._workflows.get(request.name))

    async def ListWorkflows(self, request: pb.ListWorkflowsRequest, context: Any) -> pb.ListWorkflowsResponse:
        """A page of workflows."""
        _check_page(request.offset, request.limit, MAX_PAGE)
        workflows, total = await self._workflows.page(request.offset, request.limit)
        return pb.ListWorkflowsResponse(workflows=map(to_proto, workflows), total=total)

    async def UpdateWorkflow(self, request: pb.UpdateWorkflowRequest, context: Any) -> pb.Workflow:
        """Another definition under the same name."""
        return to_proto(await self._definitions.update(of_proto(request.definition)))

    async def DeleteWorkflow(self, request: pb.DeleteWorkflowRequest, context: Any) -> pb.DeleteWorkflowResponse:
        """Delete it."""
        await self._definitions.delete(request.name)
        return pb.DeleteWorkflowResponse()

    async def ExecuteWorkflow(self, request: pb.ExecuteWorkflowRequest, context: Any) -> pb.WorkflowExecution:
        """Start an execution."""
        params = read_object(request.params_json, "params")
        execution = await self._starts.start(request.name, params, request.execution_id)
        return execution_to_proto(execution, await self._engine.plan(execution.id), {}, {}, {})

    async def GetExecution(self, request: pb.GetExecutionRequest, context: Any) -> pb.WorkflowExecution:
        """One execution, with results."""
        return await self._shown(await self._executions.get(request.id))

    async def ListExecutions(self, request: pb.ListExecutionsRequest, context: Any) -> pb.ListExecutionsResponse:
        """A page of executions."""
        _check_page(request.offset, request.limit, MAX_EXECUTIONS)
        found, total = await self._executions.page(
            workflow=request.workflow, status=request.status, offset=request.offset, limit=request.limit + 1,
            behind=request.after,
        )  # fmt: skip
        following = place_of(found[request.limit - 1]) if len(found) > request.limit else ""
        shown = [await self._listed(execution) for execution in found[: request.limit]]
        left = MAX_ALL_RESULTS
        for execution in shown:
            left -= len(execution.params_json)
            if left < 0:
                execution.params_json = b""
        return pb.ListExecutionsResponse(executions=shown, total=total, next=following)

    async def CancelExecution(self, request: pb.CancelExecutionRequest, context: Any) -> pb.WorkflowExecution:
        """Stop every running step, and wait for the proof."""
        wait_seconds = min(max(request.wait_ms, 0) / 1000, MAX_WAIT_SECONDS)
        return await self._shown(await self._engine.cancel(request.id, wait_seconds))

    async def GetStepResult(self, request: pb.GetStepResultRequest, context: Any) -> AsyncIterator[pb.StepResultChunk]:
        """A step's whole result."""
        execution = await self._executions.get(request.execution_id)
        state = execution.steps.get(request.step)
        if state is None or not state.result_bytes:
            raise NotFound(f"step {request.step[:64]!r} has no result", resource="step")
        if state.result_bytes < 0:
            raise Conflict("the results are too large together; ask for the runs' own")
        data = await self._result(execution, await self._engine.plan(execution.id), request.step)
        for start in range(0, len(data), RESULT_CHUNK):
            yield pb.StepResultChunk(data=data[start : start + RESULT_CHUNK])

    async def _result(self, execution: Execution, plan: Plan, step_id: str) -> bytes:
        return (await self._results(execution, plan, [step_id]))[step_id]

    async def _results(self, execution: Execution, plan: Plan, step_ids: Sequence[str]) -> dict[str, bytes]:
        places = {step_id: place for place, step_id in enumerate(execution.steps)}
        keys = {step_id: StepKey(execution.id, places[step_id]) for step_id in step_ids}
        found = await self._items.results_of({key: execution.steps[one].total for one, key in keys.items()})
        many = {step.id for step in plan.workflow.steps if step.many}
        return {one: b"[" + found[key] + b"]" if one in many else found[key] for one, key in keys.items()}

    async def _shown(self, execution: Execution) -> pb.WorkflowExecution:
        wanted: list[str] = []
        left = MAX_ALL_RESULTS
        for step_id, state in execution.steps.items():
            if 0 < state.result_bytes <= min(left, MAX_STEP_RESULT):
                wanted.append(step_id)
                left -= state.result_bytes
        plan = await self._engine.plan(execution.id)
        results = await self._results(execution, plan, wanted) if wanted else {}
        by_place = await self._items.chunks_of(execution.id)
        chunks = {step_id: by_place[place] for place, step_id in enumerate(execution.steps) if place in by_place}
        counts = {step_id: _count(own) for step_id, own in chunks.items()}
        return execution_to_proto(execution, plan, chunks, counts, results)

    async def _listed(self, execution: Execution) -> pb.WorkflowExecution:
        """Without results, and with the first runs of each step only."""
        chunks: dict[str, list[Chunk]] = {}
        counts: dict[str, Counts] = {}
        for place, (step_id, state) in enumerate(execution.steps.items()):
            key = StepKey(execution.id, place)
            if state.started_ms:
                chunks[step_id] = [await self._items.chunk(key, 0)]
            if state.status is StepStatus.RUNNING:
                counts[step_id] = await self._items.counts(key)
        shown = execution_to_proto(execution, await self._engine.plan(execution.id), chunks, counts, {})
        for step in shown.steps:
            step.result_bytes = 0  # nothing is left out that was asked for
        return shown


def _check_page(offset: int, limit: int, most: int) -> None:
    if not 0 <= offset <= 10**9 or not 0 < limit <= most:
        raise InvalidInput("the page is out of range", field="page")


def of_proto(definition: pb.WorkflowDefinition) -> Workflow:
    """The definition; what it means is checked elsewhere."""
    return Workflow(
        name=definition.name, description=definition.description, schedule=definition.schedule.strip(),
        misfire=definition.misfire or "once", overlap=definition.overlap or "skip",
        params=read_object(definition.params_json, "params"),
        steps=tuple(_step(step, f"steps[{index}]") for index, step in enumerate(definition.steps)),
    )  # fmt: skip


def _step(step: pb.WorkflowStep, place: str) -> Step:
    retry = step.retry if step.HasField("retry") else None
    return Step(
        id=step.id, task=step.task, task_type=step.task_type, params=read_object(step.params_json, f"{place}.params"),
        depends_on=tuple(dict.fromkeys(step.depends_on)), for_each=read_json(step.for_each_json, f"{place}.forEach"),
        max_parallel=step.max_parallel, when=read_json(step.when_json, f"{place}.when"),
        on_failure=step.on_failure or "fail",  # type: ignore[arg-type]  # checked with the rest
        retry=None if retry is None else Retry(
            retry.max_retries, retry.initial_ms or DEFAULT_RETRY_INITIAL_MS, retry.factor or DEFAULT_RETRY_FACTOR,
            retry.max_ms or DEFAULT_RETRY_MAX_MS,
        ),
        timeout_ms=step.timeout_ms, priority=PRIORITY_NAMES.get(step.priority, ""),
    )  # fmt: skip


def to_proto(workflow: Workflow) -> pb.Workflow:
    """The workflow on the wire."""
    definition = pb.WorkflowDefinition(
        name=workflow.name, description=workflow.description, schedule=workflow.schedule, misfire=workflow.misfire,
        overlap=workflow.overlap, params_json=orjson.dumps(workflow.params), steps=map(_step_to_proto, workflow.steps),
    )  # fmt: skip
    return pb.Workflow(
        definition=definition, version=workflow.version, created_ms=workflow.created_ms,
        updated_ms=workflow.updated_ms, next_fire_ms=next_fire_ms(workflow) if workflow.schedule else 0,
    )  # fmt: skip


def _step_to_proto(step: Step) -> pb.WorkflowStep:
    shown = pb.WorkflowStep(
        id=step.id, task=step.task, task_type=step.task_type, params_json=orjson.dumps(step.params),
        depends_on=step.depends_on, max_parallel=step.max_parallel, on_failure=step.on_failure,
        timeout_ms=step.timeout_ms, priority=PRIORITY_NUMBERS.get(step.priority, runs_pb2.PRIORITY_UNSPECIFIED),
        for_each_json=b"" if step.for_each is None else orjson.dumps(step.for_each),
        when_json=b"" if step.when is None else orjson.dumps(step.when),
    )  # fmt: skip
    if (retry := step.retry) is not None:
        shown.retry.CopyFrom(runs_pb2.RetryPolicy(
            max_retries=retry.max_retries, initial_ms=retry.initial_ms, factor=retry.factor, max_ms=retry.max_ms
        ))  # fmt: skip
    return shown


def execution_to_proto(
    execution: Execution, plan: Plan, chunks: Mapping[str, Sequence[Chunk]], counts: Mapping[str, Counts],
    results: Mapping[str, bytes],
) -> pb.WorkflowExecution:  # fmt: skip
    """The execution on the wire. By step id: `chunks` whose runs are shown, `counts` of running steps, `results`."""
    steps = []
    for step_id, state in execution.steps.items():
        live = state.status is StepStatus.RUNNING
        count = counts.get(step_id, Counts()) if live else state.counts
        steps.append(
            pb.WorkflowStepState(
                id=step_id, status=state.status.value, started_ms=state.started_ms, completed_ms=state.completed_ms,
                run_ids=[run_id for chunk in chunks.get(step_id, ()) for run_id in chunk.run_ids if run_id],
                result_json=results.get(step_id, b""), result_bytes=state.result_bytes, error=state.error,
                many=plan.workflow.step(step_id).many, total=state.total, completed=count.completed,
                failed=count.failed, cancelled=count.cancelled,
            )
        )  # fmt: skip
    return pb.WorkflowExecution(
        id=execution.id, workflow=execution.workflow, version=execution.version, status=execution.status.value,
        started_ms=execution.started_ms, completed_ms=execution.completed_ms, steps=steps,
        cancel_requested_ms=execution.cancel_ms, error=execution.error, params_json=orjson.dumps(plan.params),
    )  # fmt: skip


def _count(chunks: Sequence[Chunk]) -> Counts:
    states = "".join(chunk.states for chunk in chunks)
    return Counts(len(states), states.count("c"), states.count("f"), states.count("x"))
