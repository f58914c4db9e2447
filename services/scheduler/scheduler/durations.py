"""How long runs of a task usually take, for estimates. In memory only: an estimate that is missing is no error."""

from collections import OrderedDict

MAX_TASKS = 10_000
WEIGHT = 0.2


class Durations:
    """Exponentially weighted mean execution time of completed runs, by task."""

    def __init__(self) -> None:
        self._mean_ms: OrderedDict[int, float] = OrderedDict()

    def add(self, task_id: int, execution_ms: int) -> None:
        """Learn from one completed run."""
        old = self._mean_ms.pop(task_id, float(execution_ms))
        self._mean_ms[task_id] = old + WEIGHT * (execution_ms - old)
        if len(self._mean_ms) > MAX_TASKS:
            self._mean_ms.popitem(last=False)

    def expected_ms(self, task_id: int) -> int:
        """The estimate, at least 1; 0 = nothing is known."""
        mean = self._mean_ms.get(task_id)
        return max(1, round(mean)) if mean is not None else 0
