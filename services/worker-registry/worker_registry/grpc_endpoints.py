"""EndpointService. Owns: the way between protobuf and the registry's own words. Must not know how any is stored."""

from collections.abc import Callable
from typing import Any

from chassis.addresses import AddressGuard
from chassis.clock import now_ms
from chassis.errors import Exhausted, InvalidInput, NotFound
from trawl.workerregistry.v1 import endpoints_pb2 as pb
from trawl.workerregistry.v1 import endpoints_pb2_grpc as pb_grpc

from worker_registry.endpoint import Endpoint, new_endpoint
from worker_registry.mongo_endpoints import MongoEndpoints

MAX_PAGE = 1_000
MAX_OFFSET = 1_000_000


class EndpointApi(pb_grpc.EndpointServiceServicer):
    """`added` is called when something new is to be watched."""

    def __init__(self, endpoints: MongoEndpoints, guard: AddressGuard, *, most: int, added: Callable[[], None]) -> None:
        self._endpoints, self._guard, self._most, self._added = endpoints, guard, most, added

    async def AddEndpoint(self, request: pb.AddEndpointRequest, context: Any) -> pb.Endpoint:
        """Watch an address from now on."""
        endpoint = new_endpoint(request.name, request.url, request.interval_ms, guard=self._guard, now=now_ms())
        if await self._endpoints.count() >= self._most:
            raise Exhausted("too many endpoints are watched", retry_after_seconds=60)
        await self._endpoints.insert(endpoint)
        self._added()
        return _message(endpoint)

    async def GetEndpoint(self, request: pb.GetEndpointRequest, context: Any) -> pb.Endpoint:
        """One, with its history."""
        endpoint = await self._endpoints.get(request.id)
        if endpoint is None:
            raise NotFound(f"endpoint {request.id} is not watched", resource="endpoint", id=request.id)
        return _message(endpoint, with_history=True)

    async def RemoveEndpoint(self, request: pb.RemoveEndpointRequest, context: Any) -> pb.RemoveEndpointResponse:
        """Watch it no longer."""
        if not await self._endpoints.delete(request.id):
            raise NotFound(f"endpoint {request.id} is not watched", resource="endpoint", id=request.id)
        return pb.RemoveEndpointResponse()

    async def ListEndpoints(self, request: pb.ListEndpointsRequest, context: Any) -> pb.ListEndpointsResponse:
        """A page, oldest first."""
        if not 0 <= request.offset <= MAX_OFFSET or not 0 < request.limit <= MAX_PAGE:
            raise InvalidInput("the page is out of range", field="limit")
        endpoints = await self._endpoints.page(request.offset, request.limit)
        return pb.ListEndpointsResponse(
            endpoints=[_message(endpoint, with_history=request.with_history) for endpoint in endpoints],
            total=await self._endpoints.count(),
        )


def _message(endpoint: Endpoint, *, with_history: bool = False) -> pb.Endpoint:
    probes, healthy, since = endpoint.counted
    message = pb.Endpoint(
        id=endpoint.id, name=endpoint.name, url=endpoint.url, interval_ms=endpoint.interval_ms,
        created_ms=endpoint.created_ms, status=endpoint.status, last_error=endpoint.last_error,
        last_error_ms=endpoint.last_error_ms, probes=probes, healthy_probes=healthy, counted_since_ms=since,
        next_ms=endpoint.next_ms,
    )  # fmt: skip
    if endpoint.history:
        last = endpoint.history[0]
        message.checked_ms, message.latency_ms, message.http_status = last.time_ms, last.latency_ms, last.http_status
    for probe in endpoint.history if with_history else ():
        message.history.add(
            time_ms=probe.time_ms, healthy=probe.healthy, latency_ms=probe.latency_ms, http_status=probe.http_status,
            error=probe.error,
        )  # fmt: skip
    return message
