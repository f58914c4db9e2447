"""RDFa Lite 1.1 (https://www.w3.org/TR/rdfa-lite/) in the form that JSON-LD has. Must not know fields or runs.

Names have lost their vocabulary: `schema:name` and `https://schema.org/name` are `name`.
"""

from typing import Any

from lxml import etree

from scraper.element_text import text_of
from scraper.executor import Json
from scraper.microdata import add_value, joined
from scraper.values import clean

Element = Any


def items_of(root: Element, base_url: str) -> list[Json]:
    """The page's items that belong to no other, in their order."""
    items: list[Json] = []
    within: list[tuple[Element, dict[str, Json]]] = []
    for event, element in etree.iterwalk(root, events=("start", "end")):
        if event == "end":
            if within and within[-1][0] is element:
                within.pop()
            continue
        item = _item(element, base_url)
        names = (element.get("property") or "").split()
        if names and within:
            value = item if item is not None else _value(element, base_url)
            for name in dict.fromkeys(map(_bare, names)):
                add_value(within[-1][1], name, value)
        elif item is not None:
            items.append(item)
        if item is not None:
            within.append((element, item))
    return items


def _item(element: Element, base_url: str) -> dict[str, Json] | None:
    kinds = [_bare(kind) for kind in (element.get("typeof") or "").split()]
    if not kinds:
        return None
    item: dict[str, Json] = {"@type": kinds[0] if len(kinds) == 1 else kinds}
    if (name := element.get("resource") or element.get("about")) is not None:
        item["@id"] = joined(base_url, name)
    return item


def _value(element: Element, base_url: str) -> str:
    if (content := element.get("content")) is not None:
        return str(content)
    for name in ("resource", "href", "src"):
        if (address := element.get(name)) is not None:
            return joined(base_url, address)
    if (moment := element.get("datetime")) is not None:
        return str(moment)
    return clean(text_of(element))


def _bare(name: str) -> str:
    return name.rstrip("/#").rpartition("/")[2].rpartition("#")[2].rpartition(":")[2]
