"""Where papers' files are kept: PDFs and search indexes. Owns: their names in the blob store, shared by all workers."""

import asyncio
import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from chassis.errors import NotFound

from scraper.blobs import LocalBlobs
from scraper.paper_download import SUFFIX, Download, clear_downloads


class PaperFiles:
    """Files of papers, by project. A name says everything: writing the same again changes nothing."""

    def __init__(self, blobs: LocalBlobs) -> None:
        self._blobs = blobs

    async def save_pdf(self, project_id: int, paper_id: str, data: bytes) -> tuple[str, str]:
        """(name, SHA-256) of a stored PDF."""
        name = await self._blobs.save_for(f"papers-{project_id}", f"{paper_id}.pdf", data)
        return name, hashlib.sha256(data).hexdigest()

    def download(self, project_id: int, paper_id: str) -> Download:
        """Where a PDF comes to be until it is whole."""
        return Download(self._blobs.folder(f"papers-{project_id}") / f"{paper_id}{SUFFIX}")

    async def clear_downloads(self, project_id: int) -> None:
        """Remove the project's parts of PDFs that nobody has gone on with for long."""
        await asyncio.to_thread(clear_downloads, self._blobs.folder(f"papers-{project_id}"))

    async def save_index(self, project_id: int, label: str, source: Path) -> str:
        """The name of a stored index; the source stays where it is."""
        return await self._blobs.copy_for(f"index-{project_id}", f"{label}.sqlite", source)

    async def drop_indexes(self, project_id: int, keep: Sequence[str]) -> None:
        """Remove all of the project's indexes but those names. Who has one open can go on reading it."""
        await asyncio.to_thread(self._blobs.remove_others, f"index-{project_id}", keep)

    def path(self, name: str) -> Path | None:
        """The file, or None when this worker can't see it."""
        try:
            return self._blobs.find(name)[0]
        except NotFound:
            return None


def clear_old(folder: Path, *, older_than_seconds: float, now: float) -> None:
    """Remove what nobody has touched for so long. Blocks."""
    for entry in folder.iterdir() if folder.is_dir() else ():
        try:
            if os.lstat(entry).st_mtime < now - older_than_seconds:
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        except OSError:
            continue  # Somebody else removed it.
