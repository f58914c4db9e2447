"""Use case: export a collection. Owns: what is streamed straight away and what needs two passes, and where files lie
meanwhile. Memory stays bounded whatever the size; who stops reading stops the work.

JSON goes out as it is read. A table's columns are the union over all rows, so its rows are first written to a file in
flat form; what is stored during the export changes neither columns nor rows.
"""

import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any, BinaryIO

import orjson
from chassis.errors import Exhausted, InternalError
from chassis.memory import give_back

from scraper.export_files import CHUNK_BYTES, COLUMNS_FILE, ROWS_FILE, Table, csv_chunks
from scraper.export_rows import Columns
from scraper.mongo_collections import Collections, public_id

Json = Any
# Each costs a processor and, for tables, the collection's size on disk.
MAX_AT_ONCE = 4
WRITE_SECONDS = 3 * 3600.0


def iso_seconds(ms: int) -> str:
    """`2024-01-15T10:30:00Z`"""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ms // 1000))


def exported(row: Mapping[str, Json]) -> dict[str, Json]:
    """An item as exports show it."""
    return {"id": public_id(row["_id"]), "data": row["data"], "created_at": iso_seconds(row["created_ms"])}


class _Spool:
    """Flat rows in a file, and the columns that all of them have together."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._columns = folder, Columns()
        self._file: BinaryIO = (folder / ROWS_FILE).open("wb")

    def add(self, items: list[dict[str, Json]]) -> None:
        """Take items."""
        lines = [
            orjson.dumps((
                public_id(item["_id"]), iso_seconds(item["created_ms"]), self._columns.take(item["data"])
            ), default=str)
            for item in items
        ]  # fmt: skip
        lines.append(b"")
        self._file.write(b"\n".join(lines))

    def finish(self) -> Table:
        """No more will come."""
        self._file.close()
        (self._folder / COLUMNS_FILE).write_bytes(orjson.dumps(self._columns.kinds))
        return Table.load(self._folder)

    def close(self) -> None:
        """Whatever happened."""
        self._file.close()


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
            asyncio.get_running_loop().run_in_executor(None, give_back)

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
        folder = self._make_folder()
        spool = _Spool(folder)
        try:
            async for rows in self._collections.stream(task_id):
                await asyncio.to_thread(spool.add, rows)
            table = await asyncio.to_thread(spool.finish)
            if kind == "csv":
                chunks = csv_chunks(table)
                while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
                    yield chunk
                return
            path = folder / "table"
            await _write_apart(kind, folder, path)
            with path.open("rb") as file:
                while data := await asyncio.to_thread(file.read, CHUNK_BYTES):
                    yield data
        finally:
            spool.close()
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    def _make_folder(self) -> Path:
        # Not in a thread: who is cancelled meanwhile would not know of it.
        self._folder.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(dir=self._folder))


async def _write_apart(kind: str, folder: Path, path: Path) -> None:
    """Write the file in a process of its own: the libraries need memory, and a processor, that runs should have."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "scraper.export_files", kind, str(folder), str(path),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        async with asyncio.timeout(WRITE_SECONDS):
            if await process.wait() != 0:
                raise InternalError(f"the {kind} file could not be written")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
