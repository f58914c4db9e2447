"""A server that sends exactly the octets it is given, and keeps those it was sent. Must not know HTTP's rules."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

HTML = "text/html; charset=utf-8"


def answer(
    body: bytes | str = b"",
    *headers: tuple[str, str | bytes],
    status: str = "200 OK",
    length: int | None = None,
    kind: str = HTML,
) -> bytes:
    """An answer as octets; header values beyond ASCII go out as UTF-8."""
    octets = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status}".encode()]
    if kind:
        lines.append(f"Content-Type: {kind}".encode())
    for name, value in headers:
        lines.append(name.encode() + b": " + (value if isinstance(value, bytes) else value.encode()))
    lines.append(b"Content-Length: %d" % (len(octets) if length is None else length))
    return b"\r\n".join(lines) + b"\r\n\r\n" + octets


@dataclass
class RawSite:
    """`answers` by path (without query): one after the other, the last one again and again. Others get a 404."""

    answers: dict[str, bytes | Sequence[bytes]] = field(default_factory=dict)
    heads: list[bytes] = field(default_factory=list)
    # Whether a connection is closed after its answer.
    closes: bool = True
    connections: int = 0

    @property
    def targets(self) -> list[str]:
        """What was asked for, as it stood in the request line."""
        return [head.split(b" ")[1].decode("latin-1") for head in self.heads]

    def sent(self, name: str) -> list[str]:
        """The values of a request header, request by request, read as Latin-1; "" where there is none."""
        wanted = f"{name.lower()}: "
        lines = [head.decode("latin-1").split("\r\n") for head in self.heads]
        return [next((one[len(wanted) :] for one in head if one.lower().startswith(wanted)), "") for head in lines]

    @asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        """Serve on loopback; the base URL."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                writer.write(self._answer_to(head))
                await writer.drain()
                if self.closes:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _answer_to(self, head: bytes) -> bytes:
        path = head.split(b" ")[1].decode("latin-1").partition("?")[0]
        answers = self.answers.get(path, answer(status="404 Not Found"))
        if isinstance(answers, bytes):
            return answers
        asked = sum(target.partition("?")[0] == path for target in self.targets)
        return answers[min(asked, len(answers)) - 1]
