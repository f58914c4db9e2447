"""Runs one command and outlives everything that it starts. Owns: limits, the stop, and the end of every descendant.

Started as `python -I -S subreaper.py PARENT_PID LIMITS HIDDEN PROGRAM [ARGUMENT...]` in a session of its own, where
LIMITS is `nofile=1024,core=0`, and HIDDEN are paths with a colon between. It must import next to nothing, and nothing
of the project: its start is on the way of every command (pathlib alone would double it).

It is the subreaper of the command, so that a descendant which left group and session still has it as an ancestor.
SIGTERM goes to all that lives then, wherever it went, and all of it is waited for: whoever does the work below a shell
has the same time to tidy up as the shell. SIGUSR1 kills what is left, and so does the parent's death, however sudden.
Without a SIGTERM the command's own end is the end: what is left then is killed. It ends as the command did: same exit
code, same signal.
"""

import contextlib
import ctypes
import os
import resource
import signal
import sys
import time
from collections.abc import Callable

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
PR_CAPBSET_DROP = 24
CLONE_NEWNS = 0x20000
MS_RDONLY, MS_BIND, MS_REC, MS_SLAVE = 1, 4096, 16384, 1 << 19
# Capabilities by which root sees what is hidden from it: DAC_READ_SEARCH, SYS_MODULE, SYS_RAWIO, SYS_PTRACE, SYS_ADMIN,
# MKNOD, PERFMON, BPF. What a program may do with files, users and the network stays as it was.
LOOKING = (2, 16, 17, 19, 21, 27, 38, 39)
WATCHED = (signal.SIGCHLD, signal.SIGTERM, signal.SIGUSR1)
SWEEP_SECONDS = 10
NOT_FOUND, NOT_EXECUTABLE = 127, 126


def main() -> None:
    """Run it, and end as it ended."""
    parent, limits, hidden, program, *arguments = sys.argv[1:]
    libc = ctypes.CDLL(None, use_errno=True)
    signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGUSR1), 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if os.getppid() != int(parent):
        sys.exit(1)  # The parent died before its death could be watched for.
    command = os.fork()
    if command == 0:
        start_command(libc, limits, hidden, program, arguments)
    drop_files()
    status = watch(command)
    sweep(command)
    end_like(status)


def start_command(libc: ctypes.CDLL, limits: str, hidden: str, program: str, arguments: list[str]) -> None:
    """Become the command; never returns."""
    try:
        os.setsid()
        if hidden and os.geteuid() == 0:
            hide(libc, hidden.split(":"))
        libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        # Python itself ignores these two, and an ignored signal stays ignored in the command.
        for ignored in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(ignored, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, WATCHED)
        set_limits(limits)
        os.execvp(program, [program, *arguments])  # noqa: S606  # running a command is what this is for
    except FileNotFoundError:
        os.write(2, f"{program}: no such command\n".encode())
        os._exit(NOT_FOUND)
    except OSError as error:
        os.write(2, f"{program}: can't be run: {error.strerror}\n".encode())
        os._exit(NOT_EXECUTABLE)


def hide(libc: ctypes.CDLL, paths: list[str]) -> None:
    """As root: give the command a view of the files of its own, in which these are empty, and keep it from looking
    round it: into other processes, and at the disk. Where the kernel refuses, the paths stay in sight.
    """
    if libc.unshare(CLONE_NEWNS) == 0:
        libc.mount(None, b"/", None, MS_REC | MS_SLAVE, None)
        for path in paths:
            if os.path.isdir(path):  # noqa: PTH112  # a Path costs more than the rest
                libc.mount(b"none", os.fsencode(path), b"tmpfs", MS_RDONLY, b"size=4k,mode=0")
            else:
                libc.mount(b"/dev/null", os.fsencode(path), None, MS_BIND, None)
    for capability in LOOKING:
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


def set_limits(limits: str) -> None:
    """Lower each named limit, never above what is allowed already."""
    for pair in limits.split(","):
        name, _, text = pair.partition("=")
        if not text:
            continue
        kind = getattr(resource, f"RLIMIT_{name.upper()}")
        hard = resource.getrlimit(kind)[1]
        value = int(text) if hard == resource.RLIM_INFINITY else min(int(text), hard)
        resource.setrlimit(kind, (value, value))


def drop_files() -> None:
    """Let go of the pipes and whatever else the command was given, so that they end with it."""
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208  # a Path for each costs more than the rest
        if int(name) > 2:
            with contextlib.suppress(OSError):  # the listing's own is closed by now
                os.close(int(name))


def watch(command: int) -> int:
    """The wait status of the command. It may have had its end before: when there was a SIGTERM, the rest is waited for.

    A kill order and a dead parent end the wait; a command that still lived then counts as killed.
    """
    status, asked = None, False
    while True:
        received = signal.sigwait(WATCHED)
        if received == signal.SIGUSR1:
            return int(signal.SIGKILL) if status is None else status
        if received == signal.SIGTERM and not asked:
            # Only once: to many programs a second one means that there is no time.
            asked = True
            ask_to_end()
        ended, left = reap(command)
        status = ended if ended is not None else status
        if status is not None and not (asked and left):
            return status


def ask_to_end() -> None:
    """SIGTERM to every descendant."""
    signal_all(tree(os.getpid()), signal.SIGTERM)


def signal_all(places: "dict[int, Place]", number: int) -> None:
    """A signal to each, by groups: what a member of a group is just starting gets it too."""
    own = os.getpgrp()
    for pid, place in places.items():
        if place.group == own:
            # Not yet the leader of a group of its own.
            send(os.kill, pid, number)
    for group in {place.group for place in places.values()} - {own}:
        send(os.killpg, group, number)


def send(how: Callable[[int, int], None], pid: int, number: int) -> None:
    """Send a signal to whoever is still there."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        how(pid, number)


def reap(command: int) -> tuple[int | None, bool]:
    """Collect whatever has ended: (the command's wait status if that was among it, whether anything lives still)."""
    found = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found, False
        if pid == 0:
            return found, True
        if pid == command:
            found = status


def sweep(command: int) -> None:
    """Kill every descendant, again and again until there is none."""
    end = time.monotonic() + SWEEP_SECONDS
    while time.monotonic() < end:
        reap(command)
        left = tree(os.getpid())
        if not left:
            return
        signal_all(left, signal.SIGKILL)
        time.sleep(0.002)


class Place:
    """Where a process stands. `started`: in clock ticks since boot."""

    # No dataclass and no named tuple: their modules would double the start.
    __slots__ = ("group", "parent", "session", "started", "zombie")

    def __init__(self, parent: int, group: int, session: int, started: int, zombie: bool) -> None:
        self.parent, self.group, self.session, self.started, self.zombie = parent, group, session, started, zombie


def place_of(pid: int | str) -> Place | None:
    """By /proc; None when there is no such process (any more)."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:  # noqa: PTH123  # a Path costs more than the rest
            fields = file.read().rpartition(b")")[2].split()
        return Place(int(fields[1]), int(fields[2]), int(fields[3]), int(fields[19]), fields[0] in (b"Z", b"X"))
    except (OSError, ValueError, IndexError):
        return None


def tree(root: int) -> dict[int, Place]:
    """Every process below `root`, zombies included, by /proc."""
    children: dict[int, list[tuple[int, Place]]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208  # see above
        if name.isdecimal() and (place := place_of(name)) is not None:
            children.setdefault(place.parent, []).append((int(name), place))
    found: dict[int, Place] = {}
    waiting = [root]
    while waiting:
        for pid, place in children.get(waiting.pop(), ()):
            found[pid] = place
            waiting.append(pid)
    return found


def end_like(status: int) -> None:
    """End with the command's exit code, or by its signal."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, (number,))
        os.kill(os.getpid(), number)
    os._exit(os.WEXITSTATUS(status))


if __name__ == "__main__":
    main()
