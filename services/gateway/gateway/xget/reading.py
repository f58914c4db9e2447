"""How requests of the XGet contract are read, and its tasks found. Owns: the way from a request to a checked model."""

from collections.abc import Mapping
from typing import Any

from chassis.errors import NotFound
from trawl.scheduler.v1 import standings_pb2

from gateway.backend import Backend
from gateway.bodies import decode_json
from gateway.exchange import Call, TooManyFields
from gateway.xget.errors import no_task, unprocessable
from gateway.xget.ids import task_number
from gateway.xget.translate import CONTRACT

Json = Any


async def json_of(call: Call) -> Json:
    """The body's JSON value. Raises `Malformed`."""
    return decode_json(await call.body())


def query_of(call: Call) -> Mapping[str, str]:
    """The query's fields. Raises `Unprocessable`."""
    try:
        query = call.query
    except TooManyFields as error:
        raise unprocessable(("query",), "Too many fields", "too_long") from error
    if any("\x00" in value for value in query.values()):
        raise unprocessable(("query",), "NUL is not allowed", "string_pattern_mismatch")
    return query


async def standing_of(backend: Backend, public_id: str) -> standings_pb2.Standing:
    """The task of that id as it is now. Raises `NotFound` in the contract's words, for other contracts' tasks too."""
    number = task_number(public_id)
    if not number:
        raise no_task()
    try:
        request = standings_pb2.GetStandingRequest(task_id=number)
        standing: standings_pb2.Standing = await backend.task(backend.standings.GetStanding, request)
    except NotFound as error:
        raise no_task() from error
    if standing.task.contract != CONTRACT:
        raise no_task()
    return standing
