"""A SmartRPA task as a client sends it. Owns: its fields' names, aliases and limits. Pure.

A login's own request is in `login.py`.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

import orjson
from trawl.scheduler.v1 import runs_pb2

from gateway.checks import Fields, check_text, invalid
from gateway.smartrpa.events import check_events

Json = Any
CONTRACT = "smartrpa"
MAX_MINUTES = 30
MAX_TASK_ID = 256
# Executors: steps in Chromium, and the steps that make sense without one.
BROWSER, WITHOUT_BROWSER = "rpa", "rpa_base"


@dataclass(frozen=True, slots=True)
class RpaTask:
    """A checked task. `body` is what was sent, with `taskId` and `task_name` under their documented names."""

    task_id: str
    task_name: str
    timeout_ms: int
    body: dict[str, Json]

    def start(self, executor: str = BROWSER) -> runs_pb2.StartRun:
        """The run to start: the same body under the same id is a repeat, another body a clash."""
        canonical = orjson.dumps(self.body, option=orjson.OPT_SORT_KEYS)
        digested = canonical if executor == BROWSER else executor.encode() + canonical
        return runs_pb2.StartRun(
            inline=runs_pb2.TaskDefinition(name=self.task_name, task_type=executor, executor=executor),
            retry_crashes_only=True,
            parameters_json=canonical,
            timeout_ms=self.timeout_ms,
            contract=CONTRACT,
            external_id=self.task_id,
            request_digest=hashlib.sha256(digested).hexdigest(),
        )


def parse_task(raw: dict[str, Json]) -> RpaTask:
    """The task. Raises `InvalidInput` that names the field."""
    fields = Fields(raw)
    task_name = task_name_of(raw)
    task_id = _task_id(raw)
    if (events := raw.get("sortedData")) is not None:
        check_events(events)
    check_row(raw.get("row"))
    for field in ("BASE_URL", "adsPowerId", "pacing"):
        fields.text(field, 8_192)
    minutes = minutes_of(raw.get("timeout"))
    body = {**raw, "taskId": task_id, "task_name": task_name}
    return RpaTask(task_id, task_name, int(minutes * 60_000), body)


def task_name_of(raw: dict[str, Json]) -> str:
    """The task's name, under either spelling. Raises `InvalidInput`."""
    name = _first(raw, "task_name", "taskName")
    if name is None or not str(name).strip():
        raise invalid("task_name", "required", "是必填项", name)
    return check_text("task_name", name, 200, one_line=True)


def text_id(name: str, value: Json) -> str:
    """A task's id: a string, or a number made one. Raises `InvalidInput`."""
    if type(value) is int:
        value = str(value)
    if value is None or value == "":
        raise invalid(name, "required", "是必填项", value)
    return check_text(name, value, MAX_TASK_ID, one_line=True)


def _task_id(raw: dict[str, Json]) -> str:
    value = raw.get("taskId")
    if value in (None, ""):
        row = raw.get("row")
        first = row[0] if isinstance(row, list) and row else row
        value = first.get("系统SKU") if isinstance(first, dict) else None
    return text_id("taskId", value)


def check_row(row: Json) -> None:
    """`row` is an object or a list of objects. Raises `InvalidInput`."""
    if row is None or isinstance(row, dict):
        return
    if not isinstance(row, list):
        raise invalid("row", "object", "必须是对象或对象数组", row)
    for index, entry in enumerate(row):
        if not isinstance(entry, dict):
            raise invalid(f"row[{index}]", "object", "必须是对象", entry)


def minutes_of(value: Json) -> float:
    """The time limit; what is over the maximum ends at the maximum, as the contract says of every task."""
    if value is None:
        return MAX_MINUTES
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise invalid("timeout", "number", "必须是数字（分钟）", value)
    if not value >= 1 / 60:
        raise invalid("timeout", "min", "必须大于0", value)
    return min(float(value), MAX_MINUTES)


def _first(raw: dict[str, Json], *names: str) -> Json:
    return next((raw[name] for name in names if raw.get(name) is not None), None)
