"""What amount a text says: a number with what stands beside it. Owns: signs, currencies, units and words around it.

The whole text must be understood: it has one number and no more, and nothing that changes it goes unread. Must not
know documents.
"""

import re
import unicodedata
from decimal import Decimal
from functools import lru_cache

from scraper.values.affixes import BY_LANGUAGE, EAST_ASIAN, PER_UNIT, THOUSAND, THREE_DECIMALS, UNITS, WITH_CURRENCY
from scraper.values.digits import DIGITS, EXACT, Written, fraction, read_digits, western
from scraper.values.hints import Unread, ambiguous, unreadable
from scraper.values.tokens import IDENTIFIER, SEVERAL, Token, find_number, is_currency, token_at, tokens_of

# 千克 is a kilogram, 百分 a per cent.
_UNIT = "(?:[" + "".join(EAST_ASIAN) + "](?<!千(?=[克米瓦卡赫伏帕焦]))(?<!百(?=分)))"
COMPOUND = re.compile(rf"(?:{DIGITS}{_UNIT}+)+(?:{DIGITS})?")
PART = re.compile(rf"({DIGITS})({_UNIT}*)")
MINUS_WORDS = frozenset({"minus", "moins", "menos", "meno", "минус"})
STRICT_SYMBOLS = frozenset("().,+%")
DASH = unreadable("a dash that may be a minus stands beside the number")
NOT_STRICT = unreadable("it has more in it than the number, and the field is `strict`")
UNIT = ambiguous(
    "the letter behind the number may be a unit or stand for thousands or more: take the number with `regex`"
)
BRACKETS = ambiguous("a number in parentheses is a count or a negative amount: take it out with `regex`")


@lru_cache(maxsize=8192)
def read_amount(text: str, *, strict: bool, languages: tuple[str, ...]) -> Written | Unread:
    """The amount, by either decimal mark where the text doesn't tell."""
    plain = western(text)
    if (compound := COMPOUND.search(plain)) is not None:
        total = _compound(compound[0])
        if total is None:
            return IDENTIFIER
        plain = f"{plain[: compound.start()]}{total}{plain[compound.end() :]}"
    tokens = tokens_of(plain)
    found = find_number(tokens)
    if isinstance(found, Unread):
        return found
    return _Reading(tokens, found, strict, languages).read()


def _compound(text: str) -> Decimal | None:
    """1万2千: the sum of its parts, which become smaller."""
    total, above = Decimal(0), None
    for digits, units in PART.findall(text):
        written = read_digits(digits)
        if written is None:
            return None
        factor = Decimal(1)
        for unit in units:
            factor *= EAST_ASIAN[unit]
        if above is not None and factor >= above:
            return None
        # These languages write decimals with a dot.
        value = written.value(written.decimal or ".")
        assert value is not None
        total, above = EXACT.add(total, EXACT.multiply(value, factor)), factor
    return total.quantize(Decimal(1), context=EXACT) if total == total.to_integral_value() else total


class _Reading:
    """One text with one number, at `place` of its tokens."""

    def __init__(self, tokens: list[Token], place: int, strict: bool, languages: tuple[str, ...]) -> None:
        self._tokens, self._place, self._strict, self._languages = tokens, place, strict, languages
        before, after = tokens[:place], tokens[place + 1 :]
        self._before, self._after = before, after
        beside = [token for token in (*before, *after) if token.kind in ("word", "symbol")]
        self._currency = any(self._is_money(token) for token in beside)
        self._three = any(token.text in THREE_DECIMALS or token.text.casefold() in THREE_DECIMALS for token in beside)

    @staticmethod
    def _is_money(token: Token) -> bool:
        if token.kind == "symbol":
            return unicodedata.category(token.text) == "Sc"
        return is_currency(token.text)

    def read(self) -> Written | Unread:
        written = self._digits()
        if written is None:
            return SEVERAL
        if problem := self._touched():
            return problem
        negative = self._is_negative()
        if isinstance(negative, Unread):
            return negative
        factor = self._factor(written)
        if isinstance(factor, Unread):
            return factor
        if self._strict and self._has_words(factor):
            return NOT_STRICT
        if self._currency and not self._three and factor is None and not self._is_per_unit():
            written = self._as_money(written)
        if factor is not None:
            written = written.scaled(factor)
        return written.scaled(Decimal(-1)) if negative else written

    def _digits(self) -> Written | None:
        digits = self._tokens[self._place].text
        mark, ahead = token_at(self._tokens, self._place - 1), token_at(self._tokens, self._place - 2)
        if mark.text in (".", ",") and not set(digits) & set(".,"):
            # Nothing before the decimal mark: but a mark behind a word belongs to the word (Rs.500).
            if ahead.kind in ("space", "sign") or ahead.text in ("(", ":", "+") or self._is_money(ahead):
                return fraction(digits.replace(" ", ""), mark.text) if ahead.kind != "word" else read_digits(digits)
            if ahead.text in (".", ","):
                return None
        written = read_digits(digits)
        behind, next_behind = token_at(self._tokens, self._place + 1), token_at(self._tokens, self._place + 2)
        if written is not None and behind.text in (".", ",") and next_behind.kind == "sign":
            written = written.sure(behind.text)
        return written

    def _touched(self) -> Unread | None:
        """What stands right beside the digits must not belong to them."""
        before, behind = token_at(self._tokens, self._place - 1), token_at(self._tokens, self._place + 1)
        if (
            "_" in (before.text, behind.text)
            or before.text in ("*", "•", "±", "^")
            or "…" in (before.text, behind.text)
        ):
            return IDENTIFIER
        if [token.text for token in self._after[:2]] == [".", "."] or "±" in [token.text for token in self._tokens]:
            return IDENTIFIER
        return None

    def _is_negative(self) -> bool | Unread:
        signs = [index for index, token in enumerate(self._tokens) if token.kind == "sign"]
        before = self._sign_before([index for index in signs if index < self._place])
        if isinstance(before, Unread):
            return before
        behind = self._sign_behind([index for index in signs if index > self._place])
        if isinstance(behind, Unread):
            return behind
        brackets = self._in_brackets()
        if isinstance(brackets, Unread):
            return brackets
        if before + behind + brackets > 1:
            return DASH
        return before or behind or brackets

    def _sign_before(self, signs: list[int]) -> bool | Unread:
        if not signs:
            return self._has_minus_word()
        last = signs[-1]
        between = self._tokens[last + 1 : self._place]
        if not all(token.kind == "space" or self._is_filler(token) for token in between):
            return False  # It belongs to words further ahead.
        ahead = [token for token in self._tokens[:last] if token.kind != "space" and not self._is_filler(token)]
        if not ahead:
            return DASH if len(signs) > 1 else True
        touches = not between or between[0].kind != "space"
        neighbour = token_at(self._tokens, last - 1)
        if touches and (neighbour.kind == "space" or neighbour.text in (":", "=")):
            return True
        # A long dash between a word and a number, with spaces, is a mark of punctuation; a short one may be a minus.
        return False if not touches and self._tokens[last].text in "–—" else DASH

    def _has_minus_word(self) -> bool:
        apart = len(self._before) > 1 and self._before[-1].kind == "space"
        return apart and self._before[-2].text.casefold() in MINUS_WORDS

    def _is_filler(self, token: Token) -> bool:
        return (
            self._is_money(token)
            or token.text in ("(", ".", ",")
            or (token.kind == "word" and len(token.text) <= 3 and token.text.isupper())
        )

    def _sign_behind(self, signs: list[int]) -> bool | Unread:
        if not signs:
            return False
        first = signs[0]
        between = self._tokens[self._place + 1 : first]
        rest = [token for token in self._tokens[first + 1 :] if token.kind != "sign"]
        if between and between[-1].text in (".", ",") and len(between) == 1:
            return False  # 12,- has no cents.
        if not all(token.kind == "space" or self._is_money(token) for token in between):
            return False
        if not any(token.kind != "space" and not self._is_money(token) and token.text not in ").,*" for token in rest):
            return True if len(signs) == 1 and self._tokens[first].text == "-" else DASH
        touches = token_at(self._tokens, first - 1).kind != "space"
        parted = token_at(self._tokens, first + 1).kind == "space"
        # 12-inch, and "12 - now"; but "12- now" may be either.
        return DASH if touches and parted else False

    def _in_brackets(self) -> bool | Unread:
        texts = [token.text for token in self._tokens if token.kind != "space"]
        if len(texts) < 3 or texts[0] != "(" or texts[-1] != ")":
            return False
        inner = [token for token in self._tokens if token.kind != "space" and token.text not in "()"]
        if not all(token.kind == "number" or self._is_money(token) or token.text in ".," for token in inner):
            return False
        written = read_digits(self._tokens[self._place].text)
        return True if self._currency or (written is not None and written.decimal is not None) else BRACKETS

    def _factor(self, written: Written) -> Decimal | Unread | None:
        index = self._place + 1
        spaced = token_at(self._tokens, index).kind == "space"
        word = token_at(self._tokens, index + spaced)
        if word.kind != "word":
            stray = any(token.text.casefold() in UNITS for token in self._tokens if token.kind == "word")
            return UNIT if stray else None
        return self._letter(word.text, written, spaced) if len(word.text) == 1 else self._unit(word.text.casefold())

    def _unit(self, word: str) -> Decimal | Unread | None:
        if word in BY_LANGUAGE:
            known = {BY_LANGUAGE[word].get(re.split("[-_]", language)[0].lower()) for language in self._languages}
            meanings = known - {None} or set(BY_LANGUAGE[word].values())
            if not self._languages and word in ("billion", "billions", "trillion"):
                meanings = {BY_LANGUAGE[word]["en"]}
            return meanings.pop() if len(meanings) == 1 else UNIT
        if word in WITH_CURRENCY:
            return WITH_CURRENCY[word] if self._currency else (UNIT if word == "cr" else None)
        return UNITS.get(word)

    def _letter(self, letter: str, written: Written, spaced: bool) -> Decimal | Unread | None:
        """A letter behind the number: k, M, B or T, or else a unit of measure."""
        kind = letter.casefold()
        if letter in EAST_ASIAN or kind not in "kmbt":
            return EAST_ASIAN.get(letter)
        if self._currency:
            return THOUSAND if kind == "k" else WITH_CURRENCY[kind]
        if letter == "k":
            return THOUSAND
        if letter in "mt" and spaced:
            return None  # Metres and tons.
        small = all(value is None or value < 1000 for value in (written.by_dot, written.by_comma))
        if letter in "KMB" and not spaced and small:
            return THOUSAND if letter == "K" else WITH_CURRENCY[kind]
        # Kelvin, sizes, bytes, bits.
        return UNIT

    def _as_money(self, written: Written) -> Written:
        """No amount has three decimals, so a mark before three digits groups."""
        if not written.is_ambiguous:
            return written
        by_dot = written.by_dot
        assert by_dot is not None
        return written.sure("," if int(by_dot.as_tuple().exponent) < 0 else ".")

    def _is_per_unit(self) -> bool:
        return any(token.text == "/" or token.text.casefold() in PER_UNIT for token in self._after)

    def _has_words(self, factor: Decimal | None) -> bool:
        beside = [token for token in (*self._before, *self._after) if token.kind in ("word", "symbol")]
        others = [token for token in beside if not self._is_money(token) and token.text not in STRICT_SYMBOLS]
        return len(others) > (factor is not None)
