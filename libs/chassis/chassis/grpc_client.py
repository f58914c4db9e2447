"""gRPC clients: deadlines always, the caller's trace along, and the other side's errors as our own classes."""

from collections.abc import Callable
from typing import Any, TypeVar

import grpc

from chassis.errors import TRAILER, DeadlineExceeded, InternalError, TrawlError, Unavailable
from chassis.telemetry import current_traceparent

T = TypeVar("T")
OPTIONS = [
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    ("grpc.max_send_message_length", 64 * 1024 * 1024),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.enable_http_proxy", 0),
]


def error_from_call(error: grpc.aio.AioRpcError, target: str) -> TrawlError:
    """The error that the other side raised, or `Unavailable`/`DeadlineExceeded` when it could not be asked."""
    for key, value in error.trailing_metadata() or ():
        if key == TRAILER:
            return TrawlError.from_bytes(value if isinstance(value, bytes) else value.encode())
    if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineExceeded(f"{target} did not answer in time", dependency=target)
    if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
        return Unavailable(f"{target} is unavailable", dependency=target)
    return InternalError("internal error", code=error.code().name)


class GrpcClient:
    """A channel to one service (`name`), which reconnects by itself.

    ``await client.call(stub.Method, request, timeout=5)`` waits for a connection within the deadline, so that a
    restart of the other side is a pause and not an error.
    """

    def __init__(self, name: str, target: str) -> None:
        self.name = name
        self.channel = grpc.aio.insecure_channel(target, options=OPTIONS)

    def stub(self, factory: Callable[[grpc.aio.Channel], T]) -> T:
        """A generated stub on this channel."""
        return factory(self.channel)

    async def call(self, method: Any, request: Any, *, timeout: float = 5.0, wait: bool = True) -> Any:  # noqa: ASYNC109 - gRPC's own deadline
        """The answer. Raises a `TrawlError`; `timeout` in seconds."""
        try:
            return await method(request, timeout=timeout, wait_for_ready=wait, metadata=_metadata())
        except grpc.aio.AioRpcError as error:
            raise error_from_call(error, self.name) from error

    async def stream(self, method: Any, request: Any, *, timeout: float = 60.0) -> Any:  # noqa: ASYNC109 - as above
        """Yield the answers of a server stream. Raises a `TrawlError`."""
        try:
            async for message in method(request, timeout=timeout, wait_for_ready=True, metadata=_metadata()):
                yield message
        except grpc.aio.AioRpcError as error:
            raise error_from_call(error, self.name) from error

    async def close(self) -> None:
        """Close the channel."""
        await self.channel.close(None)


def _metadata() -> tuple[tuple[str, str], ...] | None:
    traceparent = current_traceparent()
    return (("traceparent", traceparent),) if traceparent else None
