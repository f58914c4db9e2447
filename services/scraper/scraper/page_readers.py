"""The processes in which pages are read. Owns: their number, their ends, and whose turn it is. Must not know selectors.

A reader is `python -m scraper.page_reader` at the other end of a socket. It has one page at a time and a bound of
processor time for it, which the kernel keeps: a page that needs more ends its process, and costs that page alone. The
sockets belong to no event loop, so readers outlive a loop.
"""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic

import orjson
from chassis.logs import get_logger

from scraper.addresses import shown_url
from scraper.executor import ExecutorError, InvalidParameters, Json
from scraper.reading import HEADER, Evidence, Reading, Source, T
from scraper.reading_place import ReadingPlace, shared_memory

log = get_logger("page_readers")
PIECE = 256 * 1024
SECONDS_PER_MEGABYTE = 1.0
# Processor time tells an expensive page; this ends a reader that does nothing at all.
STALLED_SECONDS = 300.0
IDLE_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class ReadPage(Generic[T]):
    """What a page had; `raw`: the JSON that it was restored from."""

    read: T
    raw: Json
    evidence: Evidence


class ReaderEnded(Exception):
    """The process is gone. `too_long`: it had used up its processor time; `place`: for what part of the definition."""

    def __init__(self, *, too_long: bool, place: str) -> None:
        super().__init__("the reader ended")
        self.too_long, self.place = too_long, place


class _Reader:
    """One process."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        memory = shared_memory()
        with theirs:
            self._socket.setblocking(False)
            self._place = ReadingPlace(memory)
            shared = [theirs.fileno(), memory]
            self._process = subprocess.Popen(  # noqa: S603  # our own program
                [sys.executable, "-m", "scraper.page_reader", *map(str, shared), str(os.getpid())],
                pass_fds=shared,
                stdin=subprocess.DEVNULL,
            )
        os.close(memory)
        self._where, self._ended = "", False

    async def ask(self, question: Mapping[str, Json], body: bytes = b"") -> Json:
        """The answer. Raises ReaderEnded."""
        loop = asyncio.get_running_loop()
        header = orjson.dumps(question)
        try:
            async with asyncio.timeout(STALLED_SECONDS):
                await loop.sock_sendall(self._socket, b"".join((HEADER.pack(len(header), len(body)), header, body)))
                return orjson.loads(await self._receive(loop))
        except (OSError, EOFError, TimeoutError) as error:
            self.end()
            too_long = self._process.returncode == -signal.SIGPROF
            raise ReaderEnded(too_long=too_long, place=self._where) from error

    async def _receive(self, loop: asyncio.AbstractEventLoop) -> bytes:
        """One answer, which is all that comes until the next question."""
        content = b""
        while len(content) < HEADER.size:
            content += await self._piece(loop)
        length = HEADER.size + HEADER.unpack_from(content)[0]
        if len(content) == length:
            return content[HEADER.size :]
        whole = bytearray(content)
        while len(whole) < length:
            whole += await self._piece(loop)
        return bytes(whole[HEADER.size :])

    async def _piece(self, loop: asyncio.AbstractEventLoop) -> bytes:
        piece = await loop.sock_recv(self._socket, PIECE)
        if not piece:
            raise EOFError
        return piece

    def end(self) -> None:
        """End the process, whatever it does; once is enough."""
        if self._ended:
            return
        self._ended = True
        self._socket.close()
        self._process.kill()
        self._process.wait()
        self._where = self._place.get()
        self._place.close()


class PageReaders:
    """The readers of a worker, started when they are needed and ended when they are idle. Must be closed."""

    def __init__(self, processes: int, page_seconds: float = 5.0) -> None:
        """`page_seconds`: processor time that reading a page may take, and a second more for each megabyte."""
        self.page_seconds = page_seconds
        self._turns = asyncio.Semaphore(processes)
        self._free: deque[_Reader] = deque()
        self._busy: set[_Reader] = set()
        self._retiring: asyncio.TimerHandle | None = None
        self._closed = False

    async def ask(self, question: Mapping[str, Json], body: bytes = b"") -> Json:
        """The answer of a reader. Raises ReaderEnded."""
        async with self._turns:
            reader = self._free.pop() if self._free else _Reader()
            self._busy.add(reader)
            whole = False
            try:
                answer = await reader.ask(question, body)
                whole = True
                return answer
            finally:
                self._busy.discard(reader)
                # Cancelled half-way: its answer would be taken for the next page's.
                if whole and not self._closed:
                    self._free.append(reader)
                    self._retire_later()
                else:
                    reader.end()

    def _retire_later(self) -> None:
        if self._retiring is not None:
            self._retiring.cancel()
        self._retiring = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._retire)

    def _retire(self) -> None:
        while self._free:
            self._free.popleft().end()

    def close(self) -> None:
        """End them all."""
        self._closed = True
        if self._retiring is not None:
            self._retiring.cancel()
        self._retire()
        for reader in tuple(self._busy):
            reader.end()


class RunReader:
    """A run's way to the readers. After a page that took too long it has one at a time: others are to have theirs."""

    def __init__(self, readers: PageReaders, definition: Mapping[str, Json], digest: str) -> None:
        self._readers, self._definition, self._digest = readers, definition, digest
        self._alone: asyncio.Lock | None = None

    async def check(self) -> None:
        """Compile the definition's selectors. Raises InvalidParameters that names a wrong one's place."""
        try:
            answer = await self._readers.ask(
                {"plan": self._digest, "definition": self._definition, "seconds": self._readers.page_seconds}
            )
        except ReaderEnded as ended:
            if not ended.too_long:
                raise ExecutorError("the process that reads pages ended", code="READER_ENDED") from ended
            raise InvalidParameters("the selectors cost too much", field="items") from ended
        if "refused" in answer:
            raise InvalidParameters(answer["refused"], field=answer["field"])

    async def read(self, source: Source, reading: Reading[T], *, look: bool) -> ReadPage[T]:
        """What `source` has. `look`: say what speaks for a browser. Raises ExecutorError when it can't be read."""
        question: dict[str, Json] = {
            "plan": self._digest,
            "kind": reading.kind,
            "url": source.url,
            "content_type": source.content_type,
            "charset": source.charset,
            "written_in": source.written_in,
            "cut": source.cut,
            "look": look,
            "seconds": self._readers.page_seconds + len(source.body) * SECONDS_PER_MEGABYTE / 2**20,
        }
        try:
            answer = await self._ask(question, source.body)
            if "unknown_plan" in answer:
                answer = await self._ask({**question, "definition": self._definition}, source.body)
        except ReaderEnded as ended:
            raise self._ended(source, ended) from ended
        if "failed" in answer:
            raise ExecutorError(answer["failed"], code=answer["code"], retryable=False)
        raw = answer["read"]
        return ReadPage(reading.restore(raw), raw, Evidence(answer["has_scripts"], tuple(answer["signs"])))

    async def _ask(self, question: Mapping[str, Json], body: bytes) -> Json:
        if self._alone is None:
            return await self._readers.ask(question, body)
        async with self._alone:
            return await self._readers.ask(question, body)

    def _ended(self, source: Source, ended: ReaderEnded) -> ExecutorError:
        where = shown_url(source.url)
        if not ended.too_long:
            return ExecutorError(f"reading {where} ended its process", code="READER_ENDED", retryable=False)
        self._alone = self._alone or asyncio.Lock()
        seconds = self._readers.page_seconds
        what = ended.place or "the page"
        message = f"reading {where} took more than {seconds:g} s of processor time: {what} costs too much"
        return ExecutorError(message, code="PAGE_COSTS_TOO_MUCH", retryable=False)
