"""Which task depends on which. Owns the resolution of references (ids or names) and the check for cycles."""

from chassis.errors import Conflict, InvalidInput

from scheduler.mongo_tasks import Tasks
from scheduler.task import Task

# No chain of dependencies may pull in more tasks than this.
MAX_CHAIN = 10_000


class Dependencies:
    """Reads tasks from MongoDB; every method raises `Unavailable` when it can't be reached."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks

    async def find(self, reference: str) -> Task | None:
        """The task of that id, else of that name."""
        if reference.isascii() and reference.isdigit() and len(reference) <= 12:
            found = await self._tasks.many([int(reference)])
            if found:
                return next(iter(found.values()))
        return await self._tasks.by_name(reference)

    async def check(self, task: Task) -> None:
        """Raises `InvalidInput` for field `dependencies`: a task that does not exist, or a cycle."""
        seen: set[int] = set()
        pending = [(reference, task.name) for reference in task.dependencies]
        while pending:
            reference, dependent = pending.pop()
            found = task if reference == task.name else await self.find(reference)
            if found is None:
                if dependent == task.name:
                    raise _invalid(f"names a task that does not exist: {reference}", "exists", reference)
                continue
            if found.id == task.id:
                raise _invalid(f"form a cycle: {dependent} depends on {task.name}", "cycle", reference)
            if found.id in seen:
                continue
            seen.add(found.id)
            if len(seen) > MAX_CHAIN:
                raise _invalid(f"reach more than {MAX_CHAIN} tasks", "max_items", None)
            pending += [(further, found.name) for further in found.dependencies]

    async def check_rename(self, task: Task) -> None:
        """Raises `Conflict` when another task depends on this one by its name."""
        for dependent in await self._tasks.dependents(task):
            if dependent.id != task.id and task.name in dependent.dependencies:
                raise Conflict(f"task {dependent.id} depends on it by its name", field="name", dependent=dependent.id)


def _invalid(message: str, rule: str, value: str | None) -> InvalidInput:
    return InvalidInput(f"dependencies {message}", field="dependencies", rule=rule, value=value)
