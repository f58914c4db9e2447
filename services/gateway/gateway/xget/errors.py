"""How the XGet contract tells errors. Owns: FastAPI's two shapes, `detail` as a text and as a list. Pure."""

from collections.abc import Sequence
from typing import Any

from chassis.errors import Conflict, InvalidInput, NotFound, TrawlError
from pydantic import ValidationError

from gateway.failures import ErrorShape, Malformed, UnfitCursor

Json = Any
TASK_NOT_FOUND = "Task not found"
EXECUTION_NOT_FOUND = "Task execution not found"


class Refused(InvalidInput):
    """400: the task's state forbids it."""


class Unprocessable(InvalidInput):
    """422: fields that are wrong, each with `loc`, `msg` and `type`."""

    def __init__(self, errors: Sequence[dict[str, Json]]) -> None:
        super().__init__(str(errors[0]["msg"]), errors=list(errors))


def unprocessable(loc: Sequence[str | int], message: str, kind: str = "value_error") -> Unprocessable:
    """One wrong field."""
    return Unprocessable([{"loc": list(loc), "msg": message, "type": kind}])


def of_validation(error: ValidationError, *prefix: str | int) -> Unprocessable:
    """What Pydantic has found, below `prefix`."""
    return Unprocessable([
        {"loc": [*prefix, *one["loc"]], "msg": one["msg"], "type": one["type"]}
        for one in error.errors(include_url=False, include_context=False, include_input=False)
    ])  # fmt: skip


def no_task() -> NotFound:
    """No such task, in the contract's words."""
    return NotFound(TASK_NOT_FOUND)


def _body(error: TrawlError, status: int, _request_id: str) -> Json:
    if status != 422:
        return {"detail": error.message}
    if isinstance(error, Malformed):
        return {"detail": [{"loc": ["body"], "msg": error.message, "type": "json_invalid"}]}
    errors = error.details.get("errors")
    if errors is None:
        place = "query" if isinstance(error, UnfitCursor) else "body"
        errors = [{"loc": [place, error.field or "body"], "msg": error.message, "type": "value_error"}]
    return {"detail": errors}


# The original knows 400, 404, 422 and 500; what it has no code for keeps the usual one.
SHAPE = ErrorShape(_body, {Malformed: 422, Refused: 400, Conflict: 400})
