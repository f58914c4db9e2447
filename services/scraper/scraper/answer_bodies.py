"""The body of an answer, read piece by piece, unpacked and within bounds. Must not know requests or redirects."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import aiohttp

from scraper.content_codings import CodingError, Decoder, decoders_of, unpacked
from scraper.exchanges import MAX_BODY_BYTES, Receiver

READ_BYTES = 64 * 1024
# So much is unpacked before others have their turn.
TURN_BYTES = 1024 * 1024


class Body:
    """The body of one answer, unpacked and within bounds."""

    def __init__(self, response: aiohttp.ClientResponse, method: str) -> None:
        self._response = response
        header = ", ".join(response.headers.getall("Content-Encoding", ()))
        # Where there is no body, nothing is packed.
        self._decoders: Sequence[Decoder] = decoders_of(header) if header and method != "HEAD" else ()

    @property
    def whole(self) -> bool:
        """Whether what was packed came to its end."""
        return all(decoder.whole for decoder in self._decoders)

    async def read(self, max_bytes: int, large: asyncio.Semaphore) -> tuple[bytes, bool]:
        """The body, and whether it has more than `max_bytes`. `large`: held by one that grows beyond MAX_BODY_BYTES."""
        content = bytearray()
        held = False
        try:
            async for piece in self._pieces(max_bytes):
                if not held and len(content) + len(piece) > MAX_BODY_BYTES:
                    held = await large.acquire()
                content += piece
                if len(content) > max_bytes:
                    self._response.close()
                    return bytes(content[:max_bytes]), True
        finally:
            if held:
                large.release()
        return bytes(content), False

    async def pass_on(self, receiver: Receiver, room: int) -> bool:
        """Hand the body on; answers whether it has more bytes than there is room for."""
        async for piece in self._pieces(room):
            room -= len(piece)
            if room < 0:
                self._response.close()
                return True
            await receiver.write(piece)
        return False

    async def _pieces(self, max_bytes: int) -> AsyncIterator[bytes]:
        # What is packed may unpack to nothing without end.
        packed_left = max_bytes + max_bytes // 8 + READ_BYTES
        since_turn = 0
        while data := await self._response.content.read(READ_BYTES):
            if not self._decoders:
                yield data
                continue
            packed_left -= len(data)
            if packed_left < 0:
                raise CodingError("the packed body is longer than what it may unpack to")
            for piece in unpacked(self._decoders, data):
                since_turn += len(piece)
                if since_turn > TURN_BYTES:
                    since_turn = 0
                    await asyncio.sleep(0)
                yield piece
