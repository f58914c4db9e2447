"""A tiny language for JSON shapes: a type, a set of alternatives, a list of one shape, or an object with every key."""

import re
from typing import Any

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
TIME_MS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def assert_shape(value: Any, shape: Any, where: str = "$") -> None:
    """`value` has the shape: the same keys (more are allowed), and the types. `None` in a tuple allows null."""
    if isinstance(shape, dict):
        assert isinstance(value, dict), f"{where}: {value!r} is no object"
        for key, inner in shape.items():
            assert key in value, f"{where}.{key} is missing"
            assert_shape(value[key], inner, f"{where}.{key}")
    elif isinstance(shape, list):
        assert isinstance(value, list), f"{where}: {value!r} is no array"
        for index, entry in enumerate(value):
            assert_shape(entry, shape[0], f"{where}[{index}]")
    elif isinstance(shape, tuple):
        if value is not None or None not in shape:
            assert_shape(value, next(inner for inner in shape if inner is not None), where)
    elif isinstance(shape, re.Pattern):
        assert isinstance(value, str), f"{where}: {value!r} is no string"
        assert shape.fullmatch(value), f"{where}: {value!r} does not match"
    elif shape is float:
        assert type(value) in (int, float), f"{where}: {value!r} is no number"
    elif shape is not object:
        assert type(value) is shape, f"{where}: {value!r} is no {shape.__name__}"


def page_of(item: Any) -> dict[str, Any]:
    """A page of a list."""
    return {"items": [item], "total": int, "page": int, "size": int, "total_pages": int}


def walked_of(item: Any) -> dict[str, Any]:
    """A page of a list that goes on by cursor."""
    return page_of(item) | {"next_cursor": (str, None)}


METADATA = {"timestamp": TIME, "request_id": str, "version": str}


def answer_of(data: Any) -> dict[str, Any]:
    """A success of the scheduler contract."""
    return {"success": bool, "data": data, "metadata": METADATA}


ERROR = {"success": bool, "error": {"code": str, "message": str, "details": dict}, "metadata": METADATA}
TASK_ITEM = {
    "id": int,
    "name": str,
    "description": str,
    "task_type": str,
    "status": str,
    "priority": str,
    "created_at": TIME,
    "next_run_at": (TIME, None),
}
TASK = TASK_ITEM | {
    "executor": str,
    "command": str,
    "arguments": [str],
    "schedule": (str, None),
    "retry_count": int,
    "timeout_seconds": int,
    "updated_at": TIME,
    "last_run_at": (TIME, None),
    "dependencies": [str],
    "tags": [str],
    "metadata": dict,
}
TASK_DETAIL = TASK | {
    "statistics": {
        "total_runs": int,
        "successful_runs": int,
        "failed_runs": int,
        "average_execution_time": float,
        "last_execution_status": (str, None),
    }
}
TRIGGERED = {
    "task_id": int,
    "run_id": int,
    "status": str,
    "worker_id": (str, None),
    "started_at": (TIME, None),
    "estimated_completion": TIME,
}
RUN_ITEM = {
    "id": int,
    "task_id": int,
    "task_name": str,
    "worker_id": (str, None),
    "status": str,
    "started_at": (TIME, None),
    "completed_at": (TIME, None),
    "result": object,
    "error_message": (str, None),
    "retry_count": int,
    "created_at": TIME,
}
LOG = {"timestamp": TIME, "level": str, "message": str}
RUN_DETAIL = RUN_ITEM | {
    "worker_hostname": (str, None),
    "execution_time": (float, None),
    "parameters": dict,
    "logs": [LOG],
}
WORKER = {
    "id": str,
    "hostname": str,
    "ip_address": str,
    "port": int,
    "task_types": [str],
    "max_concurrent_tasks": int,
    "current_task_count": int,
    "status": str,
    "last_heartbeat": TIME,
    "registered_at": TIME,
}
WORKER_ITEM = WORKER | {"load_average": float, "memory_usage": int, "cpu_usage": float}
WORKER_DETAIL = WORKER_ITEM | {
    "current_tasks": [{"run_id": int, "task_id": int, "task_name": str, "started_at": (TIME, None), "status": str}],
    "statistics": {
        "total_tasks_executed": int,
        "successful_tasks": int,
        "failed_tasks": int,
        "average_execution_time": float,
        "uptime": re.compile(r"\d+d \d+h \d+m"),
    },
}
HEALTH = {
    "status": str,
    "timestamp": TIME,
    "version": str,
    "components": {
        "database": {
            "status": str,
            "response_time": float,
            "connection_pool": {"total": int, "active": int, "idle": int},
        },
        "message_queue": {"status": str, "response_time": float, "queue_size": int},
        "scheduler": {"status": str, "active_workers": int, "pending_tasks": int},
        "api": {"status": str, "request_rate": float, "response_time": float},
    },
}
STATS = {
    "tasks": {"total": int, "active": int, "paused": int, "completed": int, "failed": int},
    "task_runs": {"total": int, "pending": int, "running": int, "completed": int, "failed": int, "aborted": int},
    "workers": {"total": int, "active": int, "offline": int, "draining": int, "average_load": float},
    "performance": {
        "average_execution_time": float,
        "tasks_per_minute": float,
        "success_rate": float,
        "system_uptime": str,
    },
    "resource_usage": {
        "cpu_usage": float,
        "memory_usage": int,
        "disk_usage": float,
        "network_io": {"bytes_in": int, "bytes_out": int},
    },
}
