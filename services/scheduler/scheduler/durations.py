"""How long runs take: estimates by task, and figures for metrics. In memory: what this scheduler archived."""

import time
from bisect import bisect_left
from collections import OrderedDict, deque

MAX_TASKS = 10_000
WEIGHT = 0.2
# Upper bounds in seconds; a last bucket has everything above.
BOUNDS = (0.1, 0.5, 1.0, 5.0, 10.0, 60.0, 600.0, 3600.0)
WINDOW_SECONDS = 60


class Durations:
    """Exponentially weighted mean execution time by task; a histogram of all; how many ended in the last minute."""

    def __init__(self) -> None:
        self._mean_ms: OrderedDict[int, float] = OrderedDict()
        self.counts = [0] * (len(BOUNDS) + 1)
        self.sum_seconds = 0.0
        # (second, runs that ended in it), oldest first.
        self._ended: deque[tuple[int, int]] = deque(maxlen=WINDOW_SECONDS + 1)

    def add(self, task_id: int, execution_ms: int) -> None:
        """Learn from one completed run."""
        old = self._mean_ms.pop(task_id, float(execution_ms))
        self._mean_ms[task_id] = old + WEIGHT * (execution_ms - old)
        if len(self._mean_ms) > MAX_TASKS:
            self._mean_ms.popitem(last=False)

    def count(self, execution_ms: int) -> None:
        """Count one run that ended, however it did."""
        self.counts[bisect_left(BOUNDS, execution_ms / 1000)] += 1
        self.sum_seconds += execution_ms / 1000
        second = int(time.monotonic())
        if self._ended and self._ended[-1][0] == second:
            self._ended[-1] = (second, self._ended[-1][1] + 1)
        else:
            self._ended.append((second, 1))

    def ended_last_minute(self) -> int:
        """Runs that ended within the last 60 seconds."""
        since = int(time.monotonic()) - WINDOW_SECONDS
        return sum(count for second, count in self._ended if second > since)

    def expected_ms(self, task_id: int) -> int:
        """The estimate, at least 1; 0 = nothing is known."""
        mean = self._mean_ms.get(task_id)
        return max(1, round(mean)) if mean is not None else 0
