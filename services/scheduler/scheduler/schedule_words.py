"""What is wrong with a schedule, in its own words. Pure: owns the fields' names and ranges; the library judges."""

import re
from dataclasses import dataclass
from datetime import datetime

from cronsim import CronSim, CronSimError

# What the library raises for texts that it does not expect, beside its own error.
BAD_TEXT = (CronSimError, ValueError, TypeError, AssertionError, IndexError, RecursionError)
_STEP = re.compile(r"/(\d{1,9})$")
_EVERY = re.compile(r"@every\s+(\d{1,6})\s*(s|m|h|d)[a-z]*", re.IGNORECASE)
_MAX_SHOWN = 40
_ANYTIME = ("*",) * 6


@dataclass(frozen=True, slots=True)
class _Field:
    """One field of a schedule: what it counts, and the highest step that does anything."""

    name: str
    allowed: str
    span: int


_FIELDS = (
    _Field("second", "seconds go from 0 to 59", 59),
    _Field("minute", "minutes go from 0 to 59", 59),
    _Field("hour", "hours go from 0 to 23", 23),
    _Field("day of the month", "days go from 1 to 31, L is the last one, LW the last one from Monday to Friday", 31),
    _Field("month", "months go from 1 to 12, or JAN to DEC", 12),
    _Field("day of the week", "days of the week go from 0 to 7 (0 and 7 are Sunday), or SUN to SAT; 5L is the last "
                              "Friday, 5#2 the second one", 7),
)  # fmt: skip
# How often something may come within the next larger unit, so that its rhythm is even.
_RHYTHMS = {"s": (60, "*/{n} * * * * *"), "m": (60, "*/{n} * * * *"), "h": (24, "0 */{n} * * *")}


def unreadable(cron: str) -> str:
    """What is wrong with a cron expression that the library can't read: the field, and what is allowed there."""
    parts = cron.split()
    if len(parts) not in (5, 6):
        return _count(len(parts))
    for place, text in _placed(parts):
        if not _reads(place, text):
            field = _FIELDS[place]
            return f"has {text[:_MAX_SHOWN]!r} as its {field.name}: {_hint(text)}{field.allowed}"
    return f"never fires: no month has such a day ({cron!r})"


def senseless_step(cron: str) -> str | None:
    """A step that is wider than its field, so that it would mean something else than it says."""
    for place, text in _placed(cron.split()):
        for part in text.split(","):
            field = _FIELDS[place]
            if (step := _STEP.search(part)) is not None and int(step[1]) > field.span:
                return (f"has {part[:_MAX_SHOWN]!r} as its {field.name}: a step of {step[1]} is beyond the field, "
                        f"since {field.allowed}")  # fmt: skip
    return None


def unknown_macro(text: str, macros: str) -> str:
    """For a word with @ in front; of `@every` what to write in its place."""
    every = _EVERY.fullmatch(text.strip())
    if every is None:
        return f"has an unknown macro; there are {macros}"
    number, unit = int(every[1]), every[2].lower()
    if unit == "d" and number == 1:
        return "has no @every; write 0 0 * * *"
    whole, form = _RHYTHMS.get(unit, (0, ""))
    if number and whole and whole % number == 0 and number < whole:
        return f"has no @every; write {form.format(n=number)}"
    return "has no @every; write the times as a cron expression, such as */5 * * * * for every five minutes"


def _count(number: int) -> str:
    wanted = "must have five fields, or six with seconds in front"
    return f"{wanted}, not seven: years are not known" if number == 7 else f"{wanted}, not {number}"


def _placed(parts: list[str]) -> list[tuple[int, str]]:
    """The fields with their places among the six."""
    return list(enumerate(parts, start=6 - len(parts)))


def _reads(place: int, text: str) -> bool:
    """Whether the library reads this field by itself."""
    alone = [*_ANYTIME]
    alone[place] = text
    try:
        CronSim(" ".join(alone), datetime(2024, 1, 1))  # noqa: DTZ001 - wall time, in no zone
    except BAD_TEXT:
        return False
    return True


def _hint(text: str) -> str:
    if "?" in text:
        return "? is Quartz's, write *; "
    if text.upper().endswith("W") and text.upper() != "LW":
        return "W is known as LW only; "
    return ""
