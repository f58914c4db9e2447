"""gRPC face of step lists and browser sessions. Translates and delegates."""

import asyncio
from typing import Any

import orjson
from chassis.errors import Conflict, InvalidInput
from trawl.scraper.v1 import browser_pb2 as pb
from trawl.scraper.v1 import browser_pb2_grpc

from scraper.login import SEALED_FOR
from scraper.mongo_sessions import MongoSessions, SessionInfo
from scraper.redis_profiles import RedisProfiles
from scraper.sealing import Sealer
from scraper.step_check import check_definition
from scraper.steps import step_schema

MAX_SEALED_BYTES = 2 * 1024 * 1024
MAX_PAGE = 1_000


class BrowserApi(browser_pb2_grpc.BrowserServiceServicer):
    """`BrowserService`."""

    def __init__(self, sessions: MongoSessions, leases: RedisProfiles, sealer: Sealer) -> None:
        self._sessions, self._leases, self._sealer = sessions, leases, sealer

    async def ValidateSteps(self, request: pb.ValidateStepsRequest, context: Any) -> pb.ValidateStepsResponse:
        """A dry run."""
        try:
            definition = orjson.loads(request.definition_json)
        except orjson.JSONDecodeError as error:
            raise InvalidInput("the definition is not JSON", field="body") from error
        checked = await asyncio.to_thread(check_definition, definition)
        return pb.ValidateStepsResponse(
            format=checked.format,
            steps_json=orjson.dumps(checked.steps),
            findings=[
                pb.StepFinding(level=one.level, path=one.path, message=one.message, code=one.code)
                for one in checked.findings
            ],
        )

    async def GetStepSchema(self, request: pb.GetStepSchemaRequest, context: Any) -> pb.GetStepSchemaResponse:
        """The JSON Schema of a step list."""
        return pb.GetStepSchemaResponse(schema_json=orjson.dumps(step_schema()))

    async def Seal(self, request: pb.SealRequest, context: Any) -> pb.SealResponse:
        """Seal a login."""
        if len(request.data) > MAX_SEALED_BYTES:
            raise InvalidInput(f"at most {MAX_SEALED_BYTES} bytes can be sealed", field="data")
        return pb.SealResponse(sealed=self._sealer.seal(SEALED_FOR, request.data))

    async def ListSessions(self, request: pb.ListSessionsRequest, context: Any) -> pb.ListSessionsResponse:
        """What is kept, without its content."""
        if not 0 <= request.offset <= 10**9 or not 0 < request.limit <= MAX_PAGE:
            raise InvalidInput("the page is out of range", field="page")
        found, total = await self._sessions.find(
            request.browser_id, request.origin, offset=request.offset, limit=request.limit
        )
        return pb.ListSessionsResponse(sessions=[_session(one) for one in found], total=total)

    async def DeleteSessions(self, request: pb.DeleteSessionsRequest, context: Any) -> pb.DeleteSessionsResponse:
        """Forget sessions that no run uses now."""
        if not request.browser_id:
            raise InvalidInput("is required", field="browserId")
        holder = await self._leases.holder(f"browser:{request.browser_id}")
        if holder is not None:
            raise Conflict(f"run {holder} uses this browser id, and would write it again", field="browserId")
        deleted = await self._sessions.delete(request.browser_id, request.origin)
        return pb.DeleteSessionsResponse(deleted=deleted)


def _session(one: SessionInfo) -> pb.Session:
    return pb.Session(
        browser_id=one.browser_id,
        origin=one.origin,
        created_ms=one.created_ms,
        updated_ms=one.updated_ms,
        cookies=one.cookies,
        local_storage=one.local_storage,
        expires_ms=one.expires_ms,
    )
