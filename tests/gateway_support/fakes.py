"""The services behind the gateway, in memory behind real gRPC. Runs end only when a test says so."""

from collections.abc import AsyncIterator
from typing import Any

from chassis.clock import now_ms
from chassis.errors import Conflict, InvalidInput, NotFound, TrawlError
from chassis.grpc_server import GrpcServer
from trawl.scheduler.v1 import events_pb2, lease_pb2_grpc, runs_pb2, runs_pb2_grpc, tasks_pb2, tasks_pb2_grpc
from trawl.scraper.v1 import (
    browser_pb2_grpc,
    definitions_pb2_grpc,
    papers_pb2,
    papers_pb2_grpc,
    results_pb2,
    results_pb2_grpc,
)
from trawl.workerregistry.v1 import workers_pb2, workers_pb2_grpc
from wire.subjects import queue_of

from gateway_support.fake_browser import FakeBrowser
from gateway_support.fake_definitions import FakeDefinitions
from gateway_support.fake_leases import FakeLeases

LIVE = (runs_pb2.RUN_STATUS_PENDING, runs_pb2.RUN_STATUS_RUNNING)


class FakeScheduler(tasks_pb2_grpc.TaskServiceServicer, runs_pb2_grpc.RunServiceServicer):
    """Tasks and runs. `failure` is raised by every call while it is set; `starts` counts StartRuns calls."""

    def __init__(self) -> None:
        self.tasks: dict[int, tasks_pb2.Task] = {}
        self.runs: dict[int, runs_pb2.Run] = {}
        self.logs: dict[int, list[runs_pb2.LogLine]] = {}
        self.failure: TrawlError | None = None
        self.starts: list[int] = []
        self.requests: list[Any] = []
        self.abort_ends = True
        self.publish: Any = None

    def _enter(self, request: Any) -> None:
        self.requests.append(request)
        if self.failure is not None:
            raise self.failure

    def _task(self, task_id: int) -> tasks_pb2.Task:
        if task_id not in self.tasks:
            raise NotFound(f"task {task_id} does not exist")
        return self.tasks[task_id]

    def _run(self, run_id: int) -> runs_pb2.Run:
        if run_id not in self.runs:
            raise NotFound(f"run {run_id} does not exist")
        return self.runs[run_id]

    async def CreateTask(self, request: tasks_pb2.CreateTaskRequest, context: Any) -> tasks_pb2.Task:  # noqa: N802
        self._enter(request)
        if any(task.name == request.task.name for task in self.tasks.values()):
            raise Conflict("the name is taken", field="name")
        if request.task.schedule == "bad":
            raise InvalidInput("not a cron expression", field="schedule", rule="cron", value="bad")
        task = tasks_pb2.Task()
        task.CopyFrom(request.task)
        task.id, task.status = len(self.tasks) + 1, "active"
        task.created_ms = task.updated_ms = now_ms()
        if task.schedule:
            task.next_run_ms = now_ms() + 60_000
        self.tasks[task.id] = task
        return task

    async def GetTask(self, request: tasks_pb2.GetTaskRequest, context: Any) -> tasks_pb2.TaskDetail:  # noqa: N802
        self._enter(request)
        statistics = tasks_pb2.TaskStatistics(
            total_runs=100, successful_runs=95, failed_runs=5, average_execution_seconds=30.5,
            last_execution_status="success",
        )  # fmt: skip
        named = next((task.id for task in self.tasks.values() if task.name == request.name), 0)
        return tasks_pb2.TaskDetail(task=self._task(request.id or named), statistics=statistics)

    async def ListTasks(self, request: tasks_pb2.ListTasksRequest, context: Any) -> tasks_pb2.ListTasksResponse:  # noqa: N802
        self._enter(request)
        found = [
            task for task in self.tasks.values() if request.search in task.name and request.status in ("", task.status)
        ]
        part = found[request.offset : request.offset + request.limit]
        return tasks_pb2.ListTasksResponse(tasks=part, total=len(found))

    async def UpdateTask(self, request: tasks_pb2.UpdateTaskRequest, context: Any) -> tasks_pb2.Task:  # noqa: N802
        self._enter(request)
        task = self._task(request.id)
        for name in request.fields:
            value = getattr(request.task, name)
            if isinstance(value, str | int | float | bytes | bool):
                setattr(task, name, value)
            else:
                task.ClearField(name)
                getattr(task, name).extend(value)
        task.updated_ms = now_ms()
        return task

    async def DeleteTask(self, request: tasks_pb2.DeleteTaskRequest, context: Any) -> tasks_pb2.DeleteTaskResponse:  # noqa: N802
        self._enter(request)
        self._task(request.id)
        if any(str(request.id) in task.dependencies for task in self.tasks.values()):
            raise Conflict("another task depends on it")
        del self.tasks[request.id]
        return tasks_pb2.DeleteTaskResponse()

    async def StartRuns(self, request: runs_pb2.StartRunsRequest, context: Any) -> runs_pb2.StartRunsResponse:  # noqa: N802
        self._enter(request)
        self.starts.append(len(request.runs))
        return runs_pb2.StartRunsResponse(results=[self._start(start) for start in request.runs])

    def _start(self, start: runs_pb2.StartRun) -> runs_pb2.StartRunResult:
        if not start.HasField("inline") and start.task_id not in self.tasks:
            return _refused("not_found", f"task {start.task_id} does not exist")
        if start.external_id:
            for run in self.runs.values():
                if run.spec.external_id == start.external_id and run.status in LIVE:
                    if run.spec.request_digest == start.request_digest:
                        return runs_pb2.StartRunResult(run=run, existing=True)
                    return _refused("conflict", "the id is in use", "taskId")
        return runs_pb2.StartRunResult(run=self._add(start))

    def _add(self, start: runs_pb2.StartRun) -> runs_pb2.Run:
        run_id = 100 + len(self.runs)
        name = start.inline.name or self.tasks[start.task_id].name
        spec = runs_pb2.RunSpec(
            run_id=run_id, task_id=start.task_id or 999, task_name=name, parameters_json=start.parameters_json,
            timeout_ms=start.timeout_ms or 3_600_000, created_ms=now_ms(), contract=start.contract,
            external_id=start.external_id, request_digest=start.request_digest, traceparent=start.traceparent,
            queue=queue_of(start.inline.task_type, start.inline.executor),
        )  # fmt: skip
        run = runs_pb2.Run(spec=spec, status=runs_pb2.RUN_STATUS_PENDING)
        self.runs[run_id] = run
        return run

    async def GetRun(self, request: runs_pb2.GetRunRequest, context: Any) -> runs_pb2.Run:  # noqa: N802
        self._enter(request)
        if request.run_id:
            return self._run(request.run_id)
        for run in reversed(self.runs.values()):
            if (run.spec.contract, run.spec.external_id) == (request.contract, request.external_id):
                return run
        raise NotFound("no such run")

    async def ListRuns(self, request: runs_pb2.ListRunsRequest, context: Any) -> runs_pb2.ListRunsResponse:  # noqa: N802
        self._enter(request)
        found = [
            run
            for run in self.runs.values()
            if request.task_id in (0, run.spec.task_id)
            and request.status in (0, run.status)
            and request.worker_id in ("", run.worker_id)
            and request.scope in ("", run.spec.scope, run.spec.scope.partition(":")[0])
            and request.contract in ("", run.spec.contract)
        ]
        if request.sort == "completed_at":
            found.sort(key=lambda run: run.completed_ms, reverse=not request.ascending)
        part = found[request.offset : request.offset + request.limit]
        return runs_pb2.ListRunsResponse(runs=part, total=len(found))

    async def AbortRun(self, request: runs_pb2.AbortRunRequest, context: Any) -> runs_pb2.Run:  # noqa: N802
        self._enter(request)
        run = self._run(request.run_id)
        if run.status not in LIVE:
            raise Conflict("the run has ended")
        run.abort_requested_ms = now_ms()
        if self.abort_ends:
            await self.end(run.spec.run_id, runs_pb2.RUN_STATUS_ABORTED)
        else:
            run.status = runs_pb2.RUN_STATUS_RUNNING
        return run

    async def RestartRun(self, request: runs_pb2.RestartRunRequest, context: Any) -> runs_pb2.Run:  # noqa: N802
        self._enter(request)
        old = self._run(request.run_id)
        return self._add(runs_pb2.StartRun(task_id=old.spec.task_id, contract="scheduler"))

    async def ReportOutside(self, request: runs_pb2.OutsideReport, context: Any) -> runs_pb2.Run:  # noqa: N802
        self._enter(request)
        run = self._run(request.run_id)
        if run.status not in LIVE:
            raise Conflict("the run has ended")
        if request.percent >= 0:
            run.progress_done, run.progress_total = request.percent, 100
        if request.status in (runs_pb2.RUN_STATUS_COMPLETED, runs_pb2.RUN_STATUS_FAILED):
            fields = {"result_json": request.result_json, "error_message": request.error_message}
            await self.end(request.run_id, request.status, **fields)
        return run

    async def ListLogs(self, request: runs_pb2.ListLogsRequest, context: Any) -> runs_pb2.ListLogsResponse:  # noqa: N802
        self._enter(request)
        self._run(request.run_id)
        lines = self.logs.get(request.run_id, [])
        part = lines[-request.limit :] if request.tail else lines[request.offset : request.offset + request.limit]
        return runs_pb2.ListLogsResponse(lines=part, total=len(lines))

    async def GetParameters(  # noqa: N802
        self, request: runs_pb2.GetParametersRequest, context: Any
    ) -> AsyncIterator[runs_pb2.ParametersChunk]:
        for part in (b'{"big":', b" true}"):
            yield runs_pb2.ParametersChunk(data=part)

    async def GetStats(self, request: runs_pb2.GetStatsRequest, context: Any) -> runs_pb2.Stats:  # noqa: N802
        self._enter(request)
        return runs_pb2.Stats(
            tasks_by_status={"active": 3, "paused": 1},
            runs_by_status={"completed": 9, "failed": 1, "pending": 2},
            pending_by_queue={"python": 2},
            execution=runs_pb2.DurationHistogram(bounds=[1, 10], counts=[4, 5, 1], sum_seconds=50),
            ended_last_minute=6,
        )

    async def end(self, run_id: int, status: "runs_pb2.RunStatus.ValueType", **fields: Any) -> None:
        """End a run, and publish that it ended."""
        run = self.runs[run_id]
        run.status, run.worker_id, run.worker_hostname, run.attempt = status, "worker-1", "host-1", max(run.attempt, 1)
        run.started_ms, run.completed_ms = run.spec.created_ms, run.spec.created_ms + 1500
        for name, value in fields.items():
            setattr(run, name, value)
        if self.publish is not None:
            event = events_pb2.RunEvent(run_id=run_id, status=status)
            await self.publish(events_pb2.RunEvents(events=[event]).SerializeToString())


def _refused(kind: str, message: str, field: str = "") -> runs_pb2.StartRunResult:
    return runs_pb2.StartRunResult(error=runs_pb2.StartError(kind=kind, message=message, field=field))


class FakeRegistry(workers_pb2_grpc.WorkerServiceServicer):
    """One worker."""

    def __init__(self) -> None:
        self.worker = workers_pb2.Worker(
            id="worker-1", hostname="host-1", ip_address="192.0.2.1", port=9000, task_types=["python"],
            max_concurrent_tasks=5, current_task_count=1, status="active", last_heartbeat_ms=now_ms(),
            registered_ms=now_ms() - 90_000_000, load_average=0.5, memory_usage=256, cpu_usage=12.5, current_runs=[100],
        )  # fmt: skip

        # Workers that were registered, by id; what Register and Heartbeat were asked.
        self.registered: dict[str, workers_pb2.Worker] = {}
        self.requests: list[Any] = []

    async def Register(self, request: workers_pb2.RegisterRequest, context: Any) -> workers_pb2.Worker:  # noqa: N802
        self.requests.append(request)
        worker = workers_pb2.Worker()
        worker.CopyFrom(request.worker)
        worker.id = worker.id or f"worker-{len(self.registered) + 2}"
        worker.status, worker.registered_ms, worker.last_heartbeat_ms = "active", now_ms(), now_ms()
        worker.heartbeat_interval_ms = request.heartbeat_interval_ms
        self.registered[worker.id] = worker
        return worker

    async def Heartbeat(self, request: workers_pb2.HeartbeatRequest, context: Any) -> workers_pb2.HeartbeatResponse:  # noqa: N802
        self.requests.append(request)
        known = self.registered.get(request.id)
        return workers_pb2.HeartbeatResponse(status=known.status if known else "offline", unknown=known is None)

    def _known(self, worker_id: str) -> None:
        if worker_id != self.worker.id:
            raise NotFound(f"worker {worker_id} does not exist")

    async def GetWorker(self, request: workers_pb2.GetWorkerRequest, context: Any) -> workers_pb2.Worker:  # noqa: N802
        if request.id in self.registered:
            return self.registered[request.id]
        self._known(request.id)
        return self.worker

    async def ListWorkers(  # noqa: N802
        self, request: workers_pb2.ListWorkersRequest, context: Any
    ) -> workers_pb2.ListWorkersResponse:
        offers = not request.task_type or request.task_type in self.worker.task_types
        workers = [self.worker] if offers and request.status in ("", self.worker.status) else []
        return workers_pb2.ListWorkersResponse(workers=workers, total=len(workers))

    async def UpdateWorker(self, request: workers_pb2.UpdateWorkerRequest, context: Any) -> workers_pb2.Worker:  # noqa: N802
        if request.id in self.registered:
            if "metadata_json" in request.fields:
                self.registered[request.id].metadata_json = request.worker.metadata_json
            return self.registered[request.id]
        self._known(request.id)
        if "status" in request.fields:
            self.worker.status = request.worker.status
        return self.worker

    async def Deregister(  # noqa: N802
        self, request: workers_pb2.DeregisterRequest, context: Any
    ) -> workers_pb2.DeregisterResponse:
        if self.registered.pop(request.id, None) is None:
            self._known(request.id)
        return workers_pb2.DeregisterResponse()


class FakeResults(results_pb2_grpc.ResultServiceServicer):
    """Three items of every run; `added` are the AddItems requests."""

    def __init__(self) -> None:
        self.added: list[results_pb2.AddItemsRequest] = []
        self.blobs: dict[str, tuple[str, bytes]] = {}

    async def AddItems(self, request: results_pb2.AddItemsRequest, context: Any) -> results_pb2.AddItemsResponse:  # noqa: N802
        self.added.append(request)
        return results_pb2.AddItemsResponse()

    async def GetBlob(  # noqa: N802
        self, request: results_pb2.GetBlobRequest, context: Any
    ) -> AsyncIterator[results_pb2.BlobChunk]:
        if request.name not in self.blobs:
            raise NotFound("no such file")
        content_type, data = self.blobs[request.name]
        for start in range(0, len(data), 5):
            yield results_pb2.BlobChunk(data=data[start : start + 5], content_type=content_type)

    async def ListResults(  # noqa: N802
        self, request: results_pb2.ListResultsRequest, context: Any
    ) -> results_pb2.ListResultsResponse:
        items = [
            results_pb2.ResultItem(
                id=f"{request.run_id}-{position}", run_id=request.run_id, task_id=1, data_type="product",
                data_json=b'{"name": "Lamp"}', created_ms=now_ms(), position=position,
            )
            for position in range(3)
        ]  # fmt: skip
        part = items[request.offset : request.offset + request.limit]
        return results_pb2.ListResultsResponse(items=part, total=len(items))


class FakePapers(papers_pb2_grpc.PaperServiceServicer):
    """One paper in every project, found by every query; `requests` are what was asked."""

    def __init__(self) -> None:
        self.requests: list[Any] = []

    def _paper(self, project_id: int) -> papers_pb2.Paper:
        source = papers_pb2.PaperSource(source="arxiv", id="2401.00001")
        return papers_pb2.Paper(
            id="0" * 24, project_id=project_id, title="A title", authors=["Ada"], citations=-1, sources=[source],
            created_ms=1_741_773_600_000, updated_ms=1_741_773_600_999,
        )  # fmt: skip

    async def ListPapers(  # noqa: N802
        self, request: papers_pb2.ListPapersRequest, context: Any
    ) -> papers_pb2.ListPapersResponse:
        self.requests.append(request)
        return papers_pb2.ListPapersResponse(papers=[self._paper(request.project_id)], total=7)

    async def SearchPapers(  # noqa: N802
        self, request: papers_pb2.SearchPapersRequest, context: Any
    ) -> papers_pb2.SearchPapersResponse:
        self.requests.append(request)
        hit = papers_pb2.PaperHit(
            paper=self._paper(request.project_id), score=1.5, highlights={"title": "A <em>title</em>"}
        )
        return papers_pb2.SearchPapersResponse(hits=[hit], total=1, indexed_ms=1)


class FakeServices:
    """All of them on one gRPC server; `target` is its address."""

    def __init__(self) -> None:
        self.scheduler, self.registry, self.results = FakeScheduler(), FakeRegistry(), FakeResults()
        self.leases, self.papers, self.browser = FakeLeases(), FakePapers(), FakeBrowser()
        self.definitions = FakeDefinitions()
        self.server = self._server(0)

    def _server(self, port: int) -> GrpcServer:
        server = GrpcServer("127.0.0.1", port)
        server.add(tasks_pb2_grpc.add_TaskServiceServicer_to_server, self.scheduler)
        server.add(runs_pb2_grpc.add_RunServiceServicer_to_server, self.scheduler)
        server.add(workers_pb2_grpc.add_WorkerServiceServicer_to_server, self.registry)
        server.add(lease_pb2_grpc.add_LeaseServiceServicer_to_server, self.leases)
        server.add(results_pb2_grpc.add_ResultServiceServicer_to_server, self.results)
        server.add(papers_pb2_grpc.add_PaperServiceServicer_to_server, self.papers)
        server.add(browser_pb2_grpc.add_BrowserServiceServicer_to_server, self.browser)
        server.add(definitions_pb2_grpc.add_DefinitionServiceServicer_to_server, self.definitions)
        return server

    async def restart(self) -> None:
        """Serve the same state on the same port again, after `server.stop`."""
        self.server = self._server(self.server.port)
        await self.server.start()

    @property
    def target(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.server.port}"
