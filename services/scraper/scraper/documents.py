"""Answers as documents. Owns: parsing of HTML, XML and JSON. Must not know fields or runs."""

import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from typing import Any

from lxml import etree

from scraper.executor import ExecutorError, Json
from scraper.json_text import BEHIND, NotJsonError, load_values, without_guard
from scraper.problems import DATA_BROKEN, PAGE_CUT, Problems
from scraper.urls import base_of

# The library has no types.
Element = Any
# It keeps the class's name private, and only that.
ELEMENT_CLASS: type = etree._Element  # noqa: SLF001
MAX_LOOKED_AT = 20_000
NO_TEXT = frozenset({"script", "style", "noscript", "template"})
XML_TYPES = frozenset({"application/xml", "text/xml"})
JSON_TYPES = frozenset({"application/json", "text/json", "text/x-json", "application/x-json"})
# One value a line, or behind one another.
JSON_LINES_TYPES = frozenset(
    {"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines",
     "application/jsonlines", "application/json-seq", "application/x-json-stream", "text/x-ndjson", "text/jsonl"}
)  # fmt: skip
LINKED_TYPE = "application/ld+json"
# Whether an answer that doesn't say so may be JSON: it must then be JSON as a whole.
MAYBE_JSON = re.compile(
    r"[\ufeff\s]*(?:[\[{]\s*[\]}\[{\"0-9tfn-]|\)\]\}'|while\s*\(|for\s*\(\s*;|[A-Za-z_$/*][\w.$*/ ]{0,100}\(\s*[\[{])"
)
MAX_DEPTH = 2048
RESOURCE_LIMIT = etree.ErrorTypes.ERR_RESOURCE_LIMIT
LANGUAGE = etree.XPath(
    "string((/html/@lang | /html/@*[name()='xml:lang'] | /html/head/meta[translate(@http-equiv, 'CONTELAGU', "
    "'contelagu')='content-language']/@content)[normalize-space()][1])",
    smart_strings=False,
)
SCRIPTS = etree.XPath("//script[@type]")


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
    _loaded: bool = field(default=False, repr=False)
    _linked: list[Json] = field(default_factory=list, repr=False)
    _data: list[Json] = field(default_factory=list, repr=False)
    _language: str | None = field(default=None, repr=False)
    # What `structured_data` found, read once.
    entities: list[Json] | None = field(default=None, repr=False)
    # What of it could not be read.
    problems: Problems = field(default_factory=Problems)
    # Told which field, or other part of the definition, is looked for next.
    look_for: Callable[[str], None] = field(default=lambda _: None, repr=False)
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

    @property
    def language(self) -> str | None:
        """The language that the page says it is in (BCP 47)."""
        if self._language is None:
            said = ""
            if self.root is not None and not self.is_xml:
                said = self.root.get("lang") or str(LANGUAGE(self.root))
            self._language = said.partition(",")[0].strip()
        return self._language or None

    def linked(self) -> Sequence[Json]:
        """The values of its JSON-LD scripts."""
        self._load_scripts()
        return self._linked

    def embedded(self) -> Sequence[Json]:
        """The JSON that the page carries: JSON-LD first (members of a list or @graph singly), then data of scripts."""
        self._load_scripts()
        members = [member for value in self._linked for member in (value if isinstance(value, list) else [value])]
        return [one for member in members for one in (member, *_graph_of(member))] + self._data

    def data_scripts(self) -> Sequence[Json]:
        """The values of its other scripts of JSON."""
        self._load_scripts()
        return self._data

    def _load_scripts(self) -> None:
        if self._loaded or self.root is None:
            return
        self._loaded = True
        for script in SCRIPTS(self.root):
            kind = script.get("type").partition(";")[0].strip().lower()
            text = str(script.text or "")
            if not (kind in JSON_TYPES or kind.endswith("+json")) or not text.strip():
                continue
            where = "JSON-LD" if kind == LINKED_TYPE else "script"
            try:
                (self._linked if kind == LINKED_TYPE else self._data).extend(load_values(text, self.problems, where))
            except NotJsonError as error:
                # Pages carry broken JSON often enough, and other places may have what is wanted.
                self.problems.note(DATA_BROKEN, where, f"a script is no JSON: {error}", example=text.strip())


def _graph_of(member: Json) -> list[Json]:
    graph = member.get("@graph") if isinstance(member, dict) else None
    return graph if isinstance(graph, list) else [graph] if isinstance(graph, dict) else []


def parse_document(text: str, *, url: str, content_type: str, encoding: str = "utf-8") -> Document:
    """The document that `text` is, by its type and by itself. Raises ExecutorError when it claims to be JSON and isn't.

    Several values of JSON behind one another (one a line) are one list.
    """
    lines = content_type in JSON_LINES_TYPES
    if lines or content_type in JSON_TYPES or content_type.endswith("+json"):
        return _json_document(text, url, is_list=lines)
    if MAYBE_JSON.match(text) is not None and (document := _maybe_json(text, url)) is not None:
        return document
    is_xml = content_type in XML_TYPES or (content_type.endswith("+xml") and content_type != "application/xhtml+xml")
    problems = Problems()
    root = _parse_markup(text, problems, is_xml=is_xml)
    base = _base_url(root, url, encoding) if "<base" in text or "<BASE" in text else url
    return Document(url, base, text, root=root, is_xml=is_xml, problems=problems, encoding=encoding)


def _json_document(text: str, url: str, *, is_list: bool) -> Document:
    problems = Problems()
    try:
        values = _json_lines(text, problems) if is_list else load_values(without_guard(_bare(text)), problems, "JSON")
    except NotJsonError as error:
        raise ExecutorError(f"the answer says that it is JSON, but it isn't: {error}", code="BAD_PAGE") from error
    found = values if is_list or len(values) > 1 else values[0]
    return Document(url, url, text, json=found, is_json=True, problems=problems)


def _bare(text: str) -> str:
    return text.lstrip("\ufeff")


def _maybe_json(text: str, url: str) -> Document | None:
    problems = Problems()
    values = _whole(text, problems)
    # What isn't said to be JSON must be nothing else: objects and lists, and no text behind them.
    if not values or not all(isinstance(value, dict | list) for value in values):
        return None
    return Document(url, url, text, json=values if len(values) > 1 else values[0], is_json=True, problems=problems)


def _whole(text: str, problems: Problems) -> list[Json]:
    """The values of a text that has nothing else in it; none for any other text."""
    found = Problems()
    try:
        values = load_values(without_guard(_bare(text)), found, "JSON")
    except NotJsonError:
        return []
    if any(one["message"].startswith(BEHIND) for one in found.to_json()):
        return []
    problems.merge(found.to_json())
    return values


def _json_lines(text: str, problems: Problems) -> list[Json]:
    """A value a line, or values spread over several lines; else a broken line costs itself. Raises NotJsonError."""
    plain = _bare(text).replace("\x1e", "\n")
    if values := _whole(plain, problems):
        return values
    broken: list[str] = []
    for line in plain.splitlines():
        if line.strip():
            found = _whole(line, problems)
            values += found
            if not found:
                broken.append(line)
    if not values:
        raise NotJsonError("it has no line of JSON")
    problems.note(DATA_BROKEN, "JSON", "a line is no JSON", example=broken[0], count=len(broken))
    return values


def _parse_markup(text: str, problems: Problems, *, is_xml: bool) -> Element:
    data = text.replace("\0", "").strip().encode(errors="replace") or b"<html/>"
    parser = _parser(threading.get_ident(), is_xml=is_xml)
    try:
        root = etree.fromstring(data, parser)
    except etree.XMLSyntaxError:
        root = None
    # The parser stops at its limits, so nothing comes behind such an error.
    last = parser.error_log.last_error
    if last is not None and last.type == RESOURCE_LIMIT:
        message = f"it is nested deeper than {MAX_DEPTH} levels: what is behind that place was not read"
        problems.note(PAGE_CUT, "page", message, example=last.message)
    return root if root is not None else etree.fromstring(b"<html/>")


@lru_cache(maxsize=64)
def _parser(_thread: int, *, is_xml: bool) -> Any:
    """The thread's parser (a shared one would be waited for), without entities or network.

    Its own limits are those of huge trees (2,048 levels): how much there is to parse, and how long it may take, is
    limited by who asks.
    """
    if is_xml:
        return etree.XMLParser(encoding="utf-8", recover=True, resolve_entities=False, no_network=True, huge_tree=True)
    return etree.HTMLParser(encoding="utf-8", recover=True, no_network=True, huge_tree=True)


def _base_url(root: Element, url: str, encoding: str) -> str:
    found = root.xpath("string((//base[@href])[1]/@href)")
    return base_of(url, str(found), encoding) if found else url
