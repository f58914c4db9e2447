"""Use case: create, change, read and delete workflows, and start executions of them. Owns what a definition must hold
against the tasks that exist.
"""

import asyncio
import uuid
from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

from chassis.clock import now_ms
from chassis.errors import InvalidInput
from chassis.logs import get_logger
from wire.subjects import BUILT_IN_EXECUTORS

from scheduler.dependencies import Dependencies
from scheduler.events import Announcer
from scheduler.mongo_tasks import Tasks
from scheduler.mongo_workflow_executions import Executions
from scheduler.mongo_workflows import Workflows, encode
from scheduler.worker_offers import WorkerOffers
from scheduler.workflow import MAX_DEFINITION_BYTES, Step, Workflow, check, check_params, template_texts
from scheduler.workflow_engine import WorkflowEngine
from scheduler.workflow_schedules import WorkflowWatch
from scheduler.workflow_state import Execution, Plan, begin
from scheduler.workflow_template import takes_long

log = get_logger("workflows")
Json = Any
# Two names that are this much alike (0 to 1) may be meant for each other.
ALIKE = 0.8


class Definitions:
    """Every method raises `Unavailable` when a store can't be reached."""

    def __init__(
        self, *, workflows: Workflows, tasks: Tasks, dependencies: Dependencies, announcer: Announcer,
        watch: WorkflowWatch, offers: WorkerOffers,
    ) -> None:  # fmt: skip
        self._offers = offers
        self._workflows, self._tasks, self._dependencies = workflows, tasks, dependencies
        self._announcer, self._watch = announcer, watch

    async def create(self, workflow: Workflow) -> Workflow:
        """Store a new one. Raises `InvalidInput`, `Conflict`."""
        await self._check(workflow)
        now = now_ms()
        number = await self._tasks.allocate("workflow_id", 1)
        made = replace(workflow, id=number, version=1, created_ms=now, updated_ms=now, schedule_since_ms=now)
        made = await self._workflows.add(made)
        await self._announce(bool(made.schedule))
        return made

    async def update(self, workflow: Workflow) -> Workflow:
        """Replace the definition of that name by this one. Raises `NotFound`, `InvalidInput`, `Conflict`.

        Executions under way go on with the definition that they started with.
        """
        old = await self._workflows.get(workflow.name)
        await self._check(workflow)
        now = now_ms()
        since = now if workflow.schedule != old.schedule else old.schedule_since_ms
        new = replace(workflow, id=old.id, version=old.version + 1, created_ms=old.created_ms, updated_ms=now,
                      schedule_since_ms=since)  # fmt: skip
        await self._workflows.replace(old, new)
        await self._announce(bool(old.schedule or new.schedule))
        return new

    async def delete(self, name: str) -> None:
        """Delete it; its executions stay, and those under way go on. Raises `NotFound`, `Conflict`."""
        old = await self._workflows.get(name)
        await self._workflows.replace(old, old, deleted=True)
        await self._announce(bool(old.schedule))

    async def _check(self, workflow: Workflow) -> None:
        if takes_long(template_texts(workflow)):
            await asyncio.to_thread(check, workflow)
        else:
            check(workflow)
        size = len(encode(workflow))
        if size > MAX_DEFINITION_BYTES:
            raise InvalidInput(f"a workflow must be at most {MAX_DEFINITION_BYTES} bytes", field="steps")
        known: set[str] = set()
        for index, step in enumerate(workflow.steps):
            if step.task_type:
                await self._check_type(step, index)
            if not step.task or step.task in known:
                continue
            if await self._dependencies.find(step.task) is None:
                raise InvalidInput(f"step {step.id!r}: task {step.task!r} does not exist", field=f"steps[{index}].task",
                                   rule="workflow", step=step.id)  # fmt: skip
            known.add(step.task)

    async def _check_type(self, step: Step, index: int) -> None:
        """A type that nobody offers may get its workers later; one that looks like a slip of the pen is refused."""
        near = get_close_matches(step.task_type.lower(), BUILT_IN_EXECUTORS, n=1, cutoff=ALIKE)
        if step.task_type in BUILT_IN_EXECUTORS or not near:
            return
        offered = await self._offers.queues()
        if offered is not None and step.task_type not in offered:
            raise InvalidInput(
                f"step {step.id!r}: no worker offers the taskType {step.task_type!r}; did you mean {near[0]!r}?",
                field=f"steps[{index}].taskType", rule="workflow", step=step.id,
            )  # fmt: skip

    async def _announce(self, scheduled: bool) -> None:
        if scheduled:
            self._watch.touch(0)
            await self._announcer.workflows_changed()


class StartExecutions:
    """Begins executions. One id is one execution, whatever is repeated."""

    def __init__(self, workflows: Workflows, executions: Executions, engine: WorkflowEngine) -> None:
        self._workflows, self._executions, self._engine = workflows, executions, engine

    async def start(self, name: str, params: Mapping[str, Json], execution_id: str = "") -> Execution:
        """A new execution of the workflow as it is now. Raises `NotFound`, `InvalidInput`."""
        workflow = await self._workflows.get(name)
        if execution_id:
            execution_id = _checked(execution_id)
        return await self.begin(workflow, params, execution_id or str(uuid.uuid4()))

    async def begin(self, workflow: Workflow, params: Mapping[str, Json], execution_id: str) -> Execution:
        """That execution, begun now or before."""
        plan = Plan(workflow, {**workflow.params, **params})
        check_params(plan.params)
        execution = begin(execution_id, workflow, now_ms())
        if not await self._executions.add(execution, plan):
            execution = await self._executions.get(execution_id)
        self._engine.poke(execution_id)
        return execution


def _checked(execution_id: str) -> str:
    try:
        return str(uuid.UUID(execution_id))
    except ValueError as error:
        raise InvalidInput("an execution's id must be a UUID", field="executionId") from error
