"""The JSON examples of the XGet contract, for its OpenAPI document."""

from gateway.routing import SchemaNotes

NOTES = SchemaNotes(
    nullable=("describe", "account_id", "proxy_id", "error_message", "updated_at", "completed_at", "duration",
              "result_count", "run", "evidence", "reason", "since"),
    # `detail` is a text, or a list of fields.
    free=("detail", "data", "parameters", "metadata"),
    outermost=True,
)  # fmt: skip
TASK = {
    "id": "task-12",
    "task_name": "采集用户推文",
    "describe": "采集指定用户的最新推文",
    "task_type": "USER_TWEETS",
    "parameters": {"username": "example", "limit": 50, "include_replies": False, "include_retweets": False},
    "account_id": "account-123",
    "proxy_id": "proxy-456",
    "user_id": "user-789",
    "status": "PENDING",
    "error_message": None,
    "created_at": "2024-01-15T10:30:00Z",
    "updated_at": None,
}
NEW_TASK = {
    name: TASK[name]
    for name in ("task_name", "describe", "task_type", "parameters", "account_id", "proxy_id", "user_id")
}
CHANGE = {
    "task_name": "更新后的任务名称",
    "describe": "更新后的任务描述",
    "parameters": {"username": "example", "limit": 100},
}
DELETED = {"message": "Task and related results deleted successfully"}
EXECUTION = {
    "id": "exec-34",
    "task_id": "task-12",
    "account_id": "account-123",
    "proxy_id": "proxy-456",
    "status": "COMPLETED",
    "error_message": None,
    "started_at": "2024-01-15T10:30:00Z",
    "completed_at": "2024-01-15T10:35:00Z",
    "duration": 300.5,
    "result_count": 50,
}
RESULT = {
    "id": "result-12-k5f0c9d",
    "task_id": "task-12",
    "data_type": "tweet",
    "data": {"id": "456", "text": "Hello world!", "user": {"username": "example"}},
    "metadata": {"source": "twitter", "scraped_at": "2024-01-15T10:30:00Z"},
    "created_at": "2024-01-15T10:30:00Z",
}
EXPORT = {"data": [{name: RESULT[name] for name in ("id", "data", "created_at")}], "total": 1}
PAGE_QUERY = (("page", "integer", "页码，默认 1"), ("size", "integer", "每页数量，默认 20，最大 100"))
TASK_QUERY = (*PAGE_QUERY, ("status", "string", "按状态筛选"), ("task_type", "string", "按任务类型筛选"),
              ("user_id", "string", "按用户ID筛选"))  # fmt: skip
RESULT_QUERY = (("skip", "integer", "跳过的记录数，默认 0"), ("limit", "integer", "返回的记录数，默认 100，最大 1000"),
                ("data_type", "string", "数据类型筛选"), ("page", "integer", "页码 (代替 skip)"),
                ("size", "integer", "每页数量 (代替 limit)"))  # fmt: skip
SEARCH_QUERY = (("query", "string", "key1:value1,key2:value2"), *RESULT_QUERY)
EXECUTION_QUERY = (*PAGE_QUERY, ("task_id", "string", "按任务ID筛选"), ("status", "string", "按执行状态筛选"))


def page_of(item: object) -> dict[str, object]:
    """A page of a list."""
    return {"items": [item], "total": 1, "page": 1, "size": 20, "pages": 1}
