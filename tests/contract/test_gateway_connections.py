"""What a connection may do: bounds on heads, on the time that a request takes to arrive, and on their number."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from gateway.connections import MAX_HEAD_BYTES, MAX_HEADER_LINES, ConnectionLimits
from gateway.ports import Listener, Servers, bind

NEVER = 600.0
HEAD = b"GET / HTTP/1.1\r\nHost: h\r\n"
POST = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n"


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answers how many bytes of body came."""
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
    body = str(size).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def limits(**changes: Any) -> ConnectionLimits:
    patient = {"silent_seconds": NEVER, "head_seconds": NEVER, "body_seconds": NEVER}
    return ConnectionLimits(**(patient | changes))


@asynccontextmanager
async def serving(bounds: ConnectionLimits) -> AsyncIterator[Callable[[], Any]]:
    """Connects to a server with these bounds."""
    bound = bind(Listener("test", "PORT_TEST", "127.0.0.1", 0))
    servers = Servers([(bound, echo)], bounds)
    task = asyncio.create_task(servers.serve())
    writers: list[asyncio.StreamWriter] = []

    async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", bound.getsockname()[1])
        writers.append(writer)
        return reader, writer

    try:
        yield connect
    finally:
        for writer in writers:
            writer.close()
        servers.stop()
        await asyncio.wait_for(task, 60)


async def answer(reader: asyncio.StreamReader) -> bytes:
    """All that comes until the end of the connection; a reset is one as well."""
    got = b""
    try:
        async with asyncio.timeout(60):
            while piece := await reader.read(65536):
                got += piece
    except ConnectionError:
        pass
    return got


def status_of(got: bytes) -> str:
    return got.partition(b"\r\n")[0].decode()


async def exchanged(connect: Callable[[], Any], sent: bytes) -> bytes:
    reader, writer = await connect()
    writer.write(sent)
    return await answer(reader)


@pytest.mark.parametrize(
    "head",
    [
        HEAD + b"A-b: c\r\n" * (MAX_HEADER_LINES + 1) + b"\r\n",
        HEAD + b"".join(b"A-%d: %s\r\n" % (n, b"c" * 1000) for n in range(70)) + b"\r\n",
        HEAD + b"X-Long: " + b"y" * (MAX_HEAD_BYTES + 1),
        b"GET /" + b"y" * (MAX_HEAD_BYTES + 1),
    ],
    ids=["lines", "bytes", "a-line-without-end", "an-address-without-end"],
)
async def test_a_head_beyond_its_bounds_is_431_and_the_end(head: bytes) -> None:
    async with serving(limits()) as connect:
        assert status_of(await exchanged(connect, head)) == "HTTP/1.1 431 Request Header Fields Too Large"


async def test_a_flood_of_header_lines_is_not_kept() -> None:
    """Megabytes are written; the server takes no more than its bound before it ends the connection."""
    async with serving(limits()) as connect:
        reader, writer = await connect()
        writer.write(HEAD)

        async def flood() -> None:
            for _ in range(200):
                writer.write(b"A-b: c\r\n" * 10_000)
                await asyncio.wait_for(writer.drain(), 60)

        with pytest.raises(ConnectionError):
            await flood()
        assert status_of(await answer(reader)) in ("", "HTTP/1.1 431 Request Header Fields Too Large")


async def test_heads_within_their_bounds_pass_on_one_connection_after_another() -> None:
    lines = b"".join(b"A-%d: %s\r\n" % (n, b"c" * 500) for n in range(MAX_HEADER_LINES - 2))
    async with serving(limits()) as connect:
        reader, writer = await connect()
        for _ in range(3):
            writer.write(HEAD + lines + b"\r\n")
            got = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n0"), 60)
            assert status_of(got) == "HTTP/1.1 200 OK"


async def test_a_silent_connection_is_closed() -> None:
    async with serving(limits(silent_seconds=0.2)) as connect:
        assert await exchanged(connect, b"") == b""


async def test_a_head_that_drips_is_closed_however_it_drips() -> None:
    """Each byte comes in time by itself; the time counts from the first one."""
    async with serving(limits(head_seconds=0.5)) as connect:
        reader, writer = await connect()

        async def drip() -> None:
            writer.write(HEAD + b"X-Slow: ")
            while True:
                writer.write(b"z")
                await asyncio.sleep(0.05)

        dripping = asyncio.create_task(drip())
        got = await answer(reader)
        dripping.cancel()
        assert status_of(got) in ("HTTP/1.1 408 Request Timeout", "")


async def test_a_body_that_stays_away_is_408() -> None:
    async with serving(limits(body_seconds=0.3)) as connect:
        assert status_of(await exchanged(connect, POST + b'{"a')) == "HTTP/1.1 408 Request Timeout"


async def test_a_body_that_comes_slowly_but_comes_is_taken() -> None:
    """Its pieces are gated by nothing but each other: no bound counts the whole."""
    async with serving(limits(silent_seconds=30, head_seconds=30, body_seconds=30)) as connect:
        reader, writer = await connect()
        writer.write(POST)
        for _ in range(10):
            writer.write(b"x" * 100)
            await writer.drain()
            await asyncio.sleep(0.02)
        got = await asyncio.wait_for(reader.readuntil(b"1000"), 60)
        assert status_of(got) == "HTTP/1.1 200 OK"


async def test_one_connection_too_many_from_an_address_ends_at_once_and_room_is_made_by_an_end() -> None:
    bounds = limits(per_address=2)
    async with serving(bounds) as connect:
        kept = [await connect() for _ in range(2)]
        for reader, writer in kept:
            writer.write(HEAD + b"\r\n")
            assert status_of(await asyncio.wait_for(reader.readuntil(b"\r\n\r\n0"), 60)) == "HTTP/1.1 200 OK"
        assert await exchanged(connect, HEAD + b"\r\n") == b""
        kept[0][1].close()
        async with asyncio.timeout(60):
            while bounds.open["127.0.0.1"] > 1:
                await asyncio.sleep(0.01)
        reader, writer = await connect()
        writer.write(HEAD + b"\r\n")
        assert status_of(await asyncio.wait_for(reader.readuntil(b"\r\n\r\n0"), 60)) == "HTTP/1.1 200 OK"
    assert not bounds.open
