"""The contract that is only announced so far: management. Owns: its error shape."""

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


MANAGEMENT = ErrorShape(_management, {InvalidInput: 400})
