"""Files that runs keep (screenshots, downloads, traces). A port with one implementation: local files."""

import asyncio
import mimetypes
import re
from collections.abc import AsyncIterator
from pathlib import Path

from chassis.errors import NotFound

_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]+")
CHUNK_BYTES = 256 * 1024
MAX_NAME = 120


class LocalBlobs:
    """A folder for each run. Names from outside are made safe, and never leave the folder."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()

    async def save(self, run_id: int, name: str, data: bytes) -> str:
        """Store a file; answers the name to fetch it by, `<run id>/<file>`."""
        safe = _UNSAFE.sub("_", name).lstrip(".")[:MAX_NAME] or "file"
        path = self._root / str(run_id) / safe

        def write() -> None:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(path.name + ".part")
            temporary.write_bytes(data)
            temporary.replace(path)

        await asyncio.to_thread(write)
        return f"{run_id}/{safe}"

    def find(self, name: str) -> tuple[Path, str]:
        """The file and its content type. Raises `NotFound`."""
        path = (self._root / name).resolve() if "\x00" not in name else self._root
        if not path.is_relative_to(self._root) or not path.is_file():
            raise NotFound("no such file", resource="blob", name=name)
        return path, mimetypes.guess_type(path.name)[0] or "application/octet-stream"

    async def read(self, path: Path) -> AsyncIterator[bytes]:
        """The file, chunk by chunk."""
        with path.open("rb") as file:
            while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
                yield chunk
