"""What a field's text means. Owns: the types of fields. Must not know documents or selectors.

A module for each kind: `number` and `price`, `date` and `clock`, `boolean`, `text`. A text that has no value is never
read in part: it is an `Unread`, which says why.
"""

from collections.abc import Callable
from functools import lru_cache

from scraper.executor import Json
from scraper.urls import to_url
from scraper.values.boolean import as_boolean
from scraper.values.hints import NO_HINTS, Hints, Unread, unreadable
from scraper.values.text import clean

__all__ = ["NO_HINTS", "NO_URL", "Hints", "Unread", "clean", "convert", "converter_of", "shown_by", "to_url"]
NO_URL = unreadable("it leads to no page")
COMPOSED = unreadable("it is an object or a list of JSON, not a single value")


Converter = Callable[[Json, str, Hints], Json]


def convert(value: Json, kind: str, base_url: str = "", hints: Hints = NO_HINTS) -> Json:
    """`value` as `kind`; None for an empty one, an `Unread` for one that is there and isn't of that kind.

    Numbers and booleans of JSON stay what they are.
    """
    return converter_of(kind)(value, base_url, hints)


@lru_cache(maxsize=16)
def converter_of(kind: str) -> Converter:
    """What `convert` does for one kind: takes a value, the page's address and what is known of it."""
    if kind == "text":
        return lambda value, _base, _hints: clean(value) or None if isinstance(value, str) else value
    if kind == "html":
        return lambda value, _base, _hints: value
    if kind == "url":
        return _address
    if kind == "boolean":
        return _single(lambda value, _base, _hints: as_boolean(value))
    if kind == "date":
        # It needs more than the others, and few definitions ask for it.
        from scraper.values.date import as_date

        return _single(lambda value, _, hints: as_date(value, hints))
    from scraper.values.number import as_integer, as_number

    read = as_integer if kind == "integer" else as_number
    return _single(lambda value, _, hints: read(value, hints))


def _address(value: Json, base_url: str, hints: Hints) -> Json:
    # An empty link is one to the page itself.
    if value is None or isinstance(value, dict | list):
        return value if value is None else COMPOSED
    return to_url(value, base_url, hints.encoding) or NO_URL


def _single(read: Converter) -> Converter:
    def converted(value: Json, base_url: str, hints: Hints) -> Json:
        if value is None or (isinstance(value, str) and not value.strip()):
            return None
        return COMPOSED if isinstance(value, dict | list) else read(value, base_url, hints)

    return converted


def shown_by(text: str, kind: str) -> str | None:
    """What a text shows of how its kind is written on its page: a decimal mark, or an order of dates; None: nothing."""
    if kind == "date":
        from scraper.values.date import order_of

        return order_of(text)
    from scraper.values.number import decimal_of

    return decimal_of(text) if kind in ("number", "integer") else None
