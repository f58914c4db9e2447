"""Times of day and their zones within a text. Owns: taking them out of it. Must not know dates."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, timezone, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

# Abbreviations that mean one zone, in hours from UTC; RFC 2822 has the American ones.
ZONES = {
    "z": 0, "ut": 0, "utc": 0, "gmt": 0, "wet": 0, "west": 1, "bst": 1, "cet": 1, "mez": 1, "cest": 2,
    "mesz": 2, "eet": 2, "eest": 3, "msk": 3, "est": -5, "edt": -4, "cst": -6, "cdt": -5, "mst": -7, "mdt": -6,
    "pst": -8, "pdt": -7, "akst": -9, "akdt": -8, "hst": -10, "jst": 9, "kst": 9, "hkt": 8, "sgt": 8, "wib": 7,
    "aest": 10, "aedt": 11, "awst": 8, "nzst": 12, "nzdt": 13, "sast": 2, "brt": -3, "art": -3,
}  # fmt: skip
MORNING = frozenset({"am", "a.m.", "a.m", "a. m.", "上午", "午前", "오전"})
EVENING = frozenset({"pm", "p.m.", "p.m", "p. m.", "下午", "午後", "오후"})
_HALF = r"(?P<half{}>[ap]\.?\s?m\b\.?|上午|下午|午前|午後|오전|오후)"
_ZONE = r"(?:\s*(?P<zone>(?:UTC|GMT)?\s?[+-]\d{1,2}(?::?\d{2})?(?!\d)|(?-i:[A-Z]{1,5})\b))?(?:\s*\([^()\d]{1,40}\))?"
_CLOCK = r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<part>\d{1,9}))?)?"
TIME = re.compile(
    rf"(?:T|\bat\b|\bum\b|\bà\b|\ba las\b|\balle\b|\bkl\.?|\bo\b|\bв\b|,)?\s*{_HALF.format(1)}?\s*"
    rf"(?<![\d:.]){_CLOCK}(?![\d:])\s*(?:{_HALF.format(2)}|uhr\b|hrs?\b|h\b)?{_ZONE}",
    re.IGNORECASE,
)
# Forms that name their parts: 14h30, 14.30 Uhr, 3 pm, 下午2点30分, 14時30分.
NAMED = re.compile(
    rf"(?:\bat\b|\bum\b|\bà\b|,)?\s*{_HALF.format(1)}?\s*(?<![\d:.])(?P<hour>\d{{1,2}})"
    rf"(?:\s?h\s?(?P<minute_h>\d{{2}})?\b|\.(?P<minute_u>\d{{2}})\s*uhr\b|\s*uhr\b"
    rf"|[時时点點시]\s*(?:(?P<minute_e>\d{{1,2}})[分분])?(?:\s*(?P<second_e>\d{{1,2}})[秒초])?|\s*(?=[ap]\.?\s?m\b)){_HALF.format(2)}?{_ZONE}",
    re.IGNORECASE,
)


# A zone by its place, as it stands behind times: Europe/Berlin, in brackets or not.
PLACE = re.compile(r"\[?\b(?P<name>(?:[A-Z][A-Za-z]+)(?:/[A-Z][A-Za-z_-]+){1,2})\b\]?")


@dataclass(frozen=True, slots=True)
class Clock:
    """A time of day, with the zone that the text names; `rest` is the text without it."""

    at: time
    rest: str


class NoTimeError(ValueError):
    """There is a time that can't be one (25:00), or its zone isn't known."""


def take_time(text: str) -> Clock | None:
    """The time in a text; None without one. Raises NoTimeError."""
    match = TIME.search(text) or NAMED.search(text)
    if match is None:
        return None
    parts = match.groupdict()
    hour = int(parts["hour"])
    minute = int(parts.get("minute") or parts.get("minute_h") or parts.get("minute_u") or parts.get("minute_e") or 0)
    second = int(parts.get("second") or parts.get("second_e") or 0)
    half = (parts["half1"] or parts["half2"] or "").lower()
    if half:
        if not 1 <= hour <= 12:
            raise NoTimeError("a time of half a day has hours from 1 to 12")
        evening = half in EVENING or half.startswith("p")
        hour = hour % 12 + (12 if evening else 0)
    part = int((parts.get("part") or "0").ljust(6, "0")[:6])
    zone = _zone(parts["zone"] or "")
    try:
        at = time(hour, minute, second, part, tzinfo=zone)
    except ValueError as error:
        raise NoTimeError("there is no such time") from error
    rest = f"{text[: match.start()]} {text[match.end() :]}"
    return Clock(at, rest)


def take_place(text: str) -> tuple[str | None, str]:
    """The zone that a text names by its place (IANA), and the text without it."""
    match = PLACE.search(text)
    if match is None or not is_zone(match["name"]):
        return None, text
    return match["name"], f"{text[: match.start()]} {text[match.end() :]}"


@lru_cache(maxsize=256)
def is_zone(name: str) -> bool:
    """Whether there is a zone of that name (IANA)."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _zone(name: str) -> tzinfo | None:
    name = name.strip().lower()
    if not name:
        return None
    if name in ZONES:
        return UTC if ZONES[name] == 0 else timezone(timedelta(hours=ZONES[name]))
    offset = name.removeprefix("utc").removeprefix("gmt").strip()
    if offset[:1] not in ("+", "-"):
        raise NoTimeError(
            "the zone behind its time is not known: `timezone` of the field counts where a text names none"
        )
    digits = offset[1:].replace(":", "")
    hours, minutes = (int(digits), 0) if len(digits) <= 2 else (int(digits[:-2]), int(digits[-2:]))
    if hours > 14 or minutes > 59:
        raise NoTimeError("there is no such zone")
    moved = timedelta(hours=hours, minutes=minutes) * (-1 if offset[0] == "-" else 1)
    return timezone(moved) if moved else UTC


def in_zone(moment: datetime, zone: str) -> datetime | None:
    """A time without a zone as one of `zone`; None for one that the zone skips or has twice (daylight saving)."""
    local = moment.replace(tzinfo=ZoneInfo(zone))
    other = local.replace(fold=1)
    return local if local.utcoffset() == other.utcoffset() else None
