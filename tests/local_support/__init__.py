"""Helpers of the one-machine stack's tests: waiting by condition, looking at processes, tiny programs."""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from trawl_local.ports import private_ports
from trawl_local.readiness import Probe, always
from trawl_local.supervise import Program

PYTHON = sys.executable


def wait_for(condition: Callable[[], object], what: str, seconds: float = 40.0) -> None:
    """Return when the condition holds; fail the test when it doesn't in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s in vain: {what}")
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether the process runs (a zombie doesn't)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def marked(mark: str) -> list[int]:
    """Whoever was started by the test, however far down: the mark is in the environment, or in the working folder.

    (Redis writes its title over its environment.)
    """
    wanted = f"TEST_MARK={mark}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                in_environment = wanted in (entry / "environ").read_bytes().split(b"\0")
                if (in_environment or mark in str((entry / "cwd").readlink())) and alive(int(entry.name)):
                    found.append(int(entry.name))
    return found


def sleeper(name: str, folder: Path, script: str = "", ready: Probe = always, **options: object) -> Program:
    """A program that runs `script` and then sleeps for ever."""
    body = f"{textwrap.dedent(script)}\nimport signal\nwhile True: signal.pause()"
    return Program(name, (PYTHON, "-c", body), dict(os.environ), folder, ready, **options)  # type: ignore[arg-type]


_SERVICE = """
import os, signal, socketserver, sys, json, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Page(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "2"); self.end_headers(); self.wfile.write(b"ok")
    def log_message(self, *_): pass

name = __package__
ports = [int(os.environ["GRPC_PORT"])] if "GRPC_PORT" in os.environ else [
    int(v) for k, v in os.environ.items() if k.startswith("PORT_") and int(v)]
servers = [ThreadingHTTPServer(("127.0.0.1", port), Page) for port in ports]
for server in servers:
    threading.Thread(target=server.serve_forever, daemon=True).start()
print(json.dumps({"timestamp": "2026-01-01T00:00:00Z", "level": "info", "event": "started", "service": name,
                  "ports": ports}), flush=True)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
if name == "scraper":
    # Like a browser: a grandchild in a process group of its own.
    import subprocess
    subprocess.Popen(["sleep", "1000"], start_new_session=True)
while True: signal.pause()
"""


def write_services(folder: Path) -> None:
    """Packages that stand in for the four services, for a PYTHONPATH."""
    for name in ("gateway", "scheduler", "scraper", "worker_registry"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / "__init__.py").write_text("")
        (folder / name / "__main__.py").write_text(_SERVICE)


@contextlib.contextmanager
def trawl_up(
    home: Path, services: Path, mark: str, *, before: tuple[str, ...] = (), **environment: str
) -> Iterator[subprocess.Popen[str]]:
    """`trawl up` as its user starts it, with stand-in services; whatever is left afterwards is killed."""
    variables = ("PORT_SCHEDULER", "PORT_SMARTRPA", "PORT_MANAGEMENT", "PORT_XGET", "PORT_PIPELINE")
    public = {name: str(port) for name, port in zip(variables, private_ports(5), strict=True)}
    inherited = {name: value for name, value in os.environ.items() if name not in {"TRAWL_API_KEY", "MONGODB_URI"}}
    process = subprocess.Popen(
        [*before, PYTHON, "-m", "trawl_local.cli", "up"],
        env=inherited
        | public
        | {"TRAWL_HOME": str(home), "PYTHONPATH": str(services), "TEST_MARK": mark}
        | environment,
        cwd=home.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
        for pid in marked(mark):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def read_until(process: subprocess.Popen[str], line: str) -> list[str]:
    """Lines of standard output up to and with `line`; fails when the process ends first."""
    seen = []
    assert process.stdout is not None
    for text in process.stdout:
        seen.append(text.rstrip("\n"))
        if seen[-1] == line:
            return seen
    raise AssertionError(f"ended without {line!r}: {seen} {process.stderr.read() if process.stderr else ''}")
