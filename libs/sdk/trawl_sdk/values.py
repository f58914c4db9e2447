"""What JSON can't hold. Owns: how such a value is named, and what of a log line is changed. Must not know runs.

A result, an item or a checkpoint with such a value is refused, naming the member: nothing is changed without a word. A
log line is for people: it is shown as well as it can be, and fails nothing.
"""

import re
from collections.abc import Mapping
from math import isfinite
from typing import Any

import orjson

Json = Any
MAX_INTEGER, MIN_INTEGER = 2**63 - 1, -(2**63)
MAX_DEPTH = 200
_SURROGATES = re.compile("[\ud800-\udfff]")
_OPTIONS = orjson.OPT_NON_STR_KEYS


def encoded(value: Json, where: str) -> bytes:
    """`value` as JSON. Raises ValueError that names the member of `where` which isn't."""
    try:
        data = orjson.dumps(value, option=_OPTIONS)
    except TypeError as error:
        raise ValueError(_fault(value, where) or f"{where} is not JSON: {error}") from error
    # NaN and infinity become null without a word.
    if b"null" in data and (fault := _fault(value, where)):
        raise ValueError(fault)
    return data


def text(value: object) -> str:
    """`value` as text; half a character (a lone surrogate) becomes U+FFFD."""
    return _SURROGATES.sub("\ufffd", str(value))


def shown(data: Mapping[str, Json]) -> Mapping[str, Json]:
    """A log line's data as it can be shown: what JSON can't hold is there as text."""
    try:
        encoded(data, "data")
    except ValueError:
        return {text(name): _shown(member, MAX_DEPTH) for name, member in data.items()}
    return data


def _shown(value: Json, levels: int) -> Json:
    if isinstance(value, dict) and levels:
        return {text(name): _shown(member, levels - 1) for name, member in value.items()}
    if isinstance(value, list | tuple) and levels:
        return [_shown(member, levels - 1) for member in value]
    return value if value is None or isinstance(value, bool) or _is_number(value) else text(value)


def _is_number(value: Json) -> bool:
    if isinstance(value, float):
        return isfinite(value)
    return isinstance(value, int) and MIN_INTEGER <= value <= MAX_INTEGER


def _fault(value: Json, where: str) -> str:
    """The first thing that JSON can't hold, or nothing."""
    waiting: list[tuple[Json, str, int]] = [(value, where, 0)]
    while waiting:
        one, path, depth = waiting.pop()
        if fault := _fault_of(one):
            return f"{path} {fault}"
        if isinstance(one, dict | list | tuple):
            if depth >= MAX_DEPTH:
                return f"{where} is nested more than {MAX_DEPTH} times"
            members = one.items() if isinstance(one, dict) else enumerate(one)
            waiting += [(member, f"{path}.{text(name)}", depth + 1) for name, member in reversed([*members])]
    return ""


def _fault_of(value: Json) -> str:
    if isinstance(value, float) and not isfinite(value):
        return "is NaN" if value != value else "is infinite"  # noqa: PLR0124 - only NaN is not itself
    if isinstance(value, int) and not MIN_INTEGER <= value <= MAX_INTEGER:
        return "is an integer of more than 64 bits"
    if isinstance(value, str) and not value.isascii() and _SURROGATES.search(value):
        return "holds half a character (a lone surrogate)"
    if isinstance(value, dict) and any(isinstance(name, str) and _SURROGATES.search(name) for name in value):
        return "has a name with half a character (a lone surrogate)"
    return ""
