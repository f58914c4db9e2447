"""The contract that is only announced so far: XGet. Owns: its error shape."""

from typing import Any

from chassis.errors import TrawlError

from gateway.failures import ErrorShape

Json = Any


def _xget(error: TrawlError, status: int, _request_id: str) -> Json:
    if status == 422:
        return {"detail": [{"loc": ["body", error.field], "msg": error.message, "type": "value_error"}]}
    return {"detail": error.message}


XGET = ErrorShape(_xget)
