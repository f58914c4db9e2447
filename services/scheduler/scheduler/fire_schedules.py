"""Use case: fire schedules, of tasks and of workflows. Every scheduler may; the record of a fire time, inserted first,
decides who does.

Owns what becomes of each fire time. No polling: sleeps until the next fire time, or until the schedules change.
"""

import asyncio
import contextlib
import random
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from chassis.clock import now_ms
from chassis.logs import get_logger
from chassis.poison import AGAIN_SECONDS, TEMPORARY, Isolation
from trawl.scheduler.v1 import runs_pb2

from scheduler.misfires import LATE_MS, MAX_CAP, make_up
from scheduler.mongo_fires import Fire, Fires, fire_key
from scheduler.reserved_runs import Promise
from scheduler.rush import Rush
from scheduler.schedule import FireTime, between, next_after
from scheduler.schedule_book import ScheduleBook
from scheduler.task import Task

log = get_logger("fire")
CHUNK = 500
# Chunks in flight, so that the stores and this process work at the same time.
PARALLEL = 4
# As many tasks that are due together come before the ends of runs.
RUSH = 2 * CHUNK
MAX_SLEEP_SECONDS = 60.0
REPAIR_SECONDS = 15.0
REPAIR_MS = 12_000
CLEAN_SECONDS = 3_600.0
KEEP_MS = 30 * 86_400_000
KEEP_RECORDS = 500_000
# Runs of one task that may queue behind an earlier one.
MAX_QUEUED = 1_000
# Sorting by next run needs no more than this; what is shown is exact.
NEXT_RUN_SECONDS = 30.0


class Watch(Protocol):
    """Keeps the book as it is in the store; `changed` is set when it may fire at another time."""

    changed: asyncio.Event

    def touch(self, task_id: int) -> None:
        """Read this one again."""

    async def refresh(self) -> None:
        """Do so now."""


class Sources(Protocol):
    """Where those are kept that have schedules."""

    async def many(self, task_ids: Sequence[int]) -> dict[int, Task]:
        """Those that exist."""

    async def set_next_runs(self, next_runs: Mapping[int, int]) -> None:
        """When they fire next, for sorting."""


class LiveState(Protocol):
    """What is known of them now."""

    async def versions(self, task_ids: Sequence[int]) -> list[int]:
        """The newest known version of each."""

    async def raise_versions(self, versions: Mapping[int, int]) -> None:
        """Make older copies stale."""

    async def live_runs(self, task_ids: Sequence[int]) -> list[tuple[int, int]]:
        """(how many of its runs are live, the oldest of them or 0) for each."""

    async def unstarted(self, run_ids: Sequence[int]) -> set[int]:
        """Those of the runs that wait to be started for the first time."""


class Starter(Protocol):
    """Starts what records promise."""

    async def reserve(self, count: int) -> list[int]:
        """New ids."""

    def prime(self, tasks: Sequence[Task]) -> None:
        """These are about to start."""

    async def start(self, promises: Sequence[Promise]) -> list[runs_pb2.StartRunResult]:
        """Start under those ids."""

    async def keep(self, promise: Promise) -> str:
        """Start it unless it was; answers why it can't be."""


@dataclass(slots=True)
class _Due:
    """A task with its fire times that have no record yet, ascending. `older`: there are more before the first."""

    task: Task
    fires: list[FireTime]
    older_from_ms: int = 0

    def late(self, now: int) -> bool:
        """Whether they were missed."""
        return self.fires[0].at_ms < now - LATE_MS


@dataclass(frozen=True, slots=True)
class _Plan:
    """What becomes of one fire time. `hold`: the run queues behind earlier ones."""

    task: Task
    fire_ms: int
    start: bool
    hold: bool = False
    reason: str = ""
    until_ms: int = 0


class FireSchedules:
    """One loop in each scheduler."""

    def __init__(
        self, *, book: ScheduleBook, watch: Watch, fires: Fires, tasks: Sources, live_tasks: LiveState,
        reserved: Starter, rush: Rush | None = None,
    ) -> None:  # fmt: skip
        self._book, self._watch, self._fires, self._tasks = book, watch, fires, tasks
        self._live, self._reserved, self._rush = live_tasks, reserved, rush or Rush()
        self._next_runs: set[int] = set()
        self._next_runs_at = 0.0
        self._isolation: Isolation[Task] = Isolation("fire", self._set_aside, key=lambda task: (task.id, task.version))
        self._repairs: Isolation[Fire] = Isolation("fire records", fires.give_up, key=lambda record: record.key)

    async def run(self) -> None:
        """For ever: fire what is due."""
        loop = asyncio.get_running_loop()
        while True:
            self._watch.changed.clear()
            try:
                complete = await self._fire_due()
                await self._store_next_runs(loop.time())
                wait = self._wait_seconds(loop.time()) if complete else AGAIN_SECONDS
            except TEMPORARY as error:
                log.warning("schedules wait", reason=error.message)
                wait = 1.0
            try:
                async with asyncio.timeout(wait):
                    await self._watch.changed.wait()
            except TimeoutError:
                pass

    async def look_after(self) -> None:
        """For ever: finish what dead schedulers left, delete old records."""
        loop = asyncio.get_running_loop()
        clean_at = loop.time()
        while True:
            try:
                await self.repair()
                if loop.time() >= clean_at:
                    await self._fires.forget_before(now_ms() - KEEP_MS, KEEP_RECORDS)
                    clean_at = loop.time() + CLEAN_SECONDS
            except TEMPORARY as error:
                log.warning("fire records can't be looked after", reason=error.message)
            await asyncio.sleep(REPAIR_SECONDS)

    def _wait_seconds(self, now: float) -> float:
        next_ms = self._book.next_ms()
        wait = MAX_SLEEP_SECONDS if next_ms is None else (next_ms - now_ms()) / 1000
        if self._next_runs:
            wait = min(wait, self._next_runs_at - now)
        return min(MAX_SLEEP_SECONDS, max(0.001, wait))

    async def _fire_due(self) -> bool:
        """False: some failed, and are tried again."""
        now = now_ms()
        tasks = self._book.due(now)
        if not tasks:
            return True
        # Schedulers that wake together begin at different places, and get out of each other's way.
        start = random.randrange(len(tasks))  # noqa: S311 - spreads load, hides nothing
        tasks = tasks[start:] + tasks[:start]
        chunks = [tasks[first : first + CHUNK] for first in range(0, len(tasks), CHUNK)]
        with self._rush.begun() if len(tasks) >= RUSH else contextlib.nullcontext():
            complete = await self._fire_all(chunks, now)
        if complete:
            await self._fires.set_watermark(now)
        return complete

    async def _fire_all(self, chunks: Sequence[Sequence[Task]], now: int) -> bool:
        """Some at the same time. Raises what the first of them raised, after all that were begun."""
        left = iter(chunks)

        async def work() -> bool:
            complete = True
            for chunk in left:
                complete &= not await self._isolation.all(chunk, lambda tasks: self._fire(tasks, now))
            return complete

        done = await asyncio.gather(*(work() for _ in range(PARALLEL)), return_exceptions=True)
        for error in done:
            if isinstance(error, BaseException):
                raise error
        return all(done)

    async def _set_aside(self, task: Task, reason: str) -> None:
        """Its fire times up to now start nothing, and say why; the next one is another matter."""
        now = now_ms()
        record = Fire(task.id, now, "skipped", now, reason=reason)
        await self._fires.claim([record])
        self._book.handled(task, now)

    async def _fire(self, tasks: Sequence[Task], now: int) -> None:
        """Deal with all fire times of these tasks up to now."""
        current = await self._current(tasks)
        due = await self._unrecorded(current, now)
        plans = await self._decide(due, now)
        await self._carry_out(plans)
        if not self._next_runs:
            self._next_runs_at = asyncio.get_running_loop().time() + NEXT_RUN_SECONDS
        for task in current:
            self._book.handled(task, now)
            self._next_runs.add(task.id)

    async def _current(self, tasks: Sequence[Task]) -> list[Task]:
        """Those that nobody has changed; the others are read again, and come back if they are still due."""
        versions = await self._live.versions([task.id for task in tasks])
        unknown = {task.id: task.version for task, known in zip(tasks, versions, strict=True) if known < task.version}
        await self._live.raise_versions(unknown)
        stale = [task.id for task, known in zip(tasks, versions, strict=True) if known > task.version]
        for task_id in stale:
            self._watch.touch(task_id)
        if stale:
            await self._watch.refresh()
        # What MongoDB still shows as it was is current, whatever Redis remembers.
        return [task for task in tasks if self._book.get(task.id) is task]

    async def _unrecorded(self, tasks: Sequence[Task], now: int) -> list[_Due]:
        due = []
        for task in tasks:
            handled = self._book.handled_ms(task.id)
            fires, older = _up_to(task.schedule, handled, now)
            due.append(_Due(task, fires, handled if older else 0))
        known: set[str] = set()
        keys = [fire_key(one.task.id, fire.at_ms) for one in due for fire in one.fires]
        for first in range(0, len(keys), 2_000):
            known |= await self._fires.known(keys[first : first + 2_000])
        for one in due:
            one.fires = [fire for fire in one.fires if fire_key(one.task.id, fire.at_ms) not in known]
        return [one for one in due if one.fires]

    async def _decide(self, due: Sequence[_Due], now: int) -> list[_Plan]:
        live = dict(zip([one.task.id for one in due], await self._live.live_runs([one.task.id for one in due]),
                        strict=True))  # fmt: skip
        oldest = [live[one.task.id][1] for one in due if live[one.task.id][1] and one.late(now)]
        unstarted = await self._live.unstarted(oldest)
        plans: list[_Plan] = []
        for one in due:
            plans += _plans(one, *live[one.task.id], now, unstarted)
        return plans

    async def _carry_out(self, plans: Sequence[_Plan]) -> None:
        """Record every fire time, and start the runs of those that were not recorded before."""
        for first in range(0, len(plans), CHUNK):
            chunk = plans[first : first + CHUNK]
            run_ids = iter(await self._reserved.reserve(sum(plan.start for plan in chunk)))
            records, by_key = [], {}
            for plan in chunk:
                record = _record(plan, next(run_ids) if plan.start else 0, now_ms())
                records.append(record)
                by_key[record.key] = plan
            batch = await self._fires.open_batch(records, now_ms()) if any(plan.start for plan in chunk) else ""
            won = [record for record in await self._fires.claim(records) if record.run_id]
            if await self._start(won, by_key) and batch:
                await self._fires.close_batch(batch)

    async def _start(self, records: Sequence[Fire], plans: dict[str, _Plan]) -> bool:
        """Start what the records promise. False: some could not be started now, and the repair will."""
        if not records:
            return True
        self._reserved.prime([plans[record.key].task for record in records])
        promises = [_promise(record, plans[record.key].task.contract) for record in records]
        results = await self._reserved.start(promises)
        complete = True
        for record, result in zip(records, results, strict=True):
            if result.existing or result.error.kind == "unavailable":
                log.warning("a fire time is started later", task_id=record.task_id, reason=result.error.message)
                complete = False
            elif result.HasField("error"):
                await self._fires.give_up(record, result.error.message)
        return complete

    async def repair(self) -> None:
        """Start what records promise and nobody has started."""
        for batch, keys in await self._fires.batches(now_ms() - REPAIR_MS):
            records = await self._fires.many(keys)
            tasks = await self._tasks.many([record.task_id for record in records])
            promised = [record for record in records if record.run_id]
            if not await self._repairs.each(promised, partial(self._keep, tasks=tasks)):
                await self._fires.close_batch(batch)

    async def _keep(self, record: Fire, *, tasks: Mapping[int, Task]) -> None:
        task = tasks.get(record.task_id)
        why = await self._reserved.keep(_promise(record, task.contract)) if task else "its task was deleted"
        if why:
            await self._fires.give_up(record, why)

    async def _store_next_runs(self, now: float) -> None:
        """Now and then, so that a schedule of seconds costs no write of its own for each fire time."""
        if self._next_runs and now >= self._next_runs_at:
            task_ids, self._next_runs = self._next_runs, set()
            tasks = [task for task in map(self._book.get, task_ids) if task is not None]
            next_runs = {task.id: task.next_run_ms(now_ms()) for task in tasks}
            await self._tasks.set_next_runs(next_runs)


def _up_to(schedule: str, after_ms: int, now: int) -> tuple[list[FireTime], bool]:
    """The newest fire times in (after, now], and whether there are older ones. Mostly it is one, and remembered."""
    first = next_after(schedule, after_ms)
    if first is None or first.at_ms > now:
        return [], False
    second = next_after(schedule, first.at_ms)
    if second is None or second.at_ms > now:
        return [first], False
    return between(schedule, after_ms, now, MAX_CAP)


def _plans(due: _Due, live: int, oldest_run: int, now: int, unstarted: Container[int] = ()) -> list[_Plan]:
    """What becomes of a task's fire times, given how many of its runs are live, and which runs nobody has started."""
    task, policy = due.task, due.task.policy
    late = due.late(now)
    plans = []
    if due.older_from_ms:
        why = "paused" if task.status == "paused" else f"missed, and more than {MAX_CAP} were"
        plans.append(_Plan(task, due.older_from_ms, False, reason=why, until_ms=due.fires[0].at_ms - 1))
    if task.status == "paused":
        return plans + [_Plan(task, fire.at_ms, False, reason="paused") for fire in due.fires]
    wanted = [(d.fire, d.start, d.reason) for d in make_up(due.fires, policy, now)] if late else [
        (fire, True, "") for fire in due.fires
    ]  # fmt: skip
    # What `all` makes up for comes at once, but did not overlap at its own time: it runs one after the other.
    # Nor did it overlap with a run that was accepted before and that nobody could start: that one was not going.
    behind = policy.misfire == "all" or oldest_run in unstarted
    overlap = "queue" if late and behind and policy.overlap == "skip" else policy.overlap
    for fire, start, reason in wanted:
        if not start or not live or overlap == "allow":
            plans.append(_Plan(task, fire.at_ms, start, reason=reason))
        elif overlap == "skip":
            said = f"run {oldest_run} is still going (overlap=skip)" if oldest_run else "an earlier run is still going"
            plans.append(_Plan(task, fire.at_ms, False, reason=said))
            continue
        elif live >= MAX_QUEUED:
            plans.append(_Plan(task, fire.at_ms, False, reason=f"{MAX_QUEUED} runs of the task wait already"))
            continue
        else:
            plans.append(_Plan(task, fire.at_ms, True, hold=True, reason=reason or "queued behind earlier runs"))
        live += start
    return plans


def _record(plan: _Plan, run_id: int, now: int) -> Fire:
    action = "queued" if plan.hold else "started" if plan.start else "skipped"
    return Fire(
        task_id=plan.task.id, fire_ms=plan.fire_ms, action=action, recorded_ms=now, run_id=run_id,  # type: ignore[arg-type]  # one of the literals
        reason=plan.reason, until_ms=plan.until_ms,
    )  # fmt: skip


def _promise(record: Fire, contract: str) -> Promise:
    return Promise(record.task_id, record.run_id, contract, hold=record.action == "queued")
