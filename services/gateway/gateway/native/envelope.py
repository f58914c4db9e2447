"""The scheduler contract's envelope. Owns: its success and error bodies, error codes, paging. Knows no resource."""

import time
from collections.abc import Sequence
from typing import Any

from chassis.errors import (
    Conflict,
    DeadlineExceeded,
    Forbidden,
    InternalError,
    InvalidInput,
    NotFound,
    TrawlError,
    Unauthenticated,
    Unavailable,
)

from gateway.checks import QueryFields
from gateway.exchange import Answer, Call
from gateway.failures import ErrorShape
from gateway.times import iso_seconds

Json = Any
VERSION = "1.0.0"
DEFAULT_SIZE = 20
MAX_SIZE = 1_000
MAX_PAGE = 1_000_000_000

CODES: dict[type[TrawlError], str] = {
    InvalidInput: "VALIDATION_ERROR",
    Unauthenticated: "AUTHENTICATION_ERROR",
    Forbidden: "AUTHORIZATION_ERROR",
    NotFound: "RESOURCE_NOT_FOUND",
    Conflict: "RESOURCE_CONFLICT",
    Unavailable: "SYSTEM_ERROR",
    DeadlineExceeded: "SYSTEM_ERROR",
    InternalError: "SYSTEM_ERROR",
}
# Which part was down tells more than that one was.
DEPENDENCY_CODES = {
    "mongodb": "DATABASE_ERROR",
    "nats": "MESSAGE_QUEUE_ERROR",
    "redis": "MESSAGE_QUEUE_ERROR",
    "worker-registry": "WORKER_ERROR",
    "scraper": "WORKER_ERROR",
    "scheduler": "TASK_ERROR",
}


def metadata(request_id: str) -> dict[str, str | None]:
    """What every answer carries."""
    return {"timestamp": iso_seconds(int(time.time() * 1000)), "request_id": request_id, "version": VERSION}


def ok(call: Call, data: Json, status: int = 200, *, warnings: Sequence[tuple[str, str]] = ()) -> Answer:
    """A success. `warnings`: as `Call.warnings`, which are told too."""
    about: dict[str, Json] = {**metadata(call.request_id)}
    if warnings or call.warnings:
        about["warnings"] = [{"field": field, "message": message} for field, message in (*call.warnings, *warnings)]
    return Answer.json({"success": True, "data": data, "metadata": about}, status)


def _error_body(error: TrawlError, _status: int, request_id: str) -> Json:
    return {
        "success": False,
        "error": {"code": code_of(error), "message": error.message, "details": _details(error)},
        "metadata": metadata(request_id),
    }


def code_of(error: TrawlError) -> str:
    """The contract's code for the error."""
    if isinstance(error, Unavailable | DeadlineExceeded):
        code = DEPENDENCY_CODES.get(str(error.details.get("dependency")))
        if code is not None:
            return code
    return next((CODES[kind] for kind in type(error).__mro__ if kind in CODES), "SYSTEM_ERROR")


def _details(error: TrawlError) -> dict[str, Json]:
    details = {key: value for key, value in error.details.items() if key not in ("rule", "value")}
    if isinstance(error, InvalidInput) or error.field is not None:
        rule = error.details.get("rule", "invalid" if isinstance(error, InvalidInput) else error.kind)
        details |= {"field": error.field, "rule": rule, "value": error.details.get("value")}
    return details


SHAPE = ErrorShape(_error_body)


class Page:
    """Which part of a list is asked for: `page` from 1, `size` entries each."""

    __slots__ = ("number", "size")

    def __init__(self, query: QueryFields, default_size: int = DEFAULT_SIZE) -> None:
        self.number = query.integer("page", 1, MAX_PAGE, 1)
        self.size = query.integer("size", 1, MAX_SIZE, default_size)

    @property
    def offset(self) -> int:
        """Entries before the page."""
        return (self.number - 1) * self.size

    def answer(self, call: Call, items: Sequence[Json], total: int, **more: Json) -> Answer:
        """The page as the contract shows one, with `more` beside: `next_cursor` where a list has one."""
        data = {
            "items": items,
            "total": total,
            "page": self.number,
            "size": self.size,
            "total_pages": -(-total // self.size),
            **more,
        }
        return ok(call, data)


def query_of(call: Call) -> QueryFields:
    """The query's fields. Raises `InvalidInput` when they are too many."""
    return QueryFields(call.query)


def ascending(query: QueryFields) -> bool:
    """The `order` field: descending unless it says `asc`."""
    return query.choice("order", ("asc", "desc"), "desc") == "asc"
