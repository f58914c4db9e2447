"""Server-sent events over HTTP. Owns: their notation, keep-alives, the number of open streams, and their end.
Must not know what is streamed.

A stream ends soon after the key that opened it: whoever may not open it any more may not listen either.

Nothing is buffered here: a stream's source is read only as fast as its client takes. A client that takes nothing for
`SEND_SECONDS` is dropped.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import orjson
from chassis.errors import Exhausted, Forbidden, TrawlError, Unauthenticated
from chassis.logs import get_logger
from chassis.run import end_task

from gateway.access import Role
from gateway.exchange import Answer, Call, Send

log = get_logger("streams")
Json = Any
MAX_STREAMS = 500
# Of these so many are for administrators alone: others can't shut them out.
KEPT_FOR_ADMINS = 20
RETRY_SECONDS = 5
CHECK_SECONDS = 3.0
KEEP_ALIVE_SECONDS = 15.0
SEND_SECONDS = 10.0
# Keys may have been deleted since: clients come again with theirs, and with the last id.
MAX_STREAM_SECONDS = 3600.0
MAX_ID_CHARACTERS = 64
LAST_EVENT_ID = b"last-event-id"
Source = AsyncGenerator[bytes, None]


def event(name: str, data: Json, event_id: str = "") -> bytes:
    """One event; `data` becomes one line of JSON."""
    head = f"id: {event_id}\nevent: {name}\n" if event_id else f"event: {name}\n"
    return head.encode() + b"data: " + orjson.dumps(data) + b"\n\n"


def last_event_id(call: Call) -> str:
    """What a client that comes again has seen last; empty for none, or one that can't be ours."""
    text = call.headers.get(LAST_EVENT_ID, b"").decode("latin-1").strip()
    return text if len(text) <= MAX_ID_CHARACTERS and text.isascii() and text.isprintable() else ""


class Streams:
    """The open streams of this process. `recheck` raises `Unauthenticated` once the caller's key is gone."""

    def __init__(self, recheck: Callable[[Call], Awaitable[object]], *, per_key: int = 20) -> None:
        self.recheck, self._per_key = recheck, per_key
        self.by_key: Counter[str] = Counter()
        self.closing = asyncio.Event()

    def open(self, call: Call, source: Source) -> "StreamAnswer":
        """An answer that streams what `source` yields. Raises `Exhausted` when too many are open."""
        room = MAX_STREAMS if _is_admin(call) else MAX_STREAMS - KEPT_FOR_ADMINS
        if self.by_key.total() >= room:
            raise Exhausted("打开的事件流过多", retry_after_seconds=RETRY_SECONDS, rule="max_streams")
        if not _is_admin(call) and self.by_key[_key_of(call)] >= self._per_key:
            message = f"每个密钥最多打开{self._per_key}个事件流"
            raise Exhausted(message, retry_after_seconds=RETRY_SECONDS, rule="max_streams_per_key")
        return StreamAnswer(self, call, source)

    def begin(self, call: Call) -> None:
        """One more is open."""
        self.by_key[_key_of(call)] += 1

    def end(self, call: Call) -> None:
        """One less."""
        key = _key_of(call)
        self.by_key[key] -= 1
        if self.by_key[key] <= 0:
            del self.by_key[key]

    def close(self) -> None:
        """End all of them."""
        self.closing.set()


def _key_of(call: Call) -> str:
    return call.principal.id if call.principal is not None else ""


def _is_admin(call: Call) -> bool:
    return call.principal is not None and call.principal.role is Role.ADMIN


class StreamAnswer(Answer):
    """An answer without an end of its own."""

    __slots__ = ("_call", "_source", "_streams")

    def __init__(self, streams: Streams, call: Call, source: Source) -> None:
        super().__init__(
            b"", 200, ((b"cache-control", b"no-store"), (b"x-accel-buffering", b"no")), b"text/event-stream"
        )
        self._streams, self._call, self._source = streams, call, source

    async def send(self, send: Send) -> None:
        """Stream until source, client or gateway end it."""
        self._streams.begin(self._call)
        gone = asyncio.create_task(self._call.gone())
        closing = asyncio.create_task(self._until_over())
        try:
            headers = [(b"content-type", self.content_type), *self.headers]
            await send({"type": "http.response.start", "status": self.status, "headers": headers})
            # Some clients wait for a first byte before they say that they are connected.
            await _write(send, b": connected\n\n")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(MAX_STREAM_SECONDS):
                    await self._pump(send, gone, closing)
            if not gone.done():
                await send({"type": "http.response.body", "body": b""})
        except _Slow:
            log.info("a slow client is dropped", request_id=self._call.request_id)
        finally:
            self._streams.end(self._call)
            for task in (gone, closing):
                task.cancel()
            await asyncio.gather(gone, closing, return_exceptions=True)
            await self._source.aclose()

    async def _until_over(self) -> None:
        """Return when the gateway closes, or the key that opened the stream is gone."""
        closing = asyncio.create_task(self._streams.closing.wait())
        try:
            while not (await asyncio.wait({closing}, timeout=CHECK_SECONDS))[0]:
                try:
                    await self._streams.recheck(self._call)
                except (Unauthenticated, Forbidden):
                    return
                except TrawlError:
                    continue  # Nobody can say: the next time they can.
        finally:
            closing.cancel()

    async def _pump(self, send: Send, gone: "asyncio.Task[None]", closing: "asyncio.Task[Any]") -> None:
        upcoming: asyncio.Task[bytes] | None = None
        try:
            while not (gone.done() or closing.done()):
                upcoming = upcoming or asyncio.create_task(anext(self._source))
                done, _ = await asyncio.wait(
                    {upcoming, gone, closing}, timeout=KEEP_ALIVE_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
                if upcoming in done:
                    try:
                        chunk = upcoming.result()
                    except StopAsyncIteration:
                        return
                    except TrawlError as error:
                        # The status is out already: the stream itself says why it ends.
                        await _write(send, event("error", {"message": error.message}))
                        return
                    upcoming = None
                    await _write(send, chunk)
                elif not done:
                    await _write(send, b": keep-alive\n\n")
        finally:
            if upcoming is not None:
                await end_task(upcoming)


class _Slow(Exception):
    """The client takes nothing more."""


async def _write(send: Send, chunk: bytes) -> None:
    try:
        async with asyncio.timeout(SEND_SECONDS):
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
    except TimeoutError as error:
        raise _Slow from error
