"""A task as a client describes it. Owns: the limits of each field of create, update and trigger. Pure."""

from typing import Any

import orjson
from trawl.scheduler.v1 import runs_pb2, tasks_pb2
from wire.subjects import DEFAULT_PRIORITY, is_queue_name

from gateway.checks import Fields, invalid
from gateway.native.translate import PRIORITIES

Json = Any
MAX_RETRIES = 100
MAX_TIMEOUT_SECONDS = 604_800
MAX_COMMAND = 65_536
MAX_JSON_BYTES = 1024 * 1024
# These do nothing without a command; the others take theirs from `metadata.params`.
NEEDS_COMMAND = frozenset({"python", "shell", "http"})

# Fields that a null empties; a null in any other leaves it as it is.
_CLEARABLE = frozenset({"description", "schedule", "arguments", "dependencies", "tags", "metadata"})
TASK_FIELDS = (
    "name", "description", "task_type", "executor", "command", "arguments", "schedule", "priority", "retry_count",
    "timeout_seconds", "dependencies", "tags", "metadata",
)  # fmt: skip
# What a task is shown with may be sent back; what can't be changed stays as it is.
SHOWN_FIELDS = (*TASK_FIELDS, "status", "id", "created_at", "updated_at", "last_run_at", "next_run_at", "statistics")
TRIGGER_FIELDS = ("parameters", "priority", "timeout_seconds", "ignore_dependencies")
STATUSES = ("active", "paused")
_MESSAGE_FIELDS = {"metadata": "metadata_json"}


def new_task(raw: dict[str, Json]) -> tasks_pb2.Task:
    """The task of a create request. Raises `InvalidInput`."""
    fields = Fields(raw)
    for name in ("name", "task_type", "executor", "command"):
        fields.require(name)
    task = _read(fields)
    for name in ("name", "task_type", "executor"):
        _require_text(task, name)
    if task.executor in NEEDS_COMMAND:
        _require_text(task, "command")
    return task


def changed_task(raw: dict[str, Json]) -> tuple[tasks_pb2.Task, list[str]]:
    """The task of an update request, and which of its members were given. Raises `InvalidInput`."""
    fields = Fields(raw)
    task = _read(fields)
    given = [name for name in TASK_FIELDS if fields.given(name) or (name in raw and name in _CLEARABLE)]
    for name in ("name", "task_type", "executor"):
        if name in given:
            _require_text(task, name)
    members = [_MESSAGE_FIELDS.get(name, name) for name in given]
    if fields.given("status"):
        task.status = fields.choice("status", STATUSES, "")
        members.append("status")
    return task, members


def _read(fields: Fields) -> tasks_pb2.Task:
    return tasks_pb2.Task(
        name=fields.text("name", 200, one_line=True),
        description=fields.text("description", 10_000),
        task_type=_queue_name(fields, "task_type"),
        executor=_queue_name(fields, "executor"),
        command=fields.text("command", MAX_COMMAND),
        arguments=fields.texts("arguments", items=1_000, limit=MAX_COMMAND),
        has_arguments=fields.given("arguments"),
        schedule=fields.text("schedule", 256, one_line=True).strip(),
        priority=PRIORITIES[fields.choice("priority", PRIORITIES, DEFAULT_PRIORITY)],
        retry_count=fields.integer("retry_count", 0, MAX_RETRIES, 3),
        timeout_seconds=fields.integer("timeout_seconds", 1, MAX_TIMEOUT_SECONDS, 3_600),
        dependencies=fields.texts("dependencies", items=100, limit=200, integers=True),
        tags=fields.texts("tags", items=100, limit=100),
        metadata_json=_small_json(fields, "metadata"),
        contract="scheduler",
    )


def _queue_name(fields: Fields, name: str) -> str:
    text = fields.text(name, 64)
    if text and not is_queue_name(text):
        raise invalid(name, "pattern", "只能包含字母、数字、_和-", text)
    return text


def _require_text(task: tasks_pb2.Task, name: str) -> None:
    value = getattr(task, name)
    if not value.strip():
        raise invalid(name, "required", "不能为空", value)


def _small_json(fields: Fields, name: str) -> bytes:
    data = orjson.dumps(fields.mapping(name))
    if len(data) > MAX_JSON_BYTES:
        raise invalid(name, "max_size", f"不能超过{MAX_JSON_BYTES}字节", len(data))
    return data


def start_of(task_id: int, raw: dict[str, Json]) -> runs_pb2.StartRun:
    """The start that a trigger's body asks for. Raises `InvalidInput`."""
    start = runs_pb2.StartRun(task_id=task_id, contract="scheduler")
    if not raw:
        return start
    fields = Fields(raw)
    if parameters := fields.mapping("parameters"):
        start.parameters_json = orjson.dumps(parameters)
    if fields.given("priority"):
        start.priority = PRIORITIES[fields.choice("priority", PRIORITIES, DEFAULT_PRIORITY)]
    start.timeout_ms = fields.integer("timeout_seconds", 1, MAX_TIMEOUT_SECONDS, 0) * 1000
    start.ignore_dependencies = fields.flag("ignore_dependencies")
    return start
