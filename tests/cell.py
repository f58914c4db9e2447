"""A whole system of processes for tests: three stores and the services, each to be killed and restarted at will.

Owns: addresses and environments. Talks to the services over gRPC only; the gateway is started when asked for.
"""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import nats
import stores
from trawl.scheduler.v1 import runs_pb2, runs_pb2_grpc, tasks_pb2, tasks_pb2_grpc
from trawl.scraper.v1 import results_pb2, results_pb2_grpc

TERMINAL = (runs_pb2.RUN_STATUS_COMPLETED, runs_pb2.RUN_STATUS_FAILED, runs_pb2.RUN_STATUS_ABORTED)
OPTIONS = [
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    ("grpc.max_send_message_length", 64 * 1024 * 1024),
]
ALL = ("nats", "redis", "mongodb", "registry", "scheduler", "scraper")


@dataclass
class Cell:
    """`programs` by name: nats, redis, mongodb, registry, scheduler, scraper (and gateway)."""

    directory: Path
    environment: dict[str, str] = field(default_factory=dict)
    programs: dict[str, stores.Program] = field(default_factory=dict)
    api_key: str = "test-admin-key-0123456789"

    def __post_init__(self) -> None:
        broker, redis = stores.nats_server(self.directory / "nats"), stores.redis_server(self.directory / "redis")
        mongodb = stores.mongodb_stand_in(self.directory / "mongodb")
        ports = {
            name: stores.free_port()
            for name in ("registry", "scheduler", "scraper", "gateway", "smartrpa", "management", "pipeline")
        }
        (self.directory / "scripts").mkdir(parents=True, exist_ok=True)
        shared = {
            "NATS_URL": broker.url,
            "REDIS_URL": redis.url,
            "MONGODB_URI": mongodb.url,
            "SCHEDULER_TARGET": f"127.0.0.1:{ports['scheduler']}",
            "SCRAPER_TARGET": f"127.0.0.1:{ports['scraper']}",
            "REGISTRY_TARGET": f"127.0.0.1:{ports['registry']}",
            "TRAWL_API_KEY": self.api_key,
            "WORKER_ID": "worker-001",
            "EXECUTORS": "http,scrape,rpa,noop,shell,python,pipeline",
            "SECRETS_KEY_FILE": str(self.directory / "secrets-key"),
            "ALLOWED_ADDRESSES": "127.0.0.0/8,::1/128",
            "SCRIPTS_DIR": str(self.directory / "scripts"),
            "WORK_DIR": str(self.directory / "work"),
            "BLOB_DIR": str(self.directory / "blobs"),
            "PORT_SCHEDULER": str(ports["gateway"]),
            "PORT_SMARTRPA": str(ports["smartrpa"]),
            "PORT_MANAGEMENT": str(ports["management"]),
            "PORT_XGET": "0",
            "PORT_PIPELINE": str(ports["pipeline"]),
        } | self.environment
        self.programs = {"nats": broker, "redis": redis, "mongodb": mongodb}
        self.shared = shared
        modules = {"registry": "worker_registry", "scheduler": "scheduler", "scraper": "scraper", "gateway": "gateway"}
        for name, module in modules.items():
            environment = shared | {"GRPC_PORT": str(ports[name])}
            self.programs[name] = stores.service(module, self.directory / name, environment, ports[name])
        self.api = f"http://127.0.0.1:{ports['gateway']}/api"
        self.smartrpa = f"http://127.0.0.1:{ports['smartrpa']}"
        self.management = f"http://127.0.0.1:{ports['management']}"
        self.pipeline = f"http://127.0.0.1:{ports['pipeline']}/api/v1"
        channels = {
            name: grpc.insecure_channel(f"127.0.0.1:{ports[name]}", options=OPTIONS)
            for name in ("scheduler", "scraper")
        }
        self.runs = runs_pb2_grpc.RunServiceStub(channels["scheduler"])
        self.tasks = tasks_pb2_grpc.TaskServiceStub(channels["scheduler"])
        self.results = results_pb2_grpc.ResultServiceStub(channels["scraper"])
        self.channel = channels["scheduler"]
        self._channels = channels

    def add_scheduler(self, name: str, *, clock_ahead: float = 0) -> stores.Program:
        """One more scheduler, not started yet; nothing talks to it but its brokers."""
        port = stores.free_port()
        environment = self.shared | {"GRPC_PORT": str(port)}
        program = stores.service("scheduler", self.directory / name, environment, port, clock_ahead=clock_ahead)
        self.programs[name] = program
        return program

    def start(self, *names: str) -> None:
        """Start these (all but the gateway when none is named), each once the one before listens."""
        for name in names or ALL:
            self.programs[name].start(wait=name not in ("scheduler", "scraper", "gateway", "registry"))
        for name in names or ALL:
            self.programs[name].wait_ready()

    def restart(self, name: str) -> None:
        """kill -9 and start again."""
        self.programs[name].kill()
        self.programs[name].start()

    def stop(self) -> None:
        """End everything."""
        for channel in self._channels.values():
            channel.close()
        for name in reversed(list(self.programs)):
            self.programs[name].kill()

    def create_task(
        self, name: str, executor: str, *, command: str = "", parameters: bytes = b"{}", **fields: object
    ) -> int:
        """A task's id. `parameters` is the JSON of `metadata.params`."""
        task = tasks_pb2.Task(
            name=name, task_type=executor, executor=executor, command=command, priority=runs_pb2.PRIORITY_NORMAL,
            metadata_json=b'{"params": ' + parameters + b', "retry": {"initial_seconds": 0.2, "max_seconds": 1}}',
            **{"retry_count": 3, "timeout_seconds": 60, **fields},  # type: ignore[arg-type]
        )  # fmt: skip
        return int(self.tasks.CreateTask(tasks_pb2.CreateTaskRequest(task=task), timeout=60, wait_for_ready=True).id)

    def start_run(self, task_id: int, *, parameters: bytes = b"", **fields: object) -> int:
        """An accepted run's id. Raises AssertionError when it was refused."""
        request = runs_pb2.StartRun(task_id=task_id, parameters_json=parameters, contract="scheduler", **fields)  # type: ignore[arg-type]
        answer = self.runs.StartRuns(runs_pb2.StartRunsRequest(runs=[request]), timeout=60, wait_for_ready=True)
        (result,) = answer.results
        assert not result.HasField("error"), result.error
        return int(result.run.spec.run_id)

    def publish(self, subject: str, payload: bytes) -> None:
        """Store a message on JetStream."""

        async def publish() -> None:
            client = await nats.connect(self.shared["NATS_URL"])
            await client.jetstream().publish(subject, payload, timeout=10)
            await client.close()

        asyncio.run(publish())

    def run(self, run_id: int) -> runs_pb2.Run:
        """The run as a reader sees it."""
        return self.runs.GetRun(runs_pb2.GetRunRequest(run_id=run_id), timeout=60, wait_for_ready=True)

    def await_run(self, run_id: int, *statuses: int, seconds: float = 60) -> runs_pb2.Run:
        """The run once it has one of the statuses (default: any terminal one)."""
        until = time.monotonic() + seconds
        while True:
            with contextlib.suppress(grpc.RpcError):
                run = self.run(run_id)
                if run.status in (statuses or TERMINAL):
                    return run
            assert time.monotonic() < until, f"run {run_id} is not there after {seconds} s: {run}"
            time.sleep(0.02)

    def logs(self, run_id: int) -> list[str]:
        """The messages of a run's log."""
        answer = self.runs.ListLogs(runs_pb2.ListLogsRequest(run_id=run_id, limit=10_000), timeout=60)
        return [line.message for line in answer.lines]

    def items(self, run_id: int) -> list[results_pb2.ResultItem]:
        """A run's result items in order."""
        request = results_pb2.ListResultsRequest(run_id=run_id, limit=10_000)
        return list(self.results.ListResults(request, timeout=60).items)


@contextlib.contextmanager
def running_cell(directory: Path, *names: str, **environment: str) -> Iterator[Cell]:
    """A started cell, ended afterwards whatever happens."""
    cell = Cell(directory, environment)
    try:
        cell.start(*names)
        yield cell
    finally:
        cell.stop()
