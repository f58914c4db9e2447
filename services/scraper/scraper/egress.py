"""A run's only way out of its browser. Owns: a SOCKS5 proxy on loopback that connects to allowed addresses alone.

The run's context has it as its proxy, so that pages, frames, workers, web sockets and redirects all pass, and a name is
judged by the address that is really connected to. Must not know the browser.

Chromium reports every failure of its proxy as ERR_SOCKS_CONNECTION_FAILED; `why` tells which one it was.
"""

import asyncio
import contextlib
import ipaddress
import socket
import struct
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

from scraper.addresses import AddressGuard, AddressNotAllowed, literal_address

MAX_CONNECTIONS = 500
HANDSHAKE_SECONDS = 10
CONNECT_SECONDS = 20
# Names that a run may have looked up at once. The threads are none of the process's others: a page that asks for names
# that nobody answers for holds up nobody else.
LOOKUPS = 4
_RESOLVERS = ThreadPoolExecutor(32, "resolve")
CHUNK = 64 * 1024
# The kernel grows a server's buffer to tens of megabytes, which would all be taken of a download that is cut.
LARGE_BYTES = 24 * 1024 * 1024
SERVER_BUFFER_BYTES = 128 * 1024
# A chunk's rest beyond what `slow_beyond` says: about a megabyte a second.
SLOW_SECONDS = 0.06
PROXY_ERROR = "ERR_SOCKS_CONNECTION_FAILED"
REMEMBERED_FAILURES = 1000
_OK, _FAILED, _NO_COMMAND, _NO_ADDRESS_TYPE = 0, 1, 7, 8


@dataclass(frozen=True, slots=True)
class WhyNot:
    """Why a connection was not made: words, and the code that a run fails with because of it."""

    words: str
    code: str = "NAVIGATION_FAILED"


class Refusal(Exception):
    """A connection that is not made: the SOCKS reply, and what `why` tells."""

    def __init__(self, why: WhyNot, reply: int = _FAILED) -> None:
        self.why, self.reply = why, reply


class EgressProxy:
    """Listens on a free port of 127.0.0.1 between `start` and `close`."""

    def __init__(self, guard: AddressGuard) -> None:
        self.guard = guard
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._failures: OrderedDict[tuple[str, int], WhyNot] = OrderedDict()
        self._lookups = asyncio.Semaphore(LOOKUPS)
        # Of `slow_beyond`, and how often connections began to count anew.
        self._bounds: list[int] = []
        self._counts = 0

    def why(self, url: str) -> WhyNot | None:
        """Why the last connection to that address was not made; None when it was, or is forgotten."""
        return self._failures.get(_place_of(url))

    @contextlib.contextmanager
    def slow_beyond(self, most: int) -> Iterator[None]:
        """Meanwhile, what one connection brings beyond `most` bytes comes slowly, so that who counts can cut it."""
        if not self._bounds:
            self._counts += 1
        self._bounds.append(most)
        try:
            yield
        finally:
            self._bounds.remove(most)

    async def start(self) -> str:
        """Start listening; answers the address for `--proxy-server`."""
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=CHUNK)
        return f"socks5://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def close(self) -> None:
        """Stop listening and cut every connection."""
        if self._server is not None:
            self._server.close()
            self._server = None
        connections = list(self._connections)
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._connections) >= MAX_CONNECTIONS:
            writer.close()
            return
        self._connections.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError, TimeoutError, asyncio.CancelledError):
            pass  # The stream protocol has nobody to tell; the browser sees its connection end.
        finally:
            self._connections.discard(task)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(HANDSHAKE_SECONDS):
                host, port = await _read_request(reader, writer)
            upstream, out = await self._connect_or_remember(host, port)
        except Refusal as refusal:
            writer.write(bytes([5, refusal.reply, 0, 1]) + bytes(6))
            await writer.drain()
            return
        try:
            writer.write(bytes([5, _OK, 0, 1]) + bytes(6))
            await self._relay(reader, writer, upstream, out)
        finally:
            out.transport.abort()

    async def _relay(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        upstream: asyncio.StreamReader,
        out: asyncio.StreamWriter,
    ) -> None:
        passed, counted, counts = 0, 0, self._counts

        async def count(size: int) -> None:
            nonlocal passed, counted, counts
            if passed <= LARGE_BYTES < passed + size:
                out.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SERVER_BUFFER_BYTES)
            passed += size
            if not self._bounds:
                return
            if counts != self._counts:
                counted, counts = 0, self._counts
            counted += size
            if counted > max(self._bounds):
                await asyncio.sleep(SLOW_SECONDS)

        async with asyncio.TaskGroup() as both:
            both.create_task(_pump(reader, out))
            both.create_task(_pump(upstream, writer, count))

    async def _connect_or_remember(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        key = (host.lower(), port)
        self._failures.pop(key, None)
        try:
            self.guard.check_port(port)
            return await self.connect(host, port)
        except AddressNotAllowed as error:
            refusal = Refusal(WhyNot(error.message, error.code))
        except Refusal as error:
            refusal = error
        self._failures[key] = refusal.why
        while len(self._failures) > REMEMBERED_FAILURES:
            self._failures.popitem(last=False)
        raise refusal

    async def connect(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Streams to the target, at an address that is allowed. Raises `Refusal` and `AddressNotAllowed`."""
        refused: AddressNotAllowed | None = None
        reachable = False
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                for address in await self.resolve(host):
                    try:
                        self.guard.check_named(host, address)
                    except AddressNotAllowed as error:
                        refused = error
                        continue
                    reachable = True
                    with contextlib.suppress(OSError):
                        return await asyncio.open_connection(address, port, limit=CHUNK)
        except (socket.gaierror, UnicodeError) as error:
            raise Refusal(WhyNot(f"the host name can't be resolved: {host}")) from error
        except (OSError, TimeoutError) as error:
            raise Refusal(not_connected(host)) from error
        if refused is not None and not reachable:
            raise refused
        raise Refusal(not_connected(host))

    async def resolve(self, host: str) -> list[str]:
        """The numeric addresses of a name, or of an address in any spelling. Raises OSError and UnicodeError."""
        literal = literal_address(host)
        if literal is not None:
            return [str(literal)]
        lookup = partial(socket.getaddrinfo, host, None, type=socket.SOCK_STREAM)
        async with self._lookups:
            found = await asyncio.get_running_loop().run_in_executor(_RESOLVERS, lookup)
        return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def not_connected(host: str) -> WhyNot:
    """Nothing more is known."""
    return WhyNot(f"the host can't be connected to: {host}")


def navigation_failure(message: str, url: str, why: Callable[[str], WhyNot | None]) -> tuple[str, str] | None:
    """Words and code for a navigation that a way out did not let through or could not make, by what Chromium says and
    the address of the request that failed; None for another failure.
    """
    if PROXY_ERROR not in message:
        return None
    known = why(url) or not_connected(urlsplit(url).hostname or "")
    return known.words, known.code


def _place_of(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme in ("https", "wss") else 80)


async def _read_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[str, int]:
    version, methods = await reader.readexactly(2)
    await reader.readexactly(methods)
    if version != 5:
        raise asyncio.IncompleteReadError(b"", None)
    writer.write(b"\x05\x00")
    _, command, _, kind = await reader.readexactly(4)
    if kind == 1:
        host = str(ipaddress.IPv4Address(await reader.readexactly(4)))
    elif kind == 4:
        host = str(ipaddress.IPv6Address(await reader.readexactly(16)))
    elif kind == 3:
        length = (await reader.readexactly(1))[0]
        host = (await reader.readexactly(length)).decode("ascii", "replace")
    else:
        raise Refusal(WhyNot("not an address"), _NO_ADDRESS_TYPE)
    port = struct.unpack("!H", await reader.readexactly(2))[0]
    if command != 1:
        raise Refusal(WhyNot("not a connection"), _NO_COMMAND)
    return host, port


async def _pump(
    source: asyncio.StreamReader, sink: asyncio.StreamWriter, each: Callable[[int], Awaitable[None]] | None = None
) -> None:
    """`each` is told the size of a chunk before it goes on."""
    # A peer that resets ends its direction like one that closes; the other direction then ends by itself.
    with contextlib.suppress(OSError):
        while data := await source.read(CHUNK):
            if each is not None:
                await each(len(data))
            if sink.is_closing():
                return
            sink.write(data)
            await sink.drain()
    with contextlib.suppress(OSError):
        if not sink.is_closing() and sink.can_write_eof():
            sink.write_eof()
