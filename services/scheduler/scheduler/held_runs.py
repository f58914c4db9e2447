"""Use case: runs that wait for other runs. Owns the rules of dependencies and of the overlap queue, and the release.

A waiting run is a document, written before the reply. It is released by publishing, and the document goes last, so that
every crash in between leads to a second release: message id and claim drop the second copy. Completions are used up by
compare-and-set on the dependent's mark, which also promises the id of the run that they start.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from chassis.clock import now_ms
from chassis.errors import Conflict, NotFound, Unavailable
from chassis.logs import get_logger
from chassis.poison import Isolation, apart
from trawl.scheduler.v1 import runs_pb2 as pb

from scheduler.abort_run import AbortRun
from scheduler.dependencies import Dependencies
from scheduler.events import Announcer, ready_message
from scheduler.mongo_runs import Archive
from scheduler.mongo_tasks import Tasks
from scheduler.mongo_waiting import Mark, Waiting, WaitingRuns
from scheduler.parked import rebuilt
from scheduler.records import FROM_PROTO, run_of_document
from scheduler.redis_runs import LiveRuns
from scheduler.redis_tasks import LiveTasks
from scheduler.reserved_runs import Promise, ReservedRuns
from scheduler.run import Status
from scheduler.task import Task

log = get_logger("held")
OVERLAP_WHY = "waits for earlier runs of its task"
# A promise that is this old and still open was left by a scheduler that died.
REPAIR_MS = 10_000


class DependencyGate:
    """What a run of a task waits for, and keeping it while it waits."""

    def __init__(
        self, *, waiting: WaitingRuns, live_tasks: LiveTasks, archive: Archive, dependencies: Dependencies
    ) -> None:
        self._waiting, self._live_tasks, self._archive = waiting, live_tasks, archive
        self._dependencies = dependencies
        # Set by the composition root: releasing needs the starter, which needs this gate.
        self.held: HeldRuns | None = None

    async def missing(self, task: Task) -> tuple[Mark, list[Task | str], int]:
        """(the task's mark, dependencies without a completed run newer than it, the newest of the other's completions).

        A dependency that no task answers to is its reference.
        """
        mark = await self._waiting.mark(task.id)
        missing: list[Task | str] = []
        newest = 0
        for reference in task.dependencies:
            dependency = await self._dependencies.find(reference)
            if dependency is None:
                missing.append(reference)
                continue
            completed_ms = await self._completed_ms(dependency.id)
            newest = max(newest, completed_ms)
            if completed_ms <= mark.mark_ms:
                missing.append(dependency)
        return mark, missing, newest

    async def _completed_ms(self, task_id: int) -> int:
        """When the newest completed run of a task ended; 0 = there is none."""
        noted = await self._waiting.completion(task_id)
        if noted is not None:
            return noted[0]
        rows = await self._archive.pages.find(
            {"task_id": task_id, "status": "completed"}, sort="completed_at", ascending=False, offset=0, limit=1
        )
        if not rows:
            return 0
        run = run_of_document(rows[0])
        await self._waiting.note_completion(task_id, run.completed_ms, run.spec.run_id)
        return run.completed_ms

    async def why(self, task: Task) -> str:
        """Why a run of this task must wait; empty when every dependency has completed anew."""
        if not task.dependencies:
            return ""
        _, missing, _ = await self.missing(task)
        return "; ".join([await self.describe(dependency) for dependency in missing])

    async def describe(self, dependency: Task | str) -> str:
        """What is missing of a dependency, in words."""
        if isinstance(dependency, str):
            return f"waits for task {dependency!r}, which does not exist"
        rows = await self._archive.pages.find(
            {"task_id": dependency.id}, sort="created_at", ascending=False, offset=0, limit=1
        )
        said = f"waits for a completed run of task {dependency.name!r}"
        if not rows:
            return said
        run = run_of_document(rows[0])
        status = FROM_PROTO[run.status]
        return said if status is Status.COMPLETED else f"{said}, whose run {run.spec.run_id} {status.value}"

    async def hold(self, runs: Sequence[Waiting], reasons: Mapping[int, str]) -> None:
        """Keep runs that wait, durably. Raises `Unavailable`."""
        await self._waiting.add(runs)
        try:
            await self._live_tasks.say_why(reasons)
        except Unavailable:
            log.warning("runs wait without saying why", count=len(runs))

    async def recheck(self, task_ids: Iterable[int]) -> None:
        """What they wait for may have come while they were written."""
        assert self.held is not None
        for task_id in task_ids:
            try:
                await self.held.wake(task_id)
            except Unavailable:
                log.warning("a rescan will look after waiting runs", task_id=task_id)


class HeldRuns:
    """Releases waiting runs, and starts dependents. Every method raises `Unavailable`, and can be repeated then."""

    def __init__(
        self, *, gate: DependencyGate, tasks: Tasks, waiting: WaitingRuns, live: LiveRuns, live_tasks: LiveTasks,
        archive: Archive, announcer: Announcer, reserved: ReservedRuns, aborter: AbortRun,
    ) -> None:  # fmt: skip
        self._gate, self._tasks, self._waiting = gate, tasks, waiting
        self._live, self._live_tasks, self._archive = live, live_tasks, archive
        self._announcer, self._reserved, self._aborter = announcer, reserved, aborter
        self._isolation: Isolation[int] = Isolation("waiting runs", self._leave)

    async def wake(self, task_id: int) -> None:
        """Look at the task's waiting runs: release those that wait for nothing any more, renew the others' reasons."""
        runs = await self._waiting.of_task(task_id)
        if not runs:
            return
        task = (await self._tasks.many([task_id])).get(task_id)
        if task is None:
            await self._abandon(runs)
            return
        queued = [run for run in runs if run.kind == "overlap"]
        if queued:
            await self._wake_queued(task, queued)
        if any(run.kind == "dependency" for run in runs):
            await self.use_completions(task)

    async def _abandon(self, runs: Sequence[Waiting]) -> None:
        """Their task was deleted: nothing can start them any more."""
        for run in runs:
            try:
                await self._aborter.abort(run.run_id, 0)
            except (NotFound, Conflict):
                log.info("a waiting run had ended already", run_id=run.run_id)
        await self._waiting.remove([run.run_id for run in runs])

    async def _wake_queued(self, task: Task, queued: Sequence[Waiting]) -> None:
        """The oldest goes on once no run of the task is live but those that queue."""
        ids = {run.run_id for run in queued}
        live = await self._live_tasks.live_run_ids(task.id)
        if any(run_id not in ids for run_id in live):
            await self._live_tasks.say_why(dict.fromkeys(ids, OVERLAP_WHY))
            return
        first = queued[0]
        if why := await self._gate.why(task):
            await self._gate.hold([replace(first, kind="dependency")], {first.run_id: why})
        else:
            await self.release(first)

    async def use_completions(self, task: Task) -> bool:
        """If every dependency has completed anew: release the task's waiting runs, else start one if it is active."""
        mark, missing, newest = await self._gate.missing(task)
        if mark.open:
            await self._fulfil(mark)
            mark, missing, newest = await self._gate.missing(task)
        runs = [run for run in await self._waiting.of_task(task.id) if run.kind == "dependency"]
        if missing:
            await self._renew_reasons(task, runs)
            return False
        if not runs and (not task.dependencies or task.status != "active"):
            return False
        until = max((run.created_ms for run in runs), default=0)
        new = replace(
            mark, mark_ms=max(newest, mark.mark_ms), open=True, changed_ms=now_ms(), until_ms=until,
            run_id=0 if runs else (await self._reserved.reserve(1))[0],
        )  # fmt: skip
        if await self._waiting.replace_mark(mark, new):
            await self._fulfil(replace(new, version=mark.version + 1))
        return True

    async def _renew_reasons(self, task: Task, runs: Sequence[Waiting]) -> None:
        if runs:
            why = await self._gate.why(task)
            await self._live_tasks.say_why(dict.fromkeys([run.run_id for run in runs], why))

    async def _fulfil(self, mark: Mark) -> None:
        """Start what the mark promises, and close it."""
        if mark.run_id:
            task = (await self._tasks.many([mark.task_id])).get(mark.task_id)
            if task is not None:
                promise = Promise(mark.task_id, mark.run_id, task.contract, free=True)
                if why := await self._reserved.keep(promise):
                    log.warning("a dependent task could not be started", task_id=task.id, reason=why)
        else:
            for run in await self._waiting.of_task(mark.task_id):
                if run.kind == "dependency" and run.created_ms <= mark.until_ms:
                    await self.release(run)
        await self._waiting.replace_mark(mark, replace(mark, open=False))

    async def release(self, run: Waiting) -> None:
        """Let it go on: pending in Redis, published, forgotten here."""
        verdict = await self._live.release(run.run_id, 0, now_ms())
        spec = pb.RunSpec.FromString(run.spec)
        if verdict == "unknown":
            if await self._archive.archived([run.run_id]):
                verdict = "gone"
            else:
                await self._live.accept([rebuilt(spec, run.spec, "p")])
        if verdict != "gone":
            await self._announcer.ready([ready_message(spec, run.spec)])
        await self._waiting.remove([run.run_id])

    async def repair(self) -> None:
        """Finish what dead schedulers promised, restore what Redis lost, look at every waiting run again."""
        marks = await self._waiting.open_marks(now_ms() - REPAIR_MS)
        await Isolation("dependencies", self._close, key=lambda mark: mark.task_id, tries=1).each(marks, self._fulfil)
        last = 0
        task_ids: set[int] = set()
        while page := await self._waiting.page(last):
            last = page[-1].run_id
            task_ids |= {run.task_id for run in page}
            await apart(page, self._restore)
        await self.wake_all(task_ids)

    async def _close(self, mark: Mark, _reason: str) -> None:
        """What it promises can't be started."""
        await self._waiting.replace_mark(mark, replace(mark, open=False))

    async def with_live_runs(self, task_ids: Collection[int]) -> set[int]:
        """Those of the tasks that have runs under way or waiting."""
        ids = list(task_ids)
        counts = await self._live_tasks.live_runs(ids)
        return {task_id for task_id, (count, _) in zip(ids, counts, strict=True) if count}

    async def wake_all(self, task_ids: Iterable[int]) -> None:
        """Look at the waiting runs of all these tasks; those of a task where that fails wait for the next repair."""
        await self._isolation.each(task_ids, self.wake)

    async def _leave(self, task_id: int, reason: str) -> None:
        log.error("waiting runs can't be looked at", task_id=task_id, reason=reason)

    async def _restore(self, runs: Sequence[Waiting]) -> None:
        live = await self._live.get_many([run.run_id for run in runs])
        lost = [run for run, found in zip(runs, live, strict=True) if found is None]
        ended = await self._archive.archived([run.run_id for run in lost])
        await self._waiting.remove(list(ended))
        missing = [run for run in lost if run.run_id not in ended]
        if missing:
            specs = [(pb.RunSpec.FromString(run.spec), run.spec) for run in missing]
            await self._live.accept([rebuilt(spec, raw, "k") for spec, raw in specs])
