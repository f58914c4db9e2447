"""An execution that can't be carried forward fails with its reason, and the others go on."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import pytest
from chassis import poison
from chassis.errors import NotFound
from scheduler import workflow_engine
from scheduler.mongo_workflow_items import Chunk
from scheduler.workflow import Step, Workflow
from scheduler.workflow_engine import WorkflowEngine
from scheduler.workflow_runs import CONTRACT
from scheduler.workflow_state import Execution, ExecutionStatus, Plan, StepStatus, begin, failed
from trawl.scheduler.v1 import events_pb2

FLOW = Workflow("w", (Step("a", task="t"), Step("b", task="t", depends_on=("a",))))


class Stores:
    """Executions, items, runs and tasks for an engine. `broken`: what fails for which execution, and with what."""

    def __init__(self, *ids: str) -> None:
        self.executions = {one: begin(one, FLOW, 1) for one in ids}
        self.broken: dict[tuple[str, str], Exception] = {}
        self.calls: Counter[tuple[str, str]] = Counter()
        self.begun: set[tuple[str, int]] = set()
        # Is told that a run of the execution has ended.
        self.told: Callable[[str], None] = lambda _: None
        self.aborted: list[str] = []

    def _at(self, what: str, execution_id: str) -> None:
        self.calls[what, execution_id] += 1
        if (what, execution_id) in self.broken:
            raise self.broken[what, execution_id]

    async def get(self, execution_id: str) -> Execution:
        if execution_id not in self.executions:
            raise NotFound("gone")
        return self.executions[execution_id]

    async def plan(self, execution_id: str) -> Plan:
        self._at("plan", execution_id)
        return Plan(FLOW)

    async def replace(self, old: Execution, new: Execution) -> bool:
        assert self.executions[old.id].revision == old.revision
        self.executions[old.id] = replace(new, revision=old.revision + 1)
        return True

    async def running(self, after: str, _limit: int) -> list[str]:
        return sorted(one for one, e in self.executions.items() if not e.ended and one > after)

    async def open_chunks(self, _execution_id: str) -> list[Chunk]:
        return []

    async def last_chunk(self, key: Any) -> Chunk:
        return Chunk(key, 0, (1,), "c") if (key.execution, key.place) in self.begun else Chunk(key, 0)

    async def begin(self, work: Any, tail: Chunk, _most: int) -> Chunk:
        self._at("begin", work.key.execution)
        self.begun.add((work.key.execution, work.key.place))
        asyncio.get_running_loop().call_soon(self.told, work.key.execution)
        return replace(tail, states="c", run_ids=(1,))

    async def record(self, key: Any, _ends: object) -> None:
        self._at("record", key.execution)

    async def gather_results(self, _key: object, _total: int) -> int:
        return 0

    async def abort_open(self, execution_id: str, _place: object = "") -> None:
        self.aborted.append(execution_id)

    async def find(self, _name: str) -> Any:
        return FLOW.steps[0] and type("Task", (), {"id": 7})


@pytest.fixture
def stores(monkeypatch: pytest.MonkeyPatch) -> Stores:
    monkeypatch.setattr(workflow_engine, "AGAIN_SECONDS", 0.001)
    monkeypatch.setattr(poison, "log", Mock())  # tracebacks for people take their time
    return Stores("good", "other", "poison")


@pytest.fixture
def engine(stores: Stores) -> WorkflowEngine:
    one: Any = stores  # stands for all of them
    engine = WorkflowEngine(executions=one, items=one, runs=one, dependencies=one, changes=one)
    stores.told = engine.poke
    return engine


async def ended(stores: Stores, engine: WorkflowEngine) -> dict[str, ExecutionStatus]:
    """How the executions ended, once all have."""
    loop = asyncio.create_task(engine.run())
    try:
        async with asyncio.timeout(40):
            while not all(execution.ended for execution in stores.executions.values()):
                await asyncio.sleep(0.005)
    finally:
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)
    return {one: execution.status for one, execution in stores.executions.items()}


@pytest.mark.parametrize("error", [OverflowError("int too big"), TypeError("\ud800"), RecursionError(), KeyError(1)])
async def test_a_step_that_fails_unexpectedly_fails_after_its_tries_and_no_other_execution_does(
    stores: Stores, engine: WorkflowEngine, error: Exception
) -> None:
    stores.broken["begin", "poison"] = error
    for one in stores.executions:
        engine.poke(one)
    assert await ended(stores, engine) == {"good": "completed", "other": "completed", "poison": "failed"}
    states = stores.executions["poison"].steps
    assert [state.status for state in states.values()] == [StepStatus.FAILED, StepStatus.SKIPPED]
    assert type(error).__name__ in states["a"].error
    assert stores.calls["begin", "poison"] == 3
    assert stores.aborted == ["poison"]


async def test_an_execution_whose_plan_cannot_be_read_fails_as_a_whole(stores: Stores, engine: WorkflowEngine) -> None:
    stores.broken["plan", "poison"] = ValueError("not what was stored")
    for one in stores.executions:
        engine.poke(one)
    assert await ended(stores, engine) == {"good": "completed", "other": "completed", "poison": "failed"}
    assert "ValueError" in stores.executions["poison"].error


async def test_an_end_that_cannot_be_recorded_holds_up_no_other_one(stores: Stores, engine: WorkflowEngine) -> None:
    stores.broken["record", "poison"] = TypeError()
    ends = [
        events_pb2.RunEvent(contract=CONTRACT, external_id=f"{one}/a/0", kind="completed", run_id=1)
        for one in ("poison", "good", "nobody")
    ]
    await engine.on_run_ends(ends)
    assert stores.calls["record", "good"] == 1
    assert (await ended(stores, engine))["good"] == "completed"


def test_a_failed_step_leaves_the_rest_to_the_rules_and_a_failed_execution_ends_it() -> None:
    execution = begin("e", FLOW, 1)
    one = failed(execution, "a", "why", 5)
    assert (one.status, one.steps["a"].error, one.steps["b"].status) == ("running", "why", "pending")
    whole = failed(execution, "", "why", 5)
    assert (whole.status, whole.error, whole.completed_ms, {s.status for s in whole.steps.values()}) == (
        "failed", "why", 5, {StepStatus.FAILED},
    )  # fmt: skip
