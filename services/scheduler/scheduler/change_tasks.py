"""Use case: create, read, change and delete tasks. Owns what else must happen when a task changes."""

import asyncio
from typing import Any

from chassis.clock import now_ms
from chassis.errors import Unavailable
from chassis.logs import get_logger

from scheduler.abort_runs import AbortRuns
from scheduler.dependencies import Dependencies
from scheduler.events import Announcer
from scheduler.mongo_tasks import Tasks
from scheduler.redis_runs import DELETED_TASK_VERSION, LiveRuns
from scheduler.standings import Standings
from scheduler.start_runs import StartRuns
from scheduler.task import Task, changed, check
from scheduler.task_watch import TaskWatch

log = get_logger("tasks")
ENDING_SECONDS = 2.0


class ChangeTasks:
    """Writes tasks, makes cached copies stale, says what happened."""

    def __init__(self, *, tasks: Tasks, live: LiveRuns, announcer: Announcer, starter: StartRuns,
                 dependencies: Dependencies, watch: TaskWatch, standings: Standings,
                 aborts: AbortRuns) -> None:  # fmt: skip
        self._aborts = aborts
        self._endings: set[asyncio.Task[None]] = set()
        self._watch, self._standings = watch, standings
        self._tasks, self._live, self._announcer, self._starter = tasks, live, announcer, starter
        self._dependencies = dependencies

    async def create(self, **fields: Any) -> Task:
        """A new task. Raises `InvalidInput`, `Conflict`."""
        now = now_ms()
        check(Task(id=0, **fields))
        await self._tasks.check_free(fields["name"])
        task = Task(id=await self._tasks.allocate("task_id", 1), created_ms=now, updated_ms=now,
                    schedule_since_ms=now, **fields)  # fmt: skip
        await self._dependencies.check(task)
        await self._tasks.add(task)
        await self._announce("created", task)
        return task

    async def update(self, task_id: int, changes: dict[str, Any]) -> Task:
        """The task with those fields changed. Raises `NotFound`, `InvalidInput`, `Conflict`."""
        old = await self._tasks.get(task_id)
        new = changed(old, changes, now_ms())
        if new.dependencies != old.dependencies:
            await self._dependencies.check(new)
        if new.name != old.name:
            await self._dependencies.check_rename(old)
        await self._tasks.replace(old, new)
        if new.collects and new.task_type != old.task_type:
            await self._standings.changed(new)
        # Before the answer: from then on no scheduler may use an older copy.
        await self._live.raise_task_version(task_id, new.version)
        self._starter.forget_task(task_id)
        await self._announce("updated", new)
        return new

    async def delete(self, task_id: int) -> None:
        """Delete the task: what waits of it is aborted, what runs goes on, what has ended stays. Raises `NotFound`,
        `Conflict` when another task depends on it.
        """
        task = await self._tasks.get(task_id)
        await self._tasks.remove(task)
        if task.collects:
            await self._standings.forget(task_id)
        await self._live.raise_task_version(task_id, DELETED_TASK_VERSION)
        self._starter.forget_task(task_id)
        ending = asyncio.create_task(self._end_waiting(task_id))
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)
        # Of a few runs the answer is the end; hundreds of thousands take longer than anybody waits for an answer.
        await asyncio.wait({ending}, timeout=ENDING_SECONDS)
        await self._announce("deleted", task)

    async def _end_waiting(self, task_id: int) -> None:
        try:
            await self._aborts.end_waiting(await self._aborts.live_ids(task_id), "its task was deleted")
        except Unavailable as error:
            log.warning("waiting runs of a deleted task stay", task_id=task_id, reason=error.message)

    async def _announce(self, kind: str, task: Task) -> None:
        self._watch.touch(task.id)
        try:
            await self._announcer.task(kind, task.id, task.name)
        except Unavailable:
            log.warning("a task was changed without its event", task_id=task.id, kind=kind)
