"""The system's health, statistics and metrics. Owns: their endpoints, and what "degraded" means."""

import time
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from gateway.access import Role
from gateway.exchange import Answer, Call
from gateway.mongo_keys import PoolGauge
from gateway.native import examples
from gateway.native.envelope import VERSION, ok
from gateway.native.statistics import Snapshot, Statistics, StatisticsCollector
from gateway.probes import Health, Probes
from gateway.routing import Doc, Endpoint
from gateway.times import iso_seconds
from gateway.traffic import Traffic

Json = Any
# Without these nothing is accepted; without any other component something is missing or slower.
CRITICAL = ("database", "message_queue", "scheduler")
TAG = "system"


class SystemRoutes:
    """Handlers of `/system`."""

    def __init__(self, probes: Probes, statistics: Statistics, traffic: Traffic, pool: PoolGauge) -> None:
        self._probes, self._statistics, self._traffic, self._pool = probes, statistics, traffic, pool

    async def health(self, call: Call) -> Answer:
        """Check every component."""
        healths = await self._probes.check()
        snapshot = await self._statistics.snapshot()
        rate, seconds = self._traffic.recent()
        components = {name: _component(health) for name, health in healths.items()}
        components["database"]["connection_pool"] = {
            "total": self._pool.total,
            "active": self._pool.active,
            "idle": max(self._pool.total - self._pool.active, 0),
        }
        waiting = _waiting(snapshot)
        components["message_queue"]["queue_size"] = waiting
        components["scheduler"] |= {"active_workers": _active_workers(snapshot), "pending_tasks": waiting}
        components["api"] = {
            "status": "healthy",
            "request_rate": round(rate, 2),
            "response_time": round(seconds, 6),
        }
        data = {
            "status": overall(healths),
            "timestamp": iso_seconds(int(time.time() * 1000)),
            "version": VERSION,
            "components": components,
        }
        return ok(call, data)

    async def stats(self, call: Call) -> Answer:
        """Count."""
        return ok(call, await self._statistics.report())

    async def metrics(self, _call: Call) -> Answer:
        """Prometheus text: the documented names and this process's own."""
        registry = CollectorRegistry()
        registry.register(StatisticsCollector(await self._statistics.snapshot()))
        text = generate_latest(registry) + generate_latest(self._traffic.registry)
        return Answer(text, content_type=CONTENT_TYPE_LATEST.encode())

    def endpoints(self) -> list[Endpoint]:
        """Those below the contract's prefix."""
        return [
            Endpoint("GET", "/system/health", self.health,
                     Doc("系统健康检查", TAG, answer=examples.HEALTH, errors=(401,)), Role.VIEWER),
            Endpoint("GET", "/system/stats", self.stats,
                     Doc("系统统计信息", TAG, answer=examples.STATS, errors=(401, 503)), Role.VIEWER),
            Endpoint("GET", "/system/metrics", self.metrics,
                     Doc("系统指标", TAG, answer=examples.METRICS, content_type="text/plain", errors=(401,)),
                     Role.VIEWER),
        ]  # fmt: skip


async def check_health(probes: Probes) -> dict[str, Json]:
    """The state of the system, and of each component, in few words."""
    healths = await probes.check()
    components = {name: _component(health) for name, health in healths.items()}
    return {"status": overall(healths), "version": VERSION, "components": components}


def overall(healths: dict[str, Health]) -> str:
    """unhealthy without a critical component, degraded without another one."""
    ill = {name for name, health in healths.items() if not health.healthy}
    if not ill:
        return "healthy"
    return "unhealthy" if ill & set(CRITICAL) else "degraded"


def _component(health: Health) -> dict[str, Json]:
    shown: dict[str, Json] = {
        "status": "healthy" if health.healthy else "unhealthy",
        "response_time": health.seconds,
    }
    if health.error:
        shown["error"] = health.error
    return shown


def _waiting(snapshot: Snapshot) -> int | None:
    return None if snapshot.stats is None else snapshot.stats.runs_by_status.get("pending", 0)


def _active_workers(snapshot: Snapshot) -> int | None:
    if snapshot.workers is None:
        return None
    return sum(worker.status == "active" for worker in snapshot.workers.workers)
