"""`trawl up` as its user meets it: real stores, stand-in services, real signals."""

import json
import os
import signal
import socket
import stat
import subprocess
import urllib.request
import uuid
from pathlib import Path

import pytest
from local_support import PYTHON, alive, marked, read_until, trawl_up, wait_for, write_services
from trawl_local.home import Home
from trawl_local.ports import private_ports

READY = "trawl is ready"


@pytest.fixture
def mark() -> str:
    """Marks every process that a test starts."""
    return uuid.uuid4().hex


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stand-ins of the four services."""
    folder = tmp_path_factory.mktemp("services")
    write_services(folder)
    return folder


@pytest.fixture
def home(tmp_path: Path, mark: str) -> Path:
    """A TRAWL_HOME with a space and a quote in its name."""
    return tmp_path / f'my "home {mark}'


def state_of(home: Path) -> dict:
    return json.loads((home / "run" / "stack.json").read_text())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_everything_and_leaves_no_process(
    home: Path, services: Path, mark: str, number: signal.Signals
) -> None:
    with trawl_up(home, services, mark) as up:
        said = read_until(up, READY)
        assert len(marked(mark)) >= 10  # guardian, worker, three stores, four services, a grandchild
        assert said.count(READY) == 1
        assert sum("http://127.0.0.1:" in line for line in said) == 5
        up.send_signal(number)
        assert up.wait(60) == 0
        wait_for(lambda: marked(mark) == [], "nothing is left")
        assert not (home / "run" / "stack.json").exists()
        assert "Traceback" not in up.stderr.read()


def test_an_interrupt_stops_it_also_where_a_script_put_it_into_the_background(
    home: Path, services: Path, mark: str
) -> None:
    ignoring = ("sh", "-c", 'trap "" INT; exec "$@"', "sh")
    with trawl_up(home, services, mark, before=ignoring) as up:
        read_until(up, READY)
        up.send_signal(signal.SIGINT)
        assert up.wait(60) == 0
        wait_for(lambda: marked(mark) == [], "nothing is left")


@pytest.mark.parametrize("victim", ["guardian_pid", "pid"])
def test_kill_9_of_either_half_of_the_supervisor_leaves_no_process_and_a_usable_home(
    home: Path, services: Path, mark: str, victim: str
) -> None:
    with trawl_up(home, services, mark) as up:
        read_until(up, READY)
        os.kill(state_of(home)[victim], signal.SIGKILL)
        up.wait(60)
        wait_for(lambda: marked(mark) == [], "everything is gone")
    with trawl_up(home, services, mark) as again:
        read_until(again, READY)
        again.terminate()
        assert again.wait(60) == 0


def test_killing_both_halves_at_once_leaves_no_program(home: Path, services: Path, mark: str) -> None:
    with trawl_up(home, services, mark) as up:
        read_until(up, READY)
        state = state_of(home)
        programs = [pid for pid in marked(mark) if Path(f"/proc/{pid}/comm").read_text().strip() != "sleep"]
        os.kill(state["guardian_pid"], signal.SIGSTOP)
        os.kill(state["pid"], signal.SIGKILL)
        os.kill(state["guardian_pid"], signal.SIGKILL)
        wait_for(lambda: not any(alive(pid) for pid in programs), "the kernel has ended the programs")


def test_stores_and_services_that_die_come_back_with_their_data(home: Path, services: Path, mark: str) -> None:
    with trawl_up(home, services, mark) as up:
        read_until(up, READY)
        port = state_of(home)["ports"]["private"]["redis"]
        assert redis(port, "SET kept 1") == b"+OK"
        assert redis(port, "WAITAOF 1 0 1000")[:1] in b"*-:"
        for name in (b"redis-server", b"nats-server", b"mongo_standin", b"scheduler"):
            before = pids_of(mark, name)
            for pid in before:
                os.kill(pid, signal.SIGKILL)
            wait_for(lambda name=name, before=before: set(pids_of(mark, name)) - set(before), f"{name!r} is back")
        wait_for(lambda: redis(port, "GET kept")[:2] == b"$1", "redis has its data")
        wait_for(lambda: status(home, services).returncode == 0, "all of it answers again")
        up.terminate()
        assert up.wait(60) == 0


def pids_of(mark: str, name: bytes) -> list[int]:
    """Marked processes whose command line holds `name`."""
    return [pid for pid in marked(mark) if name in command_line(pid)]


def command_line(pid: int) -> bytes:
    """Empty when the process has just ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def redis(port: int, command: str) -> bytes:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(command.encode() + b"\r\n")
            return connection.recv(1000).rstrip()
    except OSError:
        return b""


def status(home: Path, services: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PYTHON, "-m", "trawl_local.cli", "status"],
        env=os.environ | {"TRAWL_HOME": str(home), "PYTHONPATH": str(services)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_second_start_on_the_same_home_is_one_sentence_and_harms_nothing(
    home: Path, services: Path, mark: str
) -> None:
    with trawl_up(home, services, mark) as up:
        read_until(up, READY)
        with trawl_up(home, services, uuid.uuid4().hex) as second:
            out, err = second.communicate(timeout=60)
        assert second.returncode == 1
        assert out == ""
        assert err.count("\n") == 1
        assert f"already running on {home} (process " in err
        assert status(home, services).returncode == 0
        up.terminate()
        up.wait(60)
    stopped = status(home, services)
    assert (stopped.returncode, stopped.stdout) == (1, f"trawl is not running on {home}\n")


def test_a_taken_port_is_one_sentence(home: Path, services: Path, mark: str) -> None:
    with socket.create_server(("127.0.0.1", private_ports(1)[0])) as taken:
        port = taken.getsockname()[1]
        with trawl_up(home, services, mark, PORT_XGET=str(port)) as up:
            out, err = up.communicate(timeout=60)
    assert up.returncode == 1
    assert out == ""
    remedy = "stop what listens there, or set PORT_XGET to another port (0 = off)"
    assert err == f"trawl: Port {port} (XGet API) is taken: {remedy}.\n"
    wait_for(lambda: marked(mark) == [], "nothing is left")


def test_the_generated_key_is_shown_once_kept_privately_and_survives(home: Path, services: Path, mark: str) -> None:
    said = []
    for _ in range(2):
        with trawl_up(home, services, mark) as up:
            said.append("\n".join(read_until(up, READY)))
            up.terminate()
            up.wait(60)
        key = Home(home).read_key()
    assert key is not None
    assert len(key) > 30
    assert [key in text for text in said] == [True, False]
    assert stat.S_IMODE((home / "api-key").stat().st_mode) == 0o600
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


def test_a_given_key_reaches_the_gateway_alone_and_is_not_stored(home: Path, services: Path, mark: str) -> None:
    with trawl_up(home, services, mark, TRAWL_API_KEY="given-key") as up:
        read_until(up, READY)
        knowing = [
            pid
            for name in (b"gateway", b"scheduler", b"scraper", b"worker_registry", b"redis-server", b"mongo_standin")
            for pid in pids_of(mark, name)
            if b"TRAWL_API_KEY=given-key" in Path(f"/proc/{pid}/environ").read_bytes()
        ]
        assert knowing == pids_of(mark, b"gateway")
        assert not (home / "api-key").exists()
        up.terminate()
        up.wait(60)


def test_a_stop_while_it_starts_is_clean(home: Path, services: Path, mark: str) -> None:
    with trawl_up(home, services, mark) as up:
        wait_for(lambda: pids_of(mark, b"nats-server"), "it has begun to start")
        up.send_signal(signal.SIGINT)
        assert up.wait(60) == 0
        wait_for(lambda: marked(mark) == [], "nothing is left")
        assert "Traceback" not in up.stderr.read()


def test_nothing_listens_beyond_loopback(home: Path, services: Path, mark: str) -> None:
    with trawl_up(home, services, mark) as up:
        read_until(up, READY)
        state = state_of(home)
        for port in (*state["ports"]["private"].values(), *state["ports"]["public"].values()):
            assert listeners(port) == {"0100007F"}
        url = f"http://127.0.0.1:{state['ports']['public']['PORT_SCHEDULER']}/readyz"
        assert urllib.request.urlopen(url, timeout=5).status == 200
        up.terminate()
        up.wait(60)


def listeners(port: int) -> set[str]:
    """Addresses (as the kernel writes them) on which something listens on `port`."""
    rows = [line.split() for kind in ("tcp", "tcp6") for line in Path(f"/proc/net/{kind}").read_text().splitlines()[1:]]
    return {row[1].split(":")[0] for row in rows if row[3] == "0A" and int(row[1].split(":")[1], 16) == port}
