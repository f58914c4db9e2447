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
SIMPLE = re.compile(r"[+-]?\d{1,18}(?:\.(?:\d{1,2}|\d{4,15}))?", re.ASCII)
MACHINE = re.compile(r"[+-]?(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d{1,5})?", re.ASCII)
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
    value = _decimal_of(stripped, hints)
    return value if isinstance(value, Unread) else _as_json(value)


def read_integer(text: str, hints: Hints) -> int | Unread:
    """The number that `text` says, when it is a whole one."""
    stripped = text.strip()
    if SIMPLE.fullmatch(stripped) and "." not in stripped:
        return int(stripped)
    value = _decimal_of(stripped, hints)
    if isinstance(value, Unread):
        return value
    if value.adjusted() > MAX_NUMBER_TEXT:
        return TOO_LARGE
    if value != value.to_integral_value():
        return NOT_WHOLE
    whole = _as_json(Decimal(int(value)))
    return int(whole) if isinstance(whole, float) else whole


def decimal_of(text: str) -> str | None:
    """The decimal mark that a text shows, if it does: `1.234,50` a comma, `1,250` none."""
    amount = read_amount(text.strip(), strict=False, languages=())
    return amount.decimal if isinstance(amount, Written) else None


def _decimal_of(text: str, hints: Hints) -> Decimal | Unread:
    if not text or len(text) > MAX_NUMBER_TEXT:
        return TOO_LONG if text else NO_NUMBER
    if (hints.is_data and hints.decimal is None and MACHINE.fullmatch(text)) or SCIENTIFIC.fullmatch(text):
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
        return hints.usual
    if hints.is_data:
        return "."
    return decimal_mark(hints.page_language) if hints.page_language is not None else None


def _as_json(value: Decimal) -> int | float | Unread:
    if value.adjusted() > 400:
        return TOO_LARGE
    if int(value.as_tuple().exponent) < 0:
        number = float(value)
        return number if abs(number) != float("inf") else TOO_LARGE
    whole = int(value)
    if -INT64 <= whole < INT64:
        return whole
    return Unread(VALUE_AS_TEXT, "an integer beyond 64 bits is kept as text, with all its digits", str(whole))


def as_number(value: Json, hints: Hints) -> int | float | Unread | None:
    """A value of JSON or a text as a number."""
    if isinstance(value, float):
        return value if math.isfinite(value) else NO_NUMBER
    if isinstance(value, bool):
        return int(value)
    return _as_json(Decimal(value)) if isinstance(value, int) else read_number(str(value), hints)


def as_integer(value: Json, hints: Hints) -> int | Unread | None:
    """A value of JSON or a text as a whole number."""
    if isinstance(value, float):
        return int(value) if value.is_integer() else NOT_WHOLE
    number = as_number(value, hints) if isinstance(value, int) else read_integer(str(value), hints)
    return number if isinstance(number, Unread) or number is None else int(number)
