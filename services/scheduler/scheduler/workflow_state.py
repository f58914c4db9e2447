"""How far an execution of a workflow has come, and what may happen next. Pure. Owns: the states of steps and
executions, and the rules of skipping, failing and ending. Must not know drivers or protocols.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from scheduler.workflow import Step, Workflow

Json = Any


class StepStatus(StrEnum):
    """A step's state. The last four are ends."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"


class ExecutionStatus(StrEnum):
    """An execution's state. The last three are ends."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED = frozenset({StepStatus.COMPLETED, StepStatus.FAILED, StepStatus.CANCELLED, StepStatus.SKIPPED})
BROKEN = frozenset({StepStatus.FAILED, StepStatus.CANCELLED})


@dataclass(frozen=True, slots=True)
class Counts:
    """How a step's items stand: how many were begun, and how those ended."""

    started: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0

    @property
    def ended(self) -> int:
        """All that have ended."""
        return self.completed + self.failed + self.cancelled

    @property
    def open(self) -> int:
        """Those under way."""
        return self.started - self.ended


@dataclass(frozen=True, slots=True)
class StepState:
    """One step of an execution. A step without `forEach` has one item. `counts` are those of its end."""

    status: StepStatus = StepStatus.PENDING
    started_ms: int = 0
    completed_ms: int = 0
    total: int = 0
    task_id: int = 0
    error: str = ""
    # Of the result as JSON; -1 = too large to be kept together.
    result_bytes: int = 0
    counts: Counts = Counts()


@dataclass(frozen=True, slots=True)
class Execution:
    """One doing of a workflow. `revision` grows with every change."""

    id: str
    workflow: str
    workflow_id: int
    version: int
    started_ms: int
    steps: Mapping[str, StepState]
    status: ExecutionStatus = ExecutionStatus.RUNNING
    completed_ms: int = 0
    cancel_ms: int = 0
    error: str = ""
    revision: int = 1

    @property
    def ended(self) -> bool:
        """Nothing changes any more."""
        return self.status is not ExecutionStatus.RUNNING

    def with_step(self, step_id: str, state: StepState) -> "Execution":
        """This, with that step's state."""
        return replace(self, steps={**self.steps, step_id: state})

    def running(self) -> list[str]:
        """The steps under way."""
        return [step_id for step_id, state in self.steps.items() if state.status is StepStatus.RUNNING]


@dataclass(frozen=True, slots=True)
class Plan:
    """What an execution does: the definition as it was when it started, and its params."""

    workflow: Workflow
    params: Mapping[str, Json] = field(default_factory=dict)


def begin(execution_id: str, workflow: Workflow, now: int) -> Execution:
    """A new execution, with every step pending."""
    return Execution(
        id=execution_id, workflow=workflow.name, workflow_id=workflow.id, version=workflow.version, started_ms=now,
        steps={step.id: StepState() for step in workflow.steps},
    )  # fmt: skip


def broken_step(workflow: Workflow, execution: Execution) -> Step | None:
    """A step whose end fails the execution: from then on nothing new starts."""
    for step in workflow.steps:
        if execution.steps[step.id].status in BROKEN and step.on_failure == "fail":
            return step
    return None


def ready_steps(workflow: Workflow, execution: Execution) -> list[Step]:
    """Pending steps all of whose dependencies have ended, while anything may start."""
    if execution.cancel_ms or broken_step(workflow, execution) is not None:
        return []
    return [
        step
        for step in workflow.steps
        if execution.steps[step.id].status is StepStatus.PENDING
        and all(execution.steps[need].status in ENDED for need in step.depends_on)
    ]


def is_left_out(step: Step, execution: Execution) -> bool:
    """Whether all that the step depends on was skipped."""
    return bool(step.depends_on) and all(execution.steps[need].status is StepStatus.SKIPPED for need in step.depends_on)


def may_begin_items(step: Step, execution: Execution, counts: Counts) -> bool:
    """Whether a running step may begin more of its items."""
    broken = counts.failed + counts.cancelled > 0 and step.on_failure == "fail"
    return not execution.cancel_ms and not broken


def ended_step(step: Step, state: StepState, execution: Execution, counts: Counts) -> StepStatus | None:
    """What the step has come to; None while it goes on."""
    if counts.open or (counts.started < state.total and may_begin_items(step, execution, counts)):
        return None
    if counts.completed == state.total:
        return StepStatus.COMPLETED
    if execution.cancel_ms and not counts.failed:
        return StepStatus.CANCELLED
    return StepStatus.FAILED if counts.failed else StepStatus.CANCELLED


def conclude(workflow: Workflow, execution: Execution, now: int) -> Execution:
    """The execution, ended if nothing of it goes on or may start."""
    if execution.running() or ready_steps(workflow, execution):
        return execution
    pending = [step_id for step_id, state in execution.steps.items() if state.status is StepStatus.PENDING]
    steps = {**execution.steps, **{step_id: StepState(StepStatus.SKIPPED) for step_id in pending}}
    broken = broken_step(workflow, execution)
    status, error = ExecutionStatus.COMPLETED, ""
    if execution.cancel_ms and (pending or broken is not None or _any_cancelled(execution.steps.values())):
        status, error = ExecutionStatus.CANCELLED, "cancelled"
    elif broken is not None:
        status, error = ExecutionStatus.FAILED, f"step {broken.id!r}: {execution.steps[broken.id].error}"
    return replace(execution, steps=steps, status=status, completed_ms=now, error=error)


def failed(execution: Execution, step_id: str, reason: str, now: int) -> Execution:
    """The execution with that step failed; without a step that can, all of it."""
    open_steps = [one for one, state in execution.steps.items() if state.status not in ENDED]
    for one in [step_id] if step_id in open_steps else open_steps:
        state = execution.steps[one]
        execution = execution.with_step(one, replace(
            state, status=StepStatus.FAILED, started_ms=state.started_ms or now, completed_ms=now, error=reason
        ))  # fmt: skip
    return (
        execution
        if step_id in open_steps
        else replace(execution, status=ExecutionStatus.FAILED, completed_ms=now, error=reason)
    )


def _any_cancelled(states: Iterable[StepState]) -> bool:
    return any(state.status is StepStatus.CANCELLED for state in states)
