"""What every request passes, on every port. Owns: request ids, the body limit, the guard, the trace, counting, and that
no exception gets out. Must not know any contract: error shapes come in by path prefix.
"""

import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from chassis.errors import InternalError, TrawlError
from chassis.logs import get_logger, redact
from chassis.telemetry import span
from opentelemetry.trace import SpanKind

from gateway.bodies import limited, too_large
from gateway.body_budget import BodyBudget
from gateway.exchange import ClientGone, Receive, Scope, Send
from gateway.failures import ErrorShape
from gateway.guard import Guard
from gateway.slashes import keep_slashes
from gateway.traffic import Traffic

log = get_logger("edge")
_SANE_ID = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")
# What a connection's buffer holds anyway; larger bodies are counted.
SMALL_BODY = 64 * 1024
_METHODS = frozenset({"GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class EdgePolicy:
    """How one port is served. `shapes` maps path prefixes to error shapes, the empty one included."""

    port: str
    shapes: Mapping[str, ErrorShape]
    guard: Guard | None
    max_body_bytes: int
    bodies: BodyBudget
    # Whether spans are exported. Without it only requests that bring a trace context get a span, to carry it on.
    tracing: bool = False
    log_requests: bool = False

    def shape(self, path: str) -> ErrorShape:
        """The error shape of the contract that the path belongs to."""
        prefix = "/" + path[1:].split("/", 1)[0]
        return self.shapes.get(prefix) or self.shapes[""]


class _Exchange:
    """The status that went out, and the request id put on it."""

    __slots__ = ("_request_id", "_send", "status")

    def __init__(self, send: Send, request_id: str) -> None:
        self._send, self._request_id = send, request_id.encode()
        self.status = 0

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = message.get("headers", ())
            if 300 <= self.status < 400:
                headers = [(name, _own_path(value) if name == b"location" else value) for name, value in headers]
            message["headers"] = [*headers, (b"x-request-id", self._request_id)]
        await self._send(message)


class Edge:
    """ASGI middleware around a port's whole application."""

    def __init__(self, app: Any, policy: EdgePolicy, traffic: Traffic) -> None:
        self._app, self._policy, self._traffic = app, policy, traffic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            raise RuntimeError(f"unexpected scope {scope['type']}")
        started = time.perf_counter()
        headers: dict[bytes, bytes] = dict(scope["headers"])
        request_id = _request_id(headers.get(b"x-request-id"))
        scope["trawl.headers"], scope["trawl.request_id"] = headers, request_id
        if b"%2" in scope["raw_path"]:
            keep_slashes(scope)
        exchange = _Exchange(send, request_id)
        try:
            await self._serve(scope, headers, receive, exchange)
        except ClientGone:
            exchange.status = exchange.status or 499
        except TrawlError as error:
            await self._fail(scope, exchange, error, request_id)
        except Exception:
            log.exception("unexpected", path=redact(scope["path"]), request_id=request_id)
            await self._fail(scope, exchange, InternalError("服务器内部错误"), request_id)
        finally:
            self._record(scope, exchange, time.perf_counter() - started)

    async def _serve(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, exchange: _Exchange) -> None:
        policy = self._policy
        if policy.guard is not None:
            refusal = policy.guard.refusal(scope["method"], headers, scope["query_string"])
            if refusal is not None:
                raise refusal
        length = headers.get(b"content-length")
        if length is not None:
            if not length.isdigit() or len(length) > 12 or int(length) > policy.max_body_bytes:
                raise too_large(policy.max_body_bytes)
            if int(length) <= SMALL_BODY:
                await self._traced(scope, headers, receive, exchange)
                return
        elif b"transfer-encoding" not in headers:
            await self._traced(scope, headers, receive, exchange)
            return
        share = policy.bodies.of_request(receive)
        try:
            await self._traced(scope, headers, limited(share.receive, policy.max_body_bytes), exchange)
        finally:
            share.give_back()

    async def _traced(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, exchange: _Exchange) -> None:
        policy = self._policy
        parent = headers.get(b"traceparent")
        if parent is None and not policy.tracing:
            await self._app(scope, receive, exchange.send)
            return
        name = f"{scope['method']} {policy.port}"
        with span(name, parent=(parent or b"").decode("latin-1"), kind=SpanKind.SERVER) as current:
            await self._app(scope, receive, exchange.send)
            current.update_name(f"{scope['method']} {_template(scope)}")
            current.set_attribute("http.response.status_code", exchange.status)

    async def _fail(self, scope: Scope, exchange: _Exchange, error: TrawlError, request_id: str) -> None:
        if exchange.status == 0:
            await self._policy.shape(scope["path"]).answer(error, request_id).send(exchange.send)

    def _record(self, scope: Scope, exchange: _Exchange, seconds: float) -> None:
        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        self._traffic.record(self._policy.port, method, _template(scope), exchange.status, seconds)
        if self._policy.log_requests:
            log.debug(
                "request",
                port=self._policy.port,
                method=method,
                path=scope["path"],
                status=exchange.status,
                ms=round(seconds * 1000, 2),
                request_id=scope["trawl.request_id"],
            )


def _request_id(given: bytes | None) -> str:
    if given is not None and _SANE_ID.fullmatch(given):
        return given.decode()
    return f"req_{os.urandom(12).hex()}"


def _own_path(location: bytes) -> bytes:
    """Where a redirect leads, as a path: the framework makes an address of the request's Host, which is anybody's."""
    parts = urlsplit(location)
    path = b"/" + parts.path.lstrip(b"/\\") if parts.netloc or parts.path.startswith(b"/") else parts.path
    return urlunsplit((b"", b"", path, parts.query, parts.fragment))


def _template(scope: Scope) -> str:
    route = scope.get("route")
    return f"{scope.get('root_path', '')}{route.path}" if route is not None else "unmatched"
