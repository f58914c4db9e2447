"""Examples for the scheduler contract's OpenAPI document; its schemas are read off them. Only data."""

from typing import Any

from gateway.routing import SchemaNotes
from gateway.walks import QUERY as CURSOR

Json = Any
NOTES = SchemaNotes(
    paths={name: {"type": "integer", "minimum": 1} for name in ("task_id", "run_id")},
    nullable=frozenset({
        "ahead", "completed_at", "delivered_at", "disabled_at", "disabled_reason", "error", "error_code",
        "error_message", "estimated_completion", "exact", "execution_time", "external_id", "how",
        "last_execution_status", "last_heartbeat", "last_run_at", "next_attempt_at", "next_cursor", "next_run_at",
        "note", "queue", "rate_limit", "reason", "requested_at", "requested_by", "retry_at", "run_id", "schedule",
        "started_at", "status_code", "step", "stop", "stopped_at", "task_id", "until", "waiting_reason",
        "worker_hostname", "worker_id",
    }),
    free=frozenset({"data", "details", "metadata", "parameters", "payload", "result", "value"}),
)  # fmt: skip
_TIME = "2024-01-15T10:30:00Z"


def _answer(data: Json) -> dict[str, Json]:
    metadata = {"timestamp": _TIME, "request_id": "req_4f1c2a7b9d0e", "version": "1.0.0"}
    return {"success": True, "data": data, "metadata": metadata}


def _list(item: Json, size: int = 20) -> dict[str, Json]:
    return _answer({"items": [item], "total": 1, "page": 1, "size": size, "total_pages": 1})


def _walked(item: Json, size: int = 20) -> dict[str, Json]:
    """A list that goes on by cursor."""
    page = _list(item, size)
    page["data"]["next_cursor"] = "aW0xOjE3MDUzMTQ2MDAwMDAuMTIzLjAxMjM0NTY3ODlhYg"
    return page


# For other modules of examples.
TIME, answer_of, list_of, walked_of = _TIME, _answer, _list, _walked

_PAGE = [("page", "integer", "页码，默认1"), ("size", "integer", "页大小，最大1000")]
_ORDER = [("sort", "string", "排序字段，默认created_at"), ("order", "string", "asc 或 desc，默认desc")]
_WALK = [*_PAGE, CURSOR]
PAGE_QUERY, WALK_QUERY = _PAGE, _WALK
TASK_QUERY = [
    *_PAGE,
    ("status", "string", "active 或 paused"),
    ("task_type", "string", "任务类型"),
    ("priority", "string", "low, normal, high, critical"),
    ("search", "string", "搜索关键词"),
    *_ORDER,
]
RUN_QUERY = [
    *_WALK,
    ("task_id", "integer", "任务ID"),
    ("status", "string", "pending, running, completed, failed, aborted"),
    ("worker_id", "string", "Worker ID"),
    ("start_date", "string", "YYYY-MM-DD"),
    ("end_date", "string", "YYYY-MM-DD"),
    ("contract", "string", "scheduler, smartrpa, xget, management, pipeline"),
    *_ORDER,
]
PREVIEW_QUERY = [
    ("n", "integer", "触发次数，默认10，最大1000"),
    ("from", "string", "起始时间 (ISO 8601)，默认现在"),
    ("down_from", "string", "假设停机的开始时间 (ISO 8601)"),
    ("down_to", "string", "假设停机的结束时间 (ISO 8601)"),
]
RESULT_QUERY = [*_WALK, ("data_type", "string", "数据类型")]
WORKER_QUERY = [
    *_PAGE,
    ("status", "string", "active, draining, offline"),
    ("task_type", "string", "任务类型"),
    ("hostname", "string", "主机名"),
    *_ORDER,
]

NEW_TASK = {
    "name": "nightly_prices",
    "description": "每晚更新价格",
    "task_type": "python",
    "executor": "python",
    "command": "prices.py",
    "arguments": ["--shop", "sample"],
    "schedule": "0 2 * * *",
    "priority": "normal",
    "retry_count": 3,
    "timeout_seconds": 3600,
    "dependencies": [],
    "tags": ["prices"],
    "metadata": {"params": {"shop": "sample"}},
}
_TASK = {
    "id": 1,
    **NEW_TASK,
    "status": "active",
    "created_at": _TIME,
    "updated_at": _TIME,
    "last_run_at": None,
    "next_run_at": "2024-01-16T02:00:00Z",
}
TASK = _answer(_TASK)
_STATISTICS = {
    "total_runs": 40,
    "successful_runs": 39,
    "failed_runs": 1,
    "average_execution_time": 12.5,
    "last_execution_status": "success",
}
TASK_DETAIL = _answer({**_TASK, "statistics": _STATISTICS})
_LISTED = ("id", "name", "description", "task_type", "status", "priority", "created_at", "next_run_at")
TASK_LIST = _list({key: _TASK[key] for key in _LISTED})
TASK_DELETED = _answer({"message": "任务删除成功", "deleted_id": 1})
TASK_PAUSED = _answer({"id": 1, "status": "paused", "updated_at": _TIME})
_FIRE = {"fire_at": _TIME, "action": "run", "note": None}
SCHEDULE_PREVIEW = _answer(
    {
        "task_id": 1,
        "schedule": "0 2 * * *",
        "time_zone": "UTC",
        "paused": False,
        "misfire": "once",
        "misfire_window_seconds": 604800,
        "overlap": "skip",
        "fires": [_FIRE],
        "outage": [_FIRE],
        "outage_truncated": False,
        "recent": [{"fire_at": _TIME, "until": None, "action": "started", "reason": None, "run_id": 123}],
    }
)
RUN_EXPLAINED = _answer(
    {
        "run_id": 123,
        "status": "pending",
        "summary": "no worker offers 'ocr'",
        "reasons": [
            {
                "code": "no_worker",
                "message": "no worker offers 'ocr'",
                "task_id": None,
                "run_id": None,
                "queue": "ocr",
                "until": None,
                "ahead": None,
                "exact": None,
            }
        ],
        "attempts": 0,
        "error_code": None,
        "error_message": None,
        "stop": None,
    }
)
TRIGGER = {"parameters": {"shop": "sample"}, "priority": "high", "timeout_seconds": 600, "ignore_dependencies": False}
TRIGGERED = _answer(
    {
        "task_id": 1,
        "run_id": 123,
        "status": "pending",
        "worker_id": None,
        "started_at": None,
        "estimated_completion": "2024-01-15T10:30:12Z",
    }
)
TRIGGER_BATCH = {"runs": [{"parameters": {"page": 1}}, {"parameters": {"page": 2}}]}
TRIGGERED_BATCH = _answer({"task_id": 1, "accepted": 2, "run_ids": [123, 124], "errors": []})

_RUN = {
    "id": 123,
    "task_id": 1,
    "task_name": "nightly_prices",
    "worker_id": "worker-1",
    "status": "completed",
    "started_at": _TIME,
    "completed_at": "2024-01-15T10:30:12Z",
    "result": {"updated": 118},
    "error_message": None,
    "retry_count": 0,
    "created_at": _TIME,
    "contract": "scheduler",
}
_LOG = {"timestamp": _TIME, "level": "info", "message": "118 prices updated"}
RUN_LIST = _walked(_RUN)
RUN_DETAIL = _answer(
    {
        **_RUN,
        "worker_hostname": "host-1",
        "execution_time": 12.5,
        "parameters": {"shop": "sample"},
        "logs": [_LOG],
        "error_code": None,
        "waiting_reason": None,
        "external_id": None,
        "item_count": 118,
        "progress": {"done": 118, "total": 118, "step": None},
        "stop": None,
    }
)
RUN_ABORTED = _answer({"id": 123, "status": "aborted", "completed_at": _TIME, "message": "任务运行已中止"})
RUN_RESTARTED = _answer({"original_run_id": 123, "new_run_id": 124, "status": "pending", "started_at": _TIME})
LOG_LIST = _walked(_LOG, 100)
RESULT_LIST = _walked(
    {
        "id": "123-0",
        "run_id": 123,
        "task_id": 1,
        "data_type": "product",
        "data": {"name": "Lamp", "price": 19.9},
        "metadata": {},
        "created_at": _TIME,
    }
)

_WORKER = {
    "id": "worker-1",
    "hostname": "host-1",
    "ip_address": "192.0.2.10",
    "port": 50052,
    "task_types": ["python", "shell"],
    "max_concurrent_tasks": 5,
    "current_task_count": 1,
    "status": "active",
    "last_heartbeat": _TIME,
    "registered_at": _TIME,
}
_LOAD = {"load_average": 0.4, "memory_usage": 512, "cpu_usage": 25.5}
WORKER = _answer({**_WORKER, "metadata": {}})
WORKER_CHANGE = {"max_concurrent_tasks": 8, "task_types": ["python"], "status": "draining", "metadata": {}}
WORKER_LIST = _list({**_WORKER, **_LOAD})
WORKER_DETAIL = _answer(
    {
        **_WORKER,
        **_LOAD,
        "metadata": {},
        "current_tasks": [
            {"run_id": 123, "task_id": 1, "task_name": "nightly_prices", "started_at": _TIME, "status": "running"}
        ],
        "statistics": {
            "total_tasks_executed": 1000,
            "successful_tasks": 990,
            "failed_tasks": 10,
            "average_execution_time": 12.5,
            "uptime": "7d 12h 30m",
        },
    }
)
WORKER_DELETED = _answer({"message": "Worker 注销成功", "worker_id": "worker-1"})

NEW_KEY = {"name": "dashboard", "role": "viewer", "rate_limit": {"per_minute": 600, "burst": 100}}
_KEY = {"id": "0123456789abcdef", "name": "dashboard", "role": "viewer", "created_at": _TIME, "rate_limit": None}
KEY_CREATED = _answer({**_KEY, "key": "trawl_0123456789abcdef_…"})
KEY_LIST = _answer({"items": [_KEY], "total": 1})
KEY_DELETED = _answer({"message": "API密钥删除成功", "deleted_id": "0123456789abcdef"})
TOKEN_REQUEST = {"api_key": "trawl_0123456789abcdef_…"}
TOKEN = _answer({"access_token": "eyJ…", "token_type": "Bearer", "expires_in": 900, "role": "viewer"})

_UP = {"status": "healthy", "response_time": 0.002}
HEALTH = _answer(
    {
        "status": "healthy",
        "timestamp": _TIME,
        "version": "1.0.0",
        "components": {
            "database": {**_UP, "connection_pool": {"total": 3, "active": 1, "idle": 2}},
            "message_queue": {**_UP, "queue_size": 0},
            "scheduler": {**_UP, "active_workers": 2, "pending_tasks": 0},
            "cache": _UP,
            "scraper": _UP,
            "worker_registry": _UP,
            "api": {"status": "healthy", "request_rate": 10.5, "response_time": 0.001},
        },
    }
)
STATS = _answer(
    {
        "tasks": {"total": 12, "active": 10, "paused": 2, "completed": 0, "failed": 0},
        "task_runs": {"total": 400, "pending": 1, "running": 2, "completed": 390, "failed": 6, "aborted": 1},
        "workers": {"total": 3, "active": 2, "offline": 1, "draining": 0, "average_load": 0.3},
        "performance": {
            "average_execution_time": 12.5,
            "tasks_per_minute": 50.0,
            "success_rate": 98.5,
            "system_uptime": "7d 12h 30m",
        },
        "resource_usage": {
            "cpu_usage": 25.5,
            "memory_usage": 1024,
            "disk_usage": 60.5,
            "network_io": {"bytes_in": 1024000, "bytes_out": 2048000},
        },
    }
)
METRICS = "# HELP scheduler_tasks_total Total number of tasks\n# TYPE scheduler_tasks_total gauge\n"
