"""The pieces of a text that may be a number. Owns: finding the one number in it. Must not know what it is worth.

Digits that touch letters are part of a word (E27, COVID-19), those of a date, a time or a range are several numbers.
"""

import re
import unicodedata
from dataclasses import dataclass

from scraper.values.affixes import CURRENCY_CODES, CURRENCY_WORDS, THREE_DECIMALS
from scraper.values.digits import DIGITS
from scraper.values.hints import Unread, unreadable

TOKENS = re.compile(
    rf"(?P<number>{DIGITS})|(?P<word>[^\W\d_]+)|(?P<space>\s+)|(?P<sign>[-–—])|(?P<symbol>.)", re.DOTALL
)
# Scripts whose words are parted from numbers: letters that touch digits make an identifier of them.
ALPHABETS = re.compile(r"[A-Za-z\u00aa-\u024f\u0370-\u052f]")
NO_NUMBER = unreadable("there is no number in it")
SEVERAL = unreadable("it has more than one number: take the one that is meant with `regex`")
IDENTIFIER = unreadable("digits among letters or marks are no number")


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of a text: its kind (`number`, `word`, `space`, `sign`, `symbol`) and what it is made of."""

    kind: str
    text: str


NOTHING = Token("space", "")


def tokens_of(text: str) -> list[Token]:
    """The pieces of a text, in their order."""
    return [Token(match.lastgroup or "", match[0]) for match in TOKENS.finditer(text)]


def find_number(tokens: list[Token]) -> int | Unread:
    """Where the one number is."""
    found: list[int] = []
    position = 0
    while position < len(tokens):
        token = tokens[position]
        if token.kind == "number":
            if (end := _identifier(tokens, position)) is not None:
                position = end
                continue
            found.append(position)
        elif token.kind in ("word", "symbol") and unicodedata.category(token.text[0]) in ("No", "Nl"):
            return IDENTIFIER  # A sign that is a number itself (½, ²); behind letters it is part of their unit (m²).
        position += 1
    if len(found) > 1:
        return SEVERAL
    return found[0] if found else NO_NUMBER


def token_at(tokens: list[Token], position: int) -> Token:
    """The token there; in front of the first and behind the last one there is space."""
    return tokens[position] if 0 <= position < len(tokens) else NOTHING


def _identifier(tokens: list[Token], position: int) -> int | None:
    """Where the word ends that the digits at `position` belong to (E27); None when they stand for themselves."""
    start = position - 1
    if token_at(tokens, start).kind == "sign":
        start -= 1
    before = token_at(tokens, start)
    if before.kind != "word" or ALPHABETS.search(before.text) is None:
        return None
    if token_at(tokens, start - 1).kind == "number" or (is_currency(before.text) and start == position - 1):
        return None  # 10x20 are two numbers, and currencies may touch theirs.
    end = position
    while end < len(tokens) and tokens[end].kind != "space":
        end += 1
    # A digit group that takes in what stands apart would swallow a number: "E27 20" is an identifier and a number.
    return end if " " not in tokens[position].text else None


def is_currency(word: str) -> bool:
    """Whether a word is a currency."""
    return word.casefold() in CURRENCY_WORDS or word in CURRENCY_CODES or word.casefold() in THREE_DECIMALS
