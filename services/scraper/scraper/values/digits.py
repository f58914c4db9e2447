"""How digits with marks between them are read. Owns: groups and decimals. Must not know currencies or words.

A mark that stands once before three digits has two meanings (`1,250` is 1250 or 1.25); every other form has one.
"""

import re
import unicodedata
from dataclasses import dataclass, replace
from decimal import Context, Decimal
from functools import lru_cache

# Exact for every text that is taken for a number.
EXACT = Context(prec=500)
SPACES = dict.fromkeys(
    map(ord, "\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"), " "
)
QUOTES = dict.fromkeys(map(ord, "’‘´`ʼ′＇"), "'")
OTHERS = {ord("،"): ",", ord("−"): "-", ord("‒"): "-", ord("﹣"): "-", ord("⁻"): "-", ord("‑"): "-"}
# Directions, joiners and soft hyphens: nobody sees them.
UNSEEN = dict.fromkeys(
    map(
        ord,
        "\u00ad\u061c\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff",
    )
)
TRANSLATION = SPACES | QUOTES | OTHERS | UNSEEN
MARKS = ".,' ٫٬"
DIGITS = rf"[0-9](?:[{MARKS}]?[0-9])*"
_PARTS = re.compile(rf"([{MARKS}])")


@lru_cache(maxsize=512)
def _western(char: str) -> str:
    if (digit := unicodedata.decimal(char, None)) is not None:
        return str(digit)
    # Full-width forms stand in the order of ASCII.
    return chr(ord(char) - 0xFEE0) if "！" <= char <= "～" else char


def western(text: str) -> str:
    """The text with Western digits, one kind of each mark, and nothing that isn't seen."""
    if text.isascii():
        return text
    return "".join(map(_western, text.translate(TRANSLATION)))


@dataclass(frozen=True, slots=True)
class Written:
    """The value by a decimal dot and by a decimal comma; None where the text can't be written so.

    `decimal`: the mark that the text shows to be the decimal one, if it shows any. `whole`: it has no decimals.
    """

    by_dot: Decimal | None
    by_comma: Decimal | None
    decimal: str | None = None

    @property
    def is_ambiguous(self) -> bool:
        """Whether both marks are possible, and mean different numbers."""
        return self.by_dot is not None and self.by_comma is not None and self.by_dot != self.by_comma

    def sure(self, mark: str) -> "Written":
        """The same where something else than its digits shows that `mark` is the decimal one."""
        return replace(self, decimal=mark) if self.value(mark) is not None else self

    def value(self, mark: str | None) -> Decimal | None:
        """The value by a decimal mark."""
        return self.by_comma if mark == "," else self.by_dot

    def scaled(self, factor: Decimal) -> "Written":
        """The value times `factor`."""
        dot, comma = (None if value is None else _product(value, factor) for value in (self.by_dot, self.by_comma))
        return replace(self, by_dot=dot, by_comma=comma)


def _product(value: Decimal, factor: Decimal) -> Decimal:
    product = EXACT.multiply(value, factor)
    # 1.2 million has no decimals any more.
    is_whole = factor > 1 and product == product.to_integral_value()
    return product.quantize(Decimal(1), context=EXACT) if is_whole else product


def read_digits(digits: str) -> Written | None:
    """What `DIGITS` matches; None for what is no number (`1.2.3`, `5 12345`)."""
    parts = _PARTS.split(digits)
    groups, marks = parts[::2], parts[1::2]
    if not marks:
        return _either(Decimal(digits))
    if len(marks) > 1 and marks[-1] not in marks[:-1]:
        return _two_kinds(groups, marks)
    return _one_kind(groups, marks) if len(set(marks)) == 1 else None


def _two_kinds(groups: list[str], marks: list[str]) -> Written | None:
    """Groups by one mark, and decimals behind another."""
    last, others = marks[-1], set(marks[:-1])
    if last not in ".,٫" or len(others) > 1 or "٫" in others or not _are_groups(groups[:-1], *others):
        return None
    return _decimals("".join(groups[:-1]), groups[-1], last)


def _one_kind(groups: list[str], marks: list[str]) -> Written | None:
    mark, grouped = marks[0], _are_groups(groups, marks[0])
    whole = Decimal("".join(groups))
    if mark == "٫":
        return _decimals(groups[0], groups[1], mark) if len(marks) == 1 else None
    if mark not in ".,":
        return _either(whole) if grouped else None
    if len(marks) > 1:
        return _only(whole, "," if mark == "." else ".") if grouped else None
    decimal = _decimals(groups[0], groups[1], mark)
    if not grouped:
        return decimal
    # Once before three digits: it has two meanings.
    return Written(decimal.by_dot, whole) if mark == "." else Written(whole, decimal.by_comma)


def fraction(digits: str, mark: str) -> Written:
    """Decimals with nothing before their mark."""
    return _decimals("0", digits, mark)


def _decimals(whole: str, decimals: str, mark: str) -> Written:
    value = Decimal(f"{whole}.{decimals}")
    return _either(value) if mark == "٫" else _only(value, mark)


def _either(value: Decimal) -> Written:
    return Written(value, value)


def _only(value: Decimal, mark: str) -> Written:
    return Written(value, None, ".") if mark == "." else Written(None, value, ",")


def _are_groups(groups: list[str], mark: str) -> bool:
    """By three, or by two and three in the end (India, never with dots), or by four when that shows (China)."""
    first, *inner, last = groups
    if first.startswith("0"):
        return False
    sizes = {len(group) for group in inner}
    if len(last) == 3 and len(first) <= 3 and sizes <= {3}:
        return True
    if len(last) == 3 and len(first) <= 2 and sizes == {2} and mark != ".":
        return True
    return len(last) == 4 and len(first) <= 4 and sizes == {4}
