"""What triggers add to definitions. Owns: that it is checked like the definition itself, at next to no cost for tasks
that have none. Must not know HTTP.
"""

import time
from collections.abc import Sequence

import orjson
from chassis.errors import TrawlError
from trawl.scheduler.v1 import runs_pb2, tasks_pb2

from gateway.backend import Backend
from gateway.checks import invalid
from gateway.definitions import BY_PARAMETERS, ask, place_of

# So long a task counts as one without a definition; changing its executor meanwhile only leaves it to the run to check.
REMEMBERED_SECONDS = 60.0
MAX_REMEMBERED = 100_000
# Of a batch's different parameters; the rest is left to the runs.
MAX_CHECKED = 100


class TriggerChecks:
    """Checks starts of tasks by `Backend`."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._without: dict[int | str, float] = {}

    async def check(self, starts: Sequence[runs_pb2.StartRun], root: str) -> None:
        """Raise `InvalidInput` for parameters of one task's starts that no run could use. `root`: their name."""
        given = {start.parameters_json for start in starts if start.parameters_json}
        if not given:
            return
        name = starts[0].task_id or starts[0].task_name
        if self._without.get(name, 0.0) > time.monotonic():
            return
        request = tasks_pb2.GetTaskRequest(id=starts[0].task_id, name=starts[0].task_name)
        try:
            task = (await self._backend.task(self._backend.tasks.GetTask, request)).task
        except TrawlError:
            return  # Starting it says what is wrong.
        if task.executor not in BY_PARAMETERS:
            self._remember(name)
            return
        for parameters_json in list(given)[:MAX_CHECKED]:
            await self._check(task, parameters_json, root)

    async def _check(self, task: tasks_pb2.Task, parameters_json: bytes, root: str) -> None:
        own, added = orjson.loads(task.metadata_json or b"{}").get("params"), orjson.loads(parameters_json)
        answer = await ask(self._backend, task, {**(own if isinstance(own, dict) else {}), **added})
        for problem in answer.problems:
            # What is wrong with the task itself is its run's failure.
            if problem.path.partition(".")[0].partition("[")[0] in added:
                raise invalid(place_of(problem, root), "definition", problem.message)

    def _remember(self, name: int | str) -> None:
        if len(self._without) >= MAX_REMEMBERED:
            self._without.clear()
        self._without[name] = time.monotonic() + REMEMBERED_SECONDS
