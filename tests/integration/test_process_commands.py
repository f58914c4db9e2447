"""Commands: their environment, output, end, and the proof that nothing of them stays alive."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from executor_kit import RecordingContext, context_of, until
from scraper.command_limits import ProcessLimits
from scraper.executor import ExecutorError, InvalidParameters
from scraper.executors.python import PythonExecutor
from scraper.executors.shell import ShellExecutor
from scraper.process_group import marked_processes, reap_leftovers
from scraper.processes import CommandRunner

# Short, so that what ignores TERM is soon killed.
GRACE_SECONDS = 0.3


@pytest.fixture
def marker() -> str:
    return f"test-{os.getpid()}-{os.urandom(4).hex()}"


@pytest.fixture
def runner(tmp_path: Path, marker: str) -> CommandRunner:
    return CommandRunner(worker_id=marker, work_dir=tmp_path / "work", grace_seconds=GRACE_SECONDS)


@pytest.fixture
def shell(runner: CommandRunner) -> ShellExecutor:
    return ShellExecutor(runner=runner)


def alive_of(marker: str) -> list[int]:
    return marked_processes(marker.encode(), prefix=True)


async def test_shell_without_arguments_is_a_line(shell: ShellExecutor) -> None:
    context = context_of(command="echo one; echo two | tr a-z A-Z")
    assert await shell.run(context) == "one\nTWO\n"
    assert context.messages("info") == ["one", "TWO"]


async def test_shell_with_arguments_runs_the_command_directly(shell: ShellExecutor) -> None:
    """No shell reads the arguments: they arrive as they are."""
    assert await shell.run(context_of(command="echo", arguments=["$HOME; id", "{{x}}"], parameters={"x": "a b"})) == (
        "$HOME; id a b\n"
    )


async def test_shell_with_an_empty_argument_list_runs_directly(shell: ShellExecutor) -> None:
    with pytest.raises(ExecutorError, match=r"exit code 127.*no such command"):
        await shell.run(context_of(command="echo one", arguments=[]))


@pytest.mark.parametrize(
    "line", ["printf %s {{x}}", 'printf %s "{{x}}"', "printf %s '{{x}}'", "printf %s \"a\"'b'{{x}} | sed s/^ab//"]
)
@pytest.mark.parametrize("value", ["$(id)", "`id`", '"; id; "', "'; id; '", "a  b *", "\\", "{{y}}", "-n é"])
async def test_shell_line_parameters_cannot_inject(shell: ShellExecutor, line: str, value: str) -> None:
    assert await shell.run(context_of(command=line, parameters={"x": value})) == value


async def test_shell_result_is_the_json_object_of_the_last_line(shell: ShellExecutor) -> None:
    assert await shell.run(context_of(command="echo hi; echo '{\"a\": [1]}'")) == {"a": [1]}
    assert await shell.run(context_of(command="echo '[1]'")) == "[1]\n"


async def test_process_environment_is_clean_and_has_the_parameters(
    shell: ShellExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_WORKER", "no")
    context = context_of(command="env", arguments=[], parameters={"a-b": 1, "flag": True, "l": [1]})
    output = await shell.run(context)
    await context.guarded[0].release()
    names = dict(line.split("=", 1) for line in output.splitlines())
    home = names["HOME"]
    assert set(names) == {"PATH", "HOME", "TMPDIR", "LANG", "TRAWL_RUN", "TASK_PARAMETERS", "PARAM_A_B", "PARAM_FLAG"}
    assert (names["PARAM_A_B"], names["PARAM_FLAG"]) == ("1", "true")
    assert names["TASK_PARAMETERS"] == '{"a-b":1,"flag":true,"l":[1]}'
    assert not Path(home).exists(), "the temporary directory is removed"


async def test_process_large_parameters_come_in_a_file(shell: ShellExecutor) -> None:
    context = context_of(command='wc -c < "$TASK_PARAMETERS_FILE"', parameters={"big": "x" * 300_000})
    assert int(await shell.run(context)) > 300_000


async def test_process_nul_in_an_argument_is_refused(shell: ShellExecutor) -> None:
    with pytest.raises(InvalidParameters):
        await shell.run(context_of(command="echo", arguments=["a\0b"]))
    with pytest.raises(InvalidParameters, match=r"parameters\.x"):
        await shell.run(context_of(command="echo", parameters={"x": "a\0b"}))


async def test_process_failure_says_exit_code_and_end_of_errors(shell: ShellExecutor) -> None:
    with pytest.raises(ExecutorError) as caught:
        await shell.run(context_of(command="echo early >&2; echo broken >&2; exit 3"))
    assert caught.value.message == "exit code 3: early\nbroken"
    assert caught.value.retryable


async def test_process_killed_by_a_signal_says_so(shell: ShellExecutor) -> None:
    with pytest.raises(ExecutorError, match=r"killed by SIGSEGV \(signal 11\)"):
        await shell.run(context_of(command="kill -SEGV $$"))
    with pytest.raises(ExecutorError, match="killed by SIGKILL"):
        await shell.run(context_of(command="kill -KILL $$"))


async def test_process_output_is_bounded_and_floods_are_noted(shell: ShellExecutor) -> None:
    context = context_of(command="seq 1 200000; head -c 100000 /dev/zero | tr '\\0' x; echo; echo end")
    result = await shell.run(context)
    assert len(result) == 64 * 1024
    assert result.endswith("x\nend\n")
    assert len(context.logs) < 5000
    assert any("lines were left out" in message for message in context.messages())
    assert max(map(len, context.messages())) < 9000


async def test_process_log_lines_come_while_it_runs(shell: ShellExecutor) -> None:
    context = context_of(command="echo first; sleep 30")
    task = asyncio.create_task(shell.run(context))
    await until(lambda: "first" in context.messages())
    assert not task.done()
    context.guarded[0].kill()
    with pytest.raises(ExecutorError):
        await task


async def test_process_limits_bind(tmp_path: Path, marker: str) -> None:
    limits = ProcessLimits(open_files=50, file_bytes=1000, address_space_bytes=2**30)
    shell = ShellExecutor(runner=CommandRunner(worker_id=marker, work_dir=tmp_path, limits=limits))
    assert await shell.run(context_of(command="ulimit -n; ulimit -c; ulimit -v")) == f"50\n0\n{2**20}\n"
    with pytest.raises(ExecutorError, match=r"SIGXFSZ|File size|too large"):
        await shell.run(context_of(command="exec head -c 5000 /dev/zero > big"))


@pytest.mark.parametrize(
    ("line", "limit"),
    [
        ("head -c 5000 /dev/zero > big; rm -f big; echo fine", "COMMAND_FILE_MB"),
        ("head -c 5000 /dev/zero > big; exit 3", "COMMAND_FILE_MB"),
        (
            f"{sys.executable} -c 'print(5000 * chr(120), file=open(chr(98), chr(119)), flush=True)'; true",
            "COMMAND_FILE_MB",
        ),
        (f"{sys.executable} -c 'bytes(2**31)'", "COMMAND_ADDRESS_SPACE_MB"),
        (f"{sys.executable} -c 'import os; [os.dup(1) for _ in range(99)]'", "COMMAND_OPEN_FILES"),
    ],
)
async def test_process_that_met_a_limit_fails_and_names_it(tmp_path: Path, marker: str, line: str, limit: str) -> None:
    """Also where the shell around it went on and succeeded: what was cut must not look whole."""
    limits = ProcessLimits(open_files=50, file_bytes=1000, address_space_bytes=2**30)
    shell = ShellExecutor(runner=CommandRunner(worker_id=marker, work_dir=tmp_path, limits=limits))
    with pytest.raises(ExecutorError, match=limit):
        await shell.run(context_of(command=line))


async def test_process_has_what_its_user_has(shell: ShellExecutor) -> None:
    """Sparse files and reserved address space are nobody's business, and only core files are off."""
    line = "ulimit -v; ulimit -f; ulimit -c; truncate -s 5G hollow; stat -c %s hollow"
    assert await shell.run(context_of(command=line)) == f"unlimited\nunlimited\n0\n{5 * 2**30}\n"


async def test_process_daemon_does_not_outlive_the_command(shell: ShellExecutor, marker: str) -> None:
    """Neither leaving the session nor emptying the environment nor holding the pipes open helps."""
    context = context_of(command="env -i setsid sleep 300 & setsid sleep 300 & (sleep 300 &) ; echo done; echo $!")
    result = await asyncio.wait_for(shell.run(context), 40)
    assert result.startswith("done")
    assert not lives(int(result.split()[1]))
    assert alive_of(marker) == []
    assert context.guarded[0].alive() is False


def lives(pid: int) -> bool:
    """A zombie doesn't: it only waits for init to take note."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


STUBBORN = {
    "ignores TERM": "trap '' TERM; echo ready; while :; do sleep 0.1; done",
    "grandchild in a session of its own": "setsid sh -c 'setsid sleep 300 & sleep 300' & echo ready; sleep 300",
    "empty environment": "env -i setsid sleep 300 & echo ready; env -i sleep 300",
    "forks all the time": "f() { while :; do (sleep 0.05; sleep 5) & sleep 0.01; done; }; f & echo ready; wait",
}


@pytest.mark.parametrize("line", STUBBORN.values(), ids=STUBBORN.keys())
async def test_process_kill_leaves_nothing(shell: ShellExecutor, marker: str, line: str) -> None:
    """What the supervisor does without the executor's help: TERM, KILL, proof."""
    context = context_of(command=line)
    task = asyncio.create_task(shell.run(context))
    await until(lambda: "ready" in context.messages())
    group = context.guarded[0]
    before = set(alive_of(marker)) | set(group._find())  # type: ignore[attr-defined]
    group.terminate()
    group.kill()
    await until(lambda: not group.alive())
    with pytest.raises(ExecutorError):
        await asyncio.wait_for(task, 40)
    assert alive_of(marker) == []
    assert [pid for pid in before if lives(pid)] == []


@pytest.mark.parametrize("line", STUBBORN.values(), ids=STUBBORN.keys())
async def test_process_cancel_waits_for_the_grace_and_the_guard_does_the_rest(
    shell: ShellExecutor, marker: str, line: str, tmp_path: Path
) -> None:
    context = context_of(command=line)
    task = asyncio.create_task(shell.run(context))
    await until(lambda: "ready" in context.messages())
    group = context.guarded[0]
    before = set(group._find())  # type: ignore[attr-defined]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 40)
    group.kill()
    await until(lambda: not group.alive())
    assert alive_of(marker) == []
    assert [pid for pid in before if lives(pid)] == []
    await group.release()
    assert list((tmp_path / "work" / "commands").glob("*/*")) == []


async def test_process_kill_counts_what_was_left(shell: ShellExecutor) -> None:
    context = context_of(command="trap '' TERM; sleep 300 & echo ready; while :; do wait; done", grace_seconds=0.1)
    task = asyncio.create_task(shell.run(context))
    await until(lambda: "ready" in context.messages())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    # The shell ignores TERM, and so does the sleep that inherited it.
    assert context.guarded[0].kill() == 2


HOST = """
import asyncio, sys
from pathlib import Path
from executor_kit import context_of
from scraper.executors.shell import ShellExecutor
from scraper.processes import CommandRunner
async def main():
    runner = CommandRunner(worker_id=sys.argv[1], work_dir=Path(sys.argv[2]))
    context = context_of(command=sys.argv[3])
    context.log = lambda level, message, **data: print(message, flush=True)
    await ShellExecutor(runner=runner).run(context)
asyncio.run(main())
"""


@pytest.mark.parametrize("line", STUBBORN.values(), ids=STUBBORN.keys())
async def test_process_everything_dies_with_a_killed_worker(marker: str, tmp_path: Path, line: str) -> None:
    """kill -9 of the worker: its commands' whole trees end without anyone's help."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    host = subprocess.Popen(
        [sys.executable, "-c", HOST, marker, str(tmp_path), line], stdout=subprocess.PIPE, env=environment
    )
    assert host.stdout is not None
    with host, host.stdout:
        assert await asyncio.to_thread(host.stdout.readline) == b"ready\n"
        assert alive_of(marker)
        host.send_signal(signal.SIGKILL)
    await until(lambda: alive_of(marker) == [], seconds=40)


async def test_process_leftovers_are_reaped_by_marker(marker: str) -> None:
    """What survived the wrapper too is found at the next start, and other workers' processes are left alone."""
    mine = subprocess.Popen(["setsid", "sleep", "300"], env={"TRAWL_RUN": f"{marker}:1:1", "PATH": os.environ["PATH"]})
    other = subprocess.Popen(["sleep", "300"], env={"TRAWL_RUN": f"{marker}x:1:1", "PATH": os.environ["PATH"]})
    try:
        await until(lambda: alive_of(marker) != [])
        assert await asyncio.to_thread(reap_leftovers, marker) == 1
        assert mine.wait(2) == -signal.SIGKILL
        assert other.poll() is None
        assert reap_leftovers(marker) == 0
    finally:
        for process in (mine, other):
            process.kill()
            process.wait()


def test_process_markers_of_workers_with_the_same_id_differ_by_their_place(tmp_path: Path) -> None:
    """Or else the start of one installation would reap what another runs."""
    places = (tmp_path / "one", tmp_path / "other", tmp_path / "x" / ".." / "one")
    one, other, again = (CommandRunner(worker_id="w", work_dir=place).marker for place in places)
    assert one == again != other


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    folder = tmp_path / "scripts"
    folder.mkdir()
    (folder / "hello.py").write_text(
        textwrap.dedent(
            """
            import json, os, sys
            print("args", sys.argv[1:], flush=True)
            print(json.dumps({"parameters": json.loads(os.environ["TASK_PARAMETERS"]), "n": os.environ["PARAM_N"]}))
            """
        )
    )
    return folder


async def test_python_runs_a_script_of_the_folder(runner: CommandRunner, scripts: Path) -> None:
    python = PythonExecutor(runner=runner, scripts_dir=scripts)
    context = context_of(command="hello.py", arguments=["--n={{n}}", "a b"], parameters={"n": 5})
    assert await python.run(context) == {"parameters": {"n": 5}, "n": "5"}
    assert context.messages("info")[0] == "args ['--n=5', 'a b']"


async def test_python_refuses_what_is_not_in_the_folder(runner: CommandRunner, scripts: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.py"
    outside.write_text("print(1)")
    (scripts / "link.py").symlink_to(outside)
    (scripts / "sub").mkdir()
    python = PythonExecutor(runner=runner, scripts_dir=scripts)
    for name in ("../outside.py", str(outside), "link.py", "sub", "missing.py", "", "x\0y", "a" * 5000):
        with pytest.raises(InvalidParameters, match="command"):
            await python.run(context_of(command=name))


async def test_python_traceback_reaches_the_error(runner: CommandRunner, scripts: Path) -> None:
    (scripts / "bad.py").write_text("raise ValueError('told you')")
    with pytest.raises(ExecutorError, match=r"(?s)exit code 1: .*ValueError: told you"):
        await PythonExecutor(runner=runner, scripts_dir=scripts).run(context_of(command="bad.py"))


async def test_shell_unknown_template_name_is_named(shell: ShellExecutor) -> None:
    with pytest.raises(InvalidParameters, match=r"command: .*nope"):
        await shell.run(context_of(command="echo {{nope}}"))


async def test_shell_takes_a_workflow_steps_command_from_the_parameters(shell: ShellExecutor) -> None:
    context: RecordingContext = context_of(parameters={"command": "echo", "arguments": ["x"]})
    assert await shell.run(context) == "x\n"


READING_BESIDE_OPENING = """
import os, threading, uvloop
from scraper.output import Tail
from scraper.processes import _read

class Lines:
    def add(self, data): pass
    def due_seconds(self): return None
    def finish(self): pass

over, failures = threading.Event(), []

def open_files():
    while not over.is_set():
        try:
            with open("/proc/self/stat", "rb") as file:
                file.read()
        except OSError as error:
            failures.append(error)

async def main():
    for _ in range(2_000):
        reading, writing = os.pipe()
        os.write(writing, b"x")
        os.close(writing)
        tail = Tail(10)
        await _read(reading, tail, Lines())
        assert tail.text() == "x"

threads = [threading.Thread(target=open_files) for _ in range(3)]
for thread in threads:
    thread.start()
try:
    uvloop.run(main())
finally:
    over.set()
assert not failures, failures[:3]
"""


def test_the_end_of_output_closes_no_file_of_another_thread() -> None:
    """In a process of its own: a file descriptor that is closed twice may also abort the event loop."""
    command = [sys.executable, "-c", READING_BESIDE_OPENING]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stderr) == (0, "")


async def test_commands_of_root_find_hidden_paths_empty_and_nothing_else_changed(tmp_path: Path, marker: str) -> None:
    """Where the kernel allows no view of its own, or this is no root, there is nothing to prove."""
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode:
        pytest.skip("needs root that may mount")
    key, folder = tmp_path / "key", tmp_path / "store"
    folder.mkdir()
    for file in (key, folder / "data"):
        file.write_text("secret-key")
    runner = CommandRunner(worker_id=marker, work_dir=tmp_path, hidden=[str(key), str(folder), str(tmp_path / "none")])
    closed = subprocess.Popen(
        [sys.executable, "-c", "from chassis.own_secrets import *; close_to_others(); print(flush=True); input()"],
        env={**os.environ, "SERVICE_KEY": "secret-key"}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert closed.stdout
        assert closed.stdout.readline()
        line = (
            f"cat {key} {folder}/data /proc/{closed.pid}/environ /proc/{closed.pid}/root{key} /proc/1/environ 2>&1;"
            f" umount {key} 2>&1; echo made > {tmp_path}/made; id -u"
        )
        result = await ShellExecutor(runner=runner).run(context_of(command=line))
        assert "secret-key" not in result
        assert result.endswith("\n0\n")
        assert (tmp_path / "made").read_text() == "made\n"
    finally:
        closed.communicate(b"\n")


def test_a_service_takes_its_secrets_out_of_what_its_children_get() -> None:
    program = """
import os, subprocess
from chassis.own_secrets import forget_secrets
from scraper.settings import ScraperSettings
from scraper.step_templates import environment_secrets
settings, secrets = ScraperSettings(), environment_secrets()
forget_secrets(settings)
assert (settings.secrets_key.get_secret_value(), secrets("SHOP")) == ("sixteen-characters", "shop-secret")
print(subprocess.check_output(["env"]).decode())
"""
    given = {"SECRETS_KEY": "sixteen-characters", "TRAWL_SECRET_SHOP": "shop-secret", "mongodb_uri": "mongodb://a:b@c"}
    seen = subprocess.check_output([sys.executable, "-c", program], env=os.environ | given, text=True)
    assert not any(secret in seen for secret in given.values())
    assert "PATH=" in seen
