"""What of a value no store or answer can hold, and what stands for it. Must not know stores, runs or executors.

BSON holds integers of 64 bits, text without lone surrogates, and a hundred levels; JSON holds no NaN and no infinity.
"""

from collections.abc import Callable
from math import isfinite

from scraper.executor import Json

MAX_INTEGER, MIN_INTEGER = 2**63 - 1, -(2**63)
MAX_DEPTH = 80
# How JSON writes names that are no text.
JSON_NAMES = {True: "true", False: "false", None: "null"}
# (path of the value, what was done about it)
Note = Callable[[str, str], None]


def storable(value: Json, note: Note, path: str = "", depth: int = 0) -> Json:
    """`value` as it can be stored: itself when nothing had to be changed; what was changed is told to `note`."""
    # By exact type first: this is on the way of every item.
    kind = type(value)
    if kind is str:
        return value if value.isascii() else _text(value, note, path)
    if kind is dict:
        return _members(value, note, path, depth)
    if kind is list or kind is tuple:
        return _elements(value, note, path, depth)
    return _number(value, note, path)


def _number(value: Json, note: Note, path: str) -> Json:
    if isinstance(value, float) and not isfinite(value):
        note(path, f"{value} is no number: null was stored")
        return None
    if isinstance(value, int) and not MIN_INTEGER <= value <= MAX_INTEGER:
        note(path, "an integer of more than 64 bits was stored as text")
        # Python refuses to write out integers of thousands of digits; nothing reads them as decimals either.
        return str(value) if value.bit_length() <= 10_000 else hex(value)
    return value


def _text(value: str, note: Note, path: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        note(path, "characters that are none (lone surrogates) were replaced")
        return value.encode("utf-8", "replace").decode()
    return value


def _members(value: dict[Json, Json], note: Note, path: str, depth: int) -> Json:
    if depth >= MAX_DEPTH:
        note(path, f"more than {MAX_DEPTH} levels: what is deeper was left out")
        return None
    changed: dict[str, Json] = {}
    same = True
    for name, member in value.items():
        key = name if isinstance(name, str) and name.isascii() and "\0" not in name else _key(name, note, path)
        kept = storable(member, note, f"{path}.{key}" if path else key, depth + 1)
        same = same and kept is member and key is name
        changed[key] = kept
    return value if same else changed


def _key(name: Json, note: Note, path: str) -> str:
    text = name if isinstance(name, str) else JSON_NAMES.get(name, str(name))
    if "\0" in text:
        note(path, "a name with a NUL in it was stored without it")
        text = text.replace("\0", "")
    return _text(text, note, path)


def _elements(value: list[Json] | tuple[Json, ...], note: Note, path: str, depth: int) -> Json:
    if depth >= MAX_DEPTH:
        note(path, f"more than {MAX_DEPTH} levels: what is deeper was left out")
        return None
    kept = [storable(member, note, path, depth + 1) for member in value]
    return value if all(one is other for one, other in zip(kept, value, strict=True)) else kept
