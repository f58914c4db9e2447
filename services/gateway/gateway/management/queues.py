"""Queues and dead letters of the task management contract. Owns: endpoints and JSON. Must not know how they work."""

from typing import Any

from chassis.clock import now_ms
from chassis.errors import NotFound
from trawl.scheduler.v1 import queues_pb2

from gateway.access import Role
from gateway.backend import Backend
from gateway.bodies import read_object
from gateway.checks import Fields, check_text
from gateway.exchange import Answer, Call
from gateway.management import examples, translate
from gateway.management.execution_id import execution_id, run_id_of
from gateway.management.request import MAX_NAME, query_of, with_total
from gateway.masking import veil_of
from gateway.routing import Doc, Endpoint
from gateway.times import iso_seconds
from gateway.walks import HEADER_QUERY, Walks

Json = Any
# Ending a quarter of a million runs takes a while.
PURGE_SECONDS = 300
MAX_LISTED = 1_000
TAG = "queues"


class QueueRoutes:
    """Handlers of `/queues`."""

    def __init__(self, backend: Backend, walks: Walks) -> None:
        self._backend, self._walks = backend, walks

    async def queues(self, _call: Call) -> Answer:
        """List the queues."""
        answer = await self._ask(self._backend.queues.ListQueues, queues_pb2.ListQueuesRequest())
        return Answer.json([queue_json(queue) for queue in answer.queues])

    async def queue(self, call: Call) -> Answer:
        """Show one queue."""
        return await self._one(call, self._backend.queues.GetQueue)

    async def pause(self, call: Call) -> Answer:
        """Hand out no run of the queue any more."""
        return await self._one(call, self._backend.queues.PauseQueue)

    async def resume(self, call: Call) -> Answer:
        """Hand out its runs again."""
        return await self._one(call, self._backend.queues.ResumeQueue)

    async def _one(self, call: Call, method: Any) -> Answer:
        return Answer.json(queue_json(await self._ask(method, queues_pb2.QueueName(name=_name(call)))))

    async def _ask(self, method: Any, request: Any, *, seconds: float = 10) -> Any:
        try:
            return await self._backend.run(method, request, extra_seconds=seconds)
        except NotFound as error:
            raise NotFound(f"队列不存在: {request.name}" if hasattr(request, "name") else error.message) from error

    async def purge(self, call: Call) -> Answer:
        """End what waits in the queue."""
        fields = Fields(await read_object(call, optional=True))
        request = queues_pb2.PurgeQueueRequest(name=_name(call), delayed=fields.flag("includeDelayed"))
        answer = await self._ask(self._backend.queues.PurgeQueue, request, seconds=PURGE_SECONDS)
        ids = [execution_id(run_id) for run_id in answer.run_ids]
        return Answer.json({"name": request.name, "purged": len(ids), "executionIds": ids})

    async def dead_letters(self, call: Call) -> Answer:
        """List what failed for good, newest first, and after it what nobody could read."""
        query = query_of(call)
        request = queues_pb2.ListDeadLettersRequest(
            offset=query.integer("offset", 0, 100_000, 0),
            limit=query.integer("limit", 1, MAX_LISTED, 100),
            task_name=query.text("taskName", MAX_NAME),
        )
        self._walks.enter(request, query.raw)
        answer = await self._backend.run(self._backend.queues.ListDeadLetters, request, extra_seconds=20)
        letters = [veil_of(call, letter.run).run(letter_json(letter)) for letter in answer.runs]
        if not request.task_name and len(letters) < request.limit:
            letters += [message_json(letter) for letter in answer.messages]
        total = answer.total + (0 if request.task_name else answer.messages_total)
        return with_total(letters, total, self._walks.header(request, answer))

    async def requeue(self, call: Call) -> Answer:
        """Start a failed run again."""
        text = call.path_params["execution_id"]
        request = queues_pb2.RequeueRequest(run_id=run_id_of(text) or 0)
        try:
            run = await self._backend.run(self._backend.queues.Requeue, request)
        except NotFound as error:
            raise NotFound(f"执行不存在: {text[:64]}", field="executionId") from error
        return Answer.json(translate.started_json(run) | {"requeuedFrom": text.lower()})

    def endpoints(self) -> list[Endpoint]:
        """All of them; fixed paths before those with a name in them."""
        letters, one = "/queues/dead-letters", "/queues/{name}"
        page = [
            ("taskName", "string", "只看此任务"),
            ("limit", "integer", "1-1000"),
            ("offset", "integer", "跳过的数量"),
            HEADER_QUERY,
        ]
        return [
            Endpoint("GET", "/queues", self.queues,
                     Doc("获取队列列表", TAG, answer=[examples.QUEUE]), Role.VIEWER),
            Endpoint("GET", letters, self.dead_letters,
                     Doc("获取死信", TAG, answer=[examples.DEAD_LETTER], query=page, errors=(400, 404, 422),
                         description="Runs that failed for good (`kind` execution), newest first, then messages that "
                         "nobody could read (`kind` message). `X-Total-Count` has the number of all."), Role.VIEWER),
            Endpoint("POST", f"{letters}/{{execution_id}}/requeue", self.requeue,
                     Doc("重新排队", TAG, answer=examples.REQUEUED, errors=(404, 409),
                         description="Starts a new run with the same parameters; asked for again it answers the "
                         "same one."), Role.OPERATOR, starts_work=True),
            Endpoint("GET", one, self.queue,
                     Doc("获取队列详情", TAG, answer=examples.QUEUE, errors=(404,)), Role.VIEWER),
            Endpoint("POST", f"{one}/pause", self.pause,
                     Doc("暂停队列", TAG, answer=examples.QUEUE, errors=(404,)), Role.OPERATOR),
            Endpoint("POST", f"{one}/resume", self.resume,
                     Doc("恢复队列", TAG, answer=examples.QUEUE, errors=(404,)), Role.OPERATOR),
            Endpoint("POST", f"{one}/purge", self.purge,
                     Doc("清空队列", TAG, body={"includeDelayed": False}, body_required=False,
                         answer=examples.PURGED, errors=(404,),
                         description="Cancels what waits; each run keeps a receipt. `includeDelayed`: also runs "
                         "that wait for a retry or another run."), Role.OPERATOR),
        ]  # fmt: skip


def _name(call: Call) -> str:
    return check_text("name", call.path_params["name"], 64, one_line=True)


def queue_json(queue: queues_pb2.Queue) -> dict[str, Json]:
    """A queue. `ratePerMinute`: runs that ended within the last minute."""
    waited = (now_ms() - queue.oldest_ms) / 1000 if queue.oldest_ms else None
    return {
        "name": queue.name,
        "paused": queue.paused,
        "waiting": queue.waiting,
        "delayed": queue.delayed,
        "inFlight": queue.in_flight,
        "oldestWaitSeconds": None if waited is None else round(max(0.0, waited), 3),
        "ratePerMinute": queue.ended_last_minute,
        "workers": None if queue.workers < 0 else queue.workers,
        "changedAt": iso_seconds(queue.changed_ms),
    }


def letter_json(letter: queues_pb2.DeadLetter) -> dict[str, Json]:
    """A run that failed for good."""
    run = letter.run
    return {
        "kind": "execution",
        "executionId": execution_id(run.spec.run_id),
        "taskName": run.spec.task_name,
        "queue": run.spec.queue,
        "reason": letter.reason,
        "errorCode": run.error_code or None,
        "attempts": run.attempt,
        "failedAt": iso_seconds(run.completed_ms),
    }


def message_json(letter: queues_pb2.DeadLetter) -> dict[str, Json]:
    """A message that nobody could read."""
    return {
        "kind": "message",
        "executionId": None,
        "taskName": None,
        "queue": None,
        "reason": letter.reason,
        "errorCode": "UNREADABLE",
        "attempts": 0,
        "failedAt": iso_seconds(letter.time_ms),
        "origin": letter.origin,
        "bytes": letter.bytes,
        "sequence": letter.sequence,
    }
