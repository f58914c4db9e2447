"""A long answer, sent as it is made. Owns: its pace, and that a client who leaves ends the work. Knows no format."""

import asyncio
from collections.abc import AsyncGenerator

from gateway.exchange import JSON_TYPE, Answer, Call, ClientGone, Send

# A client that takes nothing for so long is given up.
SEND_SECONDS = 60.0


class Download(Answer):
    """Bytes from a source, in pieces. The call's body must have been read. What fails on the way breaks the answer off,
    so that nobody takes a part for the whole.
    """

    __slots__ = ("_call", "_first", "_source")

    def __init__(
        self, call: Call, first: bytes, source: AsyncGenerator[bytes, None], *, content_type: bytes = JSON_TYPE,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:  # fmt: skip
        super().__init__(b"", 200, headers, content_type)
        self._call, self._first, self._source = call, first, source

    @classmethod
    async def begin(
        cls, call: Call, source: AsyncGenerator[bytes, None], *, content_type: bytes = JSON_TYPE,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> "Download":  # fmt: skip
        """Wait for the first piece, so that an early failure still gets its own status. Raises what the source does."""
        await call.body()
        try:
            first = await anext(source)
        except StopAsyncIteration:
            first = b""
        return cls(call, first, source, content_type=content_type, headers=headers)

    async def send(self, send: Send) -> None:
        """Send it. Raises `ClientGone`, or what the source raises."""
        pump = asyncio.create_task(self._pump(send))
        gone = asyncio.create_task(self._call.gone())
        try:
            await asyncio.wait({pump, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not pump.done():
                raise ClientGone
            pump.result()
        finally:
            for task in (pump, gone):
                task.cancel()
            await asyncio.gather(pump, gone, return_exceptions=True)
            await self._source.aclose()

    async def _pump(self, send: Send) -> None:
        headers = [(b"content-type", self.content_type), *self.headers]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        if self._first:
            await _write(send, self._first)
        async for piece in self._source:
            if piece:
                await _write(send, piece)
        await send({"type": "http.response.body", "body": b""})


async def _write(send: Send, piece: bytes) -> None:
    try:
        async with asyncio.timeout(SEND_SECONDS):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    except TimeoutError as error:
        raise ClientGone from error
