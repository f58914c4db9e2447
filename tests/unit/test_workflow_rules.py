"""What a workflow may be, and what follows from the ends of its steps."""

from dataclasses import replace
from typing import Any

import pytest
from chassis.errors import InvalidInput
from hypothesis import given, settings
from hypothesis import strategies as st
from scheduler.run import Retry
from scheduler.workflow import MAX_STEPS, Step, Workflow, ancestors, check
from scheduler.workflow_state import (
    Counts,
    Execution,
    ExecutionStatus,
    StepState,
    StepStatus,
    begin,
    conclude,
    ended_step,
    is_left_out,
    ready_steps,
)

COMPLETED, FAILED, CANCELLED = StepStatus.COMPLETED, StepStatus.FAILED, StepStatus.CANCELLED


def step(step_id: str, *needs: str, **fields: Any) -> Step:
    """A step of a task, which depends on these."""
    return Step(id=step_id, task="t", depends_on=needs, **fields)


def workflow(*steps: Step, **fields: Any) -> Workflow:
    """An unchecked workflow."""
    return Workflow(**{"name": "w", "steps": steps, **fields})


def refusal(definition: Workflow) -> tuple[str | None, str]:
    """(the field, the step's id) that the check names."""
    with pytest.raises(InvalidInput) as refused:
        check(definition)
    return refused.value.field, refused.value.details.get("step", "")


DIAMOND = workflow(step("a"), step("b", "a"), step("c", "a"), step("d", "b", "c"))


@pytest.mark.parametrize(
    ("steps", "place", "step_id"),
    [
        ([step("a", "x")], "steps[0].dependsOn", "a"),
        ([step("a", "a")], "steps[0].dependsOn", "a"),
        ([step("a"), step("b", "c"), step("c", "b")], "steps[1].dependsOn", "b"),
        ([step("a"), step("a")], "steps[1].id", "a"),
        ([step("1")], "steps[0].id", "1"),
        ([step("a b")], "steps[0].id", "a b"),
        ([step("a" * 65)], "steps[0].id", "a" * 64),
        ([Step("a")], "steps[0].task", "a"),
        ([Step("a", task="t", task_type="http")], "steps[0].taskType", "a"),
        ([Step("a", task_type="no/slash")], "steps[0].taskType", "a"),
        ([Step("a", task_type="shell")], "steps[0].params.command", "a"),
        ([Step("a", task_type="shell", params={"command": "x", "arguments": [1]})], "steps[0].params.arguments", "a"),
        ([step("a"), step("b", when="{{steps.a.result}}")], "steps[1].when", "b"),
        ([step("a"), step("b"), step("c", "b", params={"x": ["{{steps.a.result}}"]})], "steps[2].params", "c"),
        ([step("a", params={"x": "{{steps.a.result}}"})], "steps[0].params", "a"),
        ([step("a", params={"x": "{{item}}"})], "steps[0].params", "a"),
        ([step("a", for_each="{{params.x}}", when="{{index > 1}}")], "steps[0].when", "a"),
        ([step("a", for_each="x{{params.x}}")], "steps[0].forEach", "a"),
        ([step("a", for_each=[0] * 10_001)], "steps[0].forEach", "a"),
        ([step("a", when="true")], "steps[0].when", "a"),
        ([step("a", params={"x": "{{1+1}}"})], "steps[0].params", "a"),
        ([step("a", on_failure="stop")], "steps[0].onFailure", "a"),
        ([step("a", priority="now")], "steps[0].priority", "a"),
        ([step("a", timeout_ms=-1)], "steps[0].timeoutMs", "a"),
        ([step("a", retry=Retry(101))], "steps[0].retry", "a"),
    ],
)
def test_a_bad_step_is_refused_with_its_id(steps: list[Step], place: str, step_id: str) -> None:
    assert refusal(workflow(*steps)) == (place, step_id)


def test_a_workflow_is_bounded_and_has_a_name_that_can_stand_in_a_path() -> None:
    many = workflow(*(step(f"s{n}") for n in range(MAX_STEPS + 1)))
    assert refusal(many)[0] == "steps"
    assert refusal(workflow())[0] == "steps"
    for name in ("", " ", "a/b", "executions", "..", " x", "x" * 101, "a\n"):
        assert refusal(workflow(step("a"), name=name))[0] == "name"
    assert refusal(workflow(step("a"), schedule="every day"))[0] == "schedule"
    assert refusal(workflow(step("a"), overlap="queue"))[0] == "overlap"


def test_a_step_may_name_what_it_depends_on_directly_or_not() -> None:
    far = step("d", "b", params={"x": "{{steps.a.result}} {{steps.b-2.completed}}"})
    check(workflow(step("a"), step("b-2", "a"), step("b", "b-2"), far))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.integers(0, 14), max_size=4), min_size=1, max_size=15))
def test_a_cycle_is_found_whenever_there_is_one_and_named_by_one_of_its_steps(graph: list[list[int]]) -> None:
    edges = {n: {m for m in needs if m < len(graph) and m != n} for n, needs in enumerate(graph)}

    def reaches(start: int) -> set[int]:
        seen: set[int] = set()
        pending = list(edges[start])
        while pending:
            if (one := pending.pop()) not in seen:
                seen.add(one)
                pending += edges[one]
        return seen

    on_cycles = {f"s{n}" for n in edges if n in reaches(n)}
    definition = workflow(*(step(f"s{n}", *(f"s{m}" for m in sorted(needs))) for n, needs in edges.items()))
    if on_cycles:
        assert refusal(definition)[1] in on_cycles
    else:
        check(definition)
        assert ancestors(definition) == {f"s{n}": {f"s{m}" for m in reaches(n)} for n in edges}


def at(definition: Workflow, **states: StepStatus) -> Execution:
    """An execution with these steps in these states, the others pending."""
    execution = begin("e", definition, 1)
    for step_id, status in states.items():
        execution = execution.with_step(step_id, StepState(status, started_ms=1, total=1))
    return execution


def ready(definition: Workflow, execution: Execution) -> list[str]:
    """The ids of the steps that may start."""
    return [one.id for one in ready_steps(definition, execution)]


def test_a_step_starts_when_all_that_it_depends_on_has_ended() -> None:
    assert ready(DIAMOND, at(DIAMOND)) == ["a"]
    assert ready(DIAMOND, at(DIAMOND, a=COMPLETED)) == ["b", "c"]
    assert ready(DIAMOND, at(DIAMOND, a=COMPLETED, b=COMPLETED, c=StepStatus.RUNNING)) == []
    assert ready(DIAMOND, at(DIAMOND, a=COMPLETED, b=StepStatus.SKIPPED, c=COMPLETED)) == ["d"]


def test_only_what_depends_on_nothing_but_skipped_steps_is_left_out() -> None:
    last = DIAMOND.step("d")
    assert is_left_out(last, at(DIAMOND, b=StepStatus.SKIPPED, c=StepStatus.SKIPPED))
    assert not is_left_out(last, at(DIAMOND, b=StepStatus.SKIPPED, c=COMPLETED))
    assert not is_left_out(DIAMOND.step("a"), at(DIAMOND))


def test_a_failure_stops_what_follows_unless_the_step_says_continue() -> None:
    broken = at(DIAMOND, a=COMPLETED, b=FAILED, c=StepStatus.RUNNING)
    assert ready(DIAMOND, broken) == []
    assert conclude(DIAMOND, broken, 9) is broken, "what runs is let finish"
    ended = conclude(DIAMOND, broken.with_step("c", StepState(COMPLETED)), 9)
    assert (ended.status, ended.completed_ms, ended.steps["d"].status) == (
        ExecutionStatus.FAILED,
        9,
        StepStatus.SKIPPED,
    )
    patient = replace(DIAMOND, steps=tuple(replace(one, on_failure="continue") for one in DIAMOND.steps))
    execution = at(patient, a=COMPLETED, b=FAILED, c=COMPLETED)
    assert ready(patient, execution) == ["d"]
    assert conclude(patient, execution.with_step("d", StepState(COMPLETED)), 9).status is ExecutionStatus.COMPLETED


def test_a_cancelled_execution_starts_nothing_and_ends_once_nothing_runs() -> None:
    execution = replace(at(DIAMOND, a=COMPLETED, b=StepStatus.RUNNING), cancel_ms=5)
    assert ready(DIAMOND, execution) == []
    assert conclude(DIAMOND, execution, 9) is execution
    ended = conclude(DIAMOND, execution.with_step("b", StepState(CANCELLED)), 9)
    assert (ended.status, ended.steps["c"].status) == (ExecutionStatus.CANCELLED, StepStatus.SKIPPED)
    done = replace(at(workflow(step("a")), a=COMPLETED), cancel_ms=5)
    assert conclude(workflow(step("a")), done, 9).status is ExecutionStatus.COMPLETED, "nothing was left undone"


@pytest.mark.parametrize(
    ("counts", "on_failure", "cancel_ms", "status"),
    [
        (Counts(), "fail", 0, None),
        (Counts(started=10, completed=9), "fail", 0, None),
        (Counts(started=10, completed=10), "fail", 0, COMPLETED),
        (Counts(started=5, completed=4, failed=1), "fail", 0, FAILED),
        (Counts(started=5, completed=3, failed=1), "fail", 0, None),
        (Counts(started=5, completed=4, failed=1), "continue", 0, None),
        (Counts(started=10, completed=9, failed=1), "continue", 0, FAILED),
        (Counts(started=10, completed=9, cancelled=1), "fail", 0, CANCELLED),
        (Counts(started=5, completed=5), "fail", 1, CANCELLED),
        (Counts(started=5, completed=4), "fail", 1, None),
        (Counts(started=10, completed=10), "fail", 1, COMPLETED),
    ],
)
def test_a_step_of_ten_items_ends_as_they_do(
    counts: Counts, on_failure: Any, cancel_ms: int, status: StepStatus | None
) -> None:
    one = step("a", for_each=[0] * 10, on_failure=on_failure)
    execution = replace(at(workflow(one)), cancel_ms=cancel_ms)
    assert ended_step(one, StepState(StepStatus.RUNNING, total=10), execution, counts) is status
