"""What can be done with workers. Owns: the order of writes to MongoDB and Redis. Must not know gRPC or NATS.

MongoDB is written first, with the number of the version that is replaced, and says who is right. Redis follows, and
never goes back to an older version. Every method may be repeated after a failure and then completes what was begun.
"""

from collections.abc import Callable
from dataclasses import replace

from chassis.batching import Batcher
from chassis.errors import Conflict, Exhausted, NotFound

from worker_registry.mongo_workers import MongoWorkers
from worker_registry.redis_heartbeats import RedisHeartbeats
from worker_registry.worker import (
    Beat,
    Change,
    ListQuery,
    Liveness,
    Status,
    Worker,
    WorkerView,
    select,
    take_place,
)

# Somebody else changed the worker between our read and our write: read again, but not for ever.
TRIES = 20


class Registry:
    """`facts_added` is called when the outbox may have something to publish, `deadlines_moved` when a worker came."""

    def __init__(
        self,
        workers: MongoWorkers,
        heartbeats: RedisHeartbeats,
        *,
        max_workers: int,
        facts_added: Callable[[], None],
        deadlines_moved: Callable[[], None],
    ) -> None:
        self._workers, self._heartbeats, self._max_workers = workers, heartbeats, max_workers
        self._facts_added, self._deadlines_moved = facts_added, deadlines_moved
        self._lookups: Batcher[str, Worker | None] = Batcher(self._look_up, max_batch=200)

    async def register(self, wanted: Worker) -> WorkerView:
        """Register the process `wanted`; without an id it gets one. A known id with a new session takes the old
        session's place, whose loss is published at once. The same session again changes nothing.

        Raises `Conflict` when a later process has taken the id, `Exhausted` when there are too many workers.
        """
        worker = await self._store(wanted)
        await self._heartbeats.put(worker, "register")
        if worker.unannounced:
            await self._workers.announced(worker)
        self._facts_added()
        self._deadlines_moved()
        return await self._view(worker)

    async def _store(self, wanted: Worker) -> Worker:
        for _ in range(TRIES):
            old = await self._workers.get(wanted.id) if wanted.id else None
            if old is None:
                if await self._workers.count() >= self._max_workers:
                    raise Exhausted("too many workers are registered", retry_after_seconds=60)
                worker = wanted if wanted.id else replace(wanted, id=await self._workers.next_id())
                if await self._workers.insert(worker):
                    return worker
            elif old.session == wanted.session:
                return old
            else:
                worker = take_place(old, wanted)
                if await self._workers.replace(worker):
                    return worker
        raise Conflict("the worker is being changed by others")

    async def heartbeat(self, beat: Beat, *, patient: bool = False) -> Status | None:
        """Take note of a heartbeat; answers what the worker should be, None when its session is not known. `patient`:
        nobody waits for the answer.
        """
        answer = await self._heartbeats.beat(beat, patient=patient)
        if not answer.wanted:
            # Redis may have lost what MongoDB knows, or not have been told of the newest session yet.
            worker = await self._lookups.call(beat.id)
            if worker is None or beat.session not in ("", worker.session):
                return None
            await self._heartbeats.put(worker, "register" if answer.replaced else "restore")
            answer = await self._heartbeats.beat(beat)
            self._deadlines_moved()
        if answer.outbox:
            self._facts_added()
        return Status(answer.wanted) if answer.wanted else None

    async def _look_up(self, worker_ids: list[str]) -> list[Worker | None]:
        found = await self._workers.get_many(worker_ids)
        return [found.get(worker_id) for worker_id in worker_ids]

    async def deregister(self, worker_id: str, session: str) -> None:
        """Forget the worker; with a `session`, only if that is its current one. Raises `NotFound`."""
        for _ in range(TRIES):
            worker = await self._workers.get(worker_id)
            if worker is None or session not in ("", worker.session):
                raise NotFound(f"worker {worker_id} is not registered", worker_id=worker_id)
            await self._heartbeats.remove(worker, "deregistered")
            self._facts_added()
            if await self._workers.delete(worker):
                return
        raise Conflict("the worker is being changed by others")

    async def update(self, worker_id: str, change: Change) -> WorkerView:
        """Change what operators may change. Raises `NotFound`."""
        for _ in range(TRIES):
            worker = await self._workers.get(worker_id)
            if worker is None:
                raise NotFound(f"worker {worker_id} is not registered", worker_id=worker_id)
            changed = change.apply(worker)
            if await self._workers.replace(changed):
                await self._heartbeats.put(changed, "update")
                self._facts_added()
                return await self._view(changed)
        raise Conflict("the worker is being changed by others")

    async def get(self, worker_id: str) -> WorkerView:
        """One worker. Raises `NotFound`."""
        worker = await self._workers.get(worker_id)
        if worker is None:
            raise NotFound(f"worker {worker_id} is not registered", worker_id=worker_id)
        return await self._view(worker)

    async def list(self, query: ListQuery) -> tuple[list[WorkerView], int]:
        """A page of workers, and how many match."""
        workers = await self._workers.all(query.hostname)
        liveness = await self._heartbeats.liveness([worker.id for worker in workers])
        return select([WorkerView(worker, liveness[worker.id]) for worker in workers], query)

    async def _view(self, worker: Worker) -> WorkerView:
        liveness = await self._heartbeats.liveness([worker.id])
        return WorkerView(worker, liveness.get(worker.id, Liveness(alive=False)))

    async def rebuild(self) -> int:
        """Tell Redis of every worker that it doesn't know; each has the full time to be heard. Answers how many."""
        workers = await self._workers.all()
        for worker in workers:
            await self._heartbeats.put(worker, "restore")
        await self._heartbeats.mark_rebuilt()
        return len(workers)
