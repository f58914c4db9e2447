"""Watched addresses of the task management contract. Owns: endpoints and JSON. Must not know how they are probed."""

from typing import Any

from chassis.errors import NotFound
from trawl.workerregistry.v1 import endpoints_pb2, workers_pb2

from gateway.access import Role
from gateway.backend import Backend
from gateway.bodies import read_object
from gateway.checks import Fields, check_text, invalid, refuse_unknown
from gateway.exchange import Answer, Call
from gateway.management import examples
from gateway.management.request import query_of, with_total
from gateway.masking import veil_of
from gateway.routing import Doc, Endpoint
from gateway.times import iso_seconds

Json = Any
DEFAULT_SECONDS = 30
MAX_URL = 2_048
MAX_LISTED = 1_000
TAG = "endpoints"


class EndpointRoutes:
    """Handlers of `/endpoints`."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def add(self, call: Call) -> Answer:
        """Watch an address."""
        fields = Fields(await read_object(call))
        refuse_unknown(fields.raw, ("name", "url", "intervalSeconds"))
        fields.require("url")
        name = fields.text("name", 200, one_line=True).strip()
        url = fields.text("url", MAX_URL, one_line=True)
        seconds = fields.raw.get("intervalSeconds", DEFAULT_SECONDS)
        if type(seconds) not in (int, float) or not 1 <= seconds <= 86_400:
            raise invalid("intervalSeconds", "range", "必须是1到86400之间的数字")
        request = endpoints_pb2.AddEndpointRequest(name=name or url[:200], url=url, interval_ms=round(seconds * 1000))
        added = await self._backend.worker(self._backend.endpoints.AddEndpoint, request)
        return Answer.json(veil_of(call).definition(endpoint_json(added)), 201)

    async def listed(self, call: Call) -> Answer:
        """List the watched addresses."""
        answer = await self._all(call, with_history=False)
        veil = veil_of(call)
        return with_total([veil.definition(endpoint_json(endpoint)) for endpoint in answer.endpoints], answer.total)

    async def _all(self, call: Call, *, with_history: bool) -> endpoints_pb2.ListEndpointsResponse:
        query = query_of(call)
        request = endpoints_pb2.ListEndpointsRequest(
            offset=query.integer("offset", 0, 1_000_000, 0),
            limit=query.integer("limit", 1, MAX_LISTED, MAX_LISTED),
            with_history=with_history,
        )
        answer: endpoints_pb2.ListEndpointsResponse = await self._backend.worker(
            self._backend.endpoints.ListEndpoints, request
        )
        return answer

    async def remove(self, call: Call) -> Answer:
        """Watch it no longer."""
        endpoint_id = check_text("id", call.path_params["id"], 64, one_line=True)
        try:
            request = endpoints_pb2.RemoveEndpointRequest(id=endpoint_id)
            await self._backend.worker(self._backend.endpoints.RemoveEndpoint, request)
        except NotFound as error:
            raise NotFound(f"端点不存在: {endpoint_id}", field="id") from error
        return Answer.json({"id": endpoint_id, "deleted": True})

    async def health(self, call: Call) -> Answer:
        """Show how the watched addresses and the workers are."""
        answer = await self._all(call, with_history=query_of(call).choice("history", ("true", "false")) == "true")
        workers = await self._backend.worker(
            self._backend.workers.ListWorkers, workers_pb2.ListWorkersRequest(limit=MAX_LISTED)
        )
        shown = [health_json(endpoint) for endpoint in answer.endpoints]
        shown += [worker_health_json(worker) for worker in workers.workers]
        return with_total(veil_of(call).definition(shown), answer.total + workers.total)

    def endpoints(self) -> list[Endpoint]:
        """All of them."""
        page = [("limit", "integer", "1-1000"), ("offset", "integer", "跳过的数量")]
        return [
            Endpoint("POST", "/endpoints", self.add,
                     Doc("添加端点", TAG, body=examples.NEW_ENDPOINT, answer=examples.ENDPOINT, status=201,
                         errors=(400, 409)), Role.OPERATOR, starts_work=True),
            Endpoint("GET", "/endpoints", self.listed,
                     Doc("获取端点列表", TAG, answer=[examples.ENDPOINT], query=page, errors=(400,)), Role.VIEWER),
            Endpoint("GET", "/endpoints/health", self.health,
                     Doc("端点健康检查", TAG, answer=[examples.HEALTH],
                         query=[*page, ("history", "boolean", "true: the last 100 probes of each")], errors=(400,),
                         description="`kind` http: a watched address; `kind` worker: a worker of the fleet."),
                     Role.VIEWER),
            Endpoint("DELETE", "/endpoints/{id}", self.remove,
                     Doc("删除端点", TAG, answer={"id": "ep-1", "deleted": True}, errors=(404,)), Role.OPERATOR),
        ]  # fmt: skip


def _seconds(ms: int) -> float | int:
    return ms / 1000 if ms % 1000 else ms // 1000


def endpoint_json(endpoint: endpoints_pb2.Endpoint) -> dict[str, Json]:
    """A watched address."""
    return {
        "id": endpoint.id,
        "name": endpoint.name,
        "url": endpoint.url,
        "intervalSeconds": _seconds(endpoint.interval_ms),
        "status": endpoint.status,
        "createdAt": iso_seconds(endpoint.created_ms),
    }


def health_json(endpoint: endpoints_pb2.Endpoint) -> dict[str, Json]:
    """How a watched address is. `uptime` is a share from 0 to 1."""
    shown: dict[str, Json] = {
        "kind": "http",
        "id": endpoint.id,
        "name": endpoint.name,
        "url": endpoint.url,
        "status": endpoint.status,
        "latencyMs": _latency(endpoint.latency_ms) if endpoint.checked_ms else None,
        "httpStatus": endpoint.http_status or None,
        "uptime": round(endpoint.healthy_probes / endpoint.probes, 6) if endpoint.probes else None,
        "checks": endpoint.probes,
        "countedSince": iso_seconds(endpoint.counted_since_ms),
        "lastCheckedAt": iso_seconds(endpoint.checked_ms),
        "lastError": endpoint.last_error or None,
        "lastErrorAt": iso_seconds(endpoint.last_error_ms),
    }
    if endpoint.history:
        shown["history"] = [
            {
                "checkedAt": iso_seconds(probe.time_ms),
                "healthy": probe.healthy,
                "latencyMs": _latency(probe.latency_ms),
                "httpStatus": probe.http_status or None,
                "error": probe.error or None,
            }
            for probe in endpoint.history
        ]
    return shown


def _latency(ms: float) -> float | None:
    return round(ms, 3) if ms >= 0 else None


def worker_health_json(worker: workers_pb2.Worker) -> dict[str, Json]:
    """How a worker is: its heartbeats are its probes."""
    healthy = worker.status != "offline"
    return {
        "kind": "worker",
        "id": worker.id,
        "name": worker.hostname,
        "url": None,
        "status": "healthy" if healthy else "unhealthy",
        "latencyMs": None,
        "httpStatus": None,
        "uptime": None,
        "checks": None,
        "countedSince": iso_seconds(worker.registered_ms),
        "lastCheckedAt": iso_seconds(worker.last_heartbeat_ms),
        "lastError": None if healthy else "heartbeats have stopped",
        "lastErrorAt": None if healthy else iso_seconds(worker.last_heartbeat_ms),
    }
