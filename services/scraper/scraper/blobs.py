"""Files that runs keep (screenshots, downloads, traces). A port with one implementation: local files."""

import asyncio
import hashlib
import itertools
import mimetypes
import re
import shutil
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

from chassis.errors import NotFound

_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]+")
# Not in every system's list.
_TYPES = {".webp": "image/webp"}
CHUNK_BYTES = 256 * 1024
MAX_NAME = 120
MAX_ENDING = 20


# Stored with `replace`.
ONE_OF_A_RUN = frozenset({"body", "trace.json", "filmstrip.webp", "playwright-trace.zip"})
_NUMBERS = itertools.count()


def safe_name(name: str, mark: str = "") -> str:
    """The name as a file's, with `mark` before its ending. A long one keeps its ending, which says the type."""
    stem, dot, ending = _UNSAFE.sub("_", name).lstrip(".").rpartition(".")
    if not dot or len(ending) > MAX_ENDING:
        stem, dot, ending = f"{stem}{dot}{ending}", "", ""
    return f"{stem[: MAX_NAME - len(mark) - len(dot) - len(ending)]}{mark}{dot}{ending}" or "file"


class LocalBlobs:
    """A folder for each run. Names from outside are made safe, and never leave the folder."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        # A run's files come from one process.
        self._placing = threading.Lock()

    async def save(self, run_id: int, name: str, data: bytes, *, replace: bool = False) -> str:
        """Store a file; answers the name to fetch it by, `<run id>/<file>`.

        No file replaces another one, unless `replace` says so: where a name is taken by other content, also by that of
        an earlier attempt, the content's hash is added to it. The same content is stored once.
        """
        if replace:
            return await self.save_for(str(run_id), name, data)
        return f"{run_id}/{await asyncio.to_thread(self._keep, self._root / str(run_id), safe_name(name), data)}"

    def _keep(self, folder: Path, name: str, data: bytes) -> str:
        folder.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256(data).hexdigest()
        temporary = folder / f"{digest}.{next(_NUMBERS)}.part"
        temporary.write_bytes(data)
        with self._placing:
            # What a run has one of is looked for by its name.
            first = [] if name in ONE_OF_A_RUN else [name]
            for free in (*first, safe_name(name, f"-{digest[:8]}"), safe_name(name, f"-{digest}")):
                path = folder / free
                if not path.exists():
                    temporary.replace(path)
                    return free
                if path.stat().st_size == len(data) and path.read_bytes() == data:
                    break
            temporary.unlink()
            return free

    async def save_for(self, folder: str, name: str, data: bytes) -> str:
        """Store a file that outlives its run; answers `<folder>/<file>`. `folder` is the caller's own word."""
        return await self._place(folder, name, lambda path: path.write_bytes(data))

    async def copy_for(self, folder: str, name: str, source: Path) -> str:
        """As `save_for`, for what is too large for memory."""
        return await self._place(folder, name, lambda path: shutil.copyfile(source, path))

    async def _place(self, folder: str, name: str, fill: Callable[[Path], object]) -> str:
        safe = safe_name(name)
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
