"""Microdata as HTML defines it (WHATWG, section 5), in the form that JSON-LD has. Must not know fields or runs.

https://html.spec.whatwg.org/multipage/microdata.html
"""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin

from lxml import etree

from scraper.element_text import text_of
from scraper.executor import Json
from scraper.values import clean

Element = Any
TOP_LEVEL = etree.XPath("//*[@itemscope and not(@itemprop)]")
WITH_ID = etree.XPath("//*[@id]")
# Where an element keeps its value, when it isn't its text; addresses are absolute in the result.
ADDRESSES = {
    "a": "href", "area": "href", "link": "href", "audio": "src", "embed": "src", "iframe": "src", "img": "src",
    "source": "src", "track": "src", "video": "src", "object": "data",
}  # fmt: skip
VALUES = {"meta": "content", "data": "value", "meter": "value"}


# An item that several others name by itemref is in each of them, and theirs in others: hostile pages make no end of it.
MAX_PROPERTIES = 500_000


class TooManyError(ValueError):
    """The items refer to one another so often that they have more properties than the bound."""


def items_of(root: Element, base_url: str) -> Iterator[Json]:
    """The page's top-level items in their order: `{"@type", "@id", property: value or list}`. Raises TooManyError."""
    reading = _Reading(root, base_url)
    for element in TOP_LEVEL(root):
        yield reading.item(element)


class _Reading:
    """One page."""

    def __init__(self, root: Element, base_url: str) -> None:
        self._root, self._base = root, base_url
        self._by_id: dict[str, Element] | None = None
        self._count = 0

    def item(self, element: Element) -> Json:
        """An item with all that is within it. Items that lead back to an outer one by itemref end there."""
        outermost: dict[str, Json] = {}
        # What is still to be filled: the element, its item, and the elements that the item is within.
        waiting: list[tuple[Element, dict[str, Json], frozenset[Element]]] = [(element, outermost, frozenset())]
        while waiting:
            scope, item, outer = waiting.pop()
            _describe(scope, item)
            within = outer | {scope}
            inner: list[tuple[Element, dict[str, Json], frozenset[Element]]] = []
            for one in self._properties(scope):
                self._count += 1
                if self._count > MAX_PROPERTIES:
                    raise TooManyError(f"they have more than {MAX_PROPERTIES} properties")
                if one.get("itemscope") is None:
                    value: Json = self._value(one)
                elif one in within:
                    continue
                else:
                    value = {}
                    inner.append((one, value, within))
                for name in dict.fromkeys(one.get("itemprop").split()):
                    add_value(item, name, value)
            waiting += inner
        return outermost

    def _properties(self, scope: Element) -> list[Element]:
        """The elements with properties of an item, in the page's order: within it, and what its itemref names."""
        found: dict[Element, None] = dict.fromkeys(_within(scope))
        references = (scope.get("itemref") or "").split()
        if not references:
            return list(found)
        ids = self._ids()
        taken = {scope}
        for name in references:
            root = ids.get(name)
            if root is None or root in taken or scope in root.iterancestors():
                continue
            taken.add(root)
            # An element that holds the item itself adds what is beside the item.
            if root.get("itemprop"):
                found[root] = None
            if root.get("itemscope") is None:
                found.update(dict.fromkeys(one for one in _within(root) if one is not scope))
        return list(found)

    def _ids(self) -> dict[str, Element]:
        if self._by_id is None:
            self._by_id = {}
            for element in WITH_ID(self._root):
                self._by_id.setdefault(element.get("id"), element)
        return self._by_id

    def _value(self, element: Element) -> str:
        return value_of(element, self._base)


def value_of(element: Element, base_url: str) -> str:
    """A property's value by the kind of its element; `content` counts on every element, as people write it."""
    tag = element.tag
    if (content := element.get("content")) is not None:
        return str(content)
    if (name := ADDRESSES.get(tag)) is not None:
        return joined(base_url, element.get(name) or "")
    if (name := VALUES.get(tag)) is not None and element.get(name) is not None:
        return str(element.get(name))
    if tag == "time" and element.get("datetime") is not None:
        return str(element.get("datetime"))
    return clean(text_of(element))


def joined(base_url: str, address: str) -> str:
    """An address as it is reached from the page; empty or unreadable ones stay what they are."""
    address = address.strip()
    try:
        return urljoin(base_url, address) if address else ""
    except ValueError:
        return address


def _describe(scope: Element, item: dict[str, Json]) -> None:
    kinds = [kind.rstrip("/").rpartition("/")[2] for kind in (scope.get("itemtype") or "").split()]
    if kinds:
        item["@type"] = kinds[0] if len(kinds) == 1 else kinds
    if (name := scope.get("itemid")) is not None:
        item["@id"] = name


def add_value(item: dict[str, Json], name: str, value: Json) -> None:
    """Give an item one more value of a property: a second one makes a list of them."""
    if name not in item:
        item[name] = value
    elif isinstance(item[name], list):
        item[name].append(value)
    else:
        item[name] = [item[name], value]


def _within(scope: Element) -> Iterator[Element]:
    """The elements with itemprop below `scope` that belong to its item: not those of items within it."""
    walk = etree.iterwalk(scope, events=("start",))
    for _, element in walk:
        if element is scope:
            continue
        if element.get("itemprop"):
            yield element
        if element.get("itemscope") is not None:
            walk.skip_subtree()
