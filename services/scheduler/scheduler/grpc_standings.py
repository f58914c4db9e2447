"""gRPC face of tasks with the state of their newest runs. Translates and delegates; no rule lives here."""

from typing import Any

from chassis.errors import InvalidInput
from trawl.scheduler.v1 import standings_pb2 as pb
from trawl.scheduler.v1 import standings_pb2_grpc

from scheduler.grpc_tasks import READERS, read_fields, to_proto
from scheduler.standings import Standing, Standings

MAX_PAGE = 1_000
STATES = {
    "idle": pb.Standing.STATE_IDLE,
    "live": pb.Standing.STATE_LIVE,
    "completed": pb.Standing.STATE_COMPLETED,
    "failed": pb.Standing.STATE_FAILED,
    "aborted": pb.Standing.STATE_ABORTED,
}
STATE_NAMES = {number: name for name, number in STATES.items()}
# No task that is made in bulk has these.
GIVEN = [name for name in READERS if name not in ("status", "dependencies", "schedule")]


class StandingApi(standings_pb2_grpc.StandingServiceServicer):
    """`StandingService`."""

    def __init__(self, standings: Standings) -> None:
        self._standings = standings

    async def CreateTasks(self, request: pb.CreateTasksRequest, context: Any) -> pb.CreateTasksResponse:
        """All or none."""
        wanted = [(read_fields(new.task, GIVEN), new.owner) for new in request.tasks]
        return pb.CreateTasksResponse(standings=[_to_proto(one) for one in await self._standings.create(wanted)])

    async def GetStanding(self, request: pb.GetStandingRequest, context: Any) -> pb.Standing:
        """One task."""
        return _to_proto(await self._standings.get(request.task_id))

    async def ListStandings(self, request: pb.ListStandingsRequest, context: Any) -> pb.ListStandingsResponse:
        """A page of tasks."""
        if not 0 <= request.offset <= 10**9 or not 0 < request.limit <= MAX_PAGE:
            raise InvalidInput("the page is out of range", field="page")
        wanted = {
            "contract": request.contract, "owner": request.owner, "task_type": request.task_type,
            "state": STATE_NAMES.get(request.state, ""),
        }  # fmt: skip
        standings, total = await self._standings.page(wanted, offset=request.offset, limit=request.limit)
        return pb.ListStandingsResponse(standings=[_to_proto(one) for one in standings], total=total)

    async def Rearm(self, request: pb.RearmRequest, context: Any) -> pb.Standing:
        """Make it idle again."""
        return _to_proto(await self._standings.rearm(request.task_id))


def _to_proto(standing: Standing) -> pb.Standing:
    row = standing.row
    return pb.Standing(
        task=to_proto(standing.task), owner=row.owner, state=STATES[row.state], error_message=row.error_message,
        run_id=row.run_id, changed_ms=row.changed_ms,
    )  # fmt: skip
