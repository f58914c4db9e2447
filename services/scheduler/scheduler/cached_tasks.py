"""Tasks as runs are made of them. Owns the copies that spare every start a read, and how long they may be believed."""

import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import orjson
from chassis.clock import now_ms
from chassis.errors import Conflict, NotFound
from trawl.scheduler.v1 import runs_pb2 as pb

from scheduler.mongo_tasks import Tasks
from scheduler.records import PRIORITY_NUMBERS
from scheduler.redis_runs import LiveRuns
from scheduler.task import Task, check

MAX_CACHED_TASKS = 10_000
# The version in Redis tells a stale copy at once; the expiry is for a change whose writer died before it said so.
CACHE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class CachedTask:
    """A task, and the part of every RunSpec that only depends on it, serialised."""

    task: Task
    template: bytes
    expires_at: float = 0


def spec_template(task: Task) -> pb.RunSpec:
    """The RunSpec of any run of this task, without what differs between runs."""
    retry = task.retry
    return pb.RunSpec(
        task_id=task.id,
        task_name=task.name,
        task_type=task.task_type,
        executor=task.executor,
        queue=task.queue,
        command=task.command,
        arguments=task.arguments or (),
        has_arguments=task.arguments is not None,
        parameters_json=orjson.dumps(task.parameters),
        collects=task.collects,
        priority=PRIORITY_NUMBERS[task.priority],
        timeout_ms=task.timeout_seconds * 1000,
        retry=pb.RetryPolicy(
            max_retries=retry.max_retries, initial_ms=retry.initial_ms, factor=retry.factor, max_ms=retry.max_ms
        ),
    )


class CachedTasks:
    """The tasks that were started lately, at most `MAX_CACHED_TASKS`."""

    def __init__(self, tasks: Tasks, live: LiveRuns) -> None:
        self._tasks, self._live = tasks, live
        self._cache: OrderedDict[int, CachedTask] = OrderedDict()

    async def of(self, request: pb.StartRun) -> CachedTask:
        """The task that a request names, or brings along. Raises `NotFound`."""
        if request.task_name:
            return await self._resolve_name(request.task_name)
        if not request.HasField("inline"):
            cached = self._cache.get(request.task_id)
            if cached is not None and cached.expires_at > time.monotonic():
                return cached
            return await self._load(request.task_id)
        inline = request.inline
        wanted = check(Task(id=0, name=inline.name, task_type=inline.task_type, executor=inline.executor,
                            contract=request.contract))  # fmt: skip
        task = await self._tasks.by_name(inline.name) or await self._create(wanted)
        if (task.task_type, task.executor) != (inline.task_type, inline.executor):
            task = replace(task, task_type=inline.task_type, executor=inline.executor)
        return CachedTask(task, spec_template(task).SerializeToString())

    async def _resolve_name(self, name: str) -> CachedTask:
        task = await self._tasks.by_name(name)
        if task is None:
            raise NotFound(f"no task is named {name!r}", resource="task", name=name)
        cached = self._cache.get(task.id)
        if cached is not None and cached.task.version == task.version and cached.expires_at > time.monotonic():
            return cached
        return await self._load(task.id)

    async def _create(self, wanted: Task) -> Task:
        now = now_ms()
        task = replace(wanted, id=await self._tasks.allocate("task_id", 1), created_ms=now, updated_ms=now)
        try:
            await self._tasks.add(task)
        except Conflict:
            # Somebody was faster with the same name.
            if (existing := await self._tasks.by_name(wanted.name)) is not None:
                return existing
            raise
        return task

    async def _load(self, task_id: int) -> CachedTask:
        task = await self._tasks.get(task_id)
        cached = CachedTask(task, spec_template(task).SerializeToString(), time.monotonic() + CACHE_SECONDS)
        await self._live.raise_task_version(task_id, task.version)
        self._cache[task_id] = cached
        if len(self._cache) > MAX_CACHED_TASKS:
            self._cache.popitem(last=False)
        return cached

    def prime(self, tasks: Sequence[Task]) -> None:
        """Keep these, whose versions Redis knows."""
        until = time.monotonic() + CACHE_SECONDS
        for task in tasks[:MAX_CACHED_TASKS]:
            held = self._cache.get(task.id)
            if held is None or held.task.version < task.version or held.expires_at <= time.monotonic():
                self._cache[task.id] = CachedTask(task, spec_template(task).SerializeToString(), until)
                if len(self._cache) > MAX_CACHED_TASKS:
                    self._cache.popitem(last=False)

    def forget(self, task_id: int) -> None:
        """Drop one that was changed."""
        self._cache.pop(task_id, None)
