"""The text of an element as a reader has it. Owns: what separates text, and what is none. Must not know fields.

Blocks, cells, options and line breaks stand apart, inline elements don't; scripts, styles, templates and what else no
browser shows are no text. The places where text is parted are marked by U+2029, which is white space.
"""

import re
from typing import Any

from lxml import etree

# The library has no types.
Element = Any
PARTED = "\u2029"
# Where raised or struck digits begin and end, before it is known whether there are digits on both sides.
_JOINT = "\u2028"
_BETWEEN_DIGITS = re.compile(rf"(?<=\d){_JOINT}+(?=\d)")
_SEVERAL_PARTED = re.compile(f"{PARTED}{{2,}}")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# HTML's elements that are laid out as blocks, parts of tables or lists, or break lines (its rendering section).
SEPARATING = _words(
    "address article aside blockquote body br button caption center col colgroup dd details dialog dir div dl dt "
    "fieldset figcaption figure footer form frameset h1 h2 h3 h4 h5 h6 header hgroup hr html "
    "legend li listing main menu nav ol "
    "optgroup option p plaintext pre search section select summary table tbody td textarea "
    "tfoot th thead tr ul xmp"
)
# What a browser never shows.
HIDDEN = _words(
    "script style template noscript noembed noframes head title meta link base param source track datalist area "
    "rp annotation annotation-xml desc metadata iframe"
)
# Raised, lowered or struck digits beside others: 19<sup>99</sup> is not 1999.
RAISED = _words("sup sub del s strike ins")


def text_of(element: Element, *, is_xml: bool = False, part_digits: bool = False) -> str:
    """The text, with its white space as it stands. `part_digits`: raised or struck digits stand apart as well."""
    # Most elements that are asked for have nothing in them but text.
    if len(element) == 0:
        return str(element.text or "")
    if is_xml:
        return _xml_text(element)
    text = "".join(_pieces(element, RAISED if part_digits else frozenset()))
    if part_digits and _JOINT in text:
        text = _BETWEEN_DIGITS.sub(PARTED, text).replace(_JOINT, "")
    return _SEVERAL_PARTED.sub(PARTED, text).strip(PARTED)


def _pieces(element: Element, raised: frozenset[str]) -> list[str]:
    """The texts within, and the marks between them. Without recursion: pages nest deeper than Python does."""
    pieces = [element.text or ""]
    add = pieces.append
    within = [(iter(element), "", None)]
    while within:
        children, mark, tail = within[-1]
        for child in children:
            tag = child.tag
            # Comments have a function for a tag.
            if isinstance(tag, str) and tag not in HIDDEN:
                border = PARTED if tag in SEPARATING else _JOINT if tag in raised else ""
                add(border)
                if text := child.text:
                    add(text)
                if len(child):
                    within.append((iter(child), border, child.tail))
                    break
                add(border)
            if text := child.tail:
                add(text)
        else:
            within.pop()
            add(mark)
            if tail:
                add(tail)
    return pieces


def _xml_text(element: Element) -> str:
    """Elements right beside each other are apart: XML doesn't say which are inline."""
    parts: list[str] = []
    for event, node in etree.iterwalk(element, events=("start", "end", "comment", "pi")):
        if event == "start":
            parts.append(node.text or "")
        elif node is not element:
            beside = event == "end" and node.getnext() is not None
            parts.append(node.tail or (PARTED if beside else ""))
    return "".join(parts)
