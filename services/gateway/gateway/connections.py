"""What a client may do with a connection. Owns: bounds on heads, on the time a request takes to arrive, and on
connections of an address. Must not know requests' meaning or any contract.

Built on uvicorn's own protocol, which bounds none of these: a request's head grew in memory as long as it came.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# Names and values together, the request line included; what browsers and proxies send has a tenth of it.
MAX_HEAD_BYTES = 64 * 1024
MAX_HEADER_LINES = 100
# Until the first byte of a connection, until the end of a head, and from one piece of a body to the next.
SILENT_SECONDS = 10.0
HEAD_SECONDS = 30.0
BODY_SECONDS = 30.0
_REFUSAL = "HTTP/1.1 {status} {reason}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


@dataclass(slots=True)
class ConnectionLimits:
    """Those of one gateway, and its count of open connections by address. `per_address` 0: no limit."""

    per_address: int = 1_000
    silent_seconds: float = SILENT_SECONDS
    head_seconds: float = HEAD_SECONDS
    body_seconds: float = BODY_SECONDS
    open: Counter[str] = field(default_factory=Counter)


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, limits: ConnectionLimits, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._limits = limits
        self._in_head = False
        self._head_bytes = 0
        self._excess = False
        self._timer: asyncio.TimerHandle | None = None
        self._address = ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin; one connection too many from an address ends at once."""
        super().connection_made(transport)
        limits = self._limits
        self._address = self.client[0] if self.client else ""
        limits.open[self._address] += 1
        if limits.per_address and limits.open[self._address] > limits.per_address:
            transport.abort()
            return
        self._expect(limits.silent_seconds, self.timeout_keep_alive_handler)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._expect_nothing()
        self._limits.open[self._address] -= 1
        if self._limits.open[self._address] <= 0:
            del self._limits.open[self._address]
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what has come. Most requests are there with their first piece, and need no timer."""
        began = self._in_head
        super().data_received(data)
        if self.transport.is_closing():
            self._expect_nothing()
        elif self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(431, "Request Header Fields Too Large")
            elif not began:
                # From the first byte on, however slowly further ones come.
                self._expect(self._limits.head_seconds, self._head_is_late)
        elif self._misses_body():
            self._expect(self._limits.body_seconds, self._body_is_late)
        else:
            self._expect_nothing()

    def on_message_begin(self) -> None:
        """A request begins."""
        self._in_head, self._head_bytes = True, 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """A part of the request line."""
        super().on_url(url)
        self._bound(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header line."""
        super().on_header(name, value)
        self._bound(len(name) + len(value))

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._in_head = False
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no request; a head beyond its bounds has a status of its own."""
        if self._excess:
            self._refuse(431, "Request Header Fields Too Large")
        else:
            super().send_400_response(msg)

    def _bound(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > MAX_HEAD_BYTES or len(self.headers) > MAX_HEADER_LINES:
            self._excess = True
            # The parser stops, and says that the request is invalid.
            raise ValueError("the head is beyond its bounds")

    def _misses_body(self) -> bool:
        return self.cycle is not None and self.cycle.more_body and not self.cycle.response_complete

    def _expect(self, seconds: float, otherwise: Callable[[], None]) -> None:
        self._expect_nothing()
        self._timer = self.loop.call_later(seconds, otherwise)

    def _expect_nothing(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _head_is_late(self) -> None:
        if self._in_head:
            self._refuse(408, "Request Timeout")

    def _body_is_late(self) -> None:
        if not self._misses_body():
            return
        if self.flow.read_paused:
            # It is us who don't take it.
            self._expect(self._limits.body_seconds, self._body_is_late)
            return
        if self.cycle.response_started:
            self.transport.close()
        else:
            self._refuse(408, "Request Timeout")
        self.cycle.disconnected = True
        self.cycle.message_event.set()

    def _refuse(self, status: int, reason: str) -> None:
        if not self.transport.is_closing():
            self.transport.write(_REFUSAL.format(status=status, reason=reason).encode())
            self.transport.close()


def bounded(limits: ConnectionLimits) -> type[BoundedProtocol]:
    """The protocol class for uvicorn, which makes its instances itself."""

    class Bounded(BoundedProtocol):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(limits, *args, **kwargs)

    return Bounded
