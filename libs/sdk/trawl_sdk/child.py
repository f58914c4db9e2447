"""The process that runs tasks: loads the author's module, and does one run after another. Owns: calling the functions.

Started by `process` as `python -m trawl_sdk.child TARGET FD`; both speak JSON, a message a line. It leads a session of
its own, and kills all of that when the other side is gone. On Linux what its runs start has it as an ancestor for ever,
so that it can tell when something of a run is left.
"""

import asyncio
import contextlib
import ctypes
import importlib
import io
import os
import queue
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
from chassis.process_tree import tree

from trawl_sdk import values
from trawl_sdk.context import AsyncContext, Context, Json, RunFacts
from trawl_sdk.errors import Cancelled, PermanentFailure
from trawl_sdk.task import App, Task

MAX_ERROR_CHARACTERS = 4_000
MAX_RESULT_BYTES = 4 * 1024 * 1024


def load(target: str) -> App:
    """The tasks of `module`, `module:name` or `file.py:name`. Raises ValueError, or what the module raises."""
    place, _, name = target.partition(":")
    if place.endswith(".py"):
        path = Path(place).resolve()
        sys.path.insert(0, str(path.parent))
        place = path.stem
    else:
        sys.path.insert(0, str(Path.cwd()))
    module = importlib.import_module(place)
    found: object = module
    for part in name.split(".") if name else ():
        if not hasattr(found, part):
            raise ValueError(f"there is no {name!r} in {place}")
        found = getattr(found, part)
    return App.of(found, target)


class Connection:
    """Messages to the parent; a `context.Line`. A thread of its own reads what the parent says."""

    def __init__(self, link: socket.socket) -> None:
        self._link, self._reader = link, link.makefile("rb")
        self._writing = threading.Lock()
        self._answers: dict[int, queue.SimpleQueue[str]] = {}
        self._asked = 0
        self.orders: queue.SimpleQueue[Mapping[str, Json]] = queue.SimpleQueue()
        self.cancel: Any = None
        # A cancellation may come before the run that it means has begun here.
        self.cancelled_runs: set[tuple[int, int]] = set()

    def send(self, message: Mapping[str, Json]) -> None:
        """Hand over one message. Raises TypeError when it is not JSON."""
        data = orjson.dumps(message, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_APPEND_NEWLINE)
        with self._writing:
            self._link.sendall(data)

    def ask(self, message: Mapping[str, Json]) -> None:
        """Hand over one message and wait for the answer. Raises RuntimeError when it was refused."""
        answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        with self._writing:
            self._asked += 1
            number = self._asked
            self._answers[number] = answers
        self.send({**message, "number": number})
        if refusal := answers.get():
            raise RuntimeError(refusal)

    def read(self) -> None:
        """Until the parent is gone: then so is everything here."""
        for line in self._reader:
            order = orjson.loads(line)
            if order["do"] == "answer":
                self._answers.pop(order["number"]).put(order["refusal"])
            elif order["do"] == "cancel":
                self.cancelled_runs.add((order["run_id"], order["attempt"]))
                if self.cancel is not None:
                    self.cancel(order["run_id"], order["attempt"])
            else:
                self.orders.put(order)
        os.killpg(os.getpid(), signal.SIGKILL)


class _Printed(io.TextIOBase):
    """Standard output of a run: each line becomes a line of its log."""

    def __init__(self, line: Connection, level: str) -> None:
        self._line, self._level = line, level
        self._rest = threading.local()

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        whole = getattr(self._rest, "text", "") + text
        *lines, self._rest.text = whole.split("\n")
        for line in lines:
            if line.strip():
                self._line.send({"say": "log", "level": self._level, "message": values.text(line)[:8_000], "data": {}})
        return len(text)

    def finish(self) -> None:
        """What was printed last may have had no end of line."""
        if getattr(self._rest, "text", ""):
            self.write("\n")


class Runner:
    """Does runs, one at a time."""

    def __init__(self, app: App, line: Connection) -> None:
        self._app, self._line = app, line

    def run(self, order: Mapping[str, Json]) -> Mapping[str, Json]:
        """Do one, and say how it ended."""
        task = self._app.tasks.get(order["task"])
        if task is None:
            return _failed("the worker has no such task any more", "NO_SUCH_TASK", retryable=True)
        facts = RunFacts(order["run_id"], task.name, order["attempt"], order["params"], order["checkpoint"])
        try:
            return _completed(self._call(task, facts))
        except (Cancelled, asyncio.CancelledError):
            return {"say": "end", "outcome": "cancelled"}
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the author's code raises is the run's failure
            if not isinstance(error, PermanentFailure | _BadParameters):
                self._line.send({"say": "log", "level": "error", "message": _trace(error), "data": {}})
            return _failure(error)

    def _call(self, task: Task[..., Any], facts: RunFacts) -> Json:
        return self._call_async(task, facts) if task.is_async else self._call_plain(task, facts)

    def _watch(self, facts: RunFacts, cancel: Any) -> None:
        mine = (facts.run_id, facts.attempt)
        self._line.cancel = lambda *which: cancel() if which == mine else None
        if mine in self._line.cancelled_runs:
            cancel()

    def _call_plain(self, task: Task[..., Any], facts: RunFacts) -> Json:
        context = Context(facts, self._line)
        bound = _bind(task, context, facts)
        self._watch(facts, context.cancel)
        try:
            return task.function(*bound.args, **bound.kwargs)
        finally:
            self._line.cancel = None

    def _call_async(self, task: Task[..., Any], facts: RunFacts) -> Json:
        context = AsyncContext(facts, self._line)
        bound = _bind(task, context, facts)

        async def main() -> Json:
            loop, this = asyncio.get_running_loop(), asyncio.current_task()

            def cancel() -> None:
                context.cancel()
                if this is not None:
                    loop.call_soon_threadsafe(this.cancel)

            self._watch(facts, cancel)
            try:
                return await task.function(*bound.args, **bound.kwargs)
            finally:
                self._line.cancel = None

        return asyncio.run(main())


class _BadParameters(Exception):
    """The parameters don't fit the function."""


def _bind(task: Task[..., Any], context: Any, facts: RunFacts) -> Any:
    try:
        return task.arguments(context, facts.params)
    except TypeError as error:
        raise _BadParameters(f"the parameters don't fit {task.name}: {error}") from error


def _completed(result: Json) -> Mapping[str, Json]:
    try:
        data = values.encoded(result, "result")
    except ValueError as error:
        return _failed(str(error), "INVALID_RESULT", retryable=False)
    if len(data) > MAX_RESULT_BYTES:
        message = f"the result has more than {MAX_RESULT_BYTES} bytes: emit items instead"
        return _failed(message, "RESULT_TOO_LARGE", retryable=False)
    return {"say": "end", "outcome": "completed", "result": orjson.Fragment(data)}


def _failure(error: BaseException) -> Mapping[str, Json]:
    if isinstance(error, PermanentFailure):
        return _failed(str(error) or "failed", "PERMANENT_FAILURE", retryable=False)
    if isinstance(error, _BadParameters):
        return _failed(str(error), "INVALID_PARAMETERS", retryable=False)
    return _failed(f"{type(error).__name__}: {error}", "EXECUTION_FAILED", retryable=True)


def _failed(message: str, code: str, *, retryable: bool) -> Mapping[str, Json]:
    shown = values.text(message)[:MAX_ERROR_CHARACTERS]
    return {"say": "end", "outcome": "failed", "error": shown, "code": code, "retryable": retryable}


def _trace(error: BaseException) -> str:
    """The author's part of the traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith(str(Path(__file__).parent))]
    lines = traceback.format_list(own) + traceback.format_exception_only(error)
    return values.text("".join(lines))[-MAX_ERROR_CHARACTERS:]


def _adopt_orphans() -> None:
    """On Linux: what loses its parent comes here."""
    if sys.platform == "linux":
        set_child_subreaper = 36
        ctypes.CDLL(None).prctl(set_child_subreaper, 1, 0, 0, 0)


class Descendants:
    """What this process has started. What is there when the module has been loaded is the module's, and no run's."""

    def __init__(self) -> None:
        self._known = self._living()

    def left(self) -> int:
        """How many processes a run has left behind."""
        return len(self._living() - self._known)

    def _living(self) -> set[int]:
        if sys.platform != "linux":
            return set()
        try:
            # One call instead of a walk through all processes, for runs that start none.
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return set()
        places = tree(os.getpid())
        for pid, place in places.items():
            if place.zombie and place.parent == os.getpid():
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
        return {pid for pid, place in places.items() if not place.zombie}


def main() -> None:
    """Say what there is to run, then run it."""
    target, descriptor = sys.argv[1:3]
    _adopt_orphans()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    line = Connection(socket.socket(fileno=int(descriptor)))
    try:
        app = load(target)
    except Exception as error:  # noqa: BLE001 - the author's module; the parent shows it and ends
        line.send({"say": "unusable", "why": _trace(error)})
        return
    definitions = [
        {"name": one.name, "queue": one.queue, "retries": one.retries, "timeout": one.timeout,
         "retry_delay": one.retry_delay, "description": one.description}
        for one in app.tasks.values()
    ]  # fmt: skip
    line.send({"say": "ready", "tasks": definitions})
    threading.Thread(target=line.read, daemon=True).start()
    runner, descendants = Runner(app, line), Descendants()
    printed = _Printed(line, "info"), _Printed(line, "warn")
    sys.stdout, sys.stderr = printed
    while True:
        order = line.orders.get()
        if order["do"] == "exit":
            return
        end = runner.run(order)
        for stream in printed:
            stream.finish()
        line.send({**end, "left": descendants.left()})


if __name__ == "__main__":
    main()
