"""How archived runs are found by a filter and in the order of a time, with one single-field index for both.
Pure: owns the composed keys and the rewriting of queries; knows no driver.

A composed key is a text of the filtered values, a time and the run's number, each of fixed width or free of spaces:
equality on the values becomes a range of the key, and the key's order is the order of that time.
"""

from collections.abc import Mapping
from typing import Any

Query = Mapping[str, Any]

# A task's runs in the order of their ids. Any other list in that order is walked or sorted.
TASK_BY_ID = "by_task_id"
CREATED, STARTED, COMPLETED = "created_ms", "started_ms", "completed_ms"
# Fields of a filter by its name. The most selective first: the first whose fields a query names is taken.
FILTERS: Mapping[str, tuple[str, ...]] = {
    "by_task_status": ("task_id", "status"),
    "by_task_worker": ("task_id", "worker_id"),
    "by_task": ("task_id",),
    "by_scope": ("scope",),
    "by_worker_status": ("worker_id", "status"),
    "by_worker": ("worker_id",),
    "by_contract": ("contract",),
    "by_status": ("status",),
    # Everything.
    "by": (),
}
# A scope's runs are only ever listed by creation.
_BY_OTHER_TIMES = [name for name in FILTERS if name != "by_scope"]
# (filter, time) by the key's name. Each key costs every run that ends.
COMPOSED: Mapping[str, tuple[str, str]] = (
    {("by_created" if name == "by" else name): (name, CREATED) for name in FILTERS}
    | {f"{name}_started": (name, STARTED) for name in _BY_OTHER_TIMES}
    | {f"{name}_completed": (name, COMPLETED) for name in _BY_OTHER_TIMES}
)


def run_key(run_id: int) -> str:
    """A run's `_id`: fixed width, so that strings sort as numbers."""
    return f"{run_id:015d}"


def composed_keys(document: Query, run_id: int) -> dict[str, str]:
    """The keys of one archived run: those whose fields it has. Times and `run_id` have at most 15 digits."""
    number = f"{run_id:015d}"
    times = {time: f"{document[time]:015d}{number}" for time in (CREATED, STARTED, COMPLETED)}
    values = {
        name: " ".join([str(document[field]) for field in fields]) + " "
        for name, fields in FILTERS.items()
        if document.keys() >= {*fields}
    }
    keys = {key: values[name] + times[time] for key, (name, time) in COMPOSED.items() if name in values}
    keys[TASK_BY_ID] = f"{document['task_id']} {number}"
    return keys


def composed(query: Query, time: str = CREATED) -> tuple[dict[str, Any], str]:
    """(the query by a composed key in the order of that time, that key's name; none when no key has that order)"""
    name = next(name for name, fields in FILTERS.items() if all(_is_value(query.get(field)) for field in fields))
    key = next((key for key, parts in COMPOSED.items() if parts == (name, time)), "")
    if (name, time) == ("by_task", "_id"):
        key = TASK_BY_ID
    if not key:
        return dict(query), ""
    fields = FILTERS[name]
    rest = {field: value for field, value in query.items() if field not in (*fields, time)}
    values = " ".join(str(query[field]) for field in fields)
    span = query.get(time, {})
    low = f"{values} " + (f"{span['$gte']:015d}" if "$gte" in span else "")
    # "!" comes right after the space.
    high = f"{values} {span['$lt']:015d}" if "$lt" in span else f"{values}!"
    return {key: {"$gte": low, "$lt": high}, **rest}, key


def behind(query: Query, time: str, value: int, run_id: int, *, ascending: bool) -> dict[str, Any] | None:
    """The query, only for what comes behind that time and run in the order of `time`; None when no key has that order.

    The other conditions stay as they are, so that a query which was rewritten for another order is taken as well.
    """
    wanted, key = composed({name: part for name, part in query.items() if not name.startswith("by")}, time)
    if not key:
        return None
    low, high = wanted[key]["$gte"], wanted[key]["$lt"]
    text = low[: low.rindex(" ") + 1] + ("" if time == "_id" else f"{value:015d}") + f"{run_id:015d}"
    if ascending:
        return {key: {"$gt": text, "$lt": high}} if text >= low else {key: wanted[key]}
    return {key: {"$gte": low, "$lt": min(text, high)}}


def _is_value(value: object) -> bool:
    return isinstance(value, str | int)
