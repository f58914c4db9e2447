"""The contracts that are only announced so far: XGet, pipeline. Owns: their error shapes."""

from typing import Any

from chassis.errors import TrawlError

from gateway.failures import ErrorShape, Malformed

Json = Any


def _xget(error: TrawlError, status: int, _request_id: str) -> Json:
    if status == 422:
        return {"detail": [{"loc": ["body", error.field], "msg": error.message, "type": "value_error"}]}
    return {"detail": error.message}


def _pipeline(error: TrawlError, status: int, _request_id: str) -> Json:
    return {"code": status, "message": error.message, "data": None}


XGET = ErrorShape(_xget)
PIPELINE = ErrorShape(_pipeline, {Malformed: 422})
