"""How archived runs are found by a filter and in the order of their creation, with one single-field index for both.
Pure: owns the composed keys and the rewriting of queries; knows no driver.

A composed key is a text of the filtered values, the time of creation and the run's number, each of fixed width or free
of spaces: equality on the values becomes a range of the key, and the key's order is the order of creation.
"""

from collections.abc import Mapping
from typing import Any

Query = Mapping[str, Any]

# The most selective first: the first whose fields a query names is taken.
COMPOSED: Mapping[str, tuple[str, ...]] = {
    "by_task_status": ("task_id", "status"),
    "by_task": ("task_id",),
    "by_scope": ("scope",),
    "by_worker": ("worker_id",),
    "by_contract": ("contract",),
    "by_status": ("status",),
    # Everything, in the order of creation.
    "by_created": (),
}


def composed_keys(document: Query) -> dict[str, str]:
    """The keys of one archived run. `created_ms` and `run_id` have at most 15 digits."""
    tail = f"{document['created_ms']:015d}{document['run_id']:015d}"
    return {name: f"{' '.join(str(document[field]) for field in fields)} {tail}" for name, fields in COMPOSED.items()}


def composed(query: Query) -> tuple[dict[str, Any], str]:
    """(the query by a composed key, that key's name)"""
    name = next(name for name, fields in COMPOSED.items() if all(_is_value(query.get(field)) for field in fields))
    fields = COMPOSED[name]
    rest = {field: value for field, value in query.items() if field not in (*fields, "created_ms")}
    values = " ".join(str(query[field]) for field in fields)
    created = query.get("created_ms", {})
    low = f"{values} " + (f"{created['$gte']:015d}" if "$gte" in created else "")
    # "!" comes right after the space.
    high = f"{values} {created['$lt']:015d}" if "$lt" in created else f"{values}!"
    return {name: {"$gte": low, "$lt": high}, **rest}, name


def _is_value(value: object) -> bool:
    return isinstance(value, str | int)
