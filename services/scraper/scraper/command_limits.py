"""What a command may take. Owns: the limits that settings ask for, and how a command that met one is recognised.

Without a setting there is none: runtimes reserve address space and write sparse files without using what these limits
count. What is really used is bounded from outside, by the cgroup of the container or service that this worker runs in.
"""

import re
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MEGABYTE = 1024 * 1024
# How programs say that they met the limit; any of them counts only where the limit is set.
SIGNS = {
    "COMMAND_FILE_MB": r"File size limit exceeded|File too large|EFBIG",
    "COMMAND_ADDRESS_SPACE_MB": r"(?i)out of memory|cannot allocate memory|MemoryError|bad_alloc|ENOMEM"
    r"|could not reserve|not enough memory",
    "COMMAND_OPEN_FILES": r"(?i)too many open files|EMFILE",
    "COMMAND_PROCESSES": r"(?i)resource temporarily unavailable|cannot fork|can't start new thread|EAGAIN",
}
FILE_SIGNAL = int(signal.SIGXFSZ)


@dataclass(frozen=True, slots=True)
class ProcessLimits:
    """Resource limits of a command and what it starts; 0: none but what the user has. Core dumps are always off.

    `processes` counts all of the user's processes, as the kernel does, and doesn't bind root.
    """

    open_files: int = 0
    file_bytes: int = 0
    address_space_bytes: int = 0
    processes: int = 0

    def to_text(self) -> str:
        """In the form that `subreaper` takes."""
        named = {
            "nofile": self.open_files,
            "fsize": self.file_bytes,
            "as": self.address_space_bytes,
            "nproc": self.processes,
        }
        return ",".join(["core=0", *(f"{name}={value}" for name, value in named.items() if value)])

    def reached(self, exit_code: int, errors: str) -> str:
        """The name of the setting whose limit a command seems to have met, by what it wrote last; "": none."""
        # Whatever the exit code: a shell goes on after the kernel has ended a program, and some programs only complain.
        cut = exit_code in (-FILE_SIGNAL, 128 + FILE_SIGNAL) or re.search(SIGNS["COMMAND_FILE_MB"], errors)
        if self.file_bytes and cut:
            return "COMMAND_FILE_MB"
        if exit_code == 0:
            return ""
        values = (self.file_bytes, self.address_space_bytes, self.open_files, self.processes)
        for (name, sign), value in zip(SIGNS.items(), values, strict=True):
            if value and re.search(sign, errors):
                return name
        return ""


def out_of_memory_kills() -> int:
    """How many processes the kernel has ended so far because memory ran out: in this container, or on the machine."""
    for place in ("/sys/fs/cgroup/memory.events", "/proc/vmstat"):
        with suppress(OSError, ValueError, StopIteration):
            text = Path(place).read_text()
            return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("oom_kill "))
    return 0
