"""What can go wrong before a service is asked, and how each contract tells. Owns: errors of the HTTP edge, the way from
an error to a status and a body. Must not know any contract's shape: each hands in its own `ErrorShape`.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from chassis.errors import (
    Conflict,
    DeadlineExceeded,
    Exhausted,
    Forbidden,
    InternalError,
    InvalidInput,
    NotFound,
    TrawlError,
    Unauthenticated,
    Unavailable,
)

from gateway.exchange import Answer

Json = Any
RETRY_AFTER_SECONDS = 1


class Malformed(InvalidInput):
    """The request can't be read at all: not JSON, not UTF-8, nested too deep."""


class UnknownParameter(InvalidInput):
    """A query parameter that nothing reads."""


class UnfitCursor(InvalidInput):
    """A cursor that was not made for this list, was changed, or is too old. 422 in every contract."""


class TooLarge(InvalidInput):
    """The body is over the limit."""


class UnsupportedMedia(InvalidInput):
    """A POST that is not JSON, where only JSON is taken."""


class NoSuchPath(NotFound):
    """Nothing is served at this path."""


class MethodNotAllowed(InvalidInput):
    """Something is served at this path, but not with this method."""


class NotOffered(TrawlError):
    """The contract documents it, this version does not serve it."""

    kind = "not_offered"


STATUSES: Mapping[type[TrawlError], int] = {
    Malformed: 400,
    UnknownParameter: 400,
    Unauthenticated: 401,
    Forbidden: 403,
    NotFound: 404,
    MethodNotAllowed: 405,
    Conflict: 409,
    TooLarge: 413,
    UnsupportedMedia: 415,
    UnfitCursor: 422,
    InvalidInput: 422,
    Exhausted: 429,
    InternalError: 500,
    NotOffered: 501,
    Unavailable: 503,
    DeadlineExceeded: 503,
}


@dataclass(frozen=True, slots=True)
class ErrorShape:
    """One contract's way to tell an error. `statuses` overrides `STATUSES`; `body` takes error, status, request id."""

    body: Callable[[TrawlError, int, str], Json]
    statuses: Mapping[type[TrawlError], int] = field(default_factory=dict)

    def status_of(self, error: TrawlError) -> int:
        """The status of the error's nearest class that has one."""
        for kind in type(error).__mro__:
            status = self.statuses.get(kind) or STATUSES.get(kind)
            if status is not None:
                return status
        return 500

    def answer(self, error: TrawlError, request_id: str) -> Answer:
        """The whole answer."""
        status = self.status_of(error)
        headers: tuple[tuple[bytes, bytes], ...] = ()
        wait = error.details.get("retry_after_seconds")
        if wait is None and status in (429, 503):
            wait = RETRY_AFTER_SECONDS
        if wait is not None:
            headers = ((b"retry-after", str(max(1, math.ceil(wait))).encode()),)
        body = orjson.dumps(self.body(error, status, request_id), default=str)
        return Answer(body, status, headers)
