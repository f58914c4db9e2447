"""Examples for the task management contract's OpenAPI document, and what they don't tell."""

from gateway.routing import SchemaNotes

NOTES = SchemaNotes(
    nullable=(
        "command", "schedule", "nextRunAt", "lastRunAt", "timeZone", "reason", "executionId", "taskName", "queue",
        "oldestWaitSeconds", "workers", "changedAt", "url", "latencyMs", "httpStatus", "uptime", "checks",
        "countedSince", "lastCheckedAt", "lastError", "lastErrorAt", "lastHeartbeat", "errorCode", "failedAt",
    ),
    free=("params", "data", "arguments", "intervalSeconds"),
    outermost=True,
)  # fmt: skip

_ID = "9c1f04b7-52ae-4d0e-8000-00000000002a"
_OTHER = "3d7a90e1-b16c-4f52-8000-00000000002b"
_TIME = "2025-11-25T11:05:00Z"
_LOGS = [{"timestamp": _TIME, "level": "info", "message": "开始执行任务 (超时限制: 30000ms)"}]

EXECUTE = {"params": {"space": "docs"}}
EXECUTED = {"executionId": _ID, "taskName": "user-space-sync", "status": "running", "startedAt": _TIME}
EXECUTION = {**EXECUTED, "logs": _LOGS}
EXECUTIONS = [{"executionId": _ID, "status": "running", "startedAt": _TIME, "logs": _LOGS}]
CANCEL_IDS = {"executionIds": [_ID, _OTHER]}
CANCELLED_IDS = {"cancelled": [_ID], "notFound": [_OTHER]}
CANCEL_NAMES = {"taskNames": ["user-space-sync", "feishu-sync"]}
CANCELLED_NAMES = {"cancelled": [_ID], "taskNotFound": ["feishu-sync"]}

NEW_TASK = {
    "taskName": "user-space-sync",
    "taskType": "shell",
    "command": "echo {{space}}",
    "params": {"space": "docs"},
    "timeoutMs": 30_000,
    "retries": 2,
}
TASK = {
    "taskId": 7, "taskName": "user-space-sync", "taskType": "shell", "executor": "shell", "description": "",
    "command": "echo {{space}}", "arguments": None, "params": {"space": "docs"}, "timeoutMs": 30_000, "retries": 2,
    "priority": "normal", "schedule": None, "dependsOn": [], "tags": [], "enabled": True, "createdAt": _TIME,
    "nextRunAt": None,
}  # fmt: skip
NEW_SCHEDULE = {"schedule": "0 6 * * *", "enabled": True, "misfire": "once", "overlap": "skip"}
SCHEDULE = {
    "taskName": "user-space-sync", "schedule": "0 6 * * *", "timeZone": "UTC", "enabled": True, "misfire": "once",
    "overlap": "skip", "lastRunAt": _TIME, "nextRunAt": "2025-11-26T06:00:00Z", "upcoming": ["2025-11-26T06:00:00Z"],
    "recent": [{"fireAt": _TIME, "action": "started", "reason": None, "executionId": _ID}],
}  # fmt: skip
WORKERS = [
    {
        "workerId": "worker-001", "hostname": "host-1", "ipAddress": "10.0.0.4", "port": 50052,
        "taskTypes": ["http", "scrape"], "maxConcurrentTasks": 256, "currentTaskCount": 1,
        "currentExecutions": [_ID], "status": "active", "loadAverage": 0.4, "memoryUsage": 180, "cpuUsage": 12.5,
        "lastHeartbeat": _TIME, "registeredAt": _TIME,
    }
]  # fmt: skip

QUEUE = {
    "name": "shell", "paused": False, "waiting": 12, "delayed": 1, "inFlight": 4, "oldestWaitSeconds": 3.2,
    "ratePerMinute": 90, "workers": 2, "changedAt": None,
}  # fmt: skip
PURGED = {"name": "shell", "purged": 1, "executionIds": [_ID]}
DEAD_LETTER = {
    "kind": "execution", "executionId": _ID, "taskName": "user-space-sync", "queue": "shell",
    "reason": "exit code 3: oh no", "errorCode": "EXECUTION_FAILED", "attempts": 4, "failedAt": _TIME,
}  # fmt: skip
REQUEUED = {**EXECUTED, "executionId": _OTHER, "requeuedFrom": _ID}

NEW_ENDPOINT = {"name": "shop", "url": "https://shop.example/health", "intervalSeconds": 30}
ENDPOINT = {
    "id": "ep-5f2c9a10b7d4", "name": "shop", "url": "https://shop.example/health", "intervalSeconds": 30,
    "status": "healthy", "createdAt": _TIME,
}  # fmt: skip
HEALTH = {
    "kind": "http", "id": "ep-5f2c9a10b7d4", "name": "shop", "url": "https://shop.example/health",
    "status": "healthy", "latencyMs": 41.7, "httpStatus": 200, "uptime": 0.998, "checks": 1440, "countedSince": _TIME,
    "lastCheckedAt": _TIME, "lastError": "HTTP 502", "lastErrorAt": _TIME,
}  # fmt: skip
