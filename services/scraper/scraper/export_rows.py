"""Result items as table rows. Owns: how nested data become columns, and what a spreadsheet must not run. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

Json = Any
# Beyond this, further keys share one last column: no table program opens more.
MAX_COLUMNS = 2_000
REST = "data.*"
# A spreadsheet takes a text that begins like this for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
MAX_EXACT = 2**63


def flatten(data: Mapping[str, Json], prefix: str = "data") -> Iterator[tuple[str, Json]]:
    """(dotted path, value) of every leaf in order. Lists and empty objects are leaves, as JSON texts."""
    todo: list[tuple[str, Json]] = [(prefix, data)]
    while todo:
        path, value = todo.pop()
        if isinstance(value, dict) and value:
            todo.extend((f"{path}.{key}", inner) for key, inner in reversed(value.items()))
        elif isinstance(value, dict | list):
            if path != prefix:
                yield path, orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
        else:
            yield path, value


def neutral(value: Json) -> Json:
    """The value as a spreadsheet may have it: a text that looks like a formula gets an apostrophe in front."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


class Columns:
    """The union of all rows' columns in the order in which they came, and what kind of values each has."""

    def __init__(self, kinds: Mapping[str, str] | None = None) -> None:
        self._kinds: dict[str, str] = dict(kinds or {})

    @property
    def kinds(self) -> Mapping[str, str]:
        """What another `Columns` can be made of."""
        return self._kinds

    @property
    def names(self) -> list[str]:
        """All of them."""
        return list(self._kinds)

    def kind(self, name: str) -> str:
        """int | float | bool | str; a column of mixed kinds has texts."""
        return self._kinds[name] or "str"

    def take(self, data: Mapping[str, Json]) -> dict[str, Json]:
        """The item's row; its columns are known from now on."""
        row: dict[str, Json] = {}
        rest: dict[str, Json] = {}
        for name, value in flatten(data):
            if name not in self._kinds and len(self._kinds) >= MAX_COLUMNS:
                rest[name] = value
                continue
            self._kinds[name] = _common(self._kinds.get(name, ""), value)
            if value is not None:
                row[name] = value
        if rest:
            self._kinds[REST] = "str"
            row[REST] = orjson.dumps(rest, default=str).decode()
        return row


def _common(kind: str, value: Json) -> str:
    if value is None or kind == "str":
        return kind
    if isinstance(value, bool):
        own = "bool"
    elif isinstance(value, int):
        own = "int" if -MAX_EXACT <= value < MAX_EXACT else "str"
    elif isinstance(value, float):
        own = "float"
    else:
        own = "str"
    if not kind or kind == own:
        return own
    return "float" if {kind, own} == {"int", "float"} else "str"


def as_kind(value: Json, kind: str) -> Json:
    """The value in a column of that kind."""
    if value is None or kind in ("int", "bool"):
        return value
    if kind == "float":
        return float(value)
    return value if isinstance(value, str) else orjson.dumps(value, default=str).decode()
