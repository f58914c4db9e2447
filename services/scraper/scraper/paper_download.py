"""A PDF on its way. Owns: the part that has come, and whether the rest may be asked for alone. Must not know runs.

The part lies beside its future place, which all workers share, with the validator that its host gave: after a break, or
in the next attempt of a killed run, only what is missing is asked for (RFC 9110, ranges). A file that has changed
meanwhile, or a host that knows no ranges, begins anew.
"""

import asyncio
import re
import time
from collections.abc import Mapping
from pathlib import Path

from scraper.fetch import FetchFailed

SUFFIX = ".download"
# What a killed run left is of use to its next attempt, which comes within minutes.
KEPT_SECONDS = 86_400.0
_CONTENT_RANGE = re.compile(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15})")


class Download:
    """One file. Blocks only for looks at small local files."""

    def __init__(self, path: Path) -> None:
        """`path`: where the part is kept."""
        self._path, self._mark = path, path.with_name(path.name + ".mark")
        self._offset = 0

    @property
    def size(self) -> int:
        """Bytes that have come."""
        return self._path.stat().st_size if self._path.exists() else 0

    def headers(self) -> tuple[tuple[str, str], ...]:
        """What to ask with. Not compressed: places in a compressed body are not places in the file."""
        own = (("Accept", "application/pdf,*/*;q=0.5"), ("Accept-Encoding", "identity"))
        mark = self._mark.read_text() if self._mark.exists() else ""
        if mark and self.size:
            return (*own, ("Range", f"bytes={self.size}-"), ("If-Range", mark))
        return own

    def begin(self, status: int, headers: Mapping[str, str]) -> int | None:
        """See `Receiver`."""
        if status == 206:
            self._offset = self._continue(headers)
        elif status == 200:
            self._offset = 0
            self.drop()
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.touch()
            self._mark.write_text(_validator(headers))
        else:
            if status == 416:
                # The part is no part of what the host has now.
                self.drop()
            return None
        return self._offset

    def _continue(self, headers: Mapping[str, str]) -> int:
        told = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", "").strip())
        if told is None or int(told[1]) != self.size:
            self.drop()
            raise FetchFailed("the host answered with another part of the file")
        return self.size

    async def write(self, piece: bytes) -> None:
        """See `Receiver`."""
        await asyncio.to_thread(self._write, piece)
        self._offset += len(piece)

    def _write(self, piece: bytes) -> None:
        # At its place, not at the end: somebody else who fetches the same writes the same.
        with self._path.open("r+b") as file:
            file.seek(self._offset)
            file.write(piece)

    async def content(self) -> bytes:
        """All that has come."""
        return await asyncio.to_thread(self._path.read_bytes) if self._path.exists() else b""

    def drop(self) -> None:
        """Forget it."""
        self._mark.unlink(missing_ok=True)
        self._path.unlink(missing_ok=True)


def clear_downloads(folder: Path) -> None:
    """Remove parts that nobody has gone on with for long. Blocks."""
    for path in folder.glob(f"*{SUFFIX}*") if folder.is_dir() else ():
        if path.stat().st_mtime < time.time() - KEPT_SECONDS:
            path.unlink(missing_ok=True)


def _validator(headers: Mapping[str, str]) -> str:
    """What says that a file is still the same byte for byte; empty when its host does not say."""
    if headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        return ""
    tag = headers.get("ETag", "").strip()
    if tag and not tag.startswith("W/"):
        return tag[:500] if tag.isprintable() and tag.isascii() else ""
    when = headers.get("Last-Modified", "").strip()[:100]
    return when if when.isprintable() and when.isascii() else ""
