"""Texts of the scholarly sources. Pure: owns what is markup in them and what is text. Must not know the sources.

Plain text (arXiv, Semantic Scholar, abstracts of OpenAlex) is taken as it is: `<` and `&` are signs. Marked text is
what Crossref and, for titles, OpenAlex pass on from publishers: JATS and HTML elements, MathML, and entities, often
escaped once more on the way. Markup within a line adds no blank, a new block does.
"""

import html
import re
from collections.abc import Callable
from typing import Any

from lxml import etree

from scraper.paper_vocabulary import BLOCKS, INLINE

Json = Any
# No letters of a text, wherever they stand: soft hyphen, zero-width space, word joiner and the invisible operators of
# formulas, byte order mark, noncharacters.
INVISIBLE = re.compile("[\u00ad\u200b\u2060-\u2064\ufeff\ufffe\uffff]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_SPACE = re.compile(r"\s+")
# A text is escaped twice at most; what is escaped more often was meant.
UNESCAPES = 2
# None of these patterns looks on beyond where its element would have begun again: what is never closed costs one look.
_ATTRIBUTES = r"""(?:\s++[\w:.-]++\s*+=\s*+(?:"[^"<]*+"|'[^'<]*+'|[^\s"'<>]++))*+"""
_TAG = re.compile(rf"<(/?)(?:([a-z][\w.-]*):)?([a-z][\w.-]*){_ATTRIBUTES}\s*/?>", re.IGNORECASE)
_CDATA = re.compile(r"<!\[CDATA\[|\]\]>")
_CONTENT = r"(?:[^<]|<(?!\1\b|/\1\b))*+"
_MATH = re.compile(rf"<((?:[a-z]\w*:)?math){_ATTRIBUTES}\s*>{_CONTENT}</\1\s*>", re.IGNORECASE)
_TEX = re.compile(rf"<((?:\w+:)?tex-math)\b[^<>]*>{_CONTENT}</\1\s*>", re.IGNORECASE)
_ALTERNATIVES = re.compile(rf"<((?:\w+:)?alternatives)\b[^<>]*>{_CONTENT}</\1\s*>", re.IGNORECASE)
_SUPERSCRIPT = re.compile(r"<(sup|jats:sup)\b[^>]*>([^<]*)</\1\s*>", re.IGNORECASE)
_RAISED = str.maketrans("0123456789+-\u2212=()n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ⁿ")
# What is no text, or only room.
_EMPTY = {"annotation": "", "annotation-xml": "", "mphantom": "", "mspace": " "}
MAX_DEPTH = 50


def plain_text(value: Json, limit: int) -> str:
    """A string on one line, without control characters and invisible ones; anything else is empty."""
    if not isinstance(value, str):
        return ""
    text = value[: 4 * limit].encode("utf-8", "ignore").decode()
    return _SPACE.sub(" ", INVISIBLE.sub("", _CONTROL.sub(" ", text))).strip()[:limit]


def marked_text(value: Json, limit: int) -> str:
    """The text of a string with markup, on one line: "HfO<sub>2</sub>" is "HfO2", "10<sup>9</sup>" is "10⁹"."""
    if not isinstance(value, str):
        return ""
    if "<" not in value and "&" not in value:
        return plain_text(value, limit)
    text = _without_tags(value[: 4 * limit], _is_tag)
    for _ in range(UNESCAPES):
        if "&" not in text:
            break
        text = html.unescape(text)
        if "<" in text:
            # Only pairs: "a<b" may be said of numbers, and is no beginning of bold letters.
            text = _without_tags(text, _paired(text))
    return plain_text(text, limit)


def _without_tags(text: str, is_tag: Callable[[re.Match[str]], bool]) -> str:
    if "<" not in text:
        return text
    text = _CDATA.sub("", _without(_without(text, "<!--", "-->"), "<?", "?>"))
    if "tex-math" in text:
        text = _ALTERNATIVES.sub(_best_alternative, text)
    text = _MATH.sub(_formula, text)

    def raised(match: re.Match[str]) -> str:
        return _raised(match[2])

    def separate(match: re.Match[str]) -> str:
        if not is_tag(match):
            return match[0]
        return " " if match[3].lower() in BLOCKS else ""

    return _TAG.sub(separate, _SUPERSCRIPT.sub(raised, text))


def _without(text: str, begin: str, end: str) -> str:
    """The text without what stands between the two, them included."""
    kept, at = [], 0
    while (start := text.find(begin, at)) >= 0 and (stop := text.find(end, start + len(begin))) >= 0:
        kept.append(text[at:start])
        at = stop + len(end)
    return "".join([*kept, text[at:]])


def _is_tag(match: re.Match[str]) -> bool:
    """Whether it is markup in a text that has some: an element of a namespace, or one that publishers use."""
    return bool(match[2]) or match[3].lower() in BLOCKS or match[3].lower() in INLINE


def _paired(text: str) -> Callable[[re.Match[str]], bool]:
    """The same for a text whose markup was escaped: only what is closed as well, or breaks a line."""
    names: dict[bool, set[str]] = {True: set(), False: set()}
    for match in _TAG.finditer(text):
        names[bool(match[1])].add(match[3].lower())
    both = names[True] & names[False] | {"br", "break"}
    return lambda match: _is_tag(match) and match[3].lower() in both


def _best_alternative(match: re.Match[str]) -> str:
    """Of a formula in several notations one is kept: MathML, or else TeX."""
    return _TEX.sub("", match[0]) if _MATH.search(match[0]) else match[0]


def _raised(text: str) -> str:
    """A raised number as one: 10⁹ is not 109. Other letters have no form that everybody writes."""
    raised = text.strip().translate(_RAISED)
    return raised if raised and not any(sign in raised for sign in text if sign.isascii() and sign != "n") else text


def _formula(match: re.Match[str]) -> str:
    """The text of MathML as it is written on a line."""
    parser = etree.XMLParser(recover=True, resolve_entities=False, no_network=True)
    try:
        root = etree.fromstring(match[0].encode(), parser)
    except etree.XMLSyntaxError:
        root = None
    return match[0] if root is None else html.escape(_line(root, 0), quote=False)


def _line(element: Any, depth: int) -> str:
    """See `_formula`; MathML's own elements, https://www.w3.org/TR/mathml-core/."""
    if depth > MAX_DEPTH or not isinstance(element.tag, str):
        return ""
    # With a namespace, or with a prefix that nobody has declared.
    name = element.tag.rpartition("}")[2].rpartition(":")[2]
    parts = [_line(child, depth + 1) for child in element]
    if name in _EMPTY:
        return _EMPTY[name]
    if not parts:
        text = element.text or ""
        return text if name == "mtext" else text.strip()
    if name == "mfrac" and len(parts) == 2:
        parts = ["/".join(part if part.isalnum() else f"({part})" for part in parts)]
    elif name == "msqrt":
        parts.insert(0, "√")
    elif (name, len(parts)) in (("msup", 2), ("msubsup", 3)):
        parts.append(_raised(parts.pop()))
    return "".join(parts)
