"""Between the scheduler's workflows and their JSON. Owns: the fields' names, types and defaults on both ways. Pure;
what a definition means is checked by the scheduler.
"""

from collections.abc import Mapping
from typing import Any

import orjson
from chassis.errors import InvalidInput
from trawl.scheduler.v1 import runs_pb2
from trawl.scheduler.v1 import workflows_pb2 as pb

from gateway.checks import Fields, invalid, refuse_unknown
from gateway.management.execution_id import execution_id
from gateway.times import iso_seconds

Json = Any
PRIORITIES = {
    "low": runs_pb2.PRIORITY_LOW,
    "normal": runs_pb2.PRIORITY_NORMAL,
    "high": runs_pb2.PRIORITY_HIGH,
    "critical": runs_pb2.PRIORITY_CRITICAL,
}
_PRIORITY_WORDS = {number: word for word, number in PRIORITIES.items()}
MAX_STEPS = 200
MAX_ITEMS = 10_000
MAX_TIMEOUT_MS = 604_800_000
MAX_RETRIES = 100
# What a retry takes that says no more than how often.
RETRY_INITIAL_MS, RETRY_FACTOR, RETRY_MAX_MS = 2_000, 2.0, 300_000
DEFINITION = ("name", "description", "schedule", "misfire", "overlap", "params", "steps")
# What is shown may be sent back, and changes nothing.
SHOWN_ONLY = ("version", "createdAt", "updatedAt", "nextRunAt")
STEP = (
    "id", "task", "taskType", "params", "dependsOn", "forEach", "maxParallel", "when", "onFailure", "retry",
    "timeoutMs", "priority",
)  # fmt: skip
RETRY = ("count", "initialMs", "factor", "maxMs")
STATUSES = ("running", "completed", "failed", "cancelled")


def definition_of(raw: dict[str, Json], name: str | None = None) -> pb.WorkflowDefinition:
    """The definition that a body holds; `name` is the path's, which a body may repeat. Raises `InvalidInput`."""
    refuse_unknown(raw, (*DEFINITION, *SHOWN_ONLY))
    fields = Fields(raw)
    given = fields.text("name", 100, one_line=True) if name is None or fields.given("name") else name
    if not given.strip():
        raise invalid("name", "required", "是必填项")
    if name is not None and given != name:
        raise invalid("name", "immutable", "与路径中的名称不一致", given)
    steps = fields.require("steps")
    if not isinstance(steps, list):
        raise invalid("steps", "array", "必须是数组", steps)
    if len(steps) > MAX_STEPS:
        raise invalid("steps", "max_items", f"最多{MAX_STEPS}项", len(steps))
    return pb.WorkflowDefinition(
        name=given,
        description=fields.text("description", 10_000),
        schedule=fields.text("schedule", 256, one_line=True).strip(),
        misfire=fields.choice("misfire", ("once", "skip"), "once"),
        overlap=fields.choice("overlap", ("skip", "allow"), "skip"),
        params_json=orjson.dumps(fields.mapping("params")),
        steps=[_step(step, index) for index, step in enumerate(steps)],
    )


def _step(raw: Json, index: int) -> pb.WorkflowStep:
    place = f"steps[{index}]"
    if not isinstance(raw, dict):
        raise invalid(place, "object", "必须是对象", raw)
    try:
        return _read_step(raw, place)
    except InvalidInput as error:
        step = str(raw.get("id"))[:64]
        message = f"{error.message} (步骤 {step!r})"
        raise InvalidInput(message, field=error.field, **{**error.details, "step": step}) from error


def _read_step(raw: dict[str, Json], place: str) -> pb.WorkflowStep:
    refuse_unknown(raw, STEP, f"{place}.")
    fields = Fields({f"{place}.{key}": value for key, value in raw.items()})

    def name(key: str) -> str:
        return f"{place}.{key}"

    fields.require(name("id"))
    priority = fields.choice(name("priority"), PRIORITIES, "")
    step = pb.WorkflowStep(
        id=fields.text(name("id"), 64, one_line=True),
        task=_task(fields, name("task")),
        task_type=fields.text(name("taskType"), 64, one_line=True),
        params_json=orjson.dumps(fields.mapping(name("params"))),
        depends_on=fields.texts(name("dependsOn"), items=MAX_STEPS, limit=64),
        max_parallel=fields.integer(name("maxParallel"), 1, MAX_ITEMS, 0),
        on_failure=fields.choice(name("onFailure"), ("fail", "continue"), "fail"),
        timeout_ms=fields.integer(name("timeoutMs"), 1, MAX_TIMEOUT_MS, 0),
        priority=PRIORITIES[priority] if priority else runs_pb2.PRIORITY_UNSPECIFIED,
    )
    step.for_each_json = _template(fields, name("forEach"), list, "必须是模板或数组")
    step.when_json = _template(fields, name("when"), bool, "必须是模板或布尔值")
    if fields.given(name("retry")):
        step.retry.CopyFrom(_retry(fields.raw[name("retry")], name("retry")))
    return step


def _task(fields: Fields, name: str) -> str:
    value = fields.raw.get(name)
    if type(value) is int:
        return str(value)
    return fields.text(name, 200, one_line=True)


def _template(fields: Fields, name: str, kind: type, message: str) -> bytes:
    value = fields.raw.get(name)
    if value is None:
        return b""
    if not isinstance(value, str | kind):
        raise invalid(name, "type", message, value)
    return orjson.dumps(value)


def _retry(value: Json, name: str) -> runs_pb2.RetryPolicy:
    """A number of retries, or an object that also says when they come."""
    raw: Mapping[str, Json] = {"count": value} if type(value) is int else value
    if not isinstance(raw, dict):
        raise invalid(name, "type", "必须是整数或对象", value)
    refuse_unknown(raw, RETRY, f"{name}.")
    fields = Fields({f"{name}.{key}": inner for key, inner in raw.items()})
    factor = raw.get("factor")
    if factor is not None and (
        isinstance(factor, bool) or not isinstance(factor, int | float) or not 1 <= factor <= 100
    ):
        raise invalid(f"{name}.factor", "range", "必须是1到100的数字", factor)
    return runs_pb2.RetryPolicy(
        max_retries=fields.integer(f"{name}.count", 0, MAX_RETRIES, 0),
        initial_ms=fields.integer(f"{name}.initialMs", 1, 86_400_000, RETRY_INITIAL_MS),
        factor=RETRY_FACTOR if factor is None else factor,
        max_ms=fields.integer(f"{name}.maxMs", 1, MAX_TIMEOUT_MS, RETRY_MAX_MS),
    )


def workflow_json(workflow: pb.Workflow) -> dict[str, Json]:
    """A workflow: its definition and version."""
    definition = workflow.definition
    return {
        "name": definition.name,
        "description": definition.description,
        "schedule": definition.schedule or None,
        "misfire": definition.misfire,
        "overlap": definition.overlap,
        "params": orjson.Fragment(definition.params_json),
        "steps": [_step_json(step) for step in definition.steps],
        "version": workflow.version,
        "createdAt": iso_seconds(workflow.created_ms),
        "updatedAt": iso_seconds(workflow.updated_ms),
        "nextRunAt": iso_seconds(workflow.next_fire_ms),
    }


def _step_json(step: pb.WorkflowStep) -> dict[str, Json]:
    what = {"taskType": step.task_type} if step.task_type else {"task": step.task}
    return {
        "id": step.id,
        **what,
        "params": orjson.Fragment(step.params_json),
        "dependsOn": list(step.depends_on),
        "forEach": orjson.Fragment(step.for_each_json) if step.for_each_json else None,
        "maxParallel": step.max_parallel or None,
        "when": orjson.Fragment(step.when_json) if step.when_json else None,
        "onFailure": step.on_failure,
        "retry": _retry_json(step.retry) if step.HasField("retry") else None,
        "timeoutMs": step.timeout_ms or None,
        "priority": _PRIORITY_WORDS.get(step.priority),
    }


def _retry_json(retry: runs_pb2.RetryPolicy) -> Json:
    if (retry.initial_ms, retry.factor, retry.max_ms) == (RETRY_INITIAL_MS, RETRY_FACTOR, RETRY_MAX_MS):
        return retry.max_retries
    return {
        "count": retry.max_retries,
        "initialMs": retry.initial_ms,
        "factor": retry.factor,
        "maxMs": retry.max_ms,
    }


def started_json(execution: pb.WorkflowExecution) -> dict[str, Json]:
    """An execution that was just asked for."""
    return {
        "executionId": execution.id,
        "workflow": execution.workflow,
        "status": execution.status,
        "startedAt": iso_seconds(execution.started_ms),
    }


def execution_json(execution: pb.WorkflowExecution) -> dict[str, Json]:
    """An execution with its steps."""
    return {
        "executionId": execution.id,
        "workflow": execution.workflow,
        "version": execution.version,
        "status": execution.status,
        "startedAt": iso_seconds(execution.started_ms),
        "completedAt": iso_seconds(execution.completed_ms),
        "params": orjson.Fragment(execution.params_json) if execution.params_json else None,
        "error": execution.error or None,
        "cancelRequestedAt": iso_seconds(execution.cancel_requested_ms),
        "steps": [_state_json(state) for state in execution.steps],
    }


def _state_json(state: pb.WorkflowStepState) -> dict[str, Json]:
    shown: dict[str, Json] = {
        "id": state.id,
        "status": state.status,
        "startedAt": iso_seconds(state.started_ms),
        "completedAt": iso_seconds(state.completed_ms),
        "runIds": list(map(execution_id, state.run_ids)),
        "result": orjson.Fragment(state.result_json) if state.result_json else None,
        "error": state.error or None,
    }
    if state.many:
        shown["items"] = {
            "total": state.total,
            "completed": state.completed,
            "failed": state.failed,
            "cancelled": state.cancelled,
        }
    if state.result_bytes and not state.result_json:
        shown["resultOmitted"] = "too_large" if state.result_bytes < 0 else f"{state.result_bytes} bytes"
    return shown
