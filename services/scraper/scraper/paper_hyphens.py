"""Words that a PDF breaks at the end of a line. Pure: owns which signs are hyphens there, and how they are indexed.

Whether the hyphen belongs to the word ("twenty-year") or only breaks it ("measure-ments") can't be known from it. Both
are to be found: the text has the likelier form, and after its end follow the places once more with the other one.
"""

import re
from collections import Counter

# PDFium writes U+FFFE for a hyphen before a line's end, and leaves the line's end out or in. Scans and old typesetters
# use the soft hyphen and the not sign.
_BROKEN = re.compile(
    r"(?<!\w)(?P<before>\w++)"
    r"(?:\ufffe[ \t]*(?:\r?\n[ \t]*)?|[-\u2010\u2011\u00ad\u00ac][ \t]*\r?\n[ \t]*)"
    r"(?=(?P<after>\w++))"
)
_WORD = re.compile(r"\w+(?:-\w+)*")
# Between the places: a word that nobody can ask for, so that no phrase reaches from one into the next.
GAP = "\ue000"
AROUND = 80
# Beyond this a text is no prose, but tables.
MAX_PLACES = 20_000


def with_whole_words(text: str) -> str:
    """The text with its broken words made whole, and behind it each place once more in the other form."""
    if not _BROKEN.search(text):
        return text
    known = Counter(word.lower() for word in _WORD.findall(_BROKEN.sub(" ", text)))
    parts: list[str] = []
    places: list[tuple[int, bool]] = []
    length, end = 0, 0
    for match in _BROKEN.finditer(text):
        belongs = _belongs(match, known)
        piece = text[end : match.start()] + match["before"]
        places.append((length + len(piece), belongs))
        parts += (piece, "-" if belongs else "")
        length, end = length + len(piece) + belongs, match.end()
    whole = "".join([*parts, text[end:]])
    again = [_otherwise(whole, place, belongs) for place, belongs in places[:MAX_PLACES]]
    return "\n".join([whole, *again])


def _belongs(match: re.Match[str], known: Counter[str]) -> bool:
    """Whether the hyphen is likely the word's own: as it is written elsewhere in the text, else by its letters."""
    before, after = match["before"], match["after"]
    joined, compound = known[f"{before}{after}".lower()], known[f"{before}-{after}".lower()]
    if joined != compound:
        return compound > joined
    return not (after[:1].islower() and before[-1:].isalpha())


def _otherwise(whole: str, place: int, belongs: bool) -> str:
    """Some words around a hyphen's place, without the hyphen if it is there and with one if it is not."""
    start, after = max(0, place - AROUND), place + belongs
    before = whole[start:place]
    before = before if start == 0 or " " not in before else before.partition(" ")[2]
    behind = whole[after : after + AROUND]
    behind = behind if after + AROUND >= len(whole) or " " not in behind else behind.rpartition(" ")[0]
    return f"{GAP} {before}{'' if belongs else '-'}{behind}"
