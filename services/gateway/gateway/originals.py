"""The paths that the five original documents have, by contract. Their clients may send query parameters of their own,
which are ignored; everything else on a port is Trawl's own, and strict.
"""

ORIGINALS: dict[str, frozenset[str]] = {
    "scheduler": frozenset({
        "/tasks", "/tasks/{task_id}", "/tasks/{task_id}/trigger", "/tasks/{task_id}/pause", "/tasks/{task_id}/resume",
        "/runs", "/runs/{run_id}", "/runs/{run_id}/restart", "/runs/{run_id}/abort",
        "/workers", "/workers/{worker_id}", "/workers/{worker_id}/heartbeat",
        "/system/health", "/system/stats", "/system/metrics", "/system/logs",
    }),
    "smartrpa": frozenset({
        "/scrape", "/scrape_dengdai", "/scrape_base", "/task-status", "/cancel-task", "/heartbeat", "/tasks",
        "/task-progress", "/login",
    }),
    "management": frozenset({
        "/tasks/running/execution/{execution_id}", "/tasks/running/{task_name}", "/tasks/{task_name}/execute/api",
        "/tasks/{task_name}/execute/manual", "/tasks/executions/cancel/by-ids",
        "/tasks/executions/cancel/by-task-names", "/tasks/executions/cancel/all",
    }),
    "xget": frozenset({
        "/tasks", "/tasks/batch", "/tasks/{task_id}", "/tasks/{task_id}/start", "/tasks/{task_id}/stop",
        "/tasks/{task_id}/results", "/tasks/search/results", "/tasks/export/{task_id}",
        "/task-executions", "/task-executions/{execution_id}", "/task-executions/task/{task_id}",
    }),
    "pipeline": frozenset({"/tasks", "/tasks/{id}", "/tasks/{id}/cancel"}),
}  # fmt: skip
