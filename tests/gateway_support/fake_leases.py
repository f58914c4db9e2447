"""The scheduler's leases in memory: run 100 is leased under token 4097, and asked to be aborted when `abort` is set."""

import asyncio
from typing import Any

from chassis.clock import now_ms
from chassis.errors import Conflict, NotFound
from trawl.scheduler.v1 import lease_pb2, lease_pb2_grpc, runs_pb2

RUN, TOKEN = 100, 4097


class FakeLeases(lease_pb2_grpc.LeaseServiceServicer):
    """`requests` are all that came; `hold` keeps Lease waiting, `cancelled` tells that its client has gone."""

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.abort = False
        self.attempt = 1
        self.hold = False
        self.cancelled = asyncio.Event()
        self.by_reference = False

    async def Lease(self, request: lease_pb2.LeaseRequest, context: Any) -> lease_pb2.LeaseResponse:  # noqa: N802
        self.requests.append(request)
        if self.hold:
            try:
                await asyncio.sleep(600)
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
        spec = runs_pb2.RunSpec(
            run_id=RUN, task_id=7, task_name="report", task_type="reports", executor="reports", command="build",
            arguments=["-m", "1"], parameters_json=b'{"month": 1}', timeout_ms=90_000, priority=runs_pb2.PRIORITY_HIGH,
            parameters_by_reference=self.by_reference,
        )  # fmt: skip
        run = lease_pb2.LeasedRun(spec=spec, token=TOKEN, attempt=self.attempt, expires_ms=now_ms() + 15_000)
        return lease_pb2.LeaseResponse(runs=[run])

    async def Renew(self, request: lease_pb2.RenewRequest, context: Any) -> lease_pb2.RenewResponse:  # noqa: N802
        self.requests.append(request)
        lost = [run_id for run_id in request.run_ids if run_id != RUN]
        return lease_pb2.RenewResponse(abort=[RUN] if self.abort and RUN in request.run_ids else [], lost=lost)

    def _check(self, run_id: int, token: int) -> None:
        if run_id != RUN:
            raise NotFound(f"run {run_id} does not exist")
        if token != TOKEN:
            raise Conflict("the lease is not yours", field="lease_token", rule="lease")

    async def Report(self, request: lease_pb2.LeaseReport, context: Any) -> lease_pb2.LeaseState:  # noqa: N802
        self.requests.append(request)
        self._check(request.run_id, request.token)
        return lease_pb2.LeaseState(
            abort=self.abort, expires_ms=now_ms() + 15_000, task_id=7, attempt=self.attempt, first_position=40
        )

    async def Finish(self, request: lease_pb2.LeaseEnd, context: Any) -> runs_pb2.Run:  # noqa: N802
        self.requests.append(request)
        self._check(request.run_id, request.token)
        statuses = {
            lease_pb2.LeaseEnd.OUTCOME_COMPLETED: runs_pb2.RUN_STATUS_COMPLETED,
            lease_pb2.LeaseEnd.OUTCOME_FAILED: runs_pb2.RUN_STATUS_PENDING,
            lease_pb2.LeaseEnd.OUTCOME_ABORTED: runs_pb2.RUN_STATUS_ABORTED,
        }
        spec = runs_pb2.RunSpec(run_id=RUN)
        return runs_pb2.Run(spec=spec, status=statuses[request.outcome], attempt=self.attempt, completed_ms=now_ms())
