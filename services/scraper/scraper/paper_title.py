"""Titles as they are compared. Pure: owns what makes no difference in a title, and what is a number in it.

Case, accents, punctuation, TeX, British spelling and the form of numerals make none ("Part II", "part two", "Part 2").
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from scraper.paper_spelling import american
from scraper.paper_vocabulary import CARDINALS, COUNTED, FILLERS, FORMS, MARKERS, ORDINALS

_NUMERALS = {word: str(value) for words in (CARDINALS, ORDINALS) for value, word in enumerate(words.split())}
_ROMAN = re.compile(r"(x{0,3})(ix|iv|v?i{0,3})")
_ORDINAL = re.compile(r"(\d+)(?:st|nd|rd|th)")
_DIGITS = re.compile(r"\d+")
# Punctuation and control characters of ASCII, to blanks: many times faster than a pattern.
_TO_BLANKS = {code: " " for code in range(128) if not chr(code).isalnum()}
_APOSTROPHE = re.compile(r"(?<=\w)['\u2019\u02bc](?=\w)")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
# Names that consist of a letter and a sign: C++, C#, R*-tree, B+-tree.
_SIGNED = re.compile(r"\b([a-z])(\+\+|#|\*(?=[\s-])|\+(?=-))", re.IGNORECASE)
_SIGNS = {"++": "plusplus", "#": "sharp", "*": "star", "+": "plus"}
_GREEK = re.compile(r"(?<![\u0370-\u03ff])[\u0391-\u03c9\u03d1\u03d5\u03f5]{1,2}(?![\u0370-\u03ff])")
_TEX = re.compile(r"[\\$^{}]")
_TEX_ACCENT = re.compile(r"\\(?:[\"'`^~=.]|[uvHtcdbr](?![a-zA-Z]))\s*\{?([a-zA-Z])\}?")
_TEX_FORM = re.compile(
    r"\\(?:text|math|emph|rm|bf|it|sf|tt|em|cal|left|right|displaystyle|mbox|ensuremath|bm|boldsymbol|operatorname)[a-z]*"
)
_TEX_COMMAND = re.compile(r"\\(?:var(?=[a-z]))?([a-zA-Z]+)\s*")
_LETTERS = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "æ": "ae", "œ": "oe", "ı": "i", "þ": "th", "\u00b5": "\u03bc"}
)
_BRACKETED = re.compile(r"[(\[]([^()\[\]]*)[)\]]")
_HEAD = re.compile(r"^\s*([A-Za-z ]+):\s+(?=\S)")
_SUBTITLE = re.compile(r":\s|\s[-\u2013\u2014]{1,3}\s|\u2014|\s\(|\?\s|\.\s")
# A tail that begins with a number of its own: "II. Results", "1994 to 2003".
_NUMBERED = re.compile(r"\s*(?:(?:[ivx]+|\d{1,2})\s*(?:[.:,;)\u2013-]|$)|\d{4}\b)", re.IGNORECASE)
MAIN_WORDS = 4


@dataclass(frozen=True, slots=True)
class Title:
    """`plain`: all words; `key`: those that count, by which titles are equal; `numbers`: every number, in order;
    `main`: the key of what stands before a subtitle, when that says enough.
    """

    plain: str
    words: tuple[str, ...]
    key: str
    numbers: tuple[str, ...]
    main: str = ""


def plain_title(title: str) -> str:
    """Lower case, without accents and punctuation, single spaces."""
    return " ".join(plain_words(title))


def plain_words(title: str) -> list[str]:
    """The words of `plain_title`."""
    if title.isascii():
        return title.lower().translate(_TO_BLANKS).split()
    decomposed = unicodedata.normalize("NFKD", title.casefold().translate(_LETTERS))
    kept = (
        character if character.isalnum() else " " for character in decomposed if not unicodedata.combining(character)
    )
    return "".join(kept).split()


def read_title(text: str) -> Title:
    """The title in the forms that are compared."""
    text = _without_form(text)
    split = _SUBTITLE.search(text)
    if split is None:
        words, main = _words(text), ""
    else:
        first, rest = _words(text[: split.start()]), _words(text[split.end() :])
        words = first + rest
        numbered = _NUMBERED.match(text, split.end())
        says_enough = len(_counting(first)) >= MAIN_WORDS and rest and not numbered and not _names_another(rest)
        main = _key(first) if says_enough else ""
    return Title(" ".join(words), words, _key(words), _numbers(words), main)


def _names_another(tail: tuple[str, ...]) -> bool:
    """Whether what stands behind a title says that it is another paper: a part, an edition, a year, a correction."""
    return (
        not MARKERS.isdisjoint(tail[:2])
        or not {"edition", "edn"}.isdisjoint(tail)
        or any(word in COUNTED and not after.isalpha() for word, after in pairwise(tail))
    )


def _counting(words: tuple[str, ...]) -> list[str]:
    return [word for word in words if word not in FILLERS]


def _key(words: tuple[str, ...]) -> str:
    return " ".join(_counting(words)) or " ".join(words)


def _numbers(words: tuple[str, ...]) -> tuple[str, ...]:
    """Digits wherever they stand, since "HfO 2" is "HfO2"; letters that number a part have a mark of their own."""
    found: list[str] = []
    for word in words:
        if word[0] == "#":
            found.append(word)
        elif not word.isalpha():
            found.extend(digits.lstrip("0") or "0" for digits in _DIGITS.findall(word))
    return tuple(found)


def _without_form(title: str) -> str:
    """Without "(extended abstract)", "[Poster]" and "Panel:"."""
    if "(" in title or "[" in title:
        title = _BRACKETED.sub(lambda match: " " if _is_form(match[1]) else match[0], title)
    head = _HEAD.match(title)
    return title[head.end() :] if head and _is_form(head[1]) else title


def _is_form(text: str) -> bool:
    words = text.lower().split()
    return bool(words) and FORMS.issuperset(words)


def _words(text: str) -> tuple[str, ...]:
    """Words in the spelling and with the numerals that are compared."""
    if _TEX.search(text):
        text = _without_tex(text)
    if "+" in text or "#" in text or "*" in text:
        text = _SIGNED.sub(lambda match: f"{match[1]}{_SIGNS[match[2]]}", text)
    if "," in text:
        text = _THOUSANDS.sub("", text)
    is_ascii = text.isascii()
    if not is_ascii or "'" in text:
        text = _APOSTROPHE.sub("", text)
    if not is_ascii:
        text = _GREEK.sub(_letter_names, text)
    words = plain_words(text)
    last = len(words) - 1
    return tuple(_normal(word, words[place - 1] if place else "", place == last) for place, word in enumerate(words))


def _normal(word: str, before: str, is_last: bool) -> str:
    if len(word) == 1 and word.isalpha():
        counted = before in COUNTED
        if word in "ivx" and (counted or (is_last and before)):
            return _roman(word)
        return f"#{word}" if counted or (is_last and before and word in FILLERS) else word
    return _longer(word)


@lru_cache(maxsize=100_000)
def _longer(word: str) -> str:
    if word in _NUMERALS:
        return _NUMERALS[word]
    if ordinal := _ORDINAL.fullmatch(word):
        return ordinal[1]
    if set(word) <= {"i", "v", "x"} and (value := _roman(word)):
        return value
    return american(word)


def _roman(word: str) -> str:
    """Arabic digits, or "" for what is no numeral up to 39."""
    match = _ROMAN.fullmatch(word)
    if match is None or not word:
        return ""
    tens, ones = match.groups()
    value = {"ix": 9, "iv": 4}.get(ones, 5 * ones.count("v") + ones.count("i"))
    return str(10 * len(tens) + value)


def _letter_names(match: re.Match[str]) -> str:
    """α as people write it without Greek letters."""
    return "".join(unicodedata.name(letter).split(" WITH ")[0].rsplit(" ", 1)[-1].lower() for letter in match[0])


def _without_tex(text: str) -> str:
    """Formulas as they are read: "$\\alpha$" is "alpha", "CO$_2$" is "CO2"."""
    text = _TEX_ACCENT.sub(r"\1", text)
    text = _TEX_COMMAND.sub(r"\1 ", _TEX_FORM.sub("", text))
    marks = "$^{}_\\" if "$" in text or "\\" in text else "$^{}\\"
    return text.translate({ord(mark): None for mark in marks})
