"""Examples for the OpenAPI document: streams, webhooks, system logs. Only data."""

from gateway.happenings import STREAMED_TYPES
from gateway.native.examples import TIME, WALK_QUERY, answer_of, list_of, walked_of
from gateway.webhooks.webhook import EVENT_TYPES, State

EVENT_QUERY = [
    ("types", "string", f"逗号分隔: {', '.join(STREAMED_TYPES)}"),
    ("task_id", "integer", "只看该任务的事件"),
]
EVENTS = (
    "id: 4711.0\nevent: task.completed\n"
    'data: {"event":"task.completed","timestamp":"2024-01-15T10:30:12Z","data":{"task_id":1,"run_id":123}}\n\n'
)
FOLLOW_QUERY = [*WALK_QUERY, ("follow", "boolean", "true: 以 text/event-stream 持续输出日志，直到运行结束")]

LOG_QUERY = [
    ("level", "string", "debug, info, warn, error"),
    ("service", "string", "服务名称"),
    ("start_time", "string", "ISO 8601"),
    ("end_time", "string", "ISO 8601"),
    ("page", "integer", "页码，默认1"),
    ("size", "integer", "页大小，默认50，最大1000"),
]
SYSTEM_LOGS = list_of(
    {
        "timestamp": TIME,
        "level": "info",
        "service": "scheduler",
        "message": "serving",
        "metadata": {"logger": "main", "port": 50051},
    },
    50,
)

NEW_WEBHOOK = {"url": "https://example.com/hooks", "events": ["task.completed", "task.failed"], "description": "运维"}
_WEBHOOK = {
    "id": "0123456789abcdef",
    **NEW_WEBHOOK,
    "status": "active",
    "disabled_reason": None,
    "disabled_at": None,
    "created_at": TIME,
    "updated_at": TIME,
}
WEBHOOK = answer_of(_WEBHOOK)
WEBHOOK_CREATED = answer_of({**_WEBHOOK, "secret": "whsec_…"})
WEBHOOK_LIST = answer_of({"items": [_WEBHOOK], "total": 1, "event_types": list(EVENT_TYPES)})
WEBHOOK_CHANGE = {"events": ["task.failed"], "status": "active", "rotate_secret": False}
WEBHOOK_DELETED = answer_of({"message": "Webhook删除成功", "deleted_id": "0123456789abcdef"})
WEBHOOK_TEST = {"event": "task.completed"}
_DELIVERY = {
    "id": "0123456789abcdef-0123456789abcdef01234567",
    "message_id": "msg_0123456789abcdef01234567",
    "event": "task.completed",
    "status": "delivered",
    "attempts": [{"timestamp": TIME, "status_code": 204, "error": None, "duration_ms": 41}],
    "created_at": TIME,
    "completed_at": TIME,
    "next_attempt_at": None,
    "payload": {"event": "task.completed", "timestamp": TIME, "data": {"task_id": 1, "run_id": 123}},
}
DELIVERY = answer_of(_DELIVERY)
DELIVERY_LIST = walked_of(_DELIVERY)
DELIVERY_QUERY = [*WALK_QUERY, ("status", "string", ", ".join(state.value for state in State))]
