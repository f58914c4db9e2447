"""Reading values out of X's answers. Pure. Owns: walking through JSON that may have any shape, and X's time format.

Everything is hostile or renamed until proven otherwise: a value of another type than wanted counts as absent.
"""

from datetime import UTC, datetime
from typing import Any

Json = Any
X_TIME = "%a %b %d %H:%M:%S %z %Y"


class UpstreamChanged(Exception):
    """An answer does not have a shape that this parser knows: the software has to learn it, nobody else is at fault."""


def dig(value: Json, *path: str) -> Json:
    """What stands at the path of keys, or None."""
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def text_of(value: Json, *path: str) -> str | None:
    """A string at the path, or None; an empty one counts as absent."""
    found = dig(value, *path)
    return found if isinstance(found, str) and found else None


def number_of(value: Json, *path: str) -> int | None:
    """An integer at the path, which X also writes as a string of digits."""
    found = dig(value, *path)
    if isinstance(found, str) and found.isascii() and found.isdigit() and len(found) < 20:
        return int(found)
    return found if isinstance(found, int) and not isinstance(found, bool) else None


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


def first_number(*candidates: int | None) -> int | None:
    """The first that is there."""
    return next((number for number in candidates if number is not None), None)


def iso_time(text: str | None) -> str | None:
    """`Wed Oct 10 20:19:24 +0000 2018` as `2018-10-10T20:19:24Z`; None when it is no such time."""
    if text is None:
        return None
    try:
        moment = datetime.strptime(text, X_TIME).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
