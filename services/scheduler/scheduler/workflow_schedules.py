"""Workflows for the schedules' machinery: what has a schedule, what is live, and starting what a fire time promises.

Owns the execution ids of fire times: they are made of the id that the fire time's record reserves, so that a record is
at most one execution. To the machinery a workflow is a task that is never queued.
"""

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from typing import Protocol

from chassis.clock import now_ms
from chassis.errors import InvalidInput, Unavailable
from chassis.events import Msg
from chassis.logs import get_logger
from chassis.poison import passed_over
from trawl.scheduler.v1 import runs_pb2

from scheduler.mongo_fires import Fires
from scheduler.mongo_tasks import Tasks
from scheduler.mongo_workflow_executions import Executions
from scheduler.mongo_workflows import Workflows
from scheduler.reserved_runs import Promise
from scheduler.schedule_book import ScheduleBook
from scheduler.task import Task
from scheduler.workflow import Workflow
from scheduler.workflow_state import Execution

log = get_logger("workflows")
PAGE = 500
RESCAN_SECONDS = 30.0
# Fire times this long before what was handled are looked at again when a scheduler starts.
SLACK_MS = 60_000
NAMESPACE = uuid.UUID("5f1d6f0e-6f5d-4f0a-9d6e-0a54c3f5a0b7")


class Beginner(Protocol):
    """Begins executions."""

    async def begin(self, workflow: Workflow, params: Mapping[str, object], execution_id: str) -> Execution:
        """That execution, begun now or before."""


def scheduled_view(workflow: Workflow) -> Task:
    """The workflow as the schedules' machinery sees it."""
    return Task(
        id=workflow.id, name=workflow.name, task_type="workflow", executor="workflow", schedule=workflow.schedule,
        metadata={"misfire": workflow.misfire, "overlap": workflow.overlap}, version=workflow.version,
        created_ms=workflow.created_ms, updated_ms=workflow.updated_ms, contract="workflow",
        schedule_since_ms=workflow.schedule_since_ms,
    )  # fmt: skip


def next_fire_ms(workflow: Workflow) -> int:
    """When its schedule starts the next execution; 0 = never."""
    return scheduled_view(workflow).next_run_ms(now_ms())


def fired_execution_id(workflow_id: int, reserved_id: int) -> str:
    """The id of the execution that a fire time's record promises."""
    return str(uuid.uuid5(NAMESPACE, f"{workflow_id}/{reserved_id}"))


class WorkflowWatch:
    """Keeps the book of scheduled workflows as the store has it."""

    def __init__(self, workflows: Workflows, fires: Fires, book: ScheduleBook) -> None:
        self._workflows, self._fires, self._book = workflows, fires, book
        self.changed = asyncio.Event()
        self._news = asyncio.Event()

    def touch(self, _workflow_id: int) -> None:
        """Look again soon."""
        self._news.set()

    async def on_message(self, _message: Msg) -> None:
        """Callback of a plain subscription: another scheduler has changed a workflow."""
        self._news.set()

    async def refresh(self) -> None:
        """Read all that have a schedule. Raises `Unavailable`."""
        handled = max(0, await self._fires.watermark() - SLACK_MS)
        found: set[int] = set()
        last = 0
        while page := await self._workflows.scheduled(last, PAGE):
            last = page[-1].id
            for workflow in page:
                found.add(workflow.id)
                with passed_over("workflow watch", workflow.id):
                    self._book.put(scheduled_view(workflow), handled)
        for workflow_id in set(self._book.task_ids()) - found:
            self._book.remove(workflow_id)
        self.changed.set()

    async def run(self) -> None:
        """For ever: look again when something has changed, and now and then."""
        while True:
            try:
                async with asyncio.timeout(RESCAN_SECONDS):
                    await self._news.wait()
            except TimeoutError:
                pass
            self._news.clear()
            try:
                await self.refresh()
            except Unavailable as error:
                log.warning("schedules of workflows may be old", reason=error.message)
                self._news.set()
                await asyncio.sleep(1)


class ScheduledWorkflows:
    """What the machinery asks of tasks, answered for workflows."""

    def __init__(self, *, workflows: Workflows, executions: Executions, tasks: Tasks, starter: Beginner) -> None:
        self._workflows, self._executions = workflows, executions
        self._tasks, self._starter = tasks, starter

    async def many(self, task_ids: Sequence[int]) -> dict[int, Task]:
        """Those that exist."""
        found = await self._workflows.many(task_ids)
        return {workflow_id: scheduled_view(workflow) for workflow_id, workflow in found.items()}

    async def set_next_runs(self, _next_runs: Mapping[int, int]) -> None:
        """Workflows are not sorted by it."""

    async def versions(self, task_ids: Sequence[int]) -> list[int]:
        """The version of each in the store; a deleted one counts as changed."""
        found = await self._workflows.many(task_ids)
        return [found[i].version if i in found else 2**31 for i in task_ids]

    async def raise_versions(self, _versions: Mapping[int, int]) -> None:
        """The store is asked each time."""

    async def live_runs(self, task_ids: Sequence[int]) -> list[tuple[int, int]]:
        """How many executions of each are under way."""
        counts = await self._executions.running_of(task_ids)
        return [(counts[i], 0) for i in task_ids]

    async def unstarted(self, _run_ids: Sequence[int]) -> set[int]:
        """An execution is under way from its beginning."""
        return set()

    async def reserve(self, count: int) -> list[int]:
        """Numbers that nobody else has."""
        if not count:
            return []
        first = await self._tasks.allocate("workflow_fire_id", count)
        return list(range(first, first + count))

    def prime(self, _tasks: Sequence[Task]) -> None:
        """Nothing is cached."""

    async def start(self, promises: Sequence[Promise]) -> list[runs_pb2.StartRunResult]:
        """Begin the executions."""
        results = []
        for promise in promises:
            result = runs_pb2.StartRunResult()
            if why := await self.keep(promise):
                result.error.kind, result.error.message = "not_found", why
            results.append(result)
        return results

    async def keep(self, promise: Promise) -> str:
        """Begin it unless it has begun; answers why it can't be."""
        workflow = (await self._workflows.many([promise.task_id])).get(promise.task_id)
        if workflow is None:
            return "its workflow was deleted"
        try:
            await self._starter.begin(workflow, {}, fired_execution_id(promise.task_id, promise.run_id))
        except InvalidInput as error:
            return error.message
        return ""
