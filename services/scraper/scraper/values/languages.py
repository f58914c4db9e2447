"""How languages write numbers and dates, by the Unicode CLDR. Must not know texts.

Languages are BCP 47 tags as pages have them (`de`, `pt-BR`, `zh_Hans_CN`); an unknown one says nothing.
"""

import re
import unicodedata
from functools import lru_cache
from typing import Any

# Languages whose main region says little about a page: its order of day and month can't be told without a region.
ORDER_NEEDS_REGION = frozenset({"en"})
# Where month names are looked for when a page's own language doesn't have them.
COMMON = (
    "en", "de", "fr", "es", "pt", "it", "nl", "sv", "da", "nb", "fi", "is", "pl", "cs", "sk", "sl", "hr", "sr",
    "bs", "ro", "hu", "tr", "az", "lt", "lv", "et", "el", "bg", "mk", "ru", "uk", "be", "ca", "gl", "eu", "sq",
    "mt", "ga", "cy", "id", "ms", "vi", "fil", "sw", "af", "ar", "fa", "he", "hi", "bn", "th", "ka", "hy", "kk",
    "uz",
)  # fmt: skip


@lru_cache(maxsize=256)
def _locale(language: str) -> Any:
    from babel.core import Locale, UnknownLocaleError

    parts = [part for part in re.split("[-_]", language) if part]
    # `de-x-formal` is German all the same.
    for length in range(len(parts), 0, -1):
        try:
            return Locale.parse("_".join(parts[:length]))
        except (UnknownLocaleError, ValueError, TypeError):
            continue
    return None


@lru_cache(maxsize=256)
def decimal_mark(language: str) -> str | None:
    """`.` or `,`: the mark before decimals in Western digits."""
    locale = _locale(language)
    mark = locale.number_symbols.get("latn", {}).get("decimal") if locale is not None else None
    return mark if mark in (".", ",") else None


@lru_cache(maxsize=256)
def date_order(language: str) -> str | None:
    """`dmy`, `mdy` or `ymd`: the order in dates of numbers."""
    locale = _locale(language)
    if locale is None or (locale.language in ORDER_NEEDS_REGION and not locale.territory):
        return None
    pattern = locale.date_formats["short"].pattern
    order = "".join(sorted("dmy", key=pattern.lower().find))
    return order if order in ("dmy", "mdy", "ymd") else None


def plain_word(word: str) -> str:
    """A word as it is compared: without case, dots and accents."""
    decomposed = unicodedata.normalize("NFKD", word.casefold())
    return "".join(char for char in decomposed if not unicodedata.combining(char)).strip(" .'’-\u200e\u200f")


@lru_cache(maxsize=256)
def month_names(language: str) -> dict[str, int]:
    """The numbers of the months by their names and abbreviations, as `plain_word` has them."""
    return _names_of(language, "months")


@lru_cache(maxsize=256)
def day_names(language: str) -> frozenset[str]:
    """The names and abbreviations of the days of the week."""
    return frozenset(_names_of(language, "days"))


def _names_of(language: str, what: str) -> dict[str, int]:
    locale = _locale(language)
    names: dict[str, int] = {}
    for form in ("format", "stand-alone") if locale is not None else ():
        for width in ("wide", "abbreviated"):
            for number, name in getattr(locale, what)[form][width].items():
                word = plain_word(name)
                if len(word) > 1 and not any(char.isdigit() for char in word):
                    names.setdefault(word, number)
    if what == "months" and locale is not None and locale.language == "en":
        names["sept"] = 9
    return names


@lru_cache(maxsize=1)
def common_months() -> dict[str, int | None]:
    """The months of all common languages; None for a word that is another month in another language."""
    months: dict[str, int | None] = {}
    for language in COMMON:
        for word, number in month_names(language).items():
            months[word] = number if months.get(word, number) == number else None
    return months


@lru_cache(maxsize=1)
def common_days() -> frozenset[str]:
    """The days of the week of all common languages."""
    return frozenset().union(*(day_names(language) for language in COMMON))
