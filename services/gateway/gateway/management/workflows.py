"""Workflows of the task management contract. Owns: their endpoints. Must not know how executions go."""

import hashlib
import uuid
from collections.abc import AsyncIterator
from typing import Any

import orjson
from chassis.errors import InvalidInput, NotFound
from trawl.scheduler.v1 import tasks_pb2
from trawl.scheduler.v1 import workflows_pb2 as pb

from gateway.access import Role
from gateway.backend import Backend
from gateway.bodies import read_object
from gateway.checks import Fields, QueryFields
from gateway.commands import NEEDS_KEY, require_operator
from gateway.definitions import BY_PARAMETERS, check_definition
from gateway.exchange import Answer, Call
from gateway.management.command_keys import check_execution, check_steps
from gateway.management.workflow_json import STATUSES, definition_of, execution_json, started_json, workflow_json
from gateway.masking import Veil, holds_hidden, restored, sees_secrets, veil_of
from gateway.redis_idempotency import HEADER, operation_id
from gateway.routing import Doc, Endpoint
from gateway.walks import HEADER_QUERY, Walks

Json = Any
TAG = "workflows"
NAMESPACE = uuid.UUID("0d5e1d0a-3a53-4c52-9a3b-6d2f7b1f9c11")
CANCEL_WAIT_MS = 10_000
RESULT_SECONDS = 30.0
MAX_OFFSET = 1_000_000
_TIME = "2025-11-25T11:05:00Z"
_ID = "550e8400-e29b-41d4-a716-446655440000"
_STEPS = [
    {"id": "list", "task": "shop-list", "params": {"q": "{{params.keyword}}"}},
    {"id": "detail", "task": "shop-detail", "dependsOn": ["list"], "forEach": "{{steps.list.result.items}}",
     "params": {"url": "{{item.url}}"}, "maxParallel": 8},
    {"id": "report", "taskType": "shell", "dependsOn": ["detail"], "when": "{{steps.detail.completed > 0}}",
     "params": {"command": "echo {{steps.detail.completed}}"}, "onFailure": "continue"},
]  # fmt: skip
_DEFINITION = {
    "name": "daily-catalogue", "description": "", "schedule": "0 6 * * *", "params": {"keyword": "lamp"},
    "steps": _STEPS,
}  # fmt: skip
_WORKFLOW = {**_DEFINITION, "version": 1, "createdAt": _TIME, "updatedAt": _TIME, "nextRunAt": _TIME}
_STARTED = {"executionId": _ID, "workflow": "daily-catalogue", "status": "running", "startedAt": _TIME}
_STEP_STATE: Json = {"id": "list", "status": "completed", "startedAt": _TIME, "completedAt": _TIME, "runIds": [_ID],
               "result": {}, "error": None}  # fmt: skip
_EXECUTION: Json = {**_STARTED, "version": 1, "completedAt": None, "params": {}, "error": None,
              "cancelRequestedAt": None, "steps": [_STEP_STATE]}  # fmt: skip
_PAGE = [("limit", "integer", "1 – 1000"), ("offset", "integer", "")]
_EXECUTION_PAGE = [("workflow", "string", "工作流名称"), ("status", "string", ", ".join(STATUSES)),
                   ("limit", "integer", "1 – 100"), ("offset", "integer", ""), HEADER_QUERY]  # fmt: skip


class WorkflowRoutes:
    """Handlers of `/workflows`."""

    def __init__(self, backend: Backend, walks: Walks) -> None:
        self._backend, self._walks = backend, walks

    async def create(self, call: Call) -> Answer:
        """Store a new workflow."""
        definition = definition_of(await read_object(call))
        await check_steps(call, self._backend, definition.steps)
        await self._check(definition)
        created = await self._ask("CreateWorkflow", pb.CreateWorkflowRequest(definition=definition))
        return Answer.json(_seen(call, created), 201)

    async def _check(self, definition: pb.WorkflowDefinition) -> None:
        """Raise `InvalidInput` for a step whose parameters no run could use; templates may still fill in others."""
        for index, step in enumerate(definition.steps):
            if step.task_type not in BY_PARAMETERS or b"{{" in step.params_json:
                continue
            task = tasks_pb2.Task(executor=step.task_type)
            task.metadata_json = b'{"params":' + step.params_json + b"}"
            try:
                await check_definition(self._backend, task, f"steps[{index}].params")
            except InvalidInput as error:
                raise error.with_details(step=step.id) from error

    async def list_workflows(self, call: Call) -> Answer:
        """Workflows by name."""
        query = QueryFields(call.query)
        request = pb.ListWorkflowsRequest(
            offset=query.integer("offset", 0, MAX_OFFSET, 0), limit=query.integer("limit", 1, 1_000, 100)
        )
        answer = await self._ask("ListWorkflows", request)
        return Answer.json([_seen(call, workflow) for workflow in answer.workflows])

    async def detail(self, call: Call) -> Answer:
        """One workflow."""
        return Answer.json(_seen(call, await self._get(_name(call))))

    async def _get(self, name: str) -> pb.Workflow:
        workflow: pb.Workflow = await self._ask("GetWorkflow", pb.GetWorkflowRequest(name=name))
        return workflow

    async def update(self, call: Call) -> Answer:
        """Another definition under the same name; executions under way keep theirs."""
        raw, name = await read_object(call), _name(call)
        if holds_hidden(raw):
            raw = await self._unhidden(call, raw, name)
        definition = definition_of(raw, name)
        await check_steps(call, self._backend, definition.steps)
        await self._check(definition)
        updated = await self._ask("UpdateWorkflow", pb.UpdateWorkflowRequest(definition=definition))
        return Answer.json(_seen(call, updated))

    async def _unhidden(self, call: Call, raw: dict[str, Json], name: str) -> dict[str, Json]:
        """What was sent, with the workflow's own values in place of `***`. Whoever may not see them may not send them
        elsewhere in a changed definition either.
        """
        kept = orjson.loads(orjson.dumps(workflow_json(await self._get(name))))
        found: dict[str, Json] = restored(raw, kept)
        if found != raw:
            require_operator(call)
        return found

    async def delete(self, call: Call) -> Answer:
        """Delete a workflow; its executions stay."""
        name = _name(call)
        await self._ask("DeleteWorkflow", pb.DeleteWorkflowRequest(name=name))
        return Answer.json({"name": name, "deleted": True})

    async def execute(self, call: Call) -> Answer:
        """Start an execution."""
        fields = Fields(await read_object(call, optional=True))
        params = fields.mapping("params")
        await check_execution(call, self._backend, _name(call), params)
        request = pb.ExecuteWorkflowRequest(name=_name(call), params_json=orjson.dumps(params))
        if HEADER in call.headers:
            # Should the answer get lost on its way here, the repeat finds the execution that this one started.
            body = hashlib.sha256(await call.body()).hexdigest()
            request.execution_id = str(uuid.uuid5(NAMESPACE, f"{operation_id(call)}:{body}"))
        return Answer.json(started_json(await self._ask("ExecuteWorkflow", request)))

    async def list_executions(self, call: Call) -> Answer:
        """Executions, newest first, without their results."""
        query = QueryFields(call.query)
        request = pb.ListExecutionsRequest(
            workflow=query.text("workflow", 100), status=query.choice("status", STATUSES),
            offset=query.integer("offset", 0, MAX_OFFSET, 0), limit=query.integer("limit", 1, 100, 20),
        )  # fmt: skip
        self._walks.enter(request, query.raw)
        answer = await self._ask("ListExecutions", request)
        shown = [_seen_execution(call, execution) for execution in answer.executions]
        return Answer(orjson.dumps(shown), headers=self._walks.header(request, answer))

    async def execution(self, call: Call) -> Answer:
        """One execution with its steps."""
        request = pb.GetExecutionRequest(id=_execution_id(call))
        execution = await self._ask("GetExecution", request)
        return Answer.json(_seen_execution(call, execution, await self._definition(call, execution)))

    async def _definition(self, call: Call, execution: pb.WorkflowExecution) -> Json:
        """What the execution's steps may repeat: the workflow as it is now, where that makes a difference."""
        if sees_secrets(call):
            return None
        try:
            return workflow_json(await self._get(execution.workflow))
        except NotFound:
            return None

    async def cancel(self, call: Call) -> Answer:
        """Stop every running step, and wait a little for the proof."""
        request = pb.CancelExecutionRequest(id=_execution_id(call), wait_ms=CANCEL_WAIT_MS)
        execution = await self._ask("CancelExecution", request, CANCEL_WAIT_MS / 1000)
        return Answer.json(_seen_execution(call, execution, await self._definition(call, execution)))

    async def step_result(self, call: Call) -> Answer:
        """A step's whole result, however large."""
        request = pb.GetStepResultRequest(execution_id=_execution_id(call), step=call.path_params["step"][:64])
        chunks: AsyncIterator[pb.StepResultChunk] = self._backend.scheduler.stream(
            self._backend.workflows.GetStepResult, request, timeout=RESULT_SECONDS
        )
        result = orjson.Fragment(b"".join([chunk.data async for chunk in chunks]))
        if not sees_secrets(call):
            execution = await self._ask("GetExecution", pb.GetExecutionRequest(id=request.execution_id))
            result = _veil(call, execution, await self._definition(call, execution)).data(result)
        return Answer.json(result)

    async def _ask(self, method: str, request: Any, extra_seconds: float = 0) -> Any:
        return await self._backend.run(getattr(self._backend.workflows, method), request, extra_seconds=extra_seconds)

    def endpoints(self) -> list[Endpoint]:
        """All of them; those with a fixed path before those with a name in it."""
        one, executions = "/workflows/{name}", "/workflows/executions"
        return [
            Endpoint("GET", executions, self.list_executions,
                     Doc("列出工作流执行", TAG, answer=[_EXECUTION], query=_EXECUTION_PAGE, errors=(400, 422)),
                     Role.VIEWER),
            Endpoint("GET", executions + "/{execution_id}", self.execution,
                     Doc("查询工作流执行", TAG, answer=_EXECUTION, errors=(404,)), Role.VIEWER),
            Endpoint("POST", executions + "/{execution_id}/cancel", self.cancel,
                     Doc("取消工作流执行", TAG, answer=_EXECUTION, errors=(404, 409)), Role.OPERATOR),
            Endpoint("GET", executions + "/{execution_id}/steps/{step}/result", self.step_result,
                     Doc("查询步骤的完整结果", TAG, answer=[], errors=(404, 409)), Role.VIEWER),
            Endpoint("POST", "/workflows", self.create,
                     Doc("创建工作流", TAG, body=_DEFINITION, answer=_WORKFLOW, status=201,
                         errors=(400, 401, 403, 409), description=NEEDS_KEY), Role.OPERATOR, starts_work=True),
            Endpoint("GET", "/workflows", self.list_workflows,
                     Doc("列出工作流", TAG, answer=[_WORKFLOW], query=_PAGE, errors=(400,)), Role.VIEWER),
            Endpoint("GET", one, self.detail, Doc("查询工作流", TAG, answer=_WORKFLOW, errors=(404,)), Role.VIEWER),
            Endpoint("PUT", one, self.update,
                     Doc("更新工作流", TAG, body=_DEFINITION, answer=_WORKFLOW,
                         errors=(400, 401, 403, 404, 409), description=NEEDS_KEY), Role.OPERATOR),
            Endpoint("DELETE", one, self.delete,
                     Doc("删除工作流", TAG, answer={"name": "daily-catalogue", "deleted": True}, errors=(404, 409)),
                     Role.OPERATOR),
            Endpoint("POST", one + "/execute", self.execute,
                     Doc("执行工作流", TAG, body={"params": {"keyword": "lamp"}}, body_required=False, answer=_STARTED,
                         errors=(400, 401, 403, 404)), Role.OPERATOR, starts_work=True),
        ]  # fmt: skip


def _seen(call: Call, workflow: pb.Workflow) -> dict[str, Json]:
    """The workflow, without its secrets for whoever may not see them."""
    shown = workflow_json(workflow)
    defining: dict[str, Json] = veil_of(call).definition({name: shown[name] for name in ("params", "steps")})
    return shown | defining


def _seen_execution(call: Call, execution: pb.WorkflowExecution, definition: Json = None) -> dict[str, Json]:
    return _veil(call, execution, definition).run(execution_json(execution), "params")


def _veil(call: Call, execution: pb.WorkflowExecution, definition: Json) -> Veil:
    return veil_of(call, None, orjson.loads(execution.params_json or b"{}"), definition)


def _name(call: Call) -> str:
    name = call.path_params["name"]
    if len(name) > 100:
        raise NotFound("工作流不存在", resource="workflow")
    return name


def _execution_id(call: Call) -> str:
    text = call.path_params["execution_id"]
    try:
        return str(uuid.UUID(text))
    except ValueError as error:
        raise NotFound("工作流执行不存在", resource="execution") from error
