"""What a field's text means. Owns: the types of fields. Must not know documents or selectors."""

import re
from collections.abc import Callable
from datetime import date, datetime, time
from functools import lru_cache
from threading import Lock

import dateparser
from price_parser import Price

from scraper.executor import Json
from scraper.urls import to_url as to_url  # noqa: PLC0414  # One of the values, with a module of its own.

MAX_TEXT = 1024 * 1024
# Longer texts are no numbers or dates, and parsing them costs more than a page.
MAX_NUMBER_TEXT = 200
MAX_DATE_TEXT = 100
# The library loads its languages while parsing, and not safely from two threads.
PARSING_DATES = Lock()
TRUE = frozenset({"true", "yes", "on", "1", "y", "ja", "oui", "si", "sí", "是", "checked", "in stock", "instock"})
FALSE = frozenset({"false", "no", "off", "0", "n", "nein", "non", "否", "out of stock", "outofstock"})


def convert(value: Json, kind: str, base_url: str, encoding: str = "utf-8") -> Json:
    """`value` as `kind`; None when it isn't one. Numbers and booleans of JSON stay what they are."""
    if value is None:
        return None
    if kind in ("text", "html"):
        return value if kind == "html" or not isinstance(value, str) else clean(value) or None
    if isinstance(value, dict | list):
        return None
    return to_url(value, base_url, encoding) if kind == "url" else CONVERTERS[kind](value, base_url)


def clean(text: str) -> str:
    """The text with its white space collapsed, and not without bound."""
    return " ".join(text[:MAX_TEXT].split())


def to_number(value: Json, _: str = "") -> float | int | None:
    """The number in a text, in whatever way its thousands and decimals are written ("€ 1.299,00")."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int | float):
        return value
    text = clean(str(value))
    if not text or len(text) > MAX_NUMBER_TEXT:
        return None
    try:
        number = float(text)
    except ValueError:
        amount = _price(text)
        if amount is None:
            return None
        number = amount
    if number in (float("inf"), float("-inf")) or number != number:  # noqa: PLR0124  # not a number isn't itself
        return None
    return int(number) if number.is_integer() and "." not in text and abs(number) < 2**53 else number


@lru_cache(maxsize=4096)
def _price(text: str) -> float | None:
    price = Price.fromstring(text)
    if price.amount is None:
        return None
    sign = -1 if re.match(r"\D*[-−]\s*\D?\s*\d", text) else 1  # The parser drops signs.
    return sign * abs(float(price.amount))


def to_integer(value: Json, _: str = "") -> int | None:
    """The number in a text, when it is a whole one."""
    number = to_number(value)
    return int(number) if number is not None and float(number).is_integer() else None


def to_boolean(value: Json, _: str = "") -> bool | None:
    """What a text says: yes and no in the common spellings, None for anything else."""
    if isinstance(value, bool):
        return value
    text = clean(str(value)).lower().rpartition("/")[2]  # schema.org/InStock
    return True if text in TRUE else False if text in FALSE else None


def to_date(value: Json, _: str = "") -> str | None:
    """The date or time in a text, as ISO 8601; a time without a zone has none in the result either."""
    text = clean(str(value))
    return _date(text) if text and len(text) <= MAX_DATE_TEXT else None


@lru_cache(maxsize=4096)
def _date(text: str) -> str | None:
    try:
        found: datetime | None = datetime.fromisoformat(text)
    except ValueError:
        with PARSING_DATES:
            found = dateparser.parse(text, settings={"TIMEZONE": "UTC"})
    if found is None:
        return None
    if found.time() == time(0) and found.tzinfo is None:
        return date(found.year, found.month, found.day).isoformat()
    return found.isoformat()


CONVERTERS: dict[str, Callable[[Json, str], Json]] = {
    "number": to_number,
    "integer": to_integer,
    "boolean": to_boolean,
    "date": to_date,
}
