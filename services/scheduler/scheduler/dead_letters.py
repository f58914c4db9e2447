"""Use case: what failed for good, and starting it again. Owns what counts as a dead letter.

A failed run is one until it is started again. The new run's id is promised before the run exists, so that a repeat
after a crash, or a second request, finds the same run.
"""

from collections.abc import Sequence

from chassis.errors import Conflict, InvalidInput, NotFound, Unavailable, error_of
from chassis.events import NATS_DOWN, Events
from nats.js.errors import APIError, NotFoundError
from trawl.scheduler.v1 import queues_pb2
from trawl.scheduler.v1 import runs_pb2 as pb
from wire import subjects

from scheduler.mongo_queues import QueueBook
from scheduler.mongo_runs import Archive
from scheduler.mongo_tasks import Tasks
from scheduler.read_runs import ReadRuns
from scheduler.records import run_of_document
from scheduler.run_order import Place
from scheduler.start_runs import Reserved, StartRuns

MAX_PAGE = 1_000
MAX_OFFSET = 100_000
PART = 500
MAX_MESSAGES = 100


class DeadLetters:
    """Raises `Unavailable` when a store can't be reached."""

    def __init__(
        self, *, archive: Archive, book: QueueBook, reader: ReadRuns, starter: StartRuns, tasks: Tasks, events: Events
    ) -> None:
        self._archive, self._book, self._reader = archive, book, reader
        self._starter, self._tasks, self._events = starter, tasks, events

    async def page(self, request: queues_pb2.ListDeadLettersRequest) -> queues_pb2.ListDeadLettersResponse:
        """Failed runs that nobody has started again, newest first, and the newest unreadable messages."""
        if not 0 <= request.offset <= MAX_OFFSET or not 0 < request.limit <= MAX_PAGE:
            raise InvalidInput("the page is out of range", field="offset")
        query: dict[str, object] = {"status": "failed"}
        if request.task_name:
            task = await self._tasks.by_name(request.task_name)
            if task is None:
                raise NotFound(f"no task is named {request.task_name!r}", resource="task")
            query["task_id"] = task.id
        answer = queues_pb2.ListDeadLettersResponse()
        found = await self._page(query, Place.parse(request.after), request.offset + request.limit + 1)
        shown = found[request.offset : request.offset + request.limit]
        answer.runs.extend(map(_letter, shown))
        if len(found) > request.offset + request.limit:
            answer.next = Place((shown[-1].spec.created_ms, shown[-1].spec.run_id)).text()
        total = await self._archive.pages.count(query)
        if not request.task_name:
            total -= await self._book.count_requeued()
        answer.total = max(total, len(answer.runs))
        answer.messages_total, messages = await self._messages()
        answer.messages.extend(messages)
        return answer

    async def _page(self, query: dict[str, object], place: Place | None, limit: int) -> list[pb.Run]:
        """The newest of them behind the place."""
        found: list[pb.Run] = []
        key = place.key if place else None
        while len(found) < limit:
            rows = await self._archive.pages.after(query, key, sort="created_at", ascending=False, limit=PART)
            runs = [run_of_document(row) for row in rows]
            found += await self._not_requeued(runs)
            if len(rows) < PART:
                break
            key = (runs[-1].spec.created_ms, runs[-1].spec.run_id)
        return found[:limit]

    async def _not_requeued(self, runs: Sequence[pb.Run]) -> list[pb.Run]:
        requeued = await self._book.requeued([run.spec.run_id for run in runs])
        return [run for run in runs if run.spec.run_id not in requeued or not requeued[run.spec.run_id].started]

    async def _messages(self) -> tuple[int, list[queues_pb2.DeadLetter]]:
        """(how many unreadable messages there are, the newest of them)"""
        letters: list[queues_pb2.DeadLetter] = []
        try:
            state = (await self._events.js.stream_info(subjects.DEAD_STREAM)).state
            sequence = state.last_seq
            while sequence >= state.first_seq and sequence > 0 and len(letters) < min(MAX_MESSAGES, state.messages):
                try:
                    message = await self._events.js.get_msg(subjects.DEAD_STREAM, sequence)
                except NotFoundError:  # expired meanwhile
                    message = None
                if message is not None:
                    headers = message.headers or {}
                    letters.append(
                        queues_pb2.DeadLetter(
                            origin=(message.subject or "").removeprefix("trawl.dead."),
                            time_ms=int(headers.get(subjects.DEAD_TIME, "0")),
                            bytes=len(message.data or b""),
                            sequence=sequence,
                            reason=headers.get(subjects.DEAD_REASON, "it can't be decoded"),
                        )
                    )
                sequence -= 1
        except (*NATS_DOWN, APIError) as error:
            raise Unavailable("NATS is unavailable", dependency="nats") from error
        return int(state.messages), letters

    async def requeue(self, run_id: int) -> pb.Run:
        """A new run with the parameters of the failed one. Raises `NotFound`, `Conflict` when it did not fail."""
        old = await self._reader.get(run_id)
        if old.status != pb.RUN_STATUS_FAILED:
            raise Conflict(f"run {run_id} has not failed for good", id=run_id)
        promise = (await self._book.requeued([run_id])).get(run_id)
        if promise is None:
            (new_id,) = await self._starter.reserve(1)
            promise = await self._book.promise(run_id, new_id)
        if not promise.started:
            await self._start(old, promise.new_run_id)
            await self._book.fulfilled(run_id)
        return await self._reader.get(promise.new_run_id)

    async def _start(self, old: pb.Run, new_id: int) -> None:
        spec = old.spec
        parameters = spec.parameters_json
        if spec.parameters_by_reference:
            parameters = b"".join([chunk async for chunk in self._archive.parameters(spec.run_id)])
        start = pb.StartRun(
            task_id=spec.task_id, parameters_json=parameters, priority=spec.priority, timeout_ms=spec.timeout_ms,
            contract=spec.contract, restarted_from=spec.run_id, ignore_dependencies=True,
        )  # fmt: skip
        if await self._archive.archived([new_id]):
            return
        (result,) = await self._starter.start([start], [Reserved(new_id)])
        if result.HasField("error"):
            if result.error.kind not in ("unavailable", "exhausted"):
                await self._book.withdraw(spec.run_id)
            raise error_of(result.error.kind, result.error.message, result.error.field or None)


def _letter(run: pb.Run) -> queues_pb2.DeadLetter:
    return queues_pb2.DeadLetter(run=run, reason=run.error_message or run.error_code or "failed")
