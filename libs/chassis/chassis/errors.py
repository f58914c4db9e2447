"""The one error tree. Owns: kinds of failure, and their way through gRPC. Must not know HTTP or any contract.

A service raises these; `chassis.grpc_server` turns them into a status with a `trawl-error-bin` trailer (JSON:
`kind`, `message`, `field`, `details`), and `chassis.grpc_client` turns that back into the same class on the other side.
"""

from typing import Any, ClassVar, Self

import grpc
import orjson

TRAILER = "trawl-error-bin"
Json = Any


class TrawlError(Exception):
    """Base of every error that is meant for a caller; its message may be shown to one."""

    kind: ClassVar[str] = "internal"
    status: ClassVar[grpc.StatusCode] = grpc.StatusCode.INTERNAL

    def __init__(self, message: str, *, field: str | None = None, **details: Json) -> None:
        super().__init__(message)
        # Half a surrogate pair, quoted from what came in, would break every encoder on the error's way.
        self.message = message if message.isascii() else message.encode("utf-8", "backslashreplace").decode()
        self.field = field
        self.details = details

    def to_bytes(self) -> bytes:
        """The trailer's JSON; of details that JSON can't carry their text."""
        said = {"kind": self.kind, "message": self.message, "field": self.field, "details": self.details}
        try:
            return orjson.dumps(said, default=str)
        except TypeError:
            plain = {name: ascii(value) for name, value in self.details.items()}
            return orjson.dumps(said | {"field": self.field and ascii(self.field)[1:-1], "details": plain})

    @classmethod
    def from_bytes(cls, data: bytes) -> "TrawlError":
        """The error that `to_bytes` described; an unknown kind is an `InternalError`."""
        raw = orjson.loads(data)
        return error_of(str(raw.get("kind")), str(raw.get("message")), raw.get("field"), raw.get("details") or {})

    def with_details(self, **details: Json) -> Self:
        """This error with more to say."""
        self.details |= details
        return self


class InvalidInput(TrawlError):
    """What was asked for can't be done as it stands; `field` names the culprit."""

    kind, status = "invalid_input", grpc.StatusCode.INVALID_ARGUMENT


class NotFound(TrawlError):
    """No such thing."""

    kind, status = "not_found", grpc.StatusCode.NOT_FOUND


class Conflict(TrawlError):
    """It clashes with what is there: a name taken, a state that forbids it."""

    kind, status = "conflict", grpc.StatusCode.FAILED_PRECONDITION


class Unauthenticated(TrawlError):
    """Nobody known is asking."""

    kind, status = "unauthenticated", grpc.StatusCode.UNAUTHENTICATED


class Forbidden(TrawlError):
    """The one who asks may not."""

    kind, status = "forbidden", grpc.StatusCode.PERMISSION_DENIED


class Exhausted(TrawlError):
    """Full, or asked too often; `retry_after_seconds` says when to come back."""

    kind, status = "exhausted", grpc.StatusCode.RESOURCE_EXHAUSTED

    def __init__(self, message: str, *, retry_after_seconds: float = 1, **details: Json) -> None:
        super().__init__(message, **{"retry_after_seconds": retry_after_seconds, **details})
        self.retry_after_seconds = retry_after_seconds


class Unavailable(TrawlError):
    """Something that this needs is down; asking again later is right. `dependency` in details names it."""

    kind, status = "unavailable", grpc.StatusCode.UNAVAILABLE


class DeadlineExceeded(TrawlError):
    """It took longer than the caller allowed; whether it happened is not known."""

    kind, status = "deadline_exceeded", grpc.StatusCode.DEADLINE_EXCEEDED


class InternalError(TrawlError):
    """A defect. The message says nothing about the inside."""


_BY_KIND: dict[str, type[TrawlError]] = {
    cls.kind: cls
    for cls in (
        InvalidInput, NotFound, Conflict, Unauthenticated, Forbidden, Exhausted, Unavailable, DeadlineExceeded,
        InternalError,
    )
}  # fmt: skip


def error_of(kind: str, message: str, field: str | None = None, details: dict[str, Json] | None = None) -> TrawlError:
    """The error of that kind."""
    return _BY_KIND.get(kind, InternalError)(message, field=field, **(details or {}))
