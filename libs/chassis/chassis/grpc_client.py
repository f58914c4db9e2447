"""gRPC clients: deadlines always, the caller's trace along, and the other side's errors as our own classes."""

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any, TypeVar

import grpc

from chassis.errors import TRAILER, DeadlineExceeded, InternalError, TrawlError, Unavailable
from chassis.telemetry import current_traceparent

T = TypeVar("T")
# A stream on which nothing is heard for this long is asked whether it is still listened to.
ASK_SECONDS = 30.0
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

    def __init__(self, name: str, target: str, options: Sequence[tuple[str, int]] = ()) -> None:
        self.name, self._closed = name, False
        self.channel = grpc.aio.insecure_channel(target, options=[*OPTIONS, *options])

    def stub(self, factory: Callable[[grpc.aio.Channel], T]) -> T:
        """A generated stub on this channel."""
        return factory(self.channel)

    async def call(self, method: Any, request: Any, *, timeout: float = 5.0, wait: bool = True) -> Any:  # noqa: ASYNC109 - gRPC's own deadline
        """The answer. Raises a `TrawlError`; `timeout` in seconds."""
        try:
            return await method(request, timeout=timeout, wait_for_ready=wait, metadata=_metadata())
        except grpc.aio.AioRpcError as error:
            raise error_from_call(error, self.name) from error
        except asyncio.CancelledError:
            raise self._hung_up() from None

    async def stream(self, method: Any, request: Any, *, timeout: float = 60.0) -> Any:  # noqa: ASYNC109 - as above
        """Yield the answers of a server stream. Raises a `TrawlError`."""
        try:
            async for message in method(request, timeout=timeout, wait_for_ready=True, metadata=_metadata()):
                yield message
        except grpc.aio.AioRpcError as error:
            raise error_from_call(error, self.name) from error
        except asyncio.CancelledError:
            raise self._hung_up() from None

    def _hung_up(self) -> BaseException:
        """What a cancelled call means: that its caller is cancelled, or else that the channel was closed."""
        task = asyncio.current_task()
        if self._closed and task is not None and not task.cancelling():
            return Unavailable(f"the connection to {self.name} was closed", dependency=self.name)
        return asyncio.CancelledError()

    async def pulse(
        self,
        method: Any,
        make: Callable[[bool], Awaitable[Any]],
        *,
        every_seconds: float,
        answer_seconds: float = 5.0,
        ask_seconds: float = ASK_SECONDS,
    ) -> AsyncGenerator[Any, None]:
        """Send what `make` gives at once and then every so often, on one stream, and yield the answers until the other
        side ends it. Close the generator (`contextlib.aclosing`).

        `make` is told whether this message must be answered within `answer_seconds`: the first one, and one whenever
        nothing was heard for `ask_seconds`. Raises a `TrawlError` when the stream breaks, or is mute when asked.
        """
        call = method(wait_for_ready=True, metadata=_metadata())
        answers = _Pulse(call, make, every_seconds, answer_seconds, ask_seconds).answers()
        try:
            async with contextlib.aclosing(answers):
                async for answer in answers:
                    yield answer
        except grpc.aio.AioRpcError as error:
            raise error_from_call(error, self.name) from error
        except TimeoutError:
            raise DeadlineExceeded(f"{self.name} did not answer in time", dependency=self.name) from None
        except ConnectionResetError:
            raise Unavailable(f"{self.name} has hung up", dependency=self.name) from None
        finally:
            call.cancel()

    async def close(self) -> None:
        """Close the channel; calls under way fail as `Unavailable`."""
        self._closed = True
        await self.channel.close(None)


class Backoff:
    """How long to wait after one failure more: twice as long each time, up to a limit, and never in step with others
    that have failed together.
    """

    def __init__(self, first_seconds: float, longest_seconds: float) -> None:
        self._first, self._longest = min(first_seconds, longest_seconds), longest_seconds
        self._next = self._first

    def failed(self) -> float:
        """Seconds to wait now."""
        seconds, self._next = self._next, min(2 * self._next, self._longest)
        return seconds * random.uniform(0.5, 1)  # noqa: S311 - spreads load, hides nothing

    def succeeded(self) -> None:
        """Begin anew."""
        self._next = self._first


class _Pulse:
    """One stream of messages at intervals. Raises what the call raises, TimeoutError and ConnectionResetError."""

    def __init__(
        self, call: Any, make: Callable[[bool], Awaitable[Any]], every: float, patience: float, ask_after: float
    ) -> None:
        self._call, self._make = call, make
        self._every, self._patience, self._ask_after = every, patience, ask_after
        self._beat_at, self._ask_at, self._mute_at = 0.0, 0.0, float("inf")

    async def answers(self) -> AsyncGenerator[Any, None]:
        """Until the other side ends the stream."""
        loop = asyncio.get_running_loop()
        reading = asyncio.ensure_future(self._call.read())
        try:
            while True:
                if loop.time() >= self._beat_at:
                    await self._beat(loop)
                await asyncio.wait({reading}, timeout=max(0.0, min(self._beat_at, self._mute_at) - loop.time()))
                if reading.done():
                    if reading.cancelled():  # by the other side
                        raise ConnectionResetError
                    if (answer := reading.result()) is grpc.aio.EOF:
                        return
                    self._mute_at, self._ask_at = float("inf"), loop.time() + self._ask_after
                    yield answer
                    reading = asyncio.ensure_future(self._call.read())
                elif loop.time() >= self._mute_at:
                    raise TimeoutError
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        ask = loop.time() >= self._ask_at
        message = await self._make(ask)
        now = loop.time()
        self._beat_at = now + self._every
        if ask:
            self._ask_at = now + self._ask_after
            self._mute_at = min(self._mute_at, now + self._patience)
        writing = asyncio.ensure_future(self._call.write(message))
        try:
            await asyncio.wait({writing}, timeout=self._patience)
            if not writing.done():
                raise TimeoutError
        finally:
            writing.cancel()
            # Why a write has failed is what the next read says.
            await asyncio.gather(writing, return_exceptions=True)


def _metadata() -> tuple[tuple[str, str], ...] | None:
    traceparent = current_traceparent()
    return (("traceparent", traceparent),) if traceparent else None
