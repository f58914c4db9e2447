"""Trawl as a system to be measured: the one-machine stack as `trawl up` starts it, on ports and in a folder of its own.

Knows Trawl by its public faces only: the command, REST, the services' protos, the run events.
"""

import asyncio
import contextlib
import json
import secrets
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import grpc
from trawl.scheduler.v1 import runs_pb2, runs_pb2_grpc

from benchmarks.errors import BenchmarkError
from benchmarks.load import Target
from benchmarks.machine import HOST, free_port, plain_environment
from benchmarks.programs import Programs, programs_in
from benchmarks.run_events import RunEnds
from benchmarks.systems import SETTLE_SECONDS, Outcome
from benchmarks.usage import Meter, Tree

PORTS = ("PORT_SCHEDULER", "PORT_SMARTRPA", "PORT_MANAGEMENT", "PORT_XGET", "PORT_PIPELINE")
CALL_SECONDS = 30.0
# So long nothing has ended: time to ask whether anything is left.
QUIET_SECONDS = 0.4
PAGE = 10_000
# Start times are told in whole milliseconds; half of one is the unbiased correction.
HALF_MILLISECOND = 0.0005
# The programs by a word of their command line, in the figures' words.
PROGRAMS = (
    ("trawl_local.mongo_standin", "mongodb"),
    ("worker_registry", "worker-registry"),
    ("scheduler", "scheduler"),
    ("scraper.export_files", "export writer"),
    ("scraper", "scraper"),
    ("gateway", "gateway"),
)


def program_name(command: Sequence[str]) -> str:
    """What a process of the stack is called; "" for a child of one of them (a browser, a shell)."""
    program = Path(command[0]).name if command else ""
    if program.startswith(("nats-server", "redis-server", "valkey-server")):
        return "nats" if program.startswith("nats") else "redis"
    for module, name in PROGRAMS:
        if module in command:
            return name
    return ""


@dataclass(slots=True)
class TrawlLive:
    """A stack that is up."""

    directory: Path
    api: str
    key: str
    private: Mapping[str, int]
    meter: Meter
    ends: RunEnds
    runs: "runs_pb2_grpc.RunServiceAsyncStub"
    programs: Programs
    _names: int = 0

    @property
    def headers(self) -> dict[str, str]:
        """What every request carries."""
        return {"Authorization": f"Bearer {self.key}"}

    @property
    def mongodb_uri(self) -> str:
        """The stand-in's address."""
        return f"mongodb://{HOST}:{self.private['mongodb']}/?directConnection=true"

    def session(self) -> aiohttp.ClientSession:
        """A client of the REST interface; close it."""
        return session(self.headers)

    async def create_task(self, executor: str = "noop", task_type: str = "benchmark") -> int:
        """A new task's id."""
        self._names += 1
        body = {"name": f"benchmark-{self._names}", "task_type": task_type, "executor": executor, "command": ""}
        async with self.session() as client, client.post(f"{self.api}/tasks", json=body) as response:
            if response.status != 201:
                raise BenchmarkError(f"The task was refused with {response.status}: {await response.text()}")
            return int((await response.json())["data"]["id"])

    async def begin(self) -> "TrawlMeasurement":
        """Start a measurement on a new task."""
        return await self.begin_on(await self.create_task())

    async def begin_on(self, task_id: int) -> "TrawlMeasurement":
        """Start a measurement on that task: runs that it had before don't count."""
        measurement = TrawlMeasurement(
            self,
            task_id,
            Target(f"{self.api}/tasks/{task_id}/trigger", '{"parameters": {"t": %s}}', self.headers),
            earlier=await self.count(task_id),
        )
        self.ends.forget()
        return measurement

    async def count(
        self, task_id: int, status: "runs_pb2.RunStatus.ValueType" = runs_pb2.RUN_STATUS_UNSPECIFIED
    ) -> int:
        """How many runs the task has (with that status, if one is given)."""
        request = runs_pb2.ListRunsRequest(task_id=task_id, status=status, limit=1)
        return (await self.runs.ListRuns(request, timeout=CALL_SECONDS)).total

    async def newest(self, task_id: int, count: int) -> list[runs_pb2.Run]:
        """The task's newest runs."""
        found: list[runs_pb2.Run] = []
        while len(found) < count:
            request = runs_pb2.ListRunsRequest(task_id=task_id, offset=len(found), limit=min(PAGE, count - len(found)))
            page = (await self.runs.ListRuns(request, timeout=CALL_SECONDS)).runs
            if not page:
                break
            found += page
        return found

    def check_untouched(self, before: Mapping[str, Sequence[int]]) -> None:
        """Raises `BenchmarkError` when a program of `before` (see `Meter.pids`) was restarted since."""
        after = self.meter.pids()
        gone = [name for name, pids in before.items() if pids[0] not in after.get(name, ())]
        if gone:
            raise BenchmarkError(f"{', '.join(gone)} ended while it was measured:\n{self.programs.tail('trawl')}")


@dataclass(slots=True)
class TrawlMeasurement:
    """Runs of one task. Counts only what is archived."""

    live: TrawlLive
    task_id: int
    target: Target
    earlier: int = 0
    submitted: dict[int, float] = field(default_factory=dict)

    async def submit(self, client: aiohttp.ClientSession) -> None:
        """Trigger one run."""
        moment = time.time()
        async with client.post(
            self.target.url, data=self.target.payload(moment), headers={"Content-Type": "application/json"}
        ) as response:
            if response.status != 200:
                raise BenchmarkError(f"A run was refused with {response.status}: {await response.text()}")
            self.submitted[int((await response.json(content_type=None))["data"]["run_id"])] = moment

    async def settle(self, *, with_pairs: bool = False) -> Outcome:
        """As `Measurement.settle`. The ends come as events, which the scheduler sends once it has archived."""
        completed, accepted = 0, -1
        spent: dict[str, float] = {}
        deadline = time.monotonic() + SETTLE_SECONDS
        while completed != accepted:
            if time.monotonic() > deadline:
                raise BenchmarkError(f"{accepted} runs were accepted, and {completed} completed in time.")
            await self.live.ends.until_quiet(QUIET_SECONDS, SETTLE_SECONDS)
            spent = self.live.meter.cpu_seconds()
            if self.live.ends.not_completed:
                raise BenchmarkError(f"{self.live.ends.not_completed} runs failed or were aborted.")
            accepted = await self.live.count(self.task_id) - self.earlier
            completed = len(self.live.ends.completed)
        archived = await self.live.count(self.task_id, runs_pb2.RUN_STATUS_COMPLETED) - self.earlier
        if archived != completed:
            raise BenchmarkError(f"{completed} runs completed, and {archived} are archived.")
        return Outcome(accepted, archived, self.live.ends.last, await self._pairs() if with_pairs else (), spent)

    async def _pairs(self) -> list[tuple[float, float]]:
        """When each run was submitted by `submit` and began, by this machine's one clock."""
        runs = await self.live.newest(self.task_id, len(self.submitted))
        started = {run.spec.run_id: run.started_ms / 1000 + HALF_MILLISECOND for run in runs}
        return [(moment, started[run_id]) for run_id, moment in self.submitted.items()]


class Trawl:
    """The system."""

    name = "Trawl"

    @contextlib.asynccontextmanager
    async def running(self, directory: Path) -> AsyncIterator[TrawlLive]:
        """As `System.running`."""
        ports = {name: str(free_port()) for name in PORTS}
        key = secrets.token_urlsafe(24)
        home = directory / "home"
        environment = plain_environment() | ports | {"TRAWL_HOME": str(home), "TRAWL_API_KEY": key}
        async with programs_in(directory, environment) as programs:
            # -P: this project's folder is no package path of the services.
            pid = await programs.start("trawl", [sys.executable, "-P", "-m", "trawl_local.cli", "up", "--json"])
            state = home / "run" / "stack.json"

            async def ready() -> bool:
                return state.exists()

            await programs.until("trawl", ready, "is not ready")
            private: dict[str, int] = json.loads(state.read_text())["ports"]["private"]
            async with (
                RunEnds.watching(f"nats://{HOST}:{private['nats']}") as ends,
                channel(private["scheduler"]) as scheduler,
            ):
                runs: Any = runs_pb2_grpc.RunServiceStub(scheduler)
                api = f"http://{HOST}:{ports['PORT_SCHEDULER']}/api"
                meter = Meter([Tree(pid, "supervisor", program_name)])
                yield TrawlLive(directory, api, key, private, meter, ends, runs, programs)
                programs.check_alive()


@contextlib.asynccontextmanager
async def channel(port: int) -> AsyncIterator[grpc.aio.Channel]:
    """A connection to a service of this machine."""
    options = [("grpc.max_receive_message_length", 64 * 1024 * 1024), ("grpc.enable_http_proxy", 0)]
    async with grpc.aio.insecure_channel(f"{HOST}:{port}", options=options) as connection:
        await asyncio.wait_for(connection.channel_ready(), CALL_SECONDS)
        yield connection


def session(headers: Mapping[str, str] | None = None) -> aiohttp.ClientSession:
    """An HTTP client with room for an open loop; close it."""
    return aiohttp.ClientSession(
        headers=headers,
        connector=aiohttp.TCPConnector(limit=256),
        timeout=aiohttp.ClientTimeout(total=CALL_SECONDS),
    )
