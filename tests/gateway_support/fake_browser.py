"""The scraper's browser service in memory. `sealed` keeps what was sealed; `sessions` can be listed and deleted."""

from typing import Any

from chassis.errors import Conflict
from trawl.scraper.v1 import browser_pb2 as pb
from trawl.scraper.v1 import browser_pb2_grpc


class FakeBrowser(browser_pb2_grpc.BrowserServiceServicer):
    """Seals by name only."""

    def __init__(self) -> None:
        self.sealed: list[bytes] = []
        self.validated: list[bytes] = []
        self.busy: set[str] = set()
        self.sessions = [
            pb.Session(
                browser_id=browser, origin="https://example.com", created_ms=1_700_000_000_000,
                updated_ms=1_700_000_100_000, cookies=2, local_storage=1,
            )
            for browser in ("browser001", "浏览器2")
        ]  # fmt: skip

    async def Seal(self, request: pb.SealRequest, context: Any) -> pb.SealResponse:  # noqa: N802
        self.sealed.append(request.data)
        return pb.SealResponse(sealed=f"sealed-{len(self.sealed)}")

    async def ValidateSteps(self, request: pb.ValidateStepsRequest, context: Any) -> pb.ValidateStepsResponse:  # noqa: N802
        self.validated.append(request.definition_json)
        finding = pb.StepFinding(level="warning", path="steps[0]", message="no wait", code="no_wait")
        return pb.ValidateStepsResponse(format="canonical", steps_json=b'[{"type": "hover"}]', findings=[finding])

    async def GetStepSchema(self, request: pb.GetStepSchemaRequest, context: Any) -> pb.GetStepSchemaResponse:  # noqa: N802
        return pb.GetStepSchemaResponse(schema_json=b'{"type": "array"}')

    async def ListSessions(self, request: pb.ListSessionsRequest, context: Any) -> pb.ListSessionsResponse:  # noqa: N802
        found = [one for one in self.sessions if request.browser_id in ("", one.browser_id)]
        part = found[request.offset : request.offset + request.limit]
        return pb.ListSessionsResponse(sessions=part, total=len(found))

    async def DeleteSessions(self, request: pb.DeleteSessionsRequest, context: Any) -> pb.DeleteSessionsResponse:  # noqa: N802
        if request.browser_id in self.busy:
            raise Conflict("a run uses this browser id", field="browserId")
        kept = [one for one in self.sessions if one.browser_id != request.browser_id]
        deleted = len(self.sessions) - len(kept)
        self.sessions = kept
        return pb.DeleteSessionsResponse(deleted=deleted)
