"""What date a text says, as ISO 8601 and no more precise than the text. Must not know documents.

Nothing is taken from the day of the run: a text without a year is no date, a month stays a month (`2024-05`). Which
of two numbers is the day is told by the field, by the text's own form (dots: the day first; a year in front: the year,
the month, the day; a number above 12), by other texts of the field, or by the language.
"""

import re
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import lru_cache

from scraper.executor import Json
from scraper.values.clock import NoTimeError, in_zone, take_place, take_time
from scraper.values.date_forms import (
    NO_DATE,
    NO_SUCH_DAY,
    SEVERAL,
    WORD,
    Day,
    Found,
    by_numbers,
    by_words,
    says_nothing,
)
from scraper.values.digits import western
from scraper.values.hints import Hints, Unread, ambiguous, unreadable
from scraper.values.languages import date_order

MAX_DATE_TEXT = 200
ISO = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
ISO_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?(?:Z|[+-]\d{2}:?\d{2})?", re.ASCII)
COMPACT = re.compile(r"(?P<day>(?:19|20)\d{6})(?:T?(?P<clock>\d{6})(?P<zone>Z)?)?", re.ASCII)
# Seconds or milliseconds since 1970, between 1990 and 2100: other numbers of ten or thirteen digits are none.
EPOCH = re.compile(r"\d{10}(?:\d{3})?", re.ASCII)
EPOCH_FROM, EPOCH_TO = 631_152_000, 4_102_444_800
NOT_STRICT = unreadable("it has more in it than the date, and the field is `strict`")
ORDER = ambiguous("which number is the day is not known: `order` or `language` of the field would tell")
DECLARED = unreadable("it can't be written so in the field's own order")
TWICE = ambiguous("daylight saving skips or repeats this time in its zone")


def read_date(text: str, hints: Hints) -> str | Unread:
    """The date or time that `text` says."""
    stripped = text.strip()
    if ISO.fullmatch(stripped):
        return Day(int(stripped[:4]), int(stripped[5:7]), int(stripped[8:])).iso() or NO_SUCH_DAY
    if not stripped or len(stripped) > MAX_DATE_TEXT:
        return unreadable("too long for a date") if stripped else NO_DATE
    if ISO_TIME.fullmatch(stripped):
        return _iso_time(stripped, hints)
    if EPOCH.fullmatch(stripped) and EPOCH_FROM <= int(stripped[:10]) <= EPOCH_TO:
        return _moment(int(stripped) / (1000 if len(stripped) == 13 else 1))
    if (match := COMPACT.fullmatch(stripped)) is not None:
        return _compact(match, hints)
    found = _found(stripped, strict=hints.strict, languages=hints.languages)
    return found if isinstance(found, Unread) else _settled(found, hints)


def order_of(text: str) -> str | None:
    """The order of day and month that a text shows, if it does: `25/12/2022` shows `dmy`, `01/02/2022` none."""
    if len(text) > MAX_DATE_TEXT:
        return None
    found = _found(text.strip(), strict=False, languages=())
    return found.shown if isinstance(found, Found) else None


def as_date(value: Json, hints: Hints) -> str | Unread | None:
    """A value of JSON or a text as a date; a number is a time in seconds or milliseconds since 1970."""
    if isinstance(value, bool):
        return NO_DATE
    if isinstance(value, float):
        return _moment(value) if EPOCH_FROM <= value <= EPOCH_TO else NO_DATE
    return read_date(str(value), hints)


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def _iso_time(text: str, hints: Hints) -> str | Unread:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return NO_SUCH_DAY
    return _shown(moment, hints)


def _compact(match: "re.Match[str]", hints: Hints) -> str | Unread:
    try:
        day = datetime.strptime(match["day"], "%Y%m%d").date()  # noqa: DTZ007  # a day has no zone
        clock = datetime.strptime(match["clock"], "%H%M%S").time() if match["clock"] else None  # noqa: DTZ007
    except ValueError:
        return NO_SUCH_DAY
    if clock is None:
        return day.isoformat()
    return _shown(datetime.combine(day, clock, UTC if match["zone"] else None), hints)


def _shown(moment: datetime, hints: Hints, zone: str | None = None) -> str | Unread:
    zone = zone or hints.timezone
    if moment.tzinfo is None and zone is not None:
        local = in_zone(moment, zone)
        return local.isoformat() if local is not None else TWICE
    return moment.isoformat()


def _settled(found: Found, hints: Hints) -> str | Unread:
    day = _chosen(found, hints)
    if isinstance(day, Unread):
        return day
    whole = day.iso()
    if whole is None or found.at is None:
        return whole or NO_SUCH_DAY
    if day.day is None:
        return NO_DATE
    return _shown(datetime.combine(date.fromisoformat(whole), found.at), hints, found.zone)


def _chosen(found: Found, hints: Hints) -> Day | Unread:
    days = found.days
    if hints.order is not None and found.is_open:
        # The field's own word counts also against dots.
        return days.get(hints.order) or DECLARED
    if found.order is not None:
        return days[found.order]
    if (one := found.one) is not None:
        return one
    return days.get(_usual_order(hints) or "", ORDER)


def _usual_order(hints: Hints) -> str | None:
    if hints.language is not None:
        return date_order(hints.language)
    if hints.usual is not None:
        return hints.usual or None
    return date_order(hints.page_language) if hints.page_language is not None else None


@lru_cache(maxsize=8192)
def _found(text: str, *, strict: bool, languages: tuple[str, ...]) -> Found | Unread:
    zone, plain = take_place(" ".join(western(text).split()))
    try:
        clock = take_time(plain)
    except NoTimeError as error:
        return unreadable(str(error))
    rest = clock.rest.strip() if clock is not None else plain
    found = by_numbers(rest, languages) or by_words(rest, languages)
    if isinstance(found, Unread):
        return found
    taken, left = found
    words = [word for word in WORD.findall(left) if not says_nothing(word, languages)]
    if strict and words:
        return NOT_STRICT
    if any(char.isdigit() for char in left):
        return SEVERAL
    if words and next(iter(taken.days.values())).day is None:
        return NO_DATE  # "Summer 2024", "Model 2019": more is said than a year.
    return replace(taken, at=clock.at if clock is not None else None, zone=zone)
