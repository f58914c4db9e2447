"""The supervisor: order, readiness, restarts with backoff, the stop."""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from local_support import PYTHON, alive, sleeper
from trawl_local.errors import Refusal
from trawl_local.ports import private_ports
from trawl_local.readiness import tcp
from trawl_local.supervise import Patience, Program, Supervisor

QUICK = Patience(first_delay=0.05, longest_delay=0.2, start=60, stop=1)


@pytest.fixture
def free_port() -> int:
    """A port that nothing listens on."""
    return private_ports(1)[0]


class Recorder:
    """What the supervisor told."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []
        self.events: list[tuple[str, str, str]] = []

    def line(self, program: str, text: str) -> None:
        self.lines.append((program, text))

    def event(self, program: str, level: str, text: str) -> None:
        self.events.append((program, level, text))


def supervise(recorder: Recorder, *programs: Program, patience: Patience = QUICK) -> Supervisor:
    return Supervisor(programs, on_line=recorder.line, on_event=recorder.event, patience=patience)


async def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.01)


async def test_a_program_that_runs_and_does_not_work_is_killed_and_started_again(tmp_path: Path) -> None:
    recorder, stuck = Recorder(), asyncio.Event()

    async def well() -> bool:
        return not stuck.is_set()

    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    supervisor = supervise(
        recorder, sleeper("one", tmp_path, deaf, well=well), patience=replace(QUICK, between_looks=0.01)
    )
    try:
        await supervisor.start()
        first = supervisor.pids["one"]
        stuck.set()
        await until(lambda: not alive(first), "its end")
        stuck.clear()
        await until(lambda: supervisor.pids.get("one", first) != first, "a new process")
        assert ("one", "error", "runs and does not work: it is killed") in recorder.events
    finally:
        await supervisor.stop()


async def test_a_killed_program_is_started_again_under_a_new_process(tmp_path: Path) -> None:
    recorder = Recorder()
    supervisor = supervise(recorder, sleeper("one", tmp_path), sleeper("two", tmp_path))
    try:
        await supervisor.start()
        first, other = supervisor.pids["one"], supervisor.pids["two"]
        os.kill(first, signal.SIGKILL)
        await until(lambda: supervisor.pids.get("one", first) != first, "a new process")
        assert supervisor.pids["two"] == other
        assert ("one", "error", "ended with signal SIGKILL") in recorder.events
    finally:
        await supervisor.stop()


async def test_the_delay_between_restarts_doubles_up_to_its_limit(tmp_path: Path) -> None:
    recorder = Recorder()
    flag = tmp_path / "ran"
    dies = sleeper("dies", tmp_path, f"import pathlib, sys\nif pathlib.Path({str(flag)!r}).exists(): sys.exit(3)")
    supervisor = supervise(recorder, dies)
    try:
        await supervisor.start()
        flag.touch()
        os.kill(supervisor.pids["dies"], signal.SIGKILL)
        await until(lambda: supervisor.starts["dies"] >= 6, "five restarts")
        delays = [text.split()[3] for _, _, text in recorder.events if text.startswith("starting again")]
        assert delays[:5] == ["0.1", "0.1", "0.2", "0.2", "0.2"]
        assert ("dies", "error", "ended with exit code 3") in recorder.events
    finally:
        await supervisor.stop()


async def test_a_healthy_time_resets_the_delay(tmp_path: Path) -> None:
    recorder = Recorder()
    patience = Patience(first_delay=0.1, longest_delay=5, healthy_after=0, start=60, stop=1)
    supervisor = supervise(recorder, sleeper("one", tmp_path), patience=patience)
    try:
        await supervisor.start()
        for count in range(2, 5):
            await until(lambda: supervisor.pids.get("one"), "it runs")
            # Killed before it is noticed to be ready, it would count as a failure.
            await until(lambda: supervisor._kept["one"].ready_since is not None, "it is ready")
            os.kill(supervisor.pids["one"], signal.SIGKILL)
            await until(lambda count=count: supervisor.starts["one"] == count, "the restart")
        delays = {text for _, _, text in recorder.events if text.startswith("starting again")}
        assert delays == {"starting again in 0.1 s"}
    finally:
        await supervisor.stop()


async def test_a_program_starts_only_when_what_it_needs_is_ready(tmp_path: Path, free_port: int) -> None:
    recorder = Recorder()
    slow = f"""
        import socket, time
        time.sleep(0.3)
        server = socket.create_server(("127.0.0.1", {free_port}))
        print("listening", flush=True)
    """
    store = sleeper("store", tmp_path, slow, tcp(free_port))
    connect = f"import socket; socket.create_connection(('127.0.0.1', {free_port})); print('connected', flush=True)"
    service = sleeper("service", tmp_path, connect, needs=("store",))
    supervisor = supervise(recorder, service, store)
    try:
        await supervisor.start()
        await until(lambda: ("service", "connected") in recorder.lines, "the line")
        assert recorder.lines[0] == ("store", "listening")
        assert supervisor.starts == {"service": 1, "store": 1}
    finally:
        await supervisor.stop()


async def test_programs_stop_in_their_order(tmp_path: Path) -> None:
    recorder = Recorder()
    told = """
        import signal, sys
        signal.signal(signal.SIGTERM, lambda *_: (print("bye", flush=True), sys.exit(0)))
    """
    programs = [sleeper(name, tmp_path, told, stop_order=order) for order, name in enumerate("cab")]
    supervisor = supervise(recorder, *reversed(programs), patience=Patience(start=60, stop=60))
    await supervisor.start()
    try:
        # A TERM before that would end it without a word.
        await until(lambda: all(_handles_term(pid) for pid in supervisor.pids.values()), "handlers are set")
    finally:
        await supervisor.stop()
    assert [name for name, line in recorder.lines if line == "bye"] == ["c", "a", "b"]


def _handles_term(pid: int) -> bool:
    caught = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


async def test_what_ignores_term_is_killed_with_what_it_started(tmp_path: Path) -> None:
    recorder = Recorder()
    stubborn = """
        import signal, subprocess
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print(subprocess.Popen(["sleep", "1000"]).pid, flush=True)
    """
    supervisor = supervise(recorder, sleeper("stubborn", tmp_path, stubborn))
    await supervisor.start()
    await until(lambda: recorder.lines, "its child's number")
    pids = [supervisor.pids["stubborn"], int(recorder.lines[0][1])]
    assert all(alive(pid) for pid in pids)
    await supervisor.stop()
    assert ("stubborn", "warning", "did not stop in 1 s and was killed") in recorder.events
    await until(lambda: not any(alive(pid) for pid in pids), "both are gone")


async def test_a_program_that_never_gets_ready_is_given_up_with_its_last_line(tmp_path: Path) -> None:
    recorder = Recorder()
    fails = Program(
        "fails", (PYTHON, "-c", "print('no disk'); raise SystemExit(2)"), dict(os.environ), tmp_path, tcp(1)
    )
    supervisor = supervise(recorder, fails)
    with pytest.raises(Refusal, match=r"^fails ended with exit code 2; it last said: no disk$"):
        await supervisor.start()
    await supervisor.stop()
    assert supervisor.starts == {"fails": QUICK.start_attempts}


async def test_a_program_that_hangs_at_start_is_named(tmp_path: Path, free_port: int) -> None:
    patience = Patience(start=0.5, stop=1)
    supervisor = supervise(Recorder(), sleeper("hangs", tmp_path, ready=tcp(free_port)), patience=patience)
    with pytest.raises(Refusal, match="hangs is not ready"):
        await supervisor.start()
    pids = list(supervisor.pids.values())
    await supervisor.stop()
    assert not any(alive(pid) for pid in pids)


async def test_a_command_that_does_not_exist_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trawl_local.child.die_with_parent", list)
    supervisor = supervise(Recorder(), Program("ghost", ("/no/such/program",), {}, tmp_path))
    with pytest.raises(Refusal, match="ghost can't be started"):
        await supervisor.start()
    await supervisor.stop()


async def test_endless_lines_and_broken_text_do_not_grow_or_break_it(tmp_path: Path) -> None:
    recorder = Recorder()
    noisy = r"""
        import sys
        sys.stdout.buffer.write(b"x" * 300_000 + b"\n" + b"\xff\xfe\n" + b"last\n")
        sys.stdout.buffer.flush()
    """
    supervisor = supervise(recorder, sleeper("noisy", tmp_path, noisy))
    try:
        await supervisor.start()
        await until(lambda: ("noisy", "last") in recorder.lines, "the last line")
        assert len(recorder.lines) == 3
        assert len(recorder.lines[0][1]) <= 64 * 1024
    finally:
        await supervisor.stop()
