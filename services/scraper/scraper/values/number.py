"""What number a text says. Owns: the types `number` and `integer`. Must not know documents.

Which mark begins the decimals is told by the field, by the text's own form, by other texts of the field or by the
language; else the text has no value. Integers are exact.
"""

import math
import re
from decimal import Decimal

from scraper.executor import Json
from scraper.problems import VALUE_AS_TEXT
from scraper.values.digits import Written
from scraper.values.hints import Hints, Unread, ambiguous, unreadable
from scraper.values.languages import decimal_mark
from scraper.values.price import read_amount
from scraper.values.tokens import NO_NUMBER

# Longer texts are no numbers, and a reader would not look for one in them.
MAX_NUMBER_TEXT = 200
INT64 = 2**63
EXACT_FLOAT = 2.0**53
TOO_MANY_DIGITS = 10**1000
SIMPLE = re.compile(r"[+-]?\d{1,18}(?:\.(?:\d{1,2}|\d{4,15}))?", re.ASCII)
MACHINE = re.compile(r"[+-]?(?:\d+(?:\.\d+)?|\.\d+)", re.ASCII)
SCIENTIFIC = re.compile(r"[+-]?\d+(?:\.\d+)?[eE][+-]?\d{1,5}", re.ASCII)
NOT_WHOLE = unreadable("it is no whole number")
TOO_LARGE = unreadable("the number is too large")
TOO_LONG = unreadable("it is too long for a number")
DECIMAL = ambiguous(
    "the mark in it groups thousands or begins decimals: `decimal` or `language` of the field would tell"
)
DECLARED = unreadable("it can't be written so with the field's own decimal mark")


def read_number(text: str, hints: Hints) -> int | float | Unread:
    """The number that `text` says."""
    stripped = text.strip()
    if SIMPLE.fullmatch(stripped) and hints.decimal != ",":
        return float(stripped) if "." in stripped else int(stripped)
    if SCIENTIFIC.fullmatch(stripped):
        return _scientific(stripped)
    value = _decimal_of(stripped, hints)
    return value if isinstance(value, Unread) else _as_json(value)


def read_integer(text: str, hints: Hints) -> int | Unread:
    """The number that `text` says, when it is a whole one."""
    stripped = text.strip()
    if SIMPLE.fullmatch(stripped) and "." not in stripped:
        return int(stripped)
    if SCIENTIFIC.fullmatch(stripped):
        number = _scientific(stripped)
        return NOT_WHOLE if isinstance(number, float) else number
    value = _decimal_of(stripped, hints)
    if isinstance(value, Unread):
        return value
    return _whole(int(value)) if value == value.to_integral_value() else NOT_WHOLE


def decimal_of(text: str) -> str | None:
    """The decimal mark that a text shows, if it does: `1.234,50` a comma, `1,250` none."""
    if len(text) > MAX_NUMBER_TEXT:
        return None
    amount = read_amount(text.strip(), strict=False, languages=())
    return amount.decimal if isinstance(amount, Written) else None


def _decimal_of(text: str, hints: Hints) -> Decimal | Unread:
    if not text or len(text) > MAX_NUMBER_TEXT:
        return TOO_LONG if text else NO_NUMBER
    if hints.is_data and hints.decimal is None and MACHINE.fullmatch(text):
        return Decimal(text)
    amount = read_amount(text, strict=hints.strict, languages=hints.languages)
    if isinstance(amount, Unread):
        return amount
    if hints.decimal is not None:
        value = amount.value(hints.decimal)
        return DECLARED if value is None else value
    mark = amount.decimal
    if mark is None and amount.is_ambiguous:
        mark = _usual_mark(hints)
        if mark is None:
            return DECIMAL
    value = amount.value(mark or ".")
    assert value is not None
    return value


def _usual_mark(hints: Hints) -> str | None:
    if hints.language is not None:
        return decimal_mark(hints.language)
    if hints.usual is not None:
        return hints.usual or None
    if hints.is_data:
        return "."
    return decimal_mark(hints.page_language) if hints.page_language is not None else None


def _scientific(text: str) -> int | float | Unread:
    number = float(text)
    if not math.isfinite(number):
        return TOO_LARGE
    return int(number) if number.is_integer() and abs(number) < EXACT_FLOAT else number


def _as_json(value: Decimal) -> int | float | Unread:
    return float(value) if int(value.as_tuple().exponent) < 0 else _whole(int(value))


def _whole(number: int) -> int | Unread:
    if -INT64 <= number < INT64:
        return number
    if abs(number) >= TOO_MANY_DIGITS:
        return TOO_LARGE
    return Unread(VALUE_AS_TEXT, "an integer beyond 64 bits is kept as text, with all its digits", str(number))


def as_number(value: Json, hints: Hints) -> int | float | Unread:
    """A value of JSON or a text as a number."""
    if isinstance(value, float):
        return value if math.isfinite(value) else NO_NUMBER
    if isinstance(value, bool):
        return int(value)
    return _whole(value) if isinstance(value, int) else read_number(str(value), hints)


def as_integer(value: Json, hints: Hints) -> int | Unread:
    """A value of JSON or a text as a whole number."""
    if isinstance(value, float):
        return _whole(int(value)) if value.is_integer() else NOT_WHOLE
    return _whole(int(value)) if isinstance(value, int) else read_integer(str(value), hints)
