"""WorkerService. Owns: the way between protobuf and the registry's own words, and the checks of what comes in.
Must not know how anything is stored.
"""

from collections.abc import AsyncIterator
from typing import Any

from chassis.clock import now_ms
from chassis.errors import InvalidInput
from trawl.workerregistry.v1 import workers_pb2 as pb
from trawl.workerregistry.v1 import workers_pb2_grpc as pb_grpc

from worker_registry import beat_messages
from worker_registry import worker as domain
from worker_registry.beat_streams import BeatStreams
from worker_registry.registry import Registry

Context = Any
MAX_PAGE = 1_000
MAX_OFFSET = 1_000_000


class WorkerApi(pb_grpc.WorkerServiceServicer):
    """Intervals in ms: `heartbeat_ms` is for workers that name none, none may be below `shortest_heartbeat_ms`."""

    def __init__(
        self, registry: Registry, streams: BeatStreams, *, heartbeat_ms: int, shortest_heartbeat_ms: int
    ) -> None:
        self._registry, self._streams = registry, streams
        self._heartbeat_ms, self._shortest_ms = heartbeat_ms, shortest_heartbeat_ms

    async def Register(self, request: pb.RegisterRequest, context: Context) -> pb.Worker:
        """See the proto. A worker without a session gets one, and finds it in the answer."""
        given = request.worker
        interval_ms = request.heartbeat_interval_ms or max(self._heartbeat_ms, self._shortest_ms)
        worker = domain.Worker(
            id=domain.checked_id(given.id) if given.id else "",
            session=domain.checked_session(given.session) if given.session else domain.made_session(),
            hostname=domain.checked_hostname(given.hostname),
            ip_address=domain.checked_address(given.ip_address),
            port=domain.checked_number(given.port, 0, 65535, "port"),
            task_types=domain.checked_task_types(list(given.task_types)),
            max_concurrent_tasks=_slots(given.max_concurrent_tasks or domain.DEFAULT_SLOTS),
            interval_ms=domain.checked_number(
                interval_ms, self._shortest_ms, domain.LONGEST_INTERVAL_MS, "heartbeat_interval_ms"
            ),
            metadata_json=domain.checked_metadata(given.metadata_json),
            registered_ms=now_ms(),
        )
        return _message(await self._registry.register(worker))

    async def Heartbeat(self, request: pb.HeartbeatRequest, context: Context) -> pb.HeartbeatResponse:
        """See the proto. An empty session stands for whatever session is there."""
        worker_id, session = beat_messages.whose(request)
        beat = beat_messages.read(request, worker_id, session)
        status = await self._registry.heartbeat(beat)
        return beat_messages.answer(status)

    def Heartbeats(
        self, request_iterator: AsyncIterator[pb.HeartbeatRequest], context: Context
    ) -> AsyncIterator[pb.HeartbeatResponse]:
        """See the proto."""
        return self._streams.serve(request_iterator)

    async def Deregister(self, request: pb.DeregisterRequest, context: Context) -> pb.DeregisterResponse:
        """See the proto. NOT_FOUND when that session is not there any more."""
        session = domain.checked_session(request.session) if request.session else ""
        await self._registry.deregister(domain.checked_id(request.id), session)
        return pb.DeregisterResponse()

    async def GetWorker(self, request: pb.GetWorkerRequest, context: Context) -> pb.Worker:
        """One worker."""
        return _message(await self._registry.get(domain.checked_id(request.id)))

    async def ListWorkers(self, request: pb.ListWorkersRequest, context: Context) -> pb.ListWorkersResponse:
        """A page; a `limit` of 0 is 20."""
        views, total = await self._registry.list(
            domain.ListQuery(
                status=domain.checked_status(request.status, allow_empty=True),
                task_type=request.task_type,
                hostname=request.hostname,
                sort=domain.checked_sort(request.sort),
                ascending=request.ascending,
                offset=domain.checked_number(request.offset, 0, MAX_OFFSET, "offset"),
                limit=domain.checked_number(request.limit or 20, 1, MAX_PAGE, "limit"),
            )
        )
        return pb.ListWorkersResponse(workers=[_message(view) for view in views], total=total)

    async def UpdateWorker(self, request: pb.UpdateWorkerRequest, context: Context) -> pb.Worker:
        """Changes `status`, `max_concurrent_tasks`, `task_types`, `metadata_json`; any other field is refused."""
        return _message(await self._registry.update(domain.checked_id(request.id), _change(request)))


def _change(request: pb.UpdateWorkerRequest) -> domain.Change:
    given = request.worker
    values: dict[str, Any] = {}
    for name in request.fields:
        if name == "status":
            values["wanted"] = domain.Status(domain.checked_status(given.status))
        elif name == "max_concurrent_tasks":
            values[name] = _slots(given.max_concurrent_tasks)
        elif name == "task_types":
            values[name] = domain.checked_task_types(list(given.task_types))
        elif name == "metadata_json":
            values[name] = domain.checked_metadata(given.metadata_json)
        else:
            raise InvalidInput("can't be changed", field=name[:64])
    return domain.Change(**values)


def _slots(value: int) -> int:
    return domain.checked_number(value, 1, domain.MAX_SLOTS, "max_concurrent_tasks")


def _message(view: domain.WorkerView) -> pb.Worker:
    worker, beat = view.worker, view.liveness.beat
    message = pb.Worker(
        id=worker.id,
        session=worker.session,
        hostname=worker.hostname,
        ip_address=worker.ip_address,
        port=worker.port,
        task_types=worker.task_types,
        max_concurrent_tasks=worker.max_concurrent_tasks,
        status=view.status.value,
        last_heartbeat_ms=view.heard_ms,
        registered_ms=worker.registered_ms,
        metadata_json=worker.metadata_json,
        heartbeat_interval_ms=worker.interval_ms,
    )
    if beat is not None:
        message.load_average = beat.load_average
        message.memory_usage = beat.memory_usage
        message.cpu_usage = beat.cpu_usage
        if view.liveness.alive:  # a lost worker holds nothing: its runs were taken back
            message.current_task_count = beat.current_task_count
            message.current_runs.extend(beat.current_runs)
    return message
