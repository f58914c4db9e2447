"""What steps bring in. Owns: the run's result by name, and which of it become result items. Must not know a browser."""

from collections.abc import Sequence

from scraper.executor import Item, Json, RunContext
from scraper.step_templates import Redactor

# Above this a list in the result is cut, and the result says so; the result items hold all of it.
MAX_LISTED = 10_000
_BATCH = 500


class StepResults:
    """A name stored more than once holds the list of its values, in order."""

    def __init__(self, run: RunContext, redactor: Redactor) -> None:
        self._run, self._redactor = run, redactor
        self._values: dict[str, Json] = {}
        self._counts: dict[str, int] = {}

    def store(self, name: str, value: Json) -> None:
        """Put a single value into the result."""
        count = self._counts[name] = self._counts.get(name, 0) + 1
        value = self._redactor.json(value)
        if count == 1:
            self._values[name] = value
            return
        if count == 2:
            self._values[name] = [self._values[name]]
        if count <= MAX_LISTED:
            self._values[name].append(value)

    async def store_list(self, name: str, values: Sequence[Json], data_type: str) -> None:
        """Put a list into the result, and each of its elements into the result items."""
        have = self._values.get(name)
        listed = have if isinstance(have, list) else [] if have is None else [have]
        listed += self._redactor.json(values[: max(MAX_LISTED - len(listed), 0)])
        self._values[name] = listed
        # At least two: a single value stored under this name later joins the list.
        self._counts[name] = max(self._counts.get(name, 0) + len(values), 2)
        await self.emit(name, values, data_type)

    async def emit(self, name: str, values: Sequence[Json], data_type: str) -> None:
        """Store result items; a value that is no object becomes `{name: value}`."""
        for start in range(0, len(values), _BATCH):
            batch = [self._redactor.json(value) for value in values[start : start + _BATCH]]
            data = [value if isinstance(value, dict) else {name: value} for value in batch]
            await self._run.emit([Item(data=one, data_type=data_type) for one in data])

    def as_json(self) -> dict[str, Json]:
        """The run's result; `truncated` names lists that were cut, with their whole length."""
        cut = {name: count for name, count in self._counts.items() if count > MAX_LISTED}
        return {**self._values, "truncated": cut} if cut else dict(self._values)
