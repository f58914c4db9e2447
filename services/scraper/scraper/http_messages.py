"""HTTP/1.1 as servers send it. Owns: what is mended before the strict parser sees an answer. Must not know requests.

Browsers read on where a parser made for servers must not: a header line that is none costs that line, what comes behind
the announced length counts for nothing. Framing stays strict: two lengths that differ are refused, and bytes behind an
answer are never taken for the next one, since the connection is closed then.
"""

import re
from collections.abc import Iterable
from contextvars import ContextVar
from functools import partial
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import BadHttpMessage

# As Chromium: the status line and all header lines together.
MAX_HEAD = 256 * 1024
MAX_HEADERS = 8192
_END = re.compile(rb"\r?\n\r?\n")
_STATUS = re.compile(
    rb"\s{0,4}HTTP(?:/(\d{1,3})(?:\.(\d{1,3}))?)?[ \t]+(\d{3})(?![^\s])[ \t]*([^\r\n]*)", re.IGNORECASE
)
# What nearly all heads are, and needs no mending.
_CLEAN = re.compile(rb"HTTP/1\.[01] (\d{3}) [ -~]*(?:\r\n[A-Za-z][A-Za-z0-9\-]*: [^\x00-\x1f\x7f]*)*")
_LENGTH = re.compile(rb"\ncontent-length:(?: ?(\d{1,18})(?=\r|\Z))?")
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_SIZE = re.compile(rb"[0-9A-Fa-f]{1,15}")
_CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
_CONTROLS = bytes(octet for octet in range(0x20) if octet != 0x09) + b"\x7f"
_FRAMING = frozenset({b"content-length", b"transfer-encoding"})


class ChunkedBody:
    """Where a chunked body ends, which the parser takes for the beginning of another answer if more follows."""

    def __init__(self) -> None:
        self._left = 0
        self._line = b""
        self._after_chunk = self._in_trailer = self._odd = False
        self.over = False

    def length_in(self, data: bytes) -> int:
        """How many of the bytes belong to it. What is no chunk is the parser's to refuse."""
        at = 0
        while at < len(data) and not self.over and not self._odd:
            if self._left:
                step = min(self._left, len(data) - at)
                self._left -= step
                at += step
                continue
            end = data.find(b"\n", at)
            if end < 0:
                self._line += data[at:]
                self._odd = len(self._line) > MAX_HEAD
                return len(data)
            self._take_line((self._line + data[at:end]).strip())
            self._line, at = b"", end + 1
        return len(data) if self._odd else at

    def _take_line(self, line: bytes) -> None:
        if self._after_chunk:
            self._after_chunk, self._odd = False, bool(line)
        elif self._in_trailer:
            self.over = not line
        elif _SIZE.fullmatch(size := line.partition(b";")[0].rstrip()):
            self._left = int(size, 16)
            self._after_chunk, self._in_trailer = self._left > 0, self._left == 0
        else:
            self._odd = True


class TolerantResponses(ResponseHandler):
    """A connection whose answers are mended. There is one answer to a request, as nothing is pipelined."""

    def __init__(self, loop: Any) -> None:
        super().__init__(loop)
        self._head: bytearray | None = None
        # What is still to come of the body; None: the parser knows.
        self._left: int | None = None
        self._chunks: ChunkedBody | None = None
        self._bodiless = False

    def set_response_params(self, *, skip_payload: bool = False, **params: Any) -> None:
        """As its own: a request goes out, and its answer is expected."""
        self._head, self._left, self._chunks, self._bodiless = bytearray(), None, None, skip_payload
        super().set_response_params(skip_payload=skip_payload, **params)

    def data_received(self, data: bytes) -> None:
        """As its own."""
        # Before a request nothing is expected; without data, the parser goes on with what it holds.
        if self._parser is None or not data:
            super().data_received(data)
        elif self._head is None:
            self._receive_body(b"", data)
        else:
            self._head += data
            self._receive_head(self._head)

    def _receive_head(self, held: bytearray) -> None:
        mended = b""
        # Line breaks in front of an answer belong to the one before.
        del held[: len(held) - len(held.lstrip(b"\r\n"))]
        while (end := _END.search(held)) is not None and end.start() <= MAX_HEAD:
            try:
                head, status, length = mended_head(bytes(held[: end.start()]))
            except BadHttpMessage as error:
                self._refuse(error)
                return
            mended += head
            del held[: end.end()]
            if not 100 <= status < 200 or status == 101:
                self._head = None
                self._left = 0 if self._bodiless or status in (204, 304) else length
                if length is None and head.endswith(_CHUNKED):
                    self._chunks = ChunkedBody()
                self._receive_body(mended, bytes(held))
                return
        if len(held) > MAX_HEAD:
            self._refuse(BadHttpMessage(f"more than {MAX_HEAD} bytes of header lines"))
        elif mended:
            super().data_received(mended)

    def _receive_body(self, head: bytes, data: bytes) -> None:
        room = len(data)
        if self._left is not None:
            room = min(room, self._left)
            self._left -= room
        elif self._chunks is not None:
            room = self._chunks.length_in(data)
        if room < len(data):
            data = data[:room]
            self.force_close()
        if head or data:
            super().data_received(head + data)

    def _refuse(self, error: BadHttpMessage) -> None:
        if self.transport is not None:
            self.transport.close()
        self.set_exception(error)


def mended_head(head: bytes) -> tuple[bytes, int, int | None]:
    """The head of an answer as a strict parser takes it, its status, and the body's length if it is announced.

    Raises BadHttpMessage for what isn't HTTP, or has lengths that differ.
    """
    if (clean := _CLEAN.fullmatch(head)) is not None and b"transfer-" not in (lowered := head.lower()):
        lengths = _LENGTH.findall(lowered)
        if len(lengths) < 2 and all(lengths):
            return head + b"\r\n\r\n", int(clean[1]), int(lengths[0]) if lengths else None
    lines = head.split(b"\n")
    status = _STATUS.match(lines[0])
    if status is None:
        raise BadHttpMessage(f"the answer is not HTTP: it begins with {lines[0][:40]!r}")
    major, minor, code, reason = status.groups()
    # What names no whole version is the older one, as in Chromium.
    version = b"1.0" if minor is None or (major, minor) == (b"1", b"0") else b"1.1"
    pairs = _pairs(lines[1:])
    chunked, length = _framing(pairs)
    kept = [name + b": " + value for name, value in pairs if name.lower() not in _FRAMING]
    if chunked:
        kept.append(b"Transfer-Encoding: chunked")
    elif length is not None:
        kept.append(b"Content-Length: %d" % length)
    start = b"HTTP/%s %s %s" % (version, code, reason.translate(None, _CONTROLS))
    return b"\r\n".join([start, *kept, b"", b""]), int(code), length


def _pairs(lines: Iterable[bytes]) -> list[tuple[bytes, bytes]]:
    """Names and values; what has no name is left out, and a line that begins with white space continues the last."""
    pairs: list[tuple[bytes, bytes]] = []
    for line in lines:
        if line[:1] in (b" ", b"\t"):
            if pairs and line.strip():
                name, value = pairs[-1]
                pairs[-1] = (name, value + b" " + line.strip().translate(None, _CONTROLS))
            continue
        name, colon, value = line.partition(b":")
        name = name.rstrip(b" \t")
        if colon and _NAME.fullmatch(name):
            pairs.append((name, value.translate(None, _CONTROLS).strip()))
    return pairs


def _framing(pairs: Iterable[tuple[bytes, bytes]]) -> tuple[bool, int | None]:
    codings: list[bytes] = []
    lengths: set[bytes] = set()
    for name, value in pairs:
        lowered = name.lower()
        if lowered == b"transfer-encoding":
            codings += [coding.strip().lower() for coding in value.split(b",")]
        elif lowered == b"content-length":
            lengths |= {part.strip() for part in value.split(b",")}
    if b"chunked" in codings:
        return True, None
    numbers = {int(length) for length in lengths if length.isdigit() and len(length) < 19}
    if len(numbers) > 1:
        raise BadHttpMessage("the answer announces lengths that differ")
    # One that is no number is none: the answer ends with the connection.
    return False, next(iter(numbers), None)


# Whether the address of the request that is being sent ends in a question mark, which URL objects drop.
EMPTY_QUERY: ContextVar[bool] = ContextVar("EMPTY_QUERY", default=False)


class OctetRequest(aiohttp.ClientRequest):
    """A request whose header values may hold any octets: U+DC80 to U+DCFF stand for 0x80 to 0xFF (surrogateescape)."""

    async def send(self, conn: Any) -> aiohttp.ClientResponse:
        """As its own; its writer knows UTF-8 only, so octets beside that are put back on the way out."""
        held = {name: value for name, value in self.headers.items() if _has_octets(value)}
        if (held or EMPTY_QUERY.get()) and conn.protocol is not None and conn.protocol.transport is not None:
            for name, value in held.items():
                self.headers[name] = value.translate(_TO_PRIVATE)
            conn.protocol.transport = _HeadTransport(conn.protocol.transport, empty_query=EMPTY_QUERY.get())
        return await super().send(conn)


_TO_PRIVATE = {0xDC00 + octet: 0xF700 + octet for octet in range(0x80, 0x100)}
# U+F780 to U+F7FF as the writer encodes them.
_PRIVATE = re.compile(rb"\xef(?:\x9e[\x80-\xbf]|\x9f[\x80-\xbf])")


def _has_octets(value: str) -> bool:
    return not value.isascii() and any("\udc80" <= letter <= "\udcff" for letter in value)


class _HeadTransport:
    """A transport that puts back what the first head that is written has lost."""

    def __init__(self, transport: Any, *, empty_query: bool) -> None:
        self._transport, self._empty_query, self._done = transport, empty_query, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._done:
            self._done = True
            head, end, body = bytes(data).partition(b"\r\n\r\n")
            head = _PRIVATE.sub(_octet, head)
            data = (head.replace(b" HTTP/1.", b"? HTTP/1.", 1) if self._empty_query else head) + end + body
        self._transport.write(data)

    def writelines(self, pieces: Iterable[bytes]) -> None:
        self.write(b"".join(pieces))


def _octet(match: re.Match[bytes]) -> bytes:
    return bytes([ord(match[0].decode()) - 0xF700])


def make_tolerant(connector: aiohttp.TCPConnector) -> aiohttp.TCPConnector:
    """The same connector, whose connections mend answers. aiohttp has no public way to name their class."""
    factory: Any = partial(TolerantResponses, connector._loop)  # noqa: SLF001
    connector._factory = factory  # noqa: SLF001
    return connector
