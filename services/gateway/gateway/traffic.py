"""What the ports have served. Owns: request metrics and the rate over the last minute. Knows no contract."""

import time
from typing import Any

from prometheus_client import CollectorRegistry, Counter, GCCollector, Histogram, PlatformCollector, ProcessCollector

WINDOW_SECONDS = 60
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600)


class Traffic:
    """Counters and latencies of every request, by port, method, route template and status."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._requests = Counter(
            "trawl_gateway_requests", "HTTP requests", ["port", "method", "route", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "trawl_gateway_request_seconds",
            "Time to answer an HTTP request",
            ["port", "route"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        # Label lookups cost more than counting: each child is looked up once.
        self._children: dict[tuple[str, str, str, int], tuple[Any, Any]] = {}
        self._window: list[list[float]] = [[0, 0, 0.0] for _ in range(WINDOW_SECONDS)]

    def record(self, port: str, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request. `route` is a template, never a path: the number of label sets stays bounded."""
        key = (port, method, route, status)
        children = self._children.get(key)
        if children is None:
            children = self._requests.labels(port, method, route, str(status)), self._seconds.labels(port, route)
            self._children[key] = children
        children[0].inc()
        children[1].observe(seconds)
        now = int(time.monotonic())
        slot = self._window[now % WINDOW_SECONDS]
        if slot[0] != now:
            slot[0], slot[1], slot[2] = now, 0, 0.0
        slot[1] += 1
        slot[2] += seconds

    def recent(self) -> tuple[float, float]:
        """Requests per second and mean seconds of an answer, over the last minute."""
        oldest = int(time.monotonic()) - WINDOW_SECONDS
        slots = [slot for slot in self._window if slot[0] > oldest]
        count, seconds = sum(slot[1] for slot in slots), sum(slot[2] for slot in slots)
        return count / WINDOW_SECONDS, seconds / count if count else 0.0
