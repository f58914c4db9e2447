"""Use case: carry executions of workflows forward. Owns the loop from "something has ended" to "this starts next", and
the slow look at everything that crashes may have left.

An execution's state is changed by compare-and-set, and every step of the way can be repeated: any number of schedulers
may advance the same execution at once. The ends of runs wake it; each scheduler works on an execution one at a time.
"""

import asyncio
import contextlib
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from chassis.clock import now_ms
from chassis.errors import Conflict, InvalidInput, NotFound
from chassis.logs import get_logger
from chassis.poison import AGAIN_SECONDS, TEMPORARY, Isolation
from trawl.scheduler.v1 import events_pb2

from scheduler.change_tasks import ChangeTasks
from scheduler.dependencies import Dependencies
from scheduler.mongo_workflow_executions import Executions
from scheduler.mongo_workflow_items import CHUNK_ITEMS, Chunk, Items, StepKey
from scheduler.workflow import MAX_ITEMS, Step, Workflow
from scheduler.workflow_data import StepData, key_of
from scheduler.workflow_runs import CONTRACT, StepRuns, StepWork
from scheduler.workflow_state import (
    Counts,
    Execution,
    ExecutionStatus,
    Plan,
    StepState,
    StepStatus,
    conclude,
    ended_step,
    failed,
    is_left_out,
    may_begin_items,
    ready_steps,
)
from scheduler.workflow_template import Renderer, TemplateFailed, parse_text

log = get_logger("workflows")
Json = Any
RESCAN_SECONDS: Final = 15.0
PAGE: Final = 200
# Executions that one scheduler carries forward at the same time.
WORKERS: Final = 8
MAX_ROUNDS: Final = 2_000
MAX_PLANS: Final = 16
TASK_TAG: Final = "workflow"


class WorkflowEngine:
    """`run` is one loop in each scheduler."""

    def __init__(
        self, *, executions: Executions, items: Items, runs: StepRuns, dependencies: Dependencies,
        changes: ChangeTasks,
    ) -> None:  # fmt: skip
        self._executions, self._items, self._runs = executions, items, runs
        self._dependencies, self._changes = dependencies, changes
        self._plans: OrderedDict[str, Plan] = OrderedDict()
        self._dirty: OrderedDict[str, None] = OrderedDict()
        self._busy: set[str] = set()
        self._aborted: set[str] = set()
        # Something failed half-way: these are repaired before they go on.
        self._unsure: set[str] = set()
        self._wake = asyncio.Event()
        self._ended: dict[str, set[asyncio.Event]] = defaultdict(set)
        self._data = StepData(items)
        # The step at which an execution failed unexpectedly.
        self._culprits: dict[str, str] = {}
        self._isolation: Isolation[str] = Isolation("workflows", self._set_aside)

    # --- being told

    def poke(self, execution_id: str) -> None:
        """Look at this execution soon."""
        self._dirty[execution_id] = None
        self._wake.set()

    async def on_run_ends(self, events: Iterable[events_pb2.RunEvent]) -> None:
        """Take down ends of runs; those of no workflow are left out. Raises `Unavailable`: then again."""
        ends: dict[str, dict[str, dict[int, tuple[int, str]]]] = defaultdict(lambda: defaultdict(dict))
        for event in events:
            if event.contract == CONTRACT:
                execution_id, _, rest = event.external_id.partition("/")
                step_id, _, index = rest.rpartition("/")
                if index.isdecimal():
                    ends[execution_id][step_id][int(index)] = (event.run_id, event.kind)
        for execution_id in await self._isolation.each(ends, lambda one: self._record(one, ends[one])):
            self._unsure.add(execution_id)  # the repair finds these ends in the archive
        for execution_id in ends:
            self.poke(execution_id)

    async def _record(self, execution_id: str, ends: Mapping[str, Mapping[int, tuple[int, str]]]) -> None:
        try:
            plan = await self.plan(execution_id)
        except NotFound:
            return
        for place, step in enumerate(plan.workflow.steps):
            if step.id in ends:
                await self._runs.record(StepKey(execution_id, place), ends[step.id])

    async def cancel(self, execution_id: str, wait_seconds: float) -> Execution:
        """Ask for its end, and wait a little for the proof. Raises `NotFound`, or `Conflict` when it has ended."""
        for _ in range(MAX_ROUNDS):
            execution = await self._executions.get(execution_id)
            if execution.ended and execution.status is not ExecutionStatus.CANCELLED:
                raise Conflict(f"execution {execution_id} has ended already", status=execution.status.value)
            if execution.cancel_ms or await self._executions.replace(execution, replace(execution, cancel_ms=now_ms())):
                break
        self.poke(execution_id)
        return await self._await_end(execution_id, wait_seconds)

    async def _await_end(self, execution_id: str, wait_seconds: float) -> Execution:
        loop = asyncio.get_running_loop()
        until = loop.time() + wait_seconds
        waiter = asyncio.Event()
        self._ended[execution_id].add(waiter)
        try:
            while True:
                execution = await self._executions.get(execution_id)
                left = until - loop.time()
                if execution.ended or left <= 0:
                    return execution
                try:
                    # Another scheduler may end it, so the state is looked at now and then.
                    async with asyncio.timeout(min(left, 1.0)):
                        await waiter.wait()
                except TimeoutError:
                    continue
        finally:
            self._ended[execution_id].discard(waiter)
            if not self._ended[execution_id]:
                del self._ended[execution_id]

    # --- loops

    async def run(self) -> None:
        """For ever: carry forward what was told of, and now and then look at everything."""
        async with asyncio.TaskGroup() as group:
            for _ in range(WORKERS):
                group.create_task(self._work())
            group.create_task(self._rescan())

    async def _work(self) -> None:
        while True:
            execution_id = next((one for one in self._dirty if one not in self._busy), None)
            if execution_id is None:
                self._wake.clear()
                await self._wake.wait()
                continue
            del self._dirty[execution_id]
            self._busy.add(execution_id)
            try:
                if await self._must_wait(execution_id):
                    self._unsure.add(execution_id)
                    await asyncio.sleep(AGAIN_SECONDS)
                    self.poke(execution_id)
            finally:
                self._busy.discard(execution_id)
                if execution_id in self._dirty:
                    self._wake.set()

    async def _must_wait(self, execution_id: str) -> bool:
        """Carry it forward; answers whether that can't be done now."""
        try:
            return bool(await self._isolation.each([execution_id], self._carry_on))
        except TEMPORARY as error:
            log.warning("an execution waits", execution=execution_id, reason=error.message)
            return True

    async def _carry_on(self, execution_id: str) -> None:
        if execution_id in self._unsure:
            await self._repair(execution_id)
            self._unsure.discard(execution_id)
        await self._advance(execution_id)

    @contextlib.contextmanager
    def _blaming(self, execution: Execution, step_id: str) -> Iterator[None]:
        """What fails unexpectedly in here is that step's fault."""
        try:
            yield
        except TEMPORARY:
            raise
        except Exception:
            self._culprits[execution.id] = step_id
            raise

    async def _set_aside(self, execution_id: str, reason: str) -> None:
        """An execution that can't be carried forward fails, at the step where that was found."""
        culprit = self._culprits.pop(execution_id, "")
        for _ in range(MAX_ROUNDS):
            try:
                execution = await self._executions.get(execution_id)
            except NotFound:
                return
            new = failed(execution, culprit, reason, now_ms())
            if execution.ended or await self._executions.replace(execution, new):
                break
        await self._runs.abort_open(execution_id, culprit and list(execution.steps).index(culprit))
        self.poke(execution_id)

    async def _rescan(self) -> None:
        while True:
            try:
                last = ""
                while page := await self._executions.running(last, PAGE):
                    last = page[-1]
                    await self._isolation.each(page, self._repair)
            except TEMPORARY as error:
                log.warning("executions can't be looked after", reason=error.message)
            await asyncio.sleep(RESCAN_SECONDS)

    async def _repair(self, execution_id: str) -> None:
        try:
            execution = await self._executions.get(execution_id)
            plan = await self.plan(execution_id)
        except NotFound:
            return
        for chunk in await self._items.open_chunks(execution_id):
            step = plan.workflow.steps[chunk.step.place]
            if execution.steps[step.id].status is not StepStatus.RUNNING:
                continue
            with self._blaming(execution, step.id):
                await self._runs.repair(chunk, await self._step_work(execution, plan, step))
        self._aborted.discard(execution_id)
        self.poke(execution_id)

    # --- carrying forward

    async def _advance(self, execution_id: str) -> None:
        for _ in range(MAX_ROUNDS):
            try:
                execution = await self._executions.get(execution_id)
                plan = await self.plan(execution_id)
            except NotFound:
                return
            if execution.ended:
                self._forget(execution_id)
                return
            if execution.cancel_ms and execution_id not in self._aborted:
                self._aborted.add(execution_id)
                await self._runs.abort_open(execution_id)
            new = execution
            for step_id in execution.running():
                with self._blaming(execution, step_id):
                    new = new.with_step(step_id, await self._drive(execution, plan, plan.workflow.step(step_id)))
            new = conclude(plan.workflow, await self._begin_ready(new, plan), now_ms())
            if new == execution:
                return
            if await self._executions.replace(execution, new) and new.ended:
                log.info("execution ended", execution=execution_id, workflow=new.workflow, status=new.status.value)
                self._forget(execution_id)
                return
        self.poke(execution_id)

    def _forget(self, execution_id: str) -> None:
        self._plans.pop(execution_id, None)
        self._unsure.discard(execution_id)
        self._aborted.discard(execution_id)
        self._culprits.pop(execution_id, None)
        for waiter in self._ended.get(execution_id, ()):
            waiter.set()

    async def _drive(self, execution: Execution, plan: Plan, step: Step) -> StepState:
        """Begin more of the step's items, or find that it has ended."""
        state, key = execution.steps[step.id], key_of(plan.workflow, execution.id, step)
        # In this order: whoever begins items changes the last chunk, so that its revision vouches for the counts.
        tail = await self._items.last_chunk(key)
        counts = await self._counts(key, state, tail)
        work: StepWork | None = None
        while (most := _most(step, state, execution, counts)) > 0:
            work = work or await self._step_work(execution, plan, step)
            if len(tail.states) >= CHUNK_ITEMS:
                tail = Chunk(key, tail.number + 1)
            begun = await self._runs.begin(work, tail, most)
            if begun is None:
                tail = await self._items.last_chunk(key)
                counts = await self._counts(key, state, tail)
            else:
                failed = begun.states[len(tail.states) :].count("f")
                counts = replace(counts, started=counts.started + len(begun.states) - len(tail.states),
                                 failed=counts.failed + failed)  # fmt: skip
                tail = begun
            if state.total > 1:
                execution = await self._executions.get(execution.id)
        status = ended_step(step, state, execution, counts)
        return state if status is None else await self._end(step, state, status, key, counts)

    async def _counts(self, key: StepKey, state: StepState, tail: Chunk) -> Counts:
        return tail.counts if state.total <= CHUNK_ITEMS else await self._items.counts(key)

    async def _end(self, step: Step, state: StepState, status: StepStatus, key: StepKey, counts: Counts) -> StepState:
        size = await self._runs.gather_results(key, state.total)
        error = "" if status is StepStatus.COMPLETED else await self._runs.first_error(key)
        broken = counts.failed + counts.cancelled
        if step.many and error:
            error = f"{broken} of {state.total} items did not complete; the first: {error}"
        return replace(
            state, status=status, completed_ms=max(now_ms(), state.started_ms), counts=counts, error=error,
            result_bytes=size,
        )  # fmt: skip

    async def _begin_ready(self, execution: Execution, plan: Plan) -> Execution:
        """Decide about each step that waits for nothing any more."""
        while ready := ready_steps(plan.workflow, execution):
            for step in ready:
                with self._blaming(execution, step.id):
                    execution = execution.with_step(step.id, await self._first_state(execution, plan, step))
        return execution

    async def _first_state(self, execution: Execution, plan: Plan, step: Step) -> StepState:
        if is_left_out(step, execution):
            return StepState(StepStatus.SKIPPED)
        now = now_ms()
        try:
            if not await self._holds(execution, plan, step):
                return StepState(StepStatus.SKIPPED)
            total = await self._lay_out(execution, plan, step)
            await self._data.of(execution, plan, step.params)  # what they name is complete by now, or never
            task_id = await self._task_of(plan.workflow, step)
        except (TemplateFailed, InvalidInput, NotFound) as error:
            return StepState(StepStatus.FAILED, started_ms=now, completed_ms=now, error=str(error)[:2_000])
        return StepState(StepStatus.RUNNING, started_ms=now, total=total, task_id=task_id)

    async def _holds(self, execution: Execution, plan: Plan, step: Step) -> bool:
        if not isinstance(step.when, str):
            return step.when is not False
        template = parse_text(step.when)
        assert template is not None  # checked when the workflow was saved
        return Renderer(await self._data.of(execution, plan, step.when)).holds(template.expressions[0])

    async def _lay_out(self, execution: Execution, plan: Plan, step: Step) -> int:
        """Store what the step goes over; answers how many items that is. Raises `TemplateFailed`."""
        if not step.many:
            return 1
        items = step.for_each
        if isinstance(items, str):
            items = Renderer(await self._data.of(execution, plan, items)).text(items)
        if not isinstance(items, list):
            raise TemplateFailed(f"forEach must come to a list, not {_kind(items)}")
        if len(items) > MAX_ITEMS:
            raise TemplateFailed(f"forEach comes to {len(items)} items; there may be {MAX_ITEMS}")
        await self._items.save_items(key_of(plan.workflow, execution.id, step), items)
        return len(items)

    async def _task_of(self, workflow: Workflow, step: Step) -> int:
        """The id of the task that the step runs. Raises `NotFound`."""
        if step.task:
            task = await self._dependencies.find(step.task)
            if task is None:
                raise NotFound(f"task {step.task!r} does not exist", resource="task")
            return task.id
        name = f"{workflow.name}/{step.id} ({step.task_type})"
        for _ in range(2):
            task = await self._dependencies.find(name)
            if task is not None:
                return task.id
            try:
                made = await self._changes.create(
                    name=name, task_type=step.task_type, executor=step.task_type, contract=CONTRACT, tags=(TASK_TAG,),
                    description=f"step {step.id} of workflow {workflow.name}",
                )  # fmt: skip
            except Conflict:
                continue  # another scheduler was faster
            return made.id
        raise NotFound(f"task {name!r} could not be made", resource="task")

    async def _step_work(self, execution: Execution, plan: Plan, step: Step) -> StepWork:
        data = await self._data.of(execution, plan, step.params)
        return StepWork(key_of(plan.workflow, execution.id, step), step, execution.steps[step.id], data)

    async def plan(self, execution_id: str) -> Plan:
        """What the execution does; it never changes, so the last ones are remembered. Raises `NotFound`."""
        plan = self._plans.get(execution_id)
        if plan is None:
            plan = await self._executions.plan(execution_id)
            self._plans[execution_id] = plan
            while len(self._plans) > MAX_PLANS:
                self._plans.popitem(last=False)
        self._plans.move_to_end(execution_id)
        return plan


def _most(step: Step, state: StepState, execution: Execution, counts: Counts) -> int:
    """How many items may begin now."""
    if not may_begin_items(step, execution, counts):
        return 0
    return min(step.parallel - counts.open, state.total - counts.started)


def _kind(value: Json) -> str:
    names: Sequence[tuple[type, str]] = ((str, "a string"), (dict, "an object"), (bool, "a boolean"))
    return next((name for kind, name in names if isinstance(value, kind)), "a number" if value is not None else "null")
