"""The machine that is measured on: programs, free ports, versions. Must not know any benchmark."""

import os
import platform
import random
import resource
import shutil
import socket
from collections.abc import Sequence
from importlib import metadata

import psutil
from trawl_local import tools

from benchmarks.errors import BenchmarkError

HOST = "127.0.0.1"
# Apart from the one-machine stack's private ports and from those that the kernel gives to outgoing connections.
_PORTS = range(12_000, 20_000)
_handed_out: set[int] = set()


def free_port() -> int:
    """A loopback port that nobody listens on, and that this process has not been given before."""
    for port in random.sample(_PORTS, len(_PORTS)):
        if port in _handed_out:
            continue
        with socket.socket() as probe:
            if probe.connect_ex((HOST, port)) == 0:
                continue
        _handed_out.add(port)
        return port
    raise BenchmarkError(f"No port between {_PORTS.start} and {_PORTS.stop} is free.")


def find_program(name: str, package: str) -> str:
    """Path of a program. Raises `BenchmarkError` with the line that installs it."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:{tools.EXTRA_PATH}")
    if found is None:
        raise BenchmarkError(f"{name} was not found: sudo apt-get install {package}")
    return found


def allow_many_files() -> None:
    """Let this process and what it starts have as many connections as the system allows."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def plain_environment() -> dict[str, str]:
    """This process's environment without anything that would steer Trawl or a peer."""
    kept = {"HOME", "LANG", "LC_ALL", "PATH", "TMPDIR", "TZ", "SSL_CERT_FILE", "USER"}
    return {name: value for name, value in os.environ.items() if name in kept}


def describe(packages: Sequence[str] = ()) -> dict[str, object]:
    """What a reader needs to place the figures; nothing that names the machine."""
    return {
        "cores": psutil.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "architecture": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in packages},
    }
