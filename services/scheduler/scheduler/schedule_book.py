"""Tasks that start by themselves, in memory: who fires when, and who depends on whom. Owns the heap of fire times and
the map of dependents. Pure: the truth is in MongoDB, and `task_watch` brings it here.
"""

import heapq
from collections import defaultdict
from dataclasses import dataclass

from scheduler.schedule import next_after
from scheduler.task import Task


@dataclass(slots=True)
class _Entry:
    """A watched task. Fire times up to `handled_ms` are dealt with; `next_ms` 0 = none follows."""

    task: Task
    handled_ms: int
    next_ms: int = 0


class ScheduleBook:
    """Bounded by the number of tasks that have a schedule or dependencies."""

    def __init__(self) -> None:
        self._entries: dict[int, _Entry] = {}
        self._heap: list[tuple[int, int]] = []
        self._dependents: dict[str, set[int]] = defaultdict(set)

    def put(self, task: Task, handled_ms: int) -> None:
        """Watch the task from now on, or as it is now. An older copy of it changes nothing."""
        old = self._entries.get(task.id)
        if old is not None and old.task.version >= task.version:
            return
        self.remove(task.id)
        if not task.schedule and not task.dependencies:
            return
        for reference in task.dependencies:
            self._dependents[reference].add(task.id)
        same = old is not None and old.task.schedule == task.schedule
        entry = _Entry(task, max(task.schedule_since_ms, old.handled_ms if same and old else handled_ms))
        self._entries[task.id] = entry
        self._plan(entry)

    def remove(self, task_id: int) -> None:
        """Watch it no more."""
        old = self._entries.pop(task_id, None)
        for reference in old.task.dependencies if old else ():
            self._dependents[reference].discard(task_id)
            if not self._dependents[reference]:
                del self._dependents[reference]

    def get(self, task_id: int) -> Task | None:
        """A watched task."""
        entry = self._entries.get(task_id)
        return entry.task if entry else None

    def handled_ms(self, task_id: int) -> int:
        """Up to when its fire times are dealt with."""
        entry = self._entries.get(task_id)
        return entry.handled_ms if entry else 0

    def task_ids(self) -> list[int]:
        """All that are watched."""
        return list(self._entries)

    def dependents(self, task_id: int, name: str) -> set[int]:
        """Tasks that name this one among their dependencies."""
        if not self._dependents:
            return set()
        return self._dependents.get(str(task_id), set()) | self._dependents.get(name, set())

    def next_ms(self) -> int | None:
        """When the next task fires."""
        while self._heap:
            next_ms, task_id = self._heap[0]
            entry = self._entries.get(task_id)
            if entry is not None and entry.next_ms == next_ms:
                return next_ms
            heapq.heappop(self._heap)
        return None

    def due(self, now: int) -> list[Task]:
        """Tasks with a fire time up to now; they stay due until `handled`."""
        found: list[Task] = []
        taken: list[tuple[int, int]] = []
        while (next_ms := self.next_ms()) is not None and next_ms <= now:
            item = heapq.heappop(self._heap)
            entry = self._entries[item[1]]
            if not taken or taken[-1] != item:
                found.append(entry.task)
                taken.append(item)
        for item in taken:
            heapq.heappush(self._heap, item)
        return found

    def handled(self, task: Task, until_ms: int) -> None:
        """Fire times up to then are dealt with, as far as this version of the task is concerned."""
        entry = self._entries.get(task.id)
        if entry is not None and entry.task.version == task.version and until_ms > entry.handled_ms:
            entry.handled_ms = until_ms
            self._plan(entry)

    def _plan(self, entry: _Entry) -> None:
        fire = next_after(entry.task.schedule, entry.handled_ms) if entry.task.schedule else None
        entry.next_ms = fire.at_ms if fire else 0
        if fire:
            heapq.heappush(self._heap, (fire.at_ms, entry.task.id))
