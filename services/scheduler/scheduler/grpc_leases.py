"""gRPC face of leases for outside workers. Translates and delegates; no rule lives here."""

from typing import Any

from trawl.scheduler.v1 import lease_pb2, lease_pb2_grpc, runs_pb2

from scheduler.leases import Leases


class LeaseApi(lease_pb2_grpc.LeaseServiceServicer):
    """`LeaseService`."""

    def __init__(self, leases: Leases) -> None:
        self._leases = leases

    async def Lease(self, request: lease_pb2.LeaseRequest, context: Any) -> lease_pb2.LeaseResponse:
        """Wait for runs."""
        return lease_pb2.LeaseResponse(runs=await self._leases.lease(request))

    async def GiveBack(self, request: lease_pb2.GiveBackRequest, context: Any) -> lease_pb2.GiveBackResponse:
        """Take a run back unharmed."""
        await self._leases.give_back(request.run_id, request.token)
        return lease_pb2.GiveBackResponse()

    async def Renew(self, request: lease_pb2.RenewRequest, context: Any) -> lease_pb2.RenewResponse:
        """Renew what a worker says it holds."""
        return await self._leases.renew(request.worker_id, request.run_ids)

    async def Report(self, request: lease_pb2.LeaseReport, context: Any) -> lease_pb2.LeaseState:
        """Take what is new of one run."""
        return await self._leases.report(request)

    async def Finish(self, request: lease_pb2.LeaseEnd, context: Any) -> runs_pb2.Run:
        """End one attempt."""
        return await self._leases.finish(request)
