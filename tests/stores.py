"""Real servers for tests. Owns: starting them on free ports in directories of their own, killing and restarting them.
Must not know any service.

Everything starts in a process group of its own and is ended by that group's id. A program that can't be found is an
error, never a reason to skip.
"""

import contextlib
import fcntl
import functools
import itertools
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

# What the `settings_env` fixture is: keyword arguments are added to the environment that it gives.
SettingsEnv = Callable[..., dict[str, str]]

T = TypeVar("T")

READY_SECONDS = 90.0
STOP_SECONDS = 30.0
# Below those that the kernel gives to outgoing connections: one of these may get a port between its choice and its use.
# Apart from the one-machine stack's private ports. Each comes again only after all others.
_PORTS = itertools.cycle(random.sample(range(10_000, 20_000), 10_000))


@functools.cache
def _claims() -> int:
    """A file with a byte for each port. Its locks end with the process that holds them, however it ends."""
    path = Path(tempfile.gettempdir()) / f"trawl-test-ports-{os.getuid()}"
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _claim(port: int) -> bool:
    """Keep the port from all other processes of tests until this one ends; False when one of them has it."""
    try:
        fcntl.lockf(_claims(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    return True


def free_port() -> int:
    """A loopback port that nobody listens on, that no connection takes before its user does, and no other test run."""
    return next(port for port in _PORTS if _claim(port) and not listens(port))


def find_program(name: str) -> str:
    """Path of a program; also looks where plain users don't, and beside this interpreter."""
    places = os.pathsep.join(
        [str(Path(sys.executable).parent), os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]
    )
    found = shutil.which(name, path=places)
    if found is None:
        raise RuntimeError(f"{name} is needed for the tests and was not found: install it")
    return found


def listens(port: int) -> bool:
    """Whether a connection to that port of the loopback address succeeds."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@dataclass
class Program:
    """A program that listens on `port` of the loopback address. Its output goes to `<directory>/<name>.log`."""

    name: str
    command: Sequence[str]
    port: int
    directory: Path
    # Added to this process's environment.
    environment: Mapping[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = field(default=None, init=False)

    @property
    def log(self) -> Path:
        """Standard output and error of all its lives."""
        return self.directory / f"{self.name}.log"

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        return self.process is not None and self.process.poll() is None

    def start(self, *, wait: bool = True) -> None:
        """Start it, and wait until it listens. Raises RuntimeError with its output when it ends before.

        AssertionError when something else listens on its port.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        # Somebody else there would be taken for it, and tests would wait in vain for what it never does.
        wait_until(lambda: not listens(self.port), STOP_SECONDS)
        environment = {**os.environ, **self.environment}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                # Tests that are killed leave nothing running.
                ["setpriv", "--pdeathsig", "KILL", "--", *self.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                env=environment,
                start_new_session=True,
            )
        if wait:
            self.wait_ready()

    def wait_ready(self) -> None:
        """Return when it can be used."""
        deadline = time.monotonic() + READY_SECONDS
        while not self.answers():
            if not self.running or time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} did not start:\n{self.log.read_text(errors='replace')[-4000:]}")
            time.sleep(0.005)

    def answers(self) -> bool:
        """Whether it can be used."""
        return listens(self.port)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send the signal to its whole group and wait for its end."""
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(STOP_SECONDS)
        self.process = None

    def stop(self) -> None:
        """End it the polite way."""
        self.kill(signal.SIGTERM)

    def pause(self) -> None:
        """Freeze it; `resume` lets it go on."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGCONT)


@dataclass
class Store(Program):
    """A store with data that can be wiped. `url` is what clients connect to."""

    url: str = ""

    @property
    def data(self) -> Path:
        """Where its data is."""
        return self.directory / "data"

    def wipe(self) -> None:
        """End it at once, lose everything, start it again on the same port."""
        self.kill()
        shutil.rmtree(self.data, ignore_errors=True)
        self.start()

    def start(self, *, wait: bool = True) -> None:
        """As `Program.start`, with a directory for its data."""
        self.data.mkdir(parents=True, exist_ok=True)
        super().start(wait=wait)


@dataclass
class RedisStore(Store):
    """A Redis server. It listens before it has read what it kept, and refuses everything until then."""

    def answers(self) -> bool:
        """Whether it says so itself."""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=0.5) as probe:
            probe.sendall(b"PING\r\n")
            return probe.recv(100).startswith(b"+PONG")
        return False


def nats_server(directory: Path) -> Store:
    """A NATS server with JetStream, not started yet."""
    port = free_port()
    config = directory / "nats.conf"
    directory.mkdir(parents=True, exist_ok=True)
    config.write_text(
        f'listen: "127.0.0.1:{port}"\nmax_payload: 8MB\njetstream {{ store_dir: "{directory / "data"}" }}\n', "utf-8"
    )
    command = [find_program("nats-server"), "-c", str(config)]
    return Store("nats-server", command, port, directory, url=f"nats://127.0.0.1:{port}")


def redis_server(directory: Path) -> Store:
    """A Redis server that keeps an append-only file and never evicts, not started yet."""
    port = free_port()
    options = {
        "port": port, "bind": "127.0.0.1", "dir": str(directory / "data"), "appendonly": "yes",
        "appendfsync": "everysec", "save": "", "maxmemory-policy": "noeviction", "daemonize": "no",
    }  # fmt: skip
    command = [
        find_program("redis-server"),
        *(part for key, value in options.items() for part in (f"--{key}", str(value))),
    ]
    return RedisStore("redis-server", command, port, directory, url=f"redis://127.0.0.1:{port}/0")


def mongodb_stand_in(directory: Path) -> Store:
    """The embedded server that speaks MongoDB's wire protocol, as the one-machine stack runs it, not started yet."""
    port = free_port()
    data = ["--data-dir", str(directory / "data"), "--port", str(port)]
    command = [sys.executable, "-P", "-m", "trawl_local.mongo_standin", *data]
    return Store("mongodb", command, port, directory, url=f"mongodb://127.0.0.1:{port}/?directConnection=true")


def service(
    module: str, directory: Path, environment: Mapping[str, str], port: int, *, clock_ahead: float = 0
) -> Program:
    """One of our services as a process (`python -m <module>`) that listens on `port`, not started yet; its machine's
    clock is so many seconds ahead.
    """
    how = [str(Path(__file__).with_name("shifted.py")), str(clock_ahead)] if clock_ahead else ["-m"]
    kind = Prepared if module in ("scheduler", "scraper") else Program
    return kind(f"{module}-{port}", [sys.executable, *how, module], port, directory, environment)


class Prepared(Program):
    """A service that listens long before it can be used, and says when through gRPC's health service."""

    def answers(self) -> bool:
        """Whether work may be sent to it."""
        if not listens(self.port):
            return False
        with grpc.insecure_channel(f"127.0.0.1:{self.port}") as channel:
            try:
                answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
            except grpc.RpcError:
                return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def wait_until(condition: Callable[[], T], seconds: float = 40.0) -> T:
    """What `condition()` gives once it holds; AssertionError when it still doesn't after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not so after {seconds} s"
        time.sleep(0.02)
    return found
