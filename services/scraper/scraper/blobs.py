"""Files that runs keep (screenshots, downloads, traces). A port with one implementation: local files."""

import asyncio
import mimetypes
import re
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

from chassis.errors import NotFound

_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]+")
# Not in every system's list.
_TYPES = {".webp": "image/webp"}
CHUNK_BYTES = 256 * 1024
MAX_NAME = 120


class LocalBlobs:
    """A folder for each run. Names from outside are made safe, and never leave the folder."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()

    async def save(self, run_id: int, name: str, data: bytes) -> str:
        """Store a file; answers the name to fetch it by, `<run id>/<file>`."""
        return await self.save_for(str(run_id), name, data)

    async def save_for(self, folder: str, name: str, data: bytes) -> str:
        """Store a file that outlives its run; answers `<folder>/<file>`. `folder` is the caller's own word."""
        return await self._place(folder, name, lambda path: path.write_bytes(data))

    async def copy_for(self, folder: str, name: str, source: Path) -> str:
        """As `save_for`, for what is too large for memory."""
        return await self._place(folder, name, lambda path: shutil.copyfile(source, path))

    async def _place(self, folder: str, name: str, fill: Callable[[Path], object]) -> str:
        safe = _UNSAFE.sub("_", name).lstrip(".")[:MAX_NAME] or "file"
        path = self._root / folder / safe

        def write() -> None:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(path.name + ".part")
            fill(temporary)
            temporary.replace(path)

        await asyncio.to_thread(write)
        return f"{folder}/{safe}"

    def folder(self, name: str) -> Path:
        """Where files of that folder are, for what is still being made. `name` is the caller's own word."""
        return self._root / name

    def remove_others(self, folder: str, keep: Sequence[str]) -> None:
        """Remove the folder's files whose names (`<folder>/<file>`) are not among `keep`. Blocks."""
        place = self._root / folder
        for path in place.iterdir() if place.is_dir() else ():
            if f"{folder}/{path.name}" not in keep and not path.name.endswith(".part"):
                path.unlink(missing_ok=True)

    def find(self, name: str) -> tuple[Path, str]:
        """The file and its content type. Raises `NotFound`."""
        path = (self._root / name).resolve() if "\x00" not in name else self._root
        if not path.is_relative_to(self._root) or not path.is_file():
            raise NotFound("no such file", resource="blob", name=name)
        guessed = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0]
        return path, guessed or "application/octet-stream"

    async def read(self, path: Path) -> AsyncIterator[bytes]:
        """The file, chunk by chunk."""
        with path.open("rb") as file:
            while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
                yield chunk
