"""How this process's allocator behaves. Owns the calls to the C library; without a glibc nothing happens."""

import contextlib
import ctypes

# glibc's number of this option of `mallopt`.
_ARENA_MAX = -8


def share_heaps(count: int = 2) -> None:
    """At most `count` heaps for all threads. By default glibc makes one for each thread that allocates, and each keeps
    what it once had: work that moves through a pool of threads is held in memory many times over.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_ARENA_MAX, count)


def give_back() -> None:
    """Hand what this process has freed back to the system: after work that took much. Takes some milliseconds."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
