"""Examples of what outside workers say, for the scheduler contract's OpenAPI document. Only data."""

from typing import Any

Json = Any
_TIME = "2024-01-15T10:30:00Z"


def _answer(data: Json) -> dict[str, Json]:
    metadata = {"timestamp": _TIME, "request_id": "req_4f1c2a7b9d0e", "version": "1.0.0"}
    return {"success": True, "data": data, "metadata": metadata}


_TOKEN = "8673281"  # noqa: S105 - an example
NEW_WORKER = {
    "hostname": "server-01",
    "ip_address": "192.0.2.10",
    "port": 8080,
    "task_types": ["reports"],
    "max_concurrent_tasks": 5,
    "metadata": {},
    "heartbeat_interval_seconds": 10,
}
_WORKER = {
    "id": "worker-002",
    "hostname": "server-01",
    "ip_address": "192.0.2.10",
    "port": 8080,
    "task_types": ["reports"],
    "max_concurrent_tasks": 5,
    "current_task_count": 0,
    "status": "active",
    "last_heartbeat": _TIME,
    "registered_at": _TIME,
    "metadata": {},
}
REGISTERED = _answer({**_WORKER, "heartbeat_interval_seconds": 10.0})
HEARTBEAT = {
    "current_task_count": 1,
    "load_average": 0.4,
    "memory_usage": 512,
    "cpu_usage": 25.5,
    "current_tasks": [123],
    "metadata": {},
}
HEARD = _answer(
    {
        "worker_id": "worker-002",
        "status": "active",
        "last_heartbeat": _TIME,
        "message": "心跳接收成功",
        "wanted_status": "active",
        "abort": [123],
        "lost": [123],
    }
)
LEASE = {"max_runs": 2, "wait_seconds": 20}
LEASED = _answer(
    {
        "worker_id": "worker-002",
        "status": "active",
        "runs": [
            {
                "run_id": 123,
                "task_id": 1,
                "task_name": "monthly_report",
                "task_type": "reports",
                "executor": "reports",
                "command": "build",
                "arguments": ["--month", "1"],
                "parameters": {"format": "pdf"},
                "priority": "normal",
                "attempt": 1,
                "lease_token": _TOKEN,
                "lease_expires_at": _TIME,
                "timeout_seconds": 3600,
            }
        ],
    }
)
LOGS = {"lease_token": _TOKEN, "logs": [{"level": "info", "message": "3 pages done"}]}
PROGRESS = {"lease_token": _TOKEN, "done": 3, "total": 12, "step": "page 3"}
REPORTED = _answer({"run_id": 123, "lease_expires_at": _TIME, "abort": False})
ITEMS = {"lease_token": _TOKEN, "items": [{"key": "page-3", "data_type": "page", "data": {"number": 3}}]}
ITEMS_STORED = _answer({"run_id": 123, "lease_expires_at": _TIME, "abort": False, "accepted": 1, "position": 2})
COMPLETE = {"lease_token": _TOKEN, "result": {"pages": 12}}
_ENDED = {
    "run_id": 123,
    "status": "completed",
    "attempt": 1,
    "completed_at": _TIME,
    "retry_at": None,
    "message": "任务运行已完成",
}
COMPLETED = _answer(_ENDED)
FAIL = {"lease_token": _TOKEN, "error_message": "the printer is on fire", "retryable": True}
FAILED = _answer(
    _ENDED | {"status": "pending", "completed_at": None, "retry_at": _TIME, "message": "任务运行失败已记录"}
)
