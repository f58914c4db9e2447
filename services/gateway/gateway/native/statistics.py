"""The system in numbers. Owns: summing up what scheduler, registry and this machine report, in the contract's words."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import psutil
from chassis import counters
from chassis.errors import TrawlError
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from trawl.scheduler.v1 import runs_pb2
from trawl.workerregistry.v1 import workers_pb2

from gateway.backend import Backend
from gateway.times import duration_words

Json = Any
SHARED_SECONDS = 2.0
# Workers looked at for the counts by status.
MAX_WORKERS = 1_000
MEGABYTE = 1024 * 1024
DEFAULT_BOUNDS = (0.1, 0.5, 1.0, 5.0, 10.0, 60.0, 600.0, 3600.0)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The system at one moment. What could not be asked is None."""

    stats: runs_pb2.Stats | None
    workers: workers_pb2.ListWorkersResponse | None


class Statistics:
    """Asks at most every two seconds, however often it is asked itself."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._started = time.time()
        self._lock = asyncio.Lock()
        self._taken = 0.0
        self._snapshot = Snapshot(None, None)

    async def snapshot(self) -> Snapshot:
        """The latest numbers; parts that are down are left out."""
        async with self._lock:
            if time.monotonic() - self._taken > SHARED_SECONDS or self._snapshot.stats is None:
                stats, workers = await asyncio.gather(_or_none(self._stats), _or_none(self._workers))
                self._snapshot = Snapshot(stats, workers)
                self._taken = time.monotonic()
            return self._snapshot

    async def _stats(self) -> runs_pb2.Stats:
        client = self._backend.scheduler
        answer: runs_pb2.Stats = await client.call(
            self._backend.runs.GetStats, runs_pb2.GetStatsRequest(), timeout=2, wait=False
        )
        return answer

    async def _workers(self) -> workers_pb2.ListWorkersResponse:
        client = self._backend.registry
        answer: workers_pb2.ListWorkersResponse = await client.call(
            self._backend.workers.ListWorkers,
            workers_pb2.ListWorkersRequest(limit=MAX_WORKERS),
            timeout=2,
            wait=False,
        )
        return answer

    async def report(self) -> dict[str, Json]:
        """The documented statistics. Raises a `TrawlError` when the scheduler can't be asked."""
        snapshot = await self.snapshot()
        stats = snapshot.stats if snapshot.stats is not None else await self._stats()
        workers = snapshot.workers if snapshot.workers is not None else await self._workers()
        return {
            "tasks": _tasks(stats),
            "task_runs": _runs(stats),
            "workers": _workers(workers),
            "performance": _performance(stats, time.time() - self._started),
            "resource_usage": _resources(),
        }


async def _or_none(ask: Callable[[], Awaitable[Any]]) -> Any:
    try:
        return await ask()
    except TrawlError:
        return None


def _tasks(stats: runs_pb2.Stats) -> dict[str, Json]:
    counts = stats.tasks_by_status
    named = {name: counts.get(name, 0) for name in ("active", "paused", "completed", "failed")}
    return {"total": sum(counts.values()), **named}


def _runs(stats: runs_pb2.Stats) -> dict[str, Json]:
    counts = stats.runs_by_status
    named = {name: counts.get(name, 0) for name in ("pending", "running", "completed", "failed", "aborted")}
    return {"total": sum(counts.values()), **named}


def _workers(answer: workers_pb2.ListWorkersResponse) -> dict[str, Json]:
    counts = Counter(worker.status for worker in answer.workers)
    loads = [worker.load_average for worker in answer.workers if worker.status != "offline"]
    named = {name: counts.get(name, 0) for name in ("active", "offline", "draining")}
    return {"total": answer.total, **named, "average_load": round(sum(loads) / len(loads), 3) if loads else 0.0}


def _performance(stats: runs_pb2.Stats, uptime_seconds: float) -> dict[str, Json]:
    ended = sum(stats.execution.counts)
    completed, failed = stats.runs_by_status.get("completed", 0), stats.runs_by_status.get("failed", 0)
    judged = completed + failed
    return {
        "average_execution_time": round(stats.execution.sum_seconds / ended, 3) if ended else 0.0,
        "tasks_per_minute": float(stats.ended_last_minute),
        "success_rate": round(100 * completed / judged, 2) if judged else 0.0,
        "system_uptime": duration_words(uptime_seconds),
    }


def _resources() -> dict[str, Json]:
    network = psutil.net_io_counters()
    return {
        "cpu_usage": psutil.cpu_percent(interval=None),
        "memory_usage": psutil.virtual_memory().used // MEGABYTE,
        "disk_usage": psutil.disk_usage("/").percent,
        "network_io": {"bytes_in": network.bytes_recv, "bytes_out": network.bytes_sent},
    }


class StatisticsCollector:
    """The snapshot in Prometheus' terms, under the documented names."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        """The metrics; what could not be asked is absent, not zero."""
        if (stats := self._snapshot.stats) is not None:
            tasks = stats.tasks_by_status
            yield _gauge("scheduler_tasks_total", "Total number of tasks", sum(tasks.values()))
            yield _gauge("scheduler_tasks_active", "Number of active tasks", tasks.get("active", 0))
            yield _by("scheduler_runs", "Number of runs by status", "status", _runs(stats))
            yield _by("scheduler_queue_pending", "Runs that wait, by queue", "queue", dict(stats.pending_by_queue))
            yield _execution(stats.execution)
            yield from _counters(stats.counters)
        if (workers := self._snapshot.workers) is not None:
            counts = _workers(workers)
            yield _gauge("scheduler_workers_total", "Total number of workers", counts["total"])
            yield _gauge("scheduler_workers_active", "Number of active workers", counts["active"])


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _by(name: str, text: str, label: str, values: dict[str, Json]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=[label])
    for key, value in values.items():
        if key != "total":
            family.add_metric([key], value)
    return family


def _counters(scheduler: Iterable[runs_pb2.ProcessCounter]) -> Iterator[Metric]:
    """What the scheduler and this gateway count about themselves; every name is there, with zero if need be."""
    found = {("scheduler", one.name, one.place): one.value for one in scheduler}
    found |= {("gateway", name, place): value for (name, place), value in counters.all_counts().items()}
    for name, text in counters.TEXTS.items():
        family = CounterMetricFamily(name, text, labels=["service", "place"])
        for service in ("scheduler", "gateway"):
            places = {place: value for (who, what, place), value in found.items() if (who, what) == (service, name)}
            for place, value in (places or {"": 0}).items():
                family.add_metric([service, place], value)
        yield family
    for name, text in counters.GAUGES.items():
        yield _by(name, text, "service", {who: value for (who, what, _), value in found.items() if what == name})


def _execution(histogram: runs_pb2.DurationHistogram) -> Metric:
    bounds = [*(histogram.bounds or DEFAULT_BOUNDS)]
    counts = [*histogram.counts] or [0] * (len(bounds) + 1)
    buckets = []
    total = 0
    for bound, count in zip([*map(str, bounds), "+Inf"], counts, strict=True):
        total += count
        buckets.append((bound, total))
    return HistogramMetricFamily(
        "scheduler_task_execution_duration_seconds",
        "Task execution duration",
        buckets=buckets,
        sum_value=histogram.sum_seconds,
    )
