"""Between the scheduler's runs and the SmartRPA contract's JSON. Owns: its status words, shapes and messages. Pure."""

import time
from typing import Any

import orjson
from chassis.errors import Conflict, InvalidInput, TrawlError
from trawl.scheduler.v1 import runs_pb2

from gateway.failures import ErrorShape, UnsupportedMedia
from gateway.times import iso_milliseconds

Json = Any
_STATUSES = {
    runs_pb2.RUN_STATUS_COMPLETED: "completed",
    runs_pb2.RUN_STATUS_FAILED: "error",
    runs_pb2.RUN_STATUS_ABORTED: "error",
}
CANCELLED = "任务已取消"
# The most that a run which has not ended may show.
MAX_LIVE_PERCENT = 99


def now_text() -> str | None:
    """Now, as the contract writes times."""
    return iso_milliseconds(int(time.time() * 1000))


def _error_body(error: TrawlError, _status: int, _request_id: str) -> Json:
    shown = {"status": "error", "message": error.message, "error": f"{error.kind}: {error.message}"}
    if error.field is not None:
        shown |= {"error": f"{error.field}: {error.message}", "field": error.field}
    return shown


# The original knows 400, 404 and 500; what it has no code for keeps the usual one.
SHAPE = ErrorShape(_error_body, {InvalidInput: 400, Conflict: 400, UnsupportedMedia: 400})


def accepted(task_id: str) -> dict[str, Json]:
    """The task was taken."""
    return {"status": "accepted", "taskId": task_id, "message": "任务已接受，开始处理"}


def finished(task_id: str, run: runs_pb2.Run) -> tuple[dict[str, Json], int]:
    """The answer for somebody who waited for the end, and its HTTP status."""
    status = _STATUSES[run.status]
    if status == "completed":
        return {
            "status": "success",
            "taskId": task_id,
            "message": "任务已完成",
            "result": _result(run),
            "timestamp": now_text(),
        }, 200
    return {
        "status": "error",
        "taskId": task_id,
        "message": CANCELLED if run.status == runs_pb2.RUN_STATUS_ABORTED else "任务执行失败",
        "error": run.error_message or run.error_code or CANCELLED,
        "timestamp": now_text(),
    }, 500


def status_json(task_id: str, run: runs_pb2.Run) -> dict[str, Json]:
    """A task's state."""
    status = _STATUSES.get(run.status, "running")
    shown = {
        "status": status,
        "taskId": task_id,
        "progress": percent(run),
        "startedAt": iso_milliseconds(run.started_ms or run.spec.created_ms),
        "timestamp": now_text(),
    }
    if status != "running":
        shown["completedAt"] = iso_milliseconds(run.completed_ms)
    if status == "completed":
        shown["result"] = _result(run)
    if status == "error":
        shown["message"] = CANCELLED if run.status == runs_pb2.RUN_STATUS_ABORTED else "任务执行失败"
        shown["error"] = run.error_message or shown["message"]
    return shown


def not_found(task_id: str) -> dict[str, Json]:
    """Nothing is known under the id."""
    return {
        "status": "not_found",
        "taskId": task_id,
        "progress": 0,
        "startedAt": None,
        "timestamp": now_text(),
        "message": "未找到指定任务",
    }


def heartbeat_json(task_id: str, run: runs_pb2.Run) -> dict[str, Json]:
    """A task's state, with when it last moved and what it does."""
    shown = status_json(task_id, run)
    shown["lastActivity"] = iso_milliseconds(run.updated_ms or run.started_ms or run.spec.created_ms)
    shown["currentStep"] = run.step or run.waiting_reason or None
    return shown


def running_json(run: runs_pb2.Run, now_ms: int) -> dict[str, Json]:
    """An entry of the list of tasks that have not ended."""
    began = run.started_ms or run.spec.created_ms
    return {
        "taskId": run.spec.external_id,
        "status": "running",
        "startTime": iso_milliseconds(began),
        "runningTime": max(0, now_ms - began),
    }


def ended_json(run: runs_pb2.Run) -> dict[str, Json]:
    """An entry of the list of tasks that have ended."""
    return {
        "taskId": run.spec.external_id,
        "status": _STATUSES[run.status],
        "completedAt": iso_milliseconds(run.completed_ms),
    }


def login_failed(run: runs_pb2.Run) -> dict[str, Json]:
    """The login's answer when it did not succeed."""
    cancelled = run.status == runs_pb2.RUN_STATUS_ABORTED
    return {
        "status": "error",
        "message": CANCELLED if cancelled else "登录失败",
        "error": run.error_message or run.error_code or CANCELLED,
        "taskId": run.spec.external_id,
    }


def percent(run: runs_pb2.Run) -> int:
    """Progress in whole percent; 100 only when completed."""
    if run.status == runs_pb2.RUN_STATUS_COMPLETED:
        return 100
    if run.progress_total <= 0:
        return 0
    return max(0, min(100 * run.progress_done // run.progress_total, MAX_LIVE_PERCENT))


def _result(run: runs_pb2.Run) -> Json:
    return orjson.Fragment(run.result_json) if run.result_json else {}
