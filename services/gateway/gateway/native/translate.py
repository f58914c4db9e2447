"""Between the scheduler's messages and the contract's JSON. Owns: field names, nulls, words for enums. Pure."""

from typing import Any

import orjson
from trawl.scheduler.v1 import runs_pb2, tasks_pb2
from trawl.scraper.v1 import results_pb2
from trawl.workerregistry.v1 import workers_pb2

from gateway.times import iso_seconds

Json = Any
# The limit of a task that names none; a run that was just accepted may not carry its task's.
DEFAULT_TIMEOUT_MS = 3_600_000
PRIORITIES = {
    "low": runs_pb2.PRIORITY_LOW,
    "normal": runs_pb2.PRIORITY_NORMAL,
    "high": runs_pb2.PRIORITY_HIGH,
    "critical": runs_pb2.PRIORITY_CRITICAL,
}
PRIORITY_WORDS = {number: word for word, number in PRIORITIES.items()}
RUN_STATUSES = {
    "pending": runs_pb2.RUN_STATUS_PENDING,
    "running": runs_pb2.RUN_STATUS_RUNNING,
    "completed": runs_pb2.RUN_STATUS_COMPLETED,
    "failed": runs_pb2.RUN_STATUS_FAILED,
    "aborted": runs_pb2.RUN_STATUS_ABORTED,
}
RUN_STATUS_WORDS = {number: word for word, number in RUN_STATUSES.items()}


def raw_json(data: bytes, empty: Json = None) -> Json:
    """JSON that a service made, embedded as it is; `empty` when there is none."""
    return orjson.Fragment(data) if data else empty


def task_json(task: tasks_pb2.Task) -> dict[str, Json]:
    """A task in full."""
    return {
        "id": task.id,
        "name": task.name,
        "description": task.description,
        "task_type": task.task_type,
        "executor": task.executor,
        "command": task.command,
        "arguments": list(task.arguments),
        "schedule": task.schedule or None,
        "priority": PRIORITY_WORDS.get(task.priority, "normal"),
        "retry_count": task.retry_count,
        "timeout_seconds": task.timeout_seconds,
        "status": task.status,
        "created_at": iso_seconds(task.created_ms),
        "updated_at": iso_seconds(task.updated_ms),
        "last_run_at": iso_seconds(task.last_run_ms),
        "next_run_at": iso_seconds(task.next_run_ms),
        "dependencies": list(task.dependencies),
        "tags": list(task.tags),
        "metadata": raw_json(task.metadata_json, {}),
    }


def task_item(task: tasks_pb2.Task) -> dict[str, Json]:
    """A task as a list shows it."""
    return {
        "id": task.id,
        "name": task.name,
        "description": task.description,
        "task_type": task.task_type,
        "status": task.status,
        "priority": PRIORITY_WORDS.get(task.priority, "normal"),
        "created_at": iso_seconds(task.created_ms),
        "next_run_at": iso_seconds(task.next_run_ms),
    }


def statistics_json(statistics: tasks_pb2.TaskStatistics) -> dict[str, Json]:
    """What a task's runs came to."""
    return {
        "total_runs": statistics.total_runs,
        "successful_runs": statistics.successful_runs,
        "failed_runs": statistics.failed_runs,
        "average_execution_time": round(statistics.average_execution_seconds, 3),
        "last_execution_status": statistics.last_execution_status or None,
    }


def run_item(run: runs_pb2.Run) -> dict[str, Json]:
    """A run as a list shows it."""
    return {
        "id": run.spec.run_id,
        "task_id": run.spec.task_id,
        "task_name": run.spec.task_name,
        "worker_id": run.worker_id or None,
        "status": RUN_STATUS_WORDS.get(run.status, "pending"),
        "started_at": iso_seconds(run.started_ms),
        "completed_at": iso_seconds(run.completed_ms),
        "result": raw_json(run.result_json),
        "error_message": run.error_message or None,
        "retry_count": max(run.attempt - 1, 0),
        "created_at": iso_seconds(run.spec.created_ms),
        "contract": run.spec.contract or "scheduler",
    }


def run_detail(run: runs_pb2.Run, parameters: Json, logs: list[Json]) -> dict[str, Json]:
    """A run in full."""
    return run_item(run) | {
        "worker_hostname": run.worker_hostname or None,
        "execution_time": execution_seconds(run),
        "parameters": parameters,
        "logs": logs,
        "error_code": run.error_code or None,
        "waiting_reason": run.waiting_reason or None,
        "external_id": run.spec.external_id or None,
        "item_count": run.item_count,
        "progress": {"done": run.progress_done, "total": run.progress_total, "step": run.step or None},
        "stop": stop_of(run),
    }


def execution_seconds(run: runs_pb2.Run) -> float | None:
    """How long the last attempt took; None while it has not ended, or never began."""
    if not (run.started_ms and run.completed_ms):
        return None
    return max(run.completed_ms - run.started_ms, 0) / 1000


def stop_of(run: runs_pb2.Run) -> dict[str, Json] | None:
    """How a run was stopped; while it is being stopped, since when."""
    if run.HasField("stop"):
        return stop_json(run.stop)
    return stop_json(runs_pb2.StopReceipt(requested_ms=run.abort_requested_ms)) if run.abort_requested_ms else None


def stop_json(stop: runs_pb2.StopReceipt) -> dict[str, Json]:
    """How a run was stopped, as far as it is known."""
    return {
        "requested_at": iso_seconds(stop.requested_ms),
        "delivered_at": iso_seconds(stop.delivered_ms),
        "stopped_at": iso_seconds(stop.stopped_ms),
        "how": stop.how or None,
        "requested_by": stop.requested_by or None,
        "reason": stop.reason or None,
        "leftovers_killed": stop.leftovers_killed,
    }


def estimated_completion(run: runs_pb2.Run) -> str | None:
    """When the run should be over: after the usual time of the task's runs, or at the latest by its time limit."""
    duration_ms = run.expected_ms or run.spec.timeout_ms or DEFAULT_TIMEOUT_MS
    return iso_seconds((run.started_ms or run.spec.created_ms) + duration_ms)


def log_json(line: runs_pb2.LogLine) -> dict[str, Json]:
    """A log line."""
    entry = {"timestamp": iso_seconds(line.time_ms), "level": line.level, "message": line.message}
    if line.data_json:
        entry["data"] = raw_json(line.data_json)
    return entry


def result_json(item: results_pb2.ResultItem) -> dict[str, Json]:
    """A result item."""
    return {
        "id": item.id,
        "run_id": item.run_id,
        "task_id": item.task_id,
        "data_type": item.data_type,
        "data": raw_json(item.data_json),
        "metadata": raw_json(item.metadata_json, {}),
        "created_at": iso_seconds(item.created_ms),
    }


def worker_json(worker: workers_pb2.Worker) -> dict[str, Json]:
    """A worker, without what it measures."""
    return {
        "id": worker.id,
        "hostname": worker.hostname,
        "ip_address": worker.ip_address,
        "port": worker.port,
        "task_types": list(worker.task_types),
        "max_concurrent_tasks": worker.max_concurrent_tasks,
        "current_task_count": worker.current_task_count,
        "status": worker.status,
        "last_heartbeat": iso_seconds(worker.last_heartbeat_ms),
        "registered_at": iso_seconds(worker.registered_ms),
    }


def worker_item(worker: workers_pb2.Worker) -> dict[str, Json]:
    """A worker as a list shows it. Memory in megabytes, CPU in percent."""
    return worker_json(worker) | {
        "load_average": worker.load_average,
        "memory_usage": worker.memory_usage,
        "cpu_usage": worker.cpu_usage,
    }
