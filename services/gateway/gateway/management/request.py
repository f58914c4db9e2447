"""What clients of the task management contract send. Owns: fields, limits, and the same list by body or query. Pure."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl

import orjson
from chassis.errors import InvalidInput
from trawl.scheduler.v1 import runs_pb2, tasks_pb2
from wire.subjects import DEFAULT_PRIORITY, is_queue_name

from gateway.bodies import read_object
from gateway.checks import Fields, QueryFields, check_text, invalid
from gateway.exchange import Answer, Call
from gateway.management.translate import CONTRACT, PRIORITIES

Json = Any
MAX_NAME = 200
MAX_LISTED = 10_000
MAX_TIMEOUT_MS = 604_800_000
MAX_RETRIES = 100
MAX_COMMAND = 65_536
MAX_JSON_BYTES = 1024 * 1024
NEEDS_COMMAND = frozenset({"python", "shell", "http"})
MISFIRES = ("skip", "once", "all")
OVERLAPS = ("allow", "skip", "queue")


def query_of(call: Call) -> QueryFields:
    """The query's fields. Raises `InvalidInput` when there are too many."""
    return QueryFields(call.query)


def task_name_of(call: Call) -> str:
    """The task's name in the path."""
    name = check_text("taskName", call.path_params["task_name"], MAX_NAME, one_line=True)
    if not name.strip():
        raise invalid("taskName", "required", "不能为空", name)
    return name


async def listed(call: Call, name: str) -> list[str]:
    """The strings under `name` in the body, or else in the query: repeated, or with commas between."""
    body = await call.body()
    if body.strip():
        value = (await read_object(call)).get(name)
        if value is not None:
            return _checked(name, value)
    values = _query_list(call, name)
    if not values:
        raise invalid(name, "required", "是必填项")
    return _checked(name, values)


def _query_list(call: Call, name: str) -> list[str]:
    raw: bytes = call.scope["query_string"]
    try:
        pairs = parse_qsl(raw.decode("utf-8", "replace"), max_num_fields=MAX_LISTED + 10)
    except ValueError as error:
        raise _too_many(name, MAX_LISTED + 1) from error
    return [part for key, text in pairs if key in (name, f"{name}[]") for part in text.split(",") if part]


def _checked(name: str, value: Json) -> list[str]:
    if not isinstance(value, list):
        raise invalid(name, "array", "必须是数组", value)
    if len(value) > MAX_LISTED:
        raise _too_many(name, len(value))
    for index, entry in enumerate(value):
        check_text(f"{name}[{index}]", entry, MAX_NAME)
    return list(dict.fromkeys(value))


def _too_many(name: str, count: int) -> InvalidInput:
    return invalid(name, "max_items", f"最多{MAX_LISTED}项", count)


def start_of(task_name: str, raw: dict[str, Json]) -> runs_pb2.StartRun:
    """The start that an execute request asks for. Raises `InvalidInput`."""
    fields = Fields(raw)
    start = runs_pb2.StartRun(
        task_name=task_name,
        contract=CONTRACT,
        timeout_ms=fields.integer("timeoutMs", 1, MAX_TIMEOUT_MS, 0),
        ignore_dependencies=fields.flag("ignoreDependencies"),
    )
    if params := fields.mapping("params"):
        start.parameters_json = orjson.dumps(params)
    if fields.given("priority"):
        start.priority = PRIORITIES[fields.choice("priority", PRIORITIES, DEFAULT_PRIORITY)]
    return start


def new_task(raw: dict[str, Json]) -> tasks_pb2.Task:
    """The task that `POST /tasks` describes. Raises `InvalidInput`."""
    fields = Fields(raw)
    for name in ("taskName", "taskType"):
        if not str(fields.require(name)).strip():
            raise invalid(name, "required", "不能为空", raw[name])
    task_type = _queue_name(fields, "taskType", "")
    executor = _queue_name(fields, "executor", task_type)
    params = fields.mapping("params")
    command, arguments = _command(fields, params) if executor in NEEDS_COMMAND else ("", None)
    metadata: dict[str, Json] = {"params": params}
    if retry := fields.mapping("retry"):
        metadata["retry"] = retry
    task = tasks_pb2.Task(
        name=fields.text("taskName", MAX_NAME, one_line=True),
        description=fields.text("description", 10_000),
        task_type=task_type,
        executor=executor,
        command=command,
        arguments=arguments or (),
        has_arguments=arguments is not None,
        schedule=fields.text("schedule", 256, one_line=True).strip(),
        priority=PRIORITIES[fields.choice("priority", PRIORITIES, DEFAULT_PRIORITY)],
        retry_count=fields.integer("retries", 0, MAX_RETRIES, 3),
        timeout_seconds=-(-fields.integer("timeoutMs", 1, MAX_TIMEOUT_MS, 3_600_000) // 1000),
        dependencies=fields.texts("dependsOn", items=100, limit=MAX_NAME, integers=True),
        tags=fields.texts("tags", items=100, limit=100),
        metadata_json=orjson.dumps(metadata),
        contract=CONTRACT,
    )
    if len(task.metadata_json) > MAX_JSON_BYTES:
        raise invalid("params", "max_size", f"不能超过{MAX_JSON_BYTES}字节", len(task.metadata_json))
    return task


def _command(fields: Fields, params: dict[str, Json]) -> tuple[str, Sequence[str] | None]:
    """`command` and `arguments` of the body, or else those of its params."""
    source = fields if fields.given("command") else Fields(params)
    prefix = "" if source is fields else "params."
    try:
        command = source.text("command", MAX_COMMAND)
        arguments = source.texts("arguments", items=1_000, limit=MAX_COMMAND) if source.given("arguments") else None
    except InvalidInput as error:
        error.field = f"{prefix}{error.field}"
        raise
    if not command.strip():
        raise invalid("command", "required", "是必填项")
    return command, arguments


def _queue_name(fields: Fields, name: str, default: str) -> str:
    text = fields.text(name, 64, default)
    if not is_queue_name(text):
        raise invalid(name, "pattern", "只能包含字母、数字、_和-", text)
    return text


def changed_schedule(raw: dict[str, Json], metadata: dict[str, Json]) -> tuple[tasks_pb2.Task, list[str]]:
    """A schedule's change, and which members of the task it gives; `metadata` is the task's own."""
    fields = Fields(raw)
    task = tasks_pb2.Task()
    members: list[str] = []
    if "schedule" in raw:
        task.schedule = fields.text("schedule", 256, one_line=True).strip()
        members.append("schedule")
    if fields.given("enabled"):
        task.status = "active" if fields.flag("enabled") else "paused"
        members.append("status")
    policy = {
        name: fields.choice(name, allowed, "")
        for name, allowed in (("misfire", MISFIRES), ("overlap", OVERLAPS))
        if fields.given(name)
    }
    if policy:
        task.metadata_json = orjson.dumps({**metadata, **policy})
        members.append("metadata_json")
    if not members:
        raise invalid("schedule", "required", "schedule、enabled、misfire、overlap 至少需要一项")
    return task, members


def with_total(items: Sequence[Json], total: int, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Answer:
    """A part of a list, with the length of the whole in `X-Total-Count`."""
    return Answer(orjson.dumps(items), 200, ((b"x-total-count", str(total).encode()), *headers))
