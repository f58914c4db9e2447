"""Where a reader is on a page, told to whoever would end it. Owns: the shared memory. Must not know pages."""

import mmap
import os

SIZE = 256


class ReadingPlace:
    """One text, written by the process that reads and read by its parent, also after the other's end."""

    def __init__(self, descriptor: int) -> None:
        self._memory = mmap.mmap(descriptor, SIZE)

    def set(self, place: str) -> None:
        """It is there now, in the words of the definition (`items.price`)."""
        data = place.encode(errors="replace")[: SIZE - 1]
        self._memory[: len(data) + 1] = data + b"\0"

    def get(self) -> str:
        """Where it was last; empty when that was nowhere."""
        return self._memory[:].partition(b"\0")[0].decode(errors="replace")

    def close(self) -> None:
        """Let go of the memory."""
        self._memory.close()


def shared_memory() -> int:
    """A descriptor for a new place; a child may have it as well."""
    descriptor = os.memfd_create("reading-place", 0)
    os.truncate(descriptor, SIZE)
    return descriptor
