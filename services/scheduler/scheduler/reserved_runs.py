"""Use case: start runs whose ids are promised in a durable record, and repeat that without doubling them."""

from collections.abc import Sequence
from dataclasses import dataclass

from chassis.errors import Unavailable
from trawl.scheduler.v1 import runs_pb2 as pb

from scheduler.events import Announcer, ready_message
from scheduler.mongo_runs import Archive
from scheduler.mongo_waiting import Kind, Waiting, WaitingRuns
from scheduler.redis_runs import LiveRuns
from scheduler.start_runs import Reserved, StartRuns
from scheduler.task import Task


@dataclass(frozen=True, slots=True)
class Promise:
    """A run to start under that id. `hold`: it waits for earlier runs of its task; `free`: not for dependencies."""

    task_id: int
    run_id: int
    contract: str
    hold: bool = False
    free: bool = False


class ReservedRuns:
    """Starts promised runs. A run id is a run: whatever is repeated, there is one."""

    def __init__(
        self, *, starter: StartRuns, live: LiveRuns, archive: Archive, waiting: WaitingRuns,
        announcer: Announcer,
    ) -> None:  # fmt: skip
        self._starter, self._live = starter, live
        self._archive, self._waiting, self._announcer = archive, waiting, announcer

    async def reserve(self, count: int) -> list[int]:
        """New run ids."""
        return await self._starter.reserve(count)

    def prime(self, tasks: Sequence[Task]) -> None:
        """Spare the starter from reading these tasks one by one."""
        self._starter.prime(tasks)

    async def start(self, promises: Sequence[Promise]) -> list[pb.StartRunResult]:
        """Start them; results as from `StartRuns`, `existing` where the run was there already."""
        requests = [
            pb.StartRun(task_id=p.task_id, contract=p.contract, ignore_dependencies=p.free) for p in promises
        ]  # fmt: skip
        return await self._starter.start(requests, [Reserved(p.run_id, "overlap" if p.hold else "") for p in promises])

    async def keep(self, promise: Promise) -> str:
        """Make good what a crash may have left out; answers why the run can't be started, or nothing.

        Raises `Unavailable` when that can't be told now.
        """
        live = await self._live.get(promise.run_id)
        if live is None:
            if await self._archive.archived([promise.run_id]):
                return ""
            (result,) = await self.start([promise])
            if result.HasField("error"):
                if result.error.kind in ("unavailable", "exhausted"):
                    raise Unavailable(result.error.message)
                return str(result.error.message)
        elif live.state == "p":
            # It may never have been published; a repeated message changes nothing.
            spec = pb.RunSpec.FromString(live.spec)
            if not live.attempt:
                await self._announcer.ready([ready_message(spec, live.spec)])
        elif live.state == "k" and not live.attempt:
            spec = pb.RunSpec.FromString(live.spec)
            kind: Kind = "overlap" if promise.hold else "dependency"
            await self._waiting.add([Waiting(promise.run_id, promise.task_id, kind, spec.created_ms, live.spec)])
        return ""
