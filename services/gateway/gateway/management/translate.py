"""Between the services' messages and the task management contract's JSON. Owns: its names, shapes and words. Pure."""

from typing import Any

import orjson
from chassis.errors import InvalidInput, TrawlError
from trawl.scheduler.v1 import runs_pb2, tasks_pb2
from trawl.workerregistry.v1 import workers_pb2

from gateway.failures import ErrorShape
from gateway.management.execution_id import execution_id
from gateway.times import iso_seconds

Json = Any
CONTRACT = "management"
# The members of a task that may hold secrets.
DEFINING = ("taskType", "executor", "command", "arguments", "params")
STATUSES = {
    runs_pb2.RUN_STATUS_COMPLETED: "completed",
    runs_pb2.RUN_STATUS_FAILED: "failed",
    runs_pb2.RUN_STATUS_ABORTED: "cancelled",
}
LEVELS = {"warning": "warn", "warn": "warn", "error": "error", "debug": "debug"}
PRIORITIES = {
    "low": runs_pb2.PRIORITY_LOW,
    "normal": runs_pb2.PRIORITY_NORMAL,
    "high": runs_pb2.PRIORITY_HIGH,
    "critical": runs_pb2.PRIORITY_CRITICAL,
}
PRIORITY_WORDS = {number: word for word, number in PRIORITIES.items()}


def _error_body(error: TrawlError, _status: int, _request_id: str) -> Json:
    shown = {"status": "error", "message": error.message, "error": f"{error.kind}: {error.message}"}
    if error.field is not None:
        shown |= {"error": f"{error.field}: {error.message}", "field": error.field}
    if "step" in error.details:
        shown["stepId"] = error.details["step"]
    return shown


SHAPE = ErrorShape(_error_body, {InvalidInput: 400})


def status_word(run: runs_pb2.Run) -> str:
    """A run that waits counts as running: the contract has no word for it."""
    return STATUSES.get(run.status, "running")


def begun_ms(run: runs_pb2.Run) -> int:
    """When it started; of a run that still waits, when it was accepted."""
    return run.started_ms or run.spec.created_ms


def started_json(run: runs_pb2.Run) -> dict[str, Json]:
    """A run that was just started."""
    return {
        "executionId": execution_id(run.spec.run_id),
        "taskName": run.spec.task_name,
        "status": status_word(run),
        "startedAt": iso_seconds(begun_ms(run)),
    }


def detail_json(run: runs_pb2.Run) -> dict[str, Json]:
    """What the documented members don't say."""
    return {
        "runId": run.spec.run_id,
        "completedAt": iso_seconds(run.completed_ms),
        "result": orjson.Fragment(run.result_json) if run.result_json else None,
        "error": run.error_message or None,
        "errorCode": run.error_code or None,
        "attempt": run.attempt,
        "workerId": run.worker_id or None,
        "progress": {"done": run.progress_done, "total": run.progress_total, "step": run.step or None},
        "waitingReason": run.waiting_reason or None,
        "itemCount": run.item_count,
    }


def log_json(line: runs_pb2.LogLine) -> dict[str, Json]:
    """A log line; `data` only where there is some."""
    entry: dict[str, Json] = {
        "timestamp": iso_seconds(line.time_ms),
        "level": LEVELS.get(line.level, "info"),
        "message": line.message,
    }
    if line.data_json:
        entry["data"] = orjson.Fragment(line.data_json)
    return entry


def first_line(run: runs_pb2.Run) -> dict[str, Json] | None:
    """The line that every execution's log begins with once it runs."""
    if not run.started_ms:
        return None
    return {
        "timestamp": iso_seconds(run.started_ms),
        "level": "info",
        "message": f"开始执行任务 (超时限制: {run.spec.timeout_ms}ms)",
    }


def task_json(task: tasks_pb2.Task) -> dict[str, Json]:
    """A task definition."""
    metadata = orjson.loads(task.metadata_json or b"{}")
    params = metadata.get("params")
    return {
        "taskId": task.id,
        "taskName": task.name,
        "taskType": task.task_type,
        "executor": task.executor,
        "description": task.description,
        "command": task.command or None,
        "arguments": list(task.arguments) if task.has_arguments else None,
        "params": params if isinstance(params, dict) else {},
        "timeoutMs": task.timeout_seconds * 1000,
        "retries": task.retry_count,
        "priority": PRIORITY_WORDS.get(task.priority, "normal"),
        "schedule": task.schedule or None,
        "dependsOn": list(task.dependencies),
        "tags": list(task.tags),
        "enabled": task.status == "active",
        "createdAt": iso_seconds(task.created_ms),
        "nextRunAt": iso_seconds(task.next_run_ms),
    }


def schedule_json(task: tasks_pb2.Task, preview: tasks_pb2.SchedulePreview) -> dict[str, Json]:
    """When a task runs by itself."""
    return {
        "taskName": task.name,
        "schedule": task.schedule or None,
        "timeZone": preview.time_zone or None,
        "enabled": task.status == "active",
        "misfire": preview.misfire,
        "overlap": preview.overlap,
        "lastRunAt": iso_seconds(task.last_run_ms),
        "nextRunAt": iso_seconds(task.next_run_ms),
        "upcoming": [iso_seconds(fire.fire_ms) for fire in preview.fires if fire.action == "run"],
        "recent": [
            {
                "fireAt": iso_seconds(fire.fire_ms),
                "action": fire.action,
                "reason": fire.reason or None,
                "executionId": execution_id(fire.run_id) if fire.run_id else None,
            }
            for fire in preview.recent
        ],
    }


def worker_json(worker: workers_pb2.Worker) -> dict[str, Json]:
    """A worker. Memory in megabytes, CPU in percent of one core."""
    return {
        "workerId": worker.id,
        "hostname": worker.hostname,
        "ipAddress": worker.ip_address,
        "port": worker.port,
        "taskTypes": list(worker.task_types),
        "maxConcurrentTasks": worker.max_concurrent_tasks,
        "currentTaskCount": worker.current_task_count,
        "currentExecutions": [execution_id(run_id) for run_id in worker.current_runs if run_id > 0],
        "status": worker.status,
        "loadAverage": worker.load_average,
        "memoryUsage": worker.memory_usage,
        "cpuUsage": worker.cpu_usage,
        "lastHeartbeat": iso_seconds(worker.last_heartbeat_ms),
        "registeredAt": iso_seconds(worker.registered_ms),
    }
