"""JSON that is taken as it was written, or refused. Pure. Owns: what may stand in JSON from outside beyond its grammar.

The parser that reads bodies takes the last of several equal keys, and makes a double of an integer of more than 64
bits. Both would change silently what somebody said, so both are refused. A document that can have neither, and that is
nearly every one, is only looked through for signs of them.
"""

import json
import re
from typing import Any, NoReturn

Json = Any
# Integers that every encoder on the way can carry.
MIN_INTEGER = -(2**63)
MAX_INTEGER = 2**64 - 1
_LONG_NUMBER = re.compile(rb"[0-9]{19}")
_KEY = re.compile(rb'"[ \t\r\n]*:')


class DuplicateKey(Exception):
    """An object has a key twice; its argument is the key."""


class HugeInteger(Exception):
    """An integer has more than 64 bits; its argument is the path to it, such as `items[2].price`."""


def check_exact(data: bytes, value: Json) -> None:
    """`value` is what `data` was read as. Raises `DuplicateKey`, `HugeInteger`."""
    if _LONG_NUMBER.search(data) is None and len(_KEY.findall(data)) == _count_keys(value):
        return
    # A text that looks like either is only read again.
    _refuse_huge(json.loads(data, object_pairs_hook=_object, parse_int=_integer), "")


def _count_keys(value: Json) -> int:
    count, pending = 0, [value]
    while pending:
        one = pending.pop()
        if isinstance(one, dict):
            count += len(one)
            pending.extend(inner for inner in one.values() if isinstance(inner, dict | list))
        elif isinstance(one, list):
            pending.extend(inner for inner in one if isinstance(inner, dict | list))
    return count


def _integer(digits: str) -> int:
    """Without reading thousands of digits of what is refused anyway."""
    return int(digits) if len(digits) < 25 else MAX_INTEGER + 1


def _object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        raise DuplicateKey(next(key for key, _ in pairs if key in seen or seen.add(key)))  # type: ignore[func-returns-value]  # that is the point
    return made


def _refuse_huge(value: Json, path: str) -> None:
    """Nested no deeper than bodies may be."""
    if type(value) is int and not MIN_INTEGER <= value <= MAX_INTEGER:
        _refuse(path)
    elif isinstance(value, dict):
        for key, inner in value.items():
            _refuse_huge(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _refuse_huge(inner, f"{path}[{index}]")


def _refuse(path: str) -> NoReturn:
    raise HugeInteger(path)
