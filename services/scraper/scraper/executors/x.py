"""The X executors, one for each task type. Owns: their names, and how the stores' absence ends an attempt. Must
not know pages or answers.
"""

from chassis.clock import now_ms
from chassis.errors import Conflict, Unavailable

from scraper.executor import ExecutorError, Json, Parked, RunContext
from scraper.x_run import XParts, XRun
from scraper.x_state import restore
from scraper.x_tasks import parse_x_task

STORE_WAIT_MS = 5_000


class XExecutor:
    """Collects one kind of thing from X; `name` is the task type."""

    def __init__(self, name: str, parts: XParts) -> None:
        self.name, self._parts = name, parts

    async def run(self, context: RunContext) -> Json:
        """Counts, `stop_reason`, and which accounts took part."""
        task = parse_x_task(self.name, context.job.parameters)
        state = restore(context.job.checkpoint)
        if state.pages:
            context.log("info", f"Going on after {state.pages} pages and {state.count} results")
        try:
            return await XRun(self._parts, context, task, state).collect()
        except Unavailable as error:
            if error.details.get("dependency") == "key":
                raise ExecutorError(error.message, code="NO_KEY", retryable=False) from error
            raise Parked(error.message, resume_at_ms=now_ms() + STORE_WAIT_MS, code="STORE_UNAVAILABLE") from error
        except Conflict as error:
            raise ExecutorError(error.message, code="CONFLICT") from error

    async def close(self) -> None:
        """Nothing of its own: what it works with is closed by who made it."""
