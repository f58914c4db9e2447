"""Answers as documents. Owns: parsing of HTML, XML and JSON. Must not know fields or runs."""

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from typing import Any

import orjson
from lxml import etree

from scraper.executor import ExecutorError, Json
from scraper.problems import Problems
from scraper.urls import base_of

# The library has no types.
Element = Any
# It keeps the class's name private, and only that.
ELEMENT_CLASS: type = etree._Element  # noqa: SLF001
MAX_EMBEDDED = 100
MAX_LOOKED_AT = 20_000
NO_TEXT = frozenset({"script", "style", "noscript", "template"})
XML_TYPES = frozenset({"application/xml", "text/xml"})


def is_element(node: Any) -> bool:
    """Whether `node` is an element of markup."""
    return isinstance(node, ELEMENT_CLASS)


@dataclass(slots=True)
class Document:
    """A page, ready to be asked. `root` for markup, `json` for a JSON answer."""

    url: str
    base_url: str
    text: str
    root: Element | None = None
    json: Json = None
    is_json: bool = False
    is_xml: bool = False
    _embedded: list[Json] | None = field(default=None, repr=False)
    # What `structured_data` found, read once.
    entities: list[Json] | None = field(default=None, repr=False)
    # What of it could not be read.
    problems: Problems = field(default_factory=Problems)
    # The WHATWG label of what it was written in: its links' queries go out in it.
    encoding: str = "utf-8"

    @property
    def has_scripts(self) -> bool:
        """Whether a browser could make more of it than is there."""
        return self.root is not None and not self.is_xml and bool(self.root.xpath("boolean(//script)"))

    def visible_text(self, most: int) -> int:
        """How many characters of text the page's body has for a reader; it is not counted on once there are `most`."""
        body = self.root.find("body") if self.root is not None else None
        count = 0
        for element in islice(body.iter(), MAX_LOOKED_AT) if body is not None else ():
            count += len((element.tail or "").strip())
            if isinstance(element.tag, str) and element.tag not in NO_TEXT:
                count += len((element.text or "").strip())
            if count >= most:
                break
        return count

    def embedded(self) -> Sequence[Json]:
        """The JSON that the page carries: JSON-LD first (each member of a @graph by itself), then data of scripts."""
        if self._embedded is None:
            self._embedded = [] if self.root is None else _embedded_json(self.root)
        return self._embedded


def parse_document(text: str, *, url: str, content_type: str, encoding: str = "utf-8") -> Document:
    """The document that `text` is. Raises ExecutorError when it claims to be JSON and isn't."""
    if content_type == "application/json" or content_type.endswith("+json"):
        try:
            return Document(url, url, text, json=orjson.loads(text), is_json=True)
        except orjson.JSONDecodeError as error:
            raise ExecutorError(f"the answer says that it is JSON, but it isn't: {error}", code="BAD_PAGE") from error
    is_xml = content_type in XML_TYPES or (content_type.endswith("+xml") and content_type != "application/xhtml+xml")
    root = _parse_markup(text, is_xml=is_xml)
    base = _base_url(root, url, encoding) if "<base" in text or "<BASE" in text else url
    return Document(url, base, text, root=root, is_xml=is_xml, encoding=encoding)


def _parse_markup(text: str, *, is_xml: bool) -> Element:
    data = text.replace("\0", "").strip().encode(errors="replace") or b"<html/>"
    try:
        root = etree.fromstring(data, _parser(threading.get_ident(), is_xml=is_xml))
    except etree.XMLSyntaxError:
        root = None
    return root if root is not None else etree.fromstring(b"<html/>")


@lru_cache(maxsize=64)
def _parser(_thread: int, *, is_xml: bool) -> Any:
    """The thread's parser (a shared one would be waited for), without entities, network or huge trees."""
    if is_xml:
        return etree.XMLParser(encoding="utf-8", recover=True, resolve_entities=False, no_network=True, huge_tree=False)
    return etree.HTMLParser(encoding="utf-8", recover=True, no_network=True, huge_tree=False)


def _base_url(root: Element, url: str, encoding: str) -> str:
    found = root.xpath("string((//base[@href])[1]/@href)")
    return base_of(url, str(found), encoding) if found else url


def _forgiving(text: str) -> Json:
    """JSON, also with line breaks in its strings or wrapped into a comment. Raises ValueError."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return json.loads(_unwrapped(text), strict=False)


def _unwrapped(text: str) -> str:
    """The text without the comment that hides it from very old browsers."""
    text = text.strip()
    for mark in ("//", "/*", "<![CDATA[", "<!--", "*/"):
        text = text.removeprefix(mark).lstrip()
    for mark in (";", "*/", "-->", "]]>", "/*", "//"):
        text = text.removesuffix(mark).rstrip()
    return text


def _embedded_json(root: Element) -> list[Json]:
    linked: list[Json] = []
    others: list[Json] = []
    scripts = root.xpath("//script[@type='application/ld+json' or @type='application/json'][string()]")
    for script in scripts[:MAX_EMBEDDED]:
        try:
            value = _forgiving(str(script.text or ""))
        except (ValueError, RecursionError):
            continue  # Pages carry broken JSON often enough, and other places may have it.
        if script.get("type") == "application/json":
            others.append(value)
            continue
        members = value if isinstance(value, list) else [value]
        for member in members:
            graph = member.get("@graph") if isinstance(member, dict) else None
            linked += [member, *(graph if isinstance(graph, list) else [])]
    return linked + others
