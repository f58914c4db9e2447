"""gRPC face of queues, dead letters and aborts of many runs. Translates and delegates; no rule lives here."""

from typing import Any

from chassis.errors import InvalidInput
from trawl.scheduler.v1 import queues_pb2 as pb
from trawl.scheduler.v1 import queues_pb2_grpc, runs_pb2

from scheduler.abort_runs import AbortRuns
from scheduler.dead_letters import DeadLetters
from scheduler.mongo_tasks import Tasks
from scheduler.pauses import Pauses
from scheduler.queue_control import QueueControl

MAX_ABORTED = 10_000


class QueueApi(queues_pb2_grpc.QueueServiceServicer):
    """`QueueService`."""

    def __init__(
        self, *, control: QueueControl, pauses: Pauses, letters: DeadLetters, aborter: AbortRuns, tasks: Tasks
    ) -> None:
        self._control, self._pauses, self._letters = control, pauses, letters
        self._aborter, self._tasks = aborter, tasks

    async def ListQueues(self, request: pb.ListQueuesRequest, context: Any) -> pb.ListQueuesResponse:
        """Every queue."""
        return pb.ListQueuesResponse(queues=await self._control.queues())

    async def GetQueue(self, request: pb.QueueName, context: Any) -> pb.Queue:
        """One queue."""
        return await self._control.queue(request.name)

    async def PauseQueue(self, request: pb.QueueName, context: Any) -> pb.Queue:
        """Give nobody a run of it any more."""
        return await self._control.set_paused(request.name, paused=True)

    async def ResumeQueue(self, request: pb.QueueName, context: Any) -> pb.Queue:
        """Give its runs out again."""
        return await self._control.set_paused(request.name, paused=False)

    async def PurgeQueue(self, request: pb.PurgeQueueRequest, context: Any) -> pb.PurgeQueueResponse:
        """End what waits in it."""
        return pb.PurgeQueueResponse(run_ids=await self._control.purge(request.name, delayed=request.delayed))

    async def ListDeadLetters(
        self, request: pb.ListDeadLettersRequest, context: Any
    ) -> pb.ListDeadLettersResponse:  # fmt: skip
        """What failed for good."""
        return await self._letters.page(request)

    async def Requeue(self, request: pb.RequeueRequest, context: Any) -> runs_pb2.Run:
        """Start a failed run again."""
        return await self._letters.requeue(request.run_id)

    async def PausedQueues(self, request: pb.PausedQueuesRequest, context: Any) -> pb.PausedQueuesResponse:
        """What not to pull."""
        return pb.PausedQueuesResponse(names=sorted(await self._pauses.paused()))

    async def AbortRuns(self, request: pb.AbortRunsRequest, context: Any) -> pb.AbortRunsResponse:
        """Abort many runs."""
        if len(request.run_ids) > MAX_ABORTED or len(request.task_names) > MAX_ABORTED:
            raise InvalidInput(f"at most {MAX_ABORTED} at once", field="run_ids", rule="max_items")
        answer = pb.AbortRunsResponse()
        wanted = list(request.run_ids)
        for name in dict.fromkeys(request.task_names):
            task = await self._tasks.by_name(name)
            if task is None:
                answer.unknown_tasks.append(name)
            else:
                wanted += await self._aborter.live_ids(task.id)
        if request.all:
            wanted += await self._aborter.live_ids()
        answer.run_ids.extend(await self._aborter.abort(wanted, wait_seconds=request.wait_ms / 1000))
        return answer
