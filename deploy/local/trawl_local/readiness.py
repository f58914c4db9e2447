"""When a program can be used. Owns: probes over plain sockets. Must not know which program uses which probe."""

import asyncio
import contextlib
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

PROBE_SECONDS = 2.0
BETWEEN_SECONDS = 0.05
Probe = Callable[[], Awaitable[bool]]


async def exchange(host: str, port: int, request: bytes, size: int = 4096) -> bytes:
    """What the server says first after `request` (which may be empty). Raises OSError or TimeoutError."""
    async with asyncio.timeout(PROBE_SECONDS):
        reader, writer = await asyncio.open_connection(host, port)
        try:
            if request:
                writer.write(request)
                await writer.drain()
            return await reader.read(size)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


def _probe(check: Callable[[], Awaitable[bool]]) -> Probe:
    async def probe() -> bool:
        try:
            return await check()
        except (OSError, TimeoutError):
            return False

    return probe


def tcp(port: int, host: str = "127.0.0.1") -> Probe:
    """Something listens."""

    async def check() -> bool:
        async with asyncio.timeout(PROBE_SECONDS):
            _, writer = await asyncio.open_connection(host, port)
        writer.close()
        await writer.wait_closed()
        return True

    return _probe(check)


def redis(port: int) -> Probe:
    """Redis answers a PING (not while it loads its file)."""

    async def check() -> bool:
        return (await exchange("127.0.0.1", port, b"PING\r\n")).startswith(b"+PONG")

    return _probe(check)


def nats(port: int) -> Probe:
    """NATS greets, and JetStream is on."""

    async def check() -> bool:
        greeting = await exchange("127.0.0.1", port, b"")
        return greeting.startswith(b"INFO") and b'"jetstream":true' in greeting

    return _probe(check)


def jetstream(monitor_port: int, data: Path, room_bytes: int = 32 * 2**20) -> Probe:
    """JetStream works, as the server's monitoring says: after a full disk it does not until it is started anew, and
    newer servers say so at `/healthz`, while older ones say nothing any more at `/jsz`. While `data` has no room a new
    start would not help: that counts as well.
    """
    healthy, answering = http(monitor_port, "/healthz"), http(monitor_port, "/jsz")

    async def probe() -> bool:
        return (await healthy() and await answering()) or shutil.disk_usage(data).free < room_bytes

    return probe


def http(port: int, path: str = "/readyz") -> Probe:
    """The page answers 200."""
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode()

    async def check() -> bool:
        head = await exchange("127.0.0.1", port, request)
        return head.split(b"\r\n", 1)[0].split(b" ")[1:2] == [b"200"]

    return _probe(check)


def every(*probes: Probe) -> Probe:
    """All of them hold."""

    async def probe() -> bool:
        return all(await asyncio.gather(*(one() for one in probes)))

    return probe


async def always() -> bool:
    """For programs that are ready once they run."""
    return True


async def wait_until(probe: Probe) -> None:
    """Return when the probe holds; cancel to give up."""
    while not await probe():  # noqa: ASYNC110 - the thing waited for is another process
        await asyncio.sleep(BETWEEN_SECONDS)
