"""Files that runs keep, as answers. Owns: how one is streamed, and that a browser never runs what is in it.

A name is the run's number and a file's own name; whether it exists is the scraper's to say, before anything is sent.
"""

from collections.abc import AsyncIterator
from typing import Any

from chassis.errors import NotFound
from trawl.scraper.v1 import results_pb2

from gateway.backend import Backend
from gateway.exchange import Answer, Send

FILE_SECONDS = 120.0
# Shown in a browser; anything else is offered for saving.
_SHOWN = frozenset({"image/png", "image/jpeg", "application/json", "text/plain"})


class FileAnswer(Answer):
    """A file, piece by piece: only as fast as its client takes it."""

    __slots__ = ("_rest",)

    def __init__(self, first: results_pb2.BlobChunk, rest: AsyncIterator[results_pb2.BlobChunk]) -> None:
        place = b"inline" if first.content_type in _SHOWN else b"attachment"
        headers = (
            (b"content-disposition", place),
            (b"x-content-type-options", b"nosniff"),
            (b"content-security-policy", b"sandbox; default-src 'none'"),
            (b"cache-control", b"private, no-cache"),
        )
        super().__init__(first.data, 200, headers, first.content_type.encode("ascii", "replace"))
        self._rest = rest

    async def send(self, send: Send) -> None:
        """Stream it."""
        await send(
            {
                "type": "http.response.start",
                "status": self.status,
                "headers": [(b"content-type", self.content_type), *self.headers],
            }
        )
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        async for chunk in self._rest:
            await send({"type": "http.response.body", "body": chunk.data, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def open_file(backend: Backend, run_id: int, name: str) -> FileAnswer:
    """The run's file of that name. Raises `NotFound`."""
    if not name or "/" in name or name.startswith("."):
        raise NotFound("没有此文件", field="name")
    request = results_pb2.GetBlobRequest(name=f"{run_id}/{name}")
    chunks: Any = backend.scraper.stream(backend.results.GetBlob, request, timeout=FILE_SECONDS)
    try:
        first = await anext(chunks)
    except StopAsyncIteration:
        # An empty file has no piece, and nobody needs to know its type.
        first = results_pb2.BlobChunk(content_type="text/plain")
    except NotFound as error:
        raise NotFound("没有此文件", field="name") from error
    return FileAnswer(first, chunks)
