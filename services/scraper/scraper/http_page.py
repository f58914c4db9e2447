"""A page that was only fetched, as a reader keeps it for the steps of a run. Owns: what can be asked of it, by name.

Elements are numbers: their places in the document's order. Everything asked and answered is JSON. Must not know steps'
flow, templates or results.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lxml import etree

from scraper.documents import Document
from scraper.executor import Json
from scraper.http_targets import find, text_of
from scraper.step_error import StepError
from scraper.step_extract import convert
from scraper.step_kinds import ExtractField, Target
from scraper.urls import to_url

Node = Any
MAX_TEXT = 200_000
MAX_LINKS = 10_000


class HttpPage:
    """One page. `ask` raises StepError, as do the methods behind it."""

    def __init__(self, document: Document) -> None:
        self._document = document
        # Made when the first element is asked for.
        self._nodes: list[Node] = []
        self._places: dict[Node, int] = {}
        self._answers: Mapping[str, Callable[..., Json]] = {
            "open": self._open, "find": self._find, "link": self._link, "attributes": self._attributes,
            "read": self._read, "texts": self._texts, "title": self._title, "summary": self._summary,
        }  # fmt: skip

    def ask(self, what: str, arguments: Mapping[str, Json]) -> Json:
        """The answer to a question of that name."""
        return self._answers[what](**arguments)

    def _open(self) -> Json:
        """Nothing more: that it could be parsed is the answer."""
        return None

    def _root(self) -> Node:
        root = self._document.root
        if root is None:
            raise StepError("the page is not HTML or XML", code="NO_MARKUP")
        if not self._nodes:
            self._nodes = list(root.iter())
            self._places = {node: place for place, node in enumerate(self._nodes)}
        return root

    def _node(self, place: int | None) -> Node:
        root = self._root()
        return root if place is None else self._nodes[place]

    def _find(self, targets: Sequence[Json], within: int | None) -> Json:
        """`{by, selector, found}` of the first alternative with any element, looked for in `within` first; or else
        `{tried}`.
        """
        root = self._root()
        roots = [root] if within is None else [self._nodes[within], root]
        tried: list[str] = []
        for target in targets:
            for one in roots:
                for by, selector, found in find(Target.model_validate(target), one):
                    if found:
                        places = [self._places[node] for node in found]
                        return {"by": by, "selector": selector, "found": places}
                    tried.append(f"{by} {selector[:200]!r}")
        return {"tried": list(dict.fromkeys(tried))}

    def _link(self, element: int) -> Json:
        """Where the link that the element is, or is in, leads; None when it is in none."""
        node = self._node(element)
        page = self._document
        links = (one.get("href") for one in (node, *node.iterancestors()) if one.tag == "a" and one.get("href"))
        href = next(links, None)
        return None if href is None else to_url(href, page.base_url, page.encoding) or ""

    def _attributes(self, elements: Sequence[int], names: Sequence[str]) -> Json:
        return [{name: self._node(element).get(name) for name in names} for element in elements]

    def _read(self, elements: Sequence[int | None], fields: Mapping[str, Json] | None, whole: Json) -> Json:
        """The value, or the fields, of each element; None stands for the whole page."""
        nodes = [self._node(element) for element in elements]
        if fields is None:
            alone = ExtractField.model_validate(whole)
            return [self._value(node, alone) for node in nodes]
        named = {name: ExtractField.model_validate(field) for name, field in fields.items()}
        return [{name: self._value(node, field) for name, field in named.items()} for node in nodes]

    def _value(self, element: Node, field: ExtractField) -> Json:
        nodes = [element]
        if field.css or field.xpath:
            target = Target(css=field.css, xpath=None if field.css else field.xpath)
            nodes = next(iter(find(target, element)))[2]
        base = self._document.base_url
        raw = [_raw(node, field) for node in (nodes if field.list else nodes[:1])]
        typed = [None if value is None else convert(value, field, base) for value in raw]
        if field.list:
            return typed
        return typed[0] if typed else None

    def _texts(self, elements: Sequence[int | None]) -> Json:
        return [text_of(self._node(element)) for element in elements]

    def _title(self) -> Json:
        return _title_of(self._root())

    def _summary(self) -> Json:
        """Title, address, text and links of the page. `truncated` has the whole length of what was cut."""
        page = self._document
        links: list[Json] = []
        title, text = "", page.text
        if page.root is not None:
            for link in page.root.iter("a"):
                href = link.get("href")
                url = to_url(href, page.base_url, page.encoding) if href else None
                if url is not None:
                    links.append({"text": text_of(link)[:500], "url": url})
            title = _title_of(page.root)
            body = page.root.find(".//body")
            text = text_of(body if body is not None else page.root)
        whole = {"links": (len(links), MAX_LINKS), "text": (len(text), MAX_TEXT)}
        truncated = {name: length for name, (length, most) in whole.items() if length > most}
        summary = {"title": title, "url": page.url, "text": text[:MAX_TEXT], "links": links[:MAX_LINKS]}
        return {**summary, "truncated": truncated} if truncated else summary


def _title_of(root: Node) -> str:
    return str(root.xpath("string((.//title)[1])")).strip()


def _raw(node: Node, field: ExtractField) -> str | None:
    if field.attribute:
        value = node.get(field.attribute)
        return None if value is None else str(value)
    if field.type == "html":
        inner = "".join(etree.tostring(one, encoding="unicode", method="html") for one in node)
        return (node.text or "") + inner
    return text_of(node)
