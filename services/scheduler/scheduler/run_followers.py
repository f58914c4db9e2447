"""Use case: what follows from a run's end for other tasks: dependents start, queued runs go on, workflows are told.

Owns the reaction to the run events, and the slow repair of what was missed.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from chassis.events import Msg
from chassis.logs import get_logger
from chassis.poison import TEMPORARY, Isolation
from google.protobuf.message import DecodeError
from trawl.scheduler.v1 import events_pb2

from scheduler.held_runs import HeldRuns
from scheduler.mongo_tasks import Tasks
from scheduler.mongo_waiting import WaitingRuns
from scheduler.schedule_book import ScheduleBook
from scheduler.task import Task
from scheduler.task_watch import TaskWatch

log = get_logger("followers")
ENDS = frozenset({"completed", "failed", "aborted"})
REPAIR_SECONDS = 15.0
# Hears of ends first, and raises `Unavailable` when they must come again.
WorkflowEnds = Callable[[Sequence[events_pb2.RunEvent]], Awaitable[None]]


class RunFollowers:
    """Handles batches of `RunEvents`. A batch that failed half-way is handled again."""

    def __init__(
        self, *, held: HeldRuns, waiting: WaitingRuns, tasks: Tasks, book: ScheduleBook, watch: TaskWatch,
        workflows: WorkflowEnds,
    ) -> None:  # fmt: skip
        self._workflows = workflows
        self._held, self._waiting, self._tasks = held, waiting, tasks
        self._book, self._watch = book, watch
        self._isolation: Isolation[int] = Isolation("followers", self._leave, tries=1)

    async def _leave(self, task_id: int, reason: str) -> None:
        log.error("a dependent can't be started", task_id=task_id, reason=reason)

    async def handle(self, messages: Sequence[Msg]) -> None:
        """React to ends of runs. Raises `Unavailable`."""
        await self._watch.refresh()
        queues: set[int] = set()
        seldom: set[int] = set()
        stuck: set[int] = set()
        completed: dict[int, set[int]] = {}
        ends = self._ends(messages)
        await self._workflows(ends)
        for event in ends:
            if (task := self._book.get(event.task_id)) is not None and task.schedule:
                (queues if may_queue(task) else seldom).add(task.id)
            for dependent in self._book.dependents(event.task_id, event.task_name):
                if event.kind == "completed":
                    await self._waiting.note_completion(event.task_id, event.time_ms, event.run_id)
                    completed.setdefault(dependent, set()).add(event.time_ms)
                else:
                    stuck.add(dependent)
        queues |= await self._held.with_live_runs(seldom)
        # A task where this fails is left to the repair, and the others are not held up.
        await self._isolation.each(completed, lambda task_id: self._completed(task_id, max(completed[task_id])))
        await self._held.wake_all((queues | stuck) - set(completed))

    async def _completed(self, task_id: int, completed_ms: int) -> None:
        task = (await self._tasks.many([task_id])).get(task_id)
        # An event that comes again must not start a task that was made after it.
        if task is not None and completed_ms >= task.created_ms:
            await self._held.use_completions(task)

    def _ends(self, messages: Sequence[Msg]) -> list[events_pb2.RunEvent]:
        ends = []
        for message in messages:
            try:
                events = events_pb2.RunEvents.FromString(message.data).events
            except DecodeError:
                log.warning("unreadable run events")  # only the scheduler publishes there
                continue
            ends += [event for event in events if event.kind in ENDS]
        return ends

    async def run(self) -> None:
        """For ever: look after the runs of changed tasks, and now and then repair what crashes left."""
        loop = asyncio.get_running_loop()
        repair_at = loop.time()
        while True:
            try:
                if loop.time() >= repair_at:
                    await self._held.repair()
                    repair_at = loop.time() + REPAIR_SECONDS
                while self._watch.woken:
                    task_id = next(iter(self._watch.woken))
                    await self._held.wake_all([task_id])
                    self._watch.woken.discard(task_id)
            except TEMPORARY as error:
                log.warning("waiting runs can't be looked after", reason=error.message)
                await asyncio.sleep(1)
            self._watch.wake.clear()
            try:
                async with asyncio.timeout(max(0.001, repair_at - loop.time())):
                    await self._watch.wake.wait()
            except TimeoutError:
                pass


def may_queue(task: Task) -> bool:
    """Whether fire times of this task often wait for its earlier runs; those of others do after a standstill."""
    return bool(task.schedule) and (task.policy.overlap == "queue" or task.policy.misfire == "all")
