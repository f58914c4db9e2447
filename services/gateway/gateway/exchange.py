"""One HTTP exchange as a handler sees it. Owns: reading a request once, writing an answer. Knows no contract."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl

import orjson
from chassis.errors import InvalidInput

from gateway.slashes import with_slashes

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
JSON_TYPE = b"application/json"
MAX_QUERY_FIELDS = 100


class TooManyFields(InvalidInput):
    """A query with more fields than are read."""


class ClientGone(Exception):
    """The client went away before its request was read; nobody is left to answer."""


class Answer:
    """A whole answer: bytes, status and headers besides length and type."""

    __slots__ = ("body", "content_type", "headers", "status")

    def __init__(
        self,
        body: bytes,
        status: int = 200,
        headers: tuple[tuple[bytes, bytes], ...] = (),
        content_type: bytes = JSON_TYPE,
    ) -> None:
        self.body, self.status, self.headers, self.content_type = body, status, headers, content_type

    @classmethod
    def json(cls, value: Any, status: int = 200) -> "Answer":
        """`value` as JSON."""
        return cls(orjson.dumps(value), status)

    async def send(self, send: Send) -> None:
        """Write it."""
        headers = [
            (b"content-type", self.content_type),
            (b"content-length", str(len(self.body)).encode()),
            *self.headers,
        ]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


class Call:
    """One request. `principal` is whoever was authorized, or None on an open port. `warnings`: (field, message) of what
    was taken though it is doubtful; contracts with a place for them tell.
    """

    __slots__ = ("_body", "_query", "headers", "principal", "receive", "request_id", "scope", "warnings")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.scope, self.receive = scope, receive
        self.headers: dict[bytes, bytes] = scope["trawl.headers"]
        self.request_id: str = scope["trawl.request_id"]
        self.principal: Any = None
        self.warnings: list[tuple[str, str]] = []
        self._body: bytes | None = None
        self._query: dict[str, str] | None = None

    @property
    def path_params(self) -> dict[str, str]:
        """What the path's template names."""
        params: dict[str, str] = self.scope["path_params"]
        if "trawl.slashes" in self.scope:
            return {name: with_slashes(self.scope, value) for name, value in params.items()}
        return params

    @property
    def query(self) -> dict[str, str]:
        """The query's fields; the last one counts. Raises `TooManyFields`."""
        if self._query is None:
            raw: bytes = self.scope["query_string"]
            text = raw.decode("utf-8", "replace")
            try:
                pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS) if text else ()
            except ValueError as error:
                message = f"查询参数过多: 最多{MAX_QUERY_FIELDS}个"
                raise TooManyFields(message, field="query", rule="max_items") from error
            self._query = dict(pairs)
        return self._query

    async def body(self) -> bytes:
        """The whole body, at most the limit that the edge enforces. Raises `ClientGone`."""
        if self._body is None:
            message = await self.receive()
            first = message.get("body", b"")
            parts = [first]
            while message.get("more_body") or message["type"] == "http.disconnect":
                if message["type"] == "http.disconnect":
                    raise ClientGone
                message = await self.receive()
                parts.append(message.get("body", b""))
            self._body = first if len(parts) == 1 else b"".join(parts)
        return self._body

    async def gone(self) -> None:
        """Returns when the client has gone away; only to be awaited after the body was read."""
        while (await self.receive())["type"] != "http.disconnect":
            pass
