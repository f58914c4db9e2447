"""The contracts that are only announced so far: management, pipeline. Owns: their error shapes."""

from typing import Any

from chassis.errors import InvalidInput, TrawlError

from gateway.failures import ErrorShape, Malformed

Json = Any


def _management(error: TrawlError, _status: int, _request_id: str) -> Json:
    return {"status": "error", "message": error.message, "error": error.kind}


def _pipeline(error: TrawlError, status: int, _request_id: str) -> Json:
    return {"code": status, "message": error.message, "data": None}


MANAGEMENT = ErrorShape(_management, {InvalidInput: 400})
PIPELINE = ErrorShape(_pipeline, {Malformed: 422})
