"""gRPC servers: limits, the standard health service, trace context in, and errors out without leaking the inside."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, NoReturn

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from chassis.errors import TRAILER, InternalError, TrawlError
from chassis.logs import get_logger
from chassis.telemetry import span

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
OPTIONS = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.so_reuseport", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # A client whose machine has vanished ends its streams; one that says something is not asked.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
]
# Under this name the health service says whether the process lives; under "" whether work should be sent to it.
LIVENESS = "liveness"
log = get_logger("grpc")
Handler = Callable[[Any, Any], Awaitable[Any]]


class _Boundary(grpc.aio.ServerInterceptor):
    """Joins the caller's trace; a `TrawlError` becomes its status, anything else an INTERNAL that says nothing. What
    comes before `prepared` waits for it, as long as its caller does.
    """

    def __init__(self, prepared: asyncio.Event) -> None:
        self._prepared = prepared

    async def intercept_service(
        self, continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]], details: grpc.HandlerCallDetails
    ) -> Any:
        handler = await continuation(details)
        if handler is None or details.method.startswith("/grpc.health"):
            return handler
        if not self._prepared.is_set():
            await self._prepared.wait()
        metadata = dict(details.invocation_metadata or ())
        parent = str(metadata.get("traceparent", ""))
        if handler.unary_unary:
            return grpc.unary_unary_rpc_method_handler(
                _unary(handler.unary_unary, details.method, parent),
                handler.request_deserializer,
                handler.response_serializer,
            )
        if handler.unary_stream:
            return grpc.unary_stream_rpc_method_handler(
                _stream(handler.unary_stream, details.method, parent),
                handler.request_deserializer,
                handler.response_serializer,
            )
        if handler.stream_stream:
            return grpc.stream_stream_rpc_method_handler(
                _stream(handler.stream_stream, details.method, None),
                handler.request_deserializer,
                handler.response_serializer,
            )
        return handler


def _unary(method: Handler, name: str, parent: str) -> Handler:
    async def call(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        try:
            if not parent:
                return await method(request, context)
            with span(name, parent=parent, kind=grpc_kind()):
                return await method(request, context)
        except TrawlError as error:
            await _abort(context, error)
        except Exception:
            log.exception("unexpected", method=name)
            await _abort(context, InternalError("internal error"))

    return call


def _stream(method: Callable[[Any, Any], AsyncIterator[Any]], name: str, parent: str | None) -> Any:
    """`request`: one message, or the stream of them. `parent` None: without a span, as a stream may last for days."""

    async def call(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
        try:
            with contextlib.nullcontext() if parent is None else span(name, parent=parent, kind=grpc_kind()):
                async for message in method(request, context):
                    yield message
        except TrawlError as error:
            await _abort(context, error)
        except Exception:
            log.exception("unexpected", method=name)
            await _abort(context, InternalError("internal error"))

    return call


def grpc_kind() -> Any:
    """Span kind of the serving side."""
    from opentelemetry.trace import SpanKind

    return SpanKind.SERVER


async def _abort(context: grpc.aio.ServicerContext[Any, Any], error: TrawlError) -> NoReturn:
    await context.abort(error.status, error.message, trailing_metadata=((TRAILER, error.to_bytes()),))
    raise AssertionError("abort raises")


class GrpcServer:
    """A server on one address. `serving` is what the standard health service answers."""

    def __init__(self, host: str, port: int, options: Sequence[tuple[str, int]] = ()) -> None:
        self._prepared = asyncio.Event()
        self._server = grpc.aio.server(interceptors=[_Boundary(self._prepared)], options=[*OPTIONS, *options])
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self._address = f"{host}:{port}"
        self.port = port

    def add(self, register: Callable[[Any, Any], None], servicer: Any) -> None:
        """Serve `servicer`, with the generated `add_…_to_server` that fits it."""
        register(servicer, self._server)

    async def start(self, *, serving: bool = True, prepared: bool = True) -> None:
        """Listen. Raises RuntimeError when the port is taken. `serving`: what health says from the first moment on.
        `prepared` False: only health is answered, and what else is asked waits, until `answer`.
        """
        if prepared:
            self.answer()
        await self.set_serving(serving)
        await self._health.set(LIVENESS, health_pb2.HealthCheckResponse.SERVING)
        self.port = self._server.add_insecure_port(self._address)
        await self._server.start()

    def answer(self) -> None:
        """Begin with what was asked so far."""
        self._prepared.set()

    async def set_serving(self, serving: bool) -> None:
        """Say whether work should be sent here."""
        status = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        await self._health.set("", status)

    async def stop(self, grace_seconds: float = 2.0) -> None:
        """Refuse new calls, let running ones finish within the grace."""
        await self.set_serving(False)
        await self._server.stop(grace_seconds)
