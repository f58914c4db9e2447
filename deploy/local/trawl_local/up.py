"""Runs the stack: `running` brings it up and down, `serve` keeps it up until a signal. Owns: their order.

Must not know what the programs are.
"""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from rich.console import Console

from trawl_local import ports, readiness, stack, tools
from trawl_local.guardian import is_nohup
from trawl_local.home import Home
from trawl_local.output import Line, Output, StoreLogs, parse
from trawl_local.supervise import Supervisor

T = TypeVar("T")
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# A stack that was killed a moment ago may still be ending.
LOCK_SECONDS = 2.0


class Stopped(Exception):
    """Somebody asked for the end (SIGINT, SIGTERM, SIGHUP)."""


@dataclass(frozen=True, slots=True)
class Running:
    """A stack that is up."""

    urls: Mapping[str, str]
    key: str
    # The key was made just now: it is to be shown this once.
    key_is_new: bool


class StopSignals:
    """The wish to stop, as an event. Every further signal is the same wish."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in STOP_SIGNALS:
            if not is_nohup(number):
                loop.add_signal_handler(number, self.asked.set)

    async def unless_asked(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` returns. Raises `Stopped` when the wish comes first; the work is then cancelled."""
        doing = asyncio.ensure_future(work)
        asked = asyncio.ensure_future(self.asked.wait())
        try:
            await asyncio.wait({doing, asked}, return_when=asyncio.FIRST_COMPLETED)
            if self.asked.is_set() and not doing.done():
                raise Stopped
            return await doing
        finally:
            asked.cancel()
            doing.cancel()
            await asyncio.gather(doing, return_exceptions=True)


class _Reporter:
    """Takes lines and events of the programs to the output and the log files."""

    def __init__(self, output: Output, logs: StoreLogs) -> None:
        self._output, self._logs = output, logs
        # Stores greet and warn at length when they start and stop; that goes to their files only.
        self.shows_stores = False

    def line(self, program: str, raw: str) -> None:
        line = parse(program, raw)
        if program in stack.SERVICES:
            self._output.show(line)
            if not line.data:
                # Not a service's own line (a traceback at start): its log file doesn't have it.
                self._logs.write(f"{program}.out", raw)
            return
        self._logs.write(program, raw)
        if self.shows_stores and line.severity >= 30:
            self._output.show(line)

    def event(self, program: str, level: str, text: str) -> None:
        self._output.show(Line(program, "", time.strftime("%H:%M:%S", time.gmtime()), level, text))
        self._logs.write("supervisor", f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {level} {program} {text}")


@asynccontextmanager
async def running(
    home: Home, environment: Mapping[str, str], stop: StopSignals, *, console: Console, output: Output
) -> AsyncIterator[Running]:
    """The stack, up and ready. Raises `Refusal` when it can't be, `Stopped` when that is wished meanwhile."""
    home.prepare()
    public = ports.public_ports(environment)
    async with _locked(home):
        found = tools.ensure(environment, console)
        ports.check_free(public)
        key, key_is_new = home.first_key(environment)
        plan = stack.plan(home, environment, found, key, public)
        home.write_ports(plan.private)
        stack.write_configs(home, plan.private)
        logs = StoreLogs(home.folder("logs"))
        reporter = _Reporter(output, logs)
        supervisor = Supervisor(plan.programs, on_line=reporter.line, on_event=reporter.event)
        try:
            await stop.unless_asked(supervisor.start())
            home.write_state(_state(plan))
            reporter.shows_stores = True
            yield Running(plan.urls, key, key_is_new)
        finally:
            home.forget_state()
            reporter.shows_stores = False
            await supervisor.stop()
            logs.close()


@asynccontextmanager
async def _locked(home: Home) -> AsyncIterator[None]:
    async with contextlib.AsyncExitStack() as held:
        # A stack that runs says so; one that is ending doesn't, and is worth a short wait.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOCK_SECONDS):
                await readiness.wait_until(partial(_free_or_alive, home))
        held.enter_context(home.locked())
        yield


async def _free_or_alive(home: Home) -> bool:
    return not home.is_running() or home.holder_is_alive()


def _state(plan: stack.Stack) -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "guardian_pid": os.getppid(),
        "started_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "urls": plan.urls,
        "ports": {"public": dict(plan.public), "private": dict(plan.private)},
        "programs": [program.name for program in plan.programs],
    }


def describe(up: Running, home: Home) -> str:
    """What a person wants to know once it runs."""
    width = max((len(name) for name in up.urls), default=0)
    rows = [f"  {name:<{width}}  {url}" for name, url in up.urls.items()]
    if up.key_is_new:
        rows.append(f"  {'admin key':<{width}}  {up.key}  (shown this once, kept in {home.key_file})")
    elif home.read_key() == up.key:
        rows.append(f"  {'admin key':<{width}}  kept in {home.key_file}")
    else:
        rows.append(f"  {'admin key':<{width}}  the one in TRAWL_API_KEY")
    rows.append(f"  {'data and logs':<{width}}  {home.path}")
    return "\n".join(rows)


async def serve(home: Home, environment: Mapping[str, str], *, console: Console, output: Output) -> int:
    """Run the stack in the foreground until a signal; the exit code. Raises `Refusal`."""
    stop = StopSignals()
    try:
        async with running(home, environment, stop, console=console, output=output) as up:
            output.say(describe(up, home))
            output.say("trawl is ready")
            await stop.asked.wait()
            output.say("stopping")
    except Stopped:
        output.say("stopped before it was ready")
    return 0
