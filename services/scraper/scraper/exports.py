"""Use case: export a collection. Owns: what is streamed straight away and what needs two passes, and where files lie
meanwhile. Memory stays bounded whatever the size; who stops reading stops the work.

JSON goes out as it is read. A table's columns are the union over all rows, so its rows are first written to a file in
flat form; what is stored during the export changes neither columns nor rows.
"""

import asyncio
import shutil
import tempfile
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import orjson
from chassis.errors import Exhausted

from scraper.export_files import CHUNK_BYTES, Row, csv_chunks, write_parquet, write_xlsx
from scraper.export_rows import Columns
from scraper.mongo_collections import Collections, public_id

Json = Any
# Each costs a processor and, for tables, the collection's size on disk.
MAX_AT_ONCE = 4
BATCH_ROWS = 500
STOP_SECONDS = 10.0


def iso_seconds(ms: int) -> str:
    """`2024-01-15T10:30:00Z`"""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ms // 1000))


def exported(row: Mapping[str, Json]) -> dict[str, Json]:
    """An item as exports show it."""
    return {"id": public_id(row["_id"]), "data": row["data"], "created_at": iso_seconds(row["created_ms"])}


class _Stopped(Exception):
    """Nobody wants the file any more."""


class _Spool:
    """Flat rows in a file, and the columns that all of them have together."""

    def __init__(self, path: Path) -> None:
        self.columns = Columns()
        self._path = path
        self._file: BinaryIO = path.open("wb")
        self._stopped = threading.Event()

    def add(self, items: list[dict[str, Json]]) -> None:
        """Take items."""
        lines = [
            orjson.dumps((
                public_id(item["_id"]), iso_seconds(item["created_ms"]), self.columns.take(item["data"])
            ), default=str)
            for item in items
        ]  # fmt: skip
        lines.append(b"")
        self._file.write(b"\n".join(lines))

    def stop(self) -> None:
        """Whoever reads the rows in another thread has to end."""
        self._stopped.set()

    def finish(self) -> None:
        """No more will come."""
        self._file.close()

    def batches(self) -> Iterator[list[tuple[str, str, Row]]]:
        """The rows, in order."""
        batch: list[tuple[str, str, Row]] = []
        if self._stopped.is_set():
            raise _Stopped
        with self._path.open("rb") as file:
            for line in file:
                batch.append(orjson.loads(line))
                if len(batch) >= BATCH_ROWS:
                    if self._stopped.is_set():
                        raise _Stopped
                    yield batch
                    batch = []
        if batch:
            yield batch


class Exports:
    """Each export is an iterator of bytes; closing it ends the work and removes its files."""

    def __init__(self, collections: Collections, folder: Path) -> None:
        self._collections, self._folder = collections, folder
        self._running = 0

    def clear(self) -> None:
        """Remove what an earlier life has left."""
        shutil.rmtree(self._folder, ignore_errors=True)

    async def export(self, task_id: int, kind: str) -> AsyncGenerator[bytes, None]:
        """The file in pieces. `kind`: json | ndjson | csv | parquet | xlsx. Raises `Exhausted`."""
        if self._running >= MAX_AT_ONCE:
            raise Exhausted(f"at most {MAX_AT_ONCE} exports at once", retry_after_seconds=10)
        self._running += 1
        try:
            source = self._json(task_id) if kind == "json" else self._lines(task_id)
            if kind not in ("json", "ndjson"):
                source = self._table(task_id, kind)
            async with aclosing(source):
                async for chunk in source:
                    yield chunk
        finally:
            self._running -= 1

    async def _json(self, task_id: int) -> AsyncGenerator[bytes, None]:
        total = 0
        yield b'{"data":['
        async for rows in self._collections.stream(task_id):
            body = b",".join(orjson.dumps(exported(row), default=str) for row in rows)
            yield b"," + body if total else body
            total += len(rows)
        yield b'],"total":%d}' % total

    async def _lines(self, task_id: int) -> AsyncGenerator[bytes, None]:
        async for rows in self._collections.stream(task_id):
            yield b"".join(orjson.dumps(exported(row), default=str, option=orjson.OPT_APPEND_NEWLINE) for row in rows)

    async def _table(self, task_id: int, kind: str) -> AsyncGenerator[bytes, None]:
        # Two passes may take long: whoever asked should hear at once that it has begun.
        yield b""
        folder = Path(await asyncio.to_thread(self._make_folder))
        spool = _Spool(folder / "rows")
        try:
            async for rows in self._collections.stream(task_id):
                await asyncio.to_thread(spool.add, rows)
            spool.finish()
            if kind == "csv":
                chunks = csv_chunks(spool)
                while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
                    yield chunk
                return
            path = folder / "table"
            await _to_the_end(partial(_WRITERS[kind], spool, path), spool)
            with path.open("rb") as file:
                while data := await asyncio.to_thread(file.read, CHUNK_BYTES):
                    yield data
        finally:
            spool.finish()
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    def _make_folder(self) -> str:
        self._folder.mkdir(parents=True, exist_ok=True)
        return tempfile.mkdtemp(dir=self._folder)


_WRITERS: Mapping[str, Callable[[_Spool, Path], None]] = {"parquet": write_parquet, "xlsx": write_xlsx}


async def _to_the_end(write: Callable[[], None], spool: _Spool) -> None:
    """Write in a thread; when cancelled, tell the thread to end and wait for that."""
    work = asyncio.ensure_future(asyncio.to_thread(write))
    try:
        await asyncio.shield(work)
    except asyncio.CancelledError:
        spool.stop()
        await asyncio.wait({work}, timeout=STOP_SECONDS)
        raise
