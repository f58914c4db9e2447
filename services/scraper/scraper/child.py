"""Runs one command and outlives everything that it starts. Owns: limits, and the end of every descendant.

Started as `python -I -S child.py PARENT_PID LIMITS PROGRAM [ARGUMENT...]` in a session of its own, where LIMITS is
`nofile=1024,core=0`. It must import next to nothing, and nothing of the project: its start is on the way of every
command (pathlib alone would double it).

It is the subreaper of the command, so that a descendant which left group and session still has it as an ancestor.
SIGTERM is passed on to the command's group. When the command ends, or the scraper dies however suddenly, every
descendant that is left is killed before this process ends. It ends as the command did: same exit code, same signal.
"""

import contextlib
import ctypes
import os
import resource
import signal
import sys
import time

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
WATCHED = (signal.SIGCHLD, signal.SIGTERM, signal.SIGUSR1)
SWEEP_SECONDS = 10
NOT_FOUND, NOT_EXECUTABLE = 127, 126


def main() -> None:
    """Run it, and end as it ended."""
    parent, limits, program, *arguments = sys.argv[1:]
    libc = ctypes.CDLL(None, use_errno=True)
    signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGUSR1), 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if os.getppid() != int(parent):
        sys.exit(1)  # The scraper died before its death could be watched for.
    command = os.fork()
    if command == 0:
        start_command(libc, limits, program, arguments)
    drop_output()
    status = watch(command)
    sweep(command)
    end_like(status)


def start_command(libc: ctypes.CDLL, limits: str, program: str, arguments: list[str]) -> None:
    """Become the command; never returns."""
    try:
        os.setsid()
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


def drop_output() -> None:
    """Let go of the pipes, so that they end with the command."""
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    os.close(null)


def watch(command: int) -> int:
    """The wait status of the command; a dead scraper counts as SIGKILL."""
    while True:
        received = signal.sigwait(WATCHED)
        if received == signal.SIGUSR1:
            return int(signal.SIGKILL)
        if received == signal.SIGTERM:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(command, signal.SIGTERM)
        status = reap(command)
        if status is not None:
            return status


def reap(command: int) -> int | None:
    """Collect whatever has ended; the command's wait status if that was among it."""
    found = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        if pid == command:
            found = status


def sweep(command: int) -> None:
    """Kill every descendant, again and again until there is none."""
    end = time.monotonic() + SWEEP_SECONDS
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(command, signal.SIGKILL)
    while time.monotonic() < end:
        reap(command)
        left = descendants(os.getpid())
        if not left:
            return
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.002)


def descendants(root: int) -> list[int]:
    """Every process below `root`, zombies included, by /proc."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208  # a Path for each process costs more than the rest
        if name.isdecimal():
            with contextlib.suppress(OSError, ValueError, IndexError):
                with open(f"/proc/{name}/stat", "rb", buffering=0) as file:  # noqa: PTH123  # same
                    text = file.read()
                children.setdefault(int(text.rpartition(b")")[2].split()[1]), []).append(int(name))
    found: list[int] = []
    waiting = [root]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
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
