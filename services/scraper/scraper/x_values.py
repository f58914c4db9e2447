"""Reading values out of X's answers. Pure. Owns: walking through JSON that may have any shape, X's numbers and times,
and what is said of a value that can't be known. Must not know tweets or users.

Everything is hostile or renamed until proven otherwise: a value of another type than wanted counts as absent.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from scraper.problems import VALUE_CUT, VALUE_MISSING, VALUE_UNREADABLE, Problems

Json = Any
X_TIME = "%a %b %d %H:%M:%S %z %Y"
# What a stored integer holds.
MAX_NUMBER = 2**63 - 1
TYPE_NAME = re.compile(r"[A-Za-z_]\w{0,79}", re.ASCII)
UNNAMED = "(no type)"


class UpstreamChanged(Exception):
    """An answer does not have a shape that this parser knows: the software has to learn it, nobody else is at fault."""


@dataclass(frozen=True, slots=True)
class Notes:
    """Where it is said what of one tweet or user can't be known. `place` is its own: `tweet`, `tweet.quoted`, …"""

    problems: Problems
    place: str
    url: str = ""

    def at(self, part: str) -> "Notes":
        """Those of a part of it."""
        return Notes(self.problems, f"{self.place}.{part}", self.url)

    def unreadable(self, name: str, value: Json) -> None:
        """A value is there and is none of its kind: it is null."""
        message = f"the {name} is there and can't be read: it is null"
        self.problems.note(VALUE_UNREADABLE, f"{self.place}.{name}", message, example=repr(value)[:200], url=self.url)

    def missing(self, name: str, example: str = "") -> None:
        """What each one has is not told of this one: it is null."""
        message = f"the {name} is not told: it is null"
        self.problems.note(VALUE_MISSING, f"{self.place}.{name}", message, example=example, url=self.url)

    def cut(self, name: str, message: str) -> None:
        """Only a part of the value could be read."""
        self.problems.note(VALUE_CUT, f"{self.place}.{name}", message, url=self.url)


def dig(value: Json, *path: str) -> Json:
    """What stands at the path of keys, or None."""
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def first_of(places: tuple[Json, ...], *keys: str) -> Json:
    """The first value that is not null, at any of the keys, in the first of the places that has one."""
    for place in places:
        for key in keys:
            if (found := dig(place, key)) is not None:
                return found
    return None


def text_of(value: Json, *path: str) -> str | None:
    """A string at the path, or None; an empty one counts as absent."""
    found = dig(value, *path)
    return found if isinstance(found, str) and found else None


def id_of(value: Json, *path: str) -> str | None:
    """An id at the path: a string, or the number that it stands for."""
    return as_id(dig(value, *path))


def as_id(found: Json) -> str | None:
    """A value as `id_of` takes it."""
    if isinstance(found, str):
        return found or None
    return str(found) if isinstance(found, int) and not isinstance(found, bool) and found >= 0 else None


def type_of(value: Json, *keys: str) -> str:
    """The GraphQL type that an object says it is of, at the first of the keys that has one; `(no type)` without."""
    for key in keys or ("__typename",):
        name = dig(value, key)
        if isinstance(name, str) and TYPE_NAME.fullmatch(name):
            return name
    return UNNAMED


def has_parts(value: Json) -> bool:
    """Whether an object holds more than names and flags: a part that is an object or a list with something in it."""
    return isinstance(value, dict) and any(isinstance(part, dict | list) and part for part in value.values())


def number_of(value: Json, *path: str) -> int | None:
    """An integer of 64 bits at the path, which X also writes as a string of digits."""
    return as_number(dig(value, *path))


def as_number(found: Json) -> int | None:
    """A value as `number_of` takes it."""
    if isinstance(found, str):
        found = int(found) if len(found) < 20 and found.isascii() and found.isdigit() else None
    elif isinstance(found, float):
        found = int(found) if found.is_integer() else None
    if not isinstance(found, int) or isinstance(found, bool):
        return None
    return found if -MAX_NUMBER <= found <= MAX_NUMBER else None


def count_of(notes: Notes, name: str, *candidates: Json) -> int | None:
    """The first candidate that is there, as a count: a number, digits, or an object with `count`.

    None when none is there; also, and noted, when what is there is no count.
    """
    unreadable: Json = None
    for found in candidates:
        value = found.get("count") if isinstance(found, dict) else found
        number = as_number(value)
        if number is not None and number >= 0:
            return number
        unreadable = value if unreadable is None else unreadable
    if unreadable is not None:
        notes.unreadable(name, unreadable)
    return None


def flag_of(value: Json, *path: str) -> bool:
    """Whether the value at the path is true."""
    return dig(value, *path) is True


def objects_of(value: Json, *path: str) -> list[dict[str, Json]]:
    """The objects in the list at the path."""
    found = dig(value, *path)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def texts_of(value: Json, *path: str) -> list[str]:
    """The strings in the list at the path."""
    found = dig(value, *path)
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []


def first_text(*candidates: str | None) -> str | None:
    """The first that is there: newer places are named before older ones."""
    return next((text for text in candidates if text is not None), None)


def unescaped(text: str) -> str:
    """The text that was written: X escapes `&`, `<` and `>` in `full_text`, and nothing else, once."""
    if "&" not in text:
        return text
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def time_of(notes: Notes, name: str, *candidates: Json) -> str | None:
    """The first candidate that is there, as a time: X's own form, RFC 3339 with a zone, or epoch milliseconds.

    `Wed Oct 10 20:19:24 +0000 2018` is `2018-10-10T20:19:24Z`. None when none is there; also, and noted, when what is
    there is no time.
    """
    found = next((one for one in candidates if one is not None), None)
    if found is None:
        return None
    try:
        moment = _moment(found).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        notes.unreadable(name, found)
        return None
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _moment(found: Json) -> datetime:
    """Raises ValueError, OverflowError and OSError."""
    if (epoch_ms := as_number(found)) is not None:
        return datetime.fromtimestamp(epoch_ms / 1000, UTC)
    text = found if isinstance(found, str) else ""
    if not text[:4].isdigit():
        return datetime.strptime(text, X_TIME).astimezone(UTC)
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(text)
    return moment
