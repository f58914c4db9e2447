"""The contracts that are only announced so far: management, XGet. Owns: their error shapes."""

from typing import Any

from chassis.errors import InvalidInput, TrawlError

from gateway.failures import ErrorShape

Json = Any


def _management(error: TrawlError, _status: int, _request_id: str) -> Json:
    shown = {"status": "error", "message": error.message, "error": error.kind}
    if error.field is not None:
        shown["field"] = error.field
    if "step" in error.details:
        shown["stepId"] = error.details["step"]
    return shown


def _xget(error: TrawlError, status: int, _request_id: str) -> Json:
    if status == 422:
        return {"detail": [{"loc": ["body", error.field], "msg": error.message, "type": "value_error"}]}
    return {"detail": error.message}


MANAGEMENT = ErrorShape(_management, {InvalidInput: 400})
XGET = ErrorShape(_xget)
