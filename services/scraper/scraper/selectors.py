"""What selectors find in a document. Owns: compiled selectors. Must not know types, or where documents come from.

Selectors are strangers' text: regular expressions run in linear time (RE2), also within JSONPath; XPath has neither
regular expressions nor documents. Everything is compiled once for a run.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import jsonpath
import orjson
import re2
from jsonpath.function_extensions import ExpressionType, FilterFunction
from lxml import etree
from parsel.csstranslator import GenericTranslator, HTMLTranslator

from scraper.documents import Document, is_element
from scraper.element_text import PARTED, text_of
from scraper.executor import InvalidParameters, Json
from scraper.json_text import NotJsonError, load_json
from scraper.problems import DATA_BROKEN, FIELD_FAILED, VALUES_CUT
from scraper.scrape_definition import FieldRule, ItemSelector, Selector
from scraper.structured_data import entities_of

# The same as `limits.page_items`, for who has no limits.
MAX_MATCHES = 1_000_000
MAX_JSON_DEPTH = 250
ATTRIBUTE = re.compile(r"\[[^\]]*\]")
PSEUDO_ELEMENT = re.compile(r"::(?:text|attr\([\w-]+\))\s*$")
PROBE = etree.fromstring("<html><body/></html>")
# What an item is found in: an element, or a value of JSON.
Node = Any
Finder = Callable[[Node, Document], list[Node]]


class _Pattern(FilterFunction):
    """JSONPath's match() and search(), in linear time."""

    arg_types = [ExpressionType.VALUE, ExpressionType.VALUE]  # noqa: RUF012  # as the library has it
    return_type = ExpressionType.LOGICAL

    def __init__(self, method: str) -> None:
        self._method = method

    def __call__(self, value: object, pattern: object) -> bool:
        if not isinstance(value, str) or not isinstance(pattern, str):
            return False
        try:
            return getattr(re2.compile(pattern[:1000], _re2_options()), self._method)(value) is not None
        except re2.error:
            return False


def _re2_options() -> re2.Options:
    options = re2.Options()
    options.max_mem = 8 * 1024 * 1024
    options.log_errors = False
    return options


class Compiler:
    """Turns selectors into finders. Raises InvalidParameters that names the place of one that doesn't compile."""

    def __init__(self, most: int = MAX_MATCHES) -> None:
        """`most`: how many matches of one selector on one page count."""
        self.most = most
        # Whether everything compiled so far takes no more time than a walk over the page.
        self.quick = True
        self._json = jsonpath.JSONPathEnvironment(strict=True)
        self._json.max_recursion_depth = MAX_JSON_DEPTH
        self._json.function_extensions["match"] = _Pattern("fullmatch")
        self._json.function_extensions["search"] = _Pattern("search")

    def elements(self, selector: Selector | ItemSelector, place: str) -> Finder | None:
        """What finds the css, xpath or structured data of `selector`; None without one."""
        if selector.structured is not None:
            wanted = selector.structured
            self.quick = False
            return lambda node, document: _entities(node, document, wanted)
        if selector.xpath is not None:
            self.quick = False
            compiled = self._xpath(selector.xpath, f"{place}.xpath")
            return lambda node, _: _as_list(compiled(node)) if is_element(node) else []
        if selector.css is None:
            return None
        self.quick = self.quick and is_plain(selector.css)
        html = self._css(selector.css, f"{place}.css", HTMLTranslator())
        xml = self._css(selector.css, f"{place}.css", GenericTranslator())
        return lambda node, document: _as_list((xml if document.is_xml else html)(node)) if is_element(node) else []

    def _css(self, css: str, place: str, translator: Any) -> etree.XPath:
        try:
            return self._xpath(translator.css_to_xpath(css, prefix="descendant-or-self::"), place)
        except InvalidParameters:
            raise
        except (ValueError, SyntaxError, RecursionError) as error:
            raise InvalidParameters(f"{css!r} is not a CSS selector: {error}", field=place) from error

    def _xpath(self, xpath: str, place: str) -> etree.XPath:
        try:
            compiled = etree.XPath(xpath, regexp=False, smart_strings=False)
            # Unknown functions and prefixes only show when it is evaluated.
            compiled(PROBE)
        except (etree.XPathError, ValueError) as error:
            raise InvalidParameters(f"{xpath!r} is not an XPath: {error}", field=place) from error
        return compiled

    def json(self, expression: str, place: str) -> "JsonFinder":
        """What finds the values of a JSONPath."""
        self.quick = False
        try:
            compiled = self._json.compile(expression)
        except (jsonpath.JSONPathError, RecursionError) as error:
            reason = str(error).partition("\n")[0]
            raise InvalidParameters(f"{expression!r} is not a JSONPath: {reason}", field=place) from error
        return JsonFinder(compiled, is_root=expression.strip() == "$", most=self.most)

    def regex(self, expression: str, place: str) -> Callable[[str], list[str]]:
        """What finds the matches of a regular expression: the first group if there is one, or else the whole."""
        self.quick = False
        try:
            compiled = re2.compile(expression, _re2_options())
        except re2.error as error:
            reason = error.args[0].decode() if isinstance(error.args[0], bytes) else str(error)
            raise InvalidParameters(f"{expression!r} is not a regular expression: {reason}", field=place) from error
        group = 1 if compiled.groups else 0
        most = self.most

        def find(text: str) -> list[str]:
            found = (match[group] for match in compiled.finditer(text) if match[group] is not None)
            return list(islice(found, most + 1))

        return find


@dataclass(frozen=True, slots=True)
class JsonFinder:
    """Finds the values of a JSONPath: one more than `most` of them when there are more."""

    compiled: Any
    is_root: bool
    most: int

    def __call__(self, value: Json) -> list[Json]:
        """The values. Raises JSONPathError or RecursionError for a document that the path doesn't fit."""
        if isinstance(value, str):
            # The library would take it for a text of JSON.
            return [value] if self.is_root else []
        return [match.obj for match in islice(self.compiled.finditer(value), self.most + 1)]


def is_plain(css: str) -> bool:
    """Whether a selector (already known to compile) has no siblings, negations or counting: it then costs one walk."""
    return not any(mark in PSEUDO_ELEMENT.sub("", ATTRIBUTE.sub("", css)) for mark in ":+~|")


def _entities(node: Node, document: Document, kind: str) -> list[Node]:
    return entities_of(document, kind) if is_element(node) or node is document.json else []


def _as_list(found: Any) -> list[Node]:
    return found if isinstance(found, list) else [found]


def bounded(found: list[Node], most: int, document: Document, where: str) -> list[Node]:
    """What was found, `most` at most; what is left out is counted."""
    if len(found) <= most:
        return found
    beyond = f"{len(found) - most}" if len(found) > most + 1 else "those behind them"
    document.problems.note(VALUES_CUT, where, f"only the first {most} matches count (limits.page_items), not {beyond}")
    return found[:most]


@dataclass(frozen=True, slots=True)
class ValueFinder:
    """Finds the raw values of one selector: elements, then JSON within, then matches within."""

    elements: Finder | None
    json: JsonFinder | None
    regex: Callable[[str], list[str]] | None
    attribute: str | None
    as_html: bool = False
    # An element without a named attribute stands for where it leads.
    as_link: bool = False
    # Raised and struck digits stand apart from those beside them.
    part_digits: bool = False
    # Where problems are, and how many values count.
    where: str = "selector"
    most: int = MAX_MATCHES

    def find(self, node: Node, document: Document) -> list[Json]:
        """The values in `node`, in the document's order."""
        found = [node] if self.elements is None else self.elements(node, document)
        if self.json is not None:
            found = self._find_json(found, node, document)
        if len(found) > self.most:
            found = bounded(found, self.most, document, self.where)
        values = [value for one in found if (value := self._value_of(one, document)) is not None]
        if self.regex is None:
            return values
        matches = [match for value in values for match in self.regex(_searched(value))]
        return bounded(matches, self.most, document, self.where)

    def is_data(self, node: Node) -> bool:
        """Whether the values come from JSON or structured data, and not from a text of the page."""
        return self.regex is None and (self.json is not None or not is_element(node))

    def _find_json(self, found: list[Node], node: Node, document: Document) -> list[Json]:
        assert self.json is not None
        if self.elements is not None:
            loaded = [self._loaded(value, document) for one in found
                      if (value := self._value_of(one, document)) is not None]  # fmt: skip
            return [value for source in loaded if source is not None for value in self.json(source)]
        sources = list(document.embedded()) if is_element(node) else [node]
        return found_in(self.json, sources, document, self.where)

    def _loaded(self, text: Json, document: Document) -> Json:
        if not isinstance(text, str):
            return text
        try:
            return load_json(text, document.problems, self.where)
        except NotJsonError as error:
            document.problems.note(DATA_BROKEN, self.where, f"it is no JSON: {error}", example=text.strip())
            return None

    def _value_of(self, one: Node, document: Document) -> Json:
        if not is_element(one):
            if self.attribute is not None and isinstance(one, Mapping):
                return one.get(self.attribute)
            # A page's empty link is the page itself, an empty text of data is none.
            return None if self.as_link and one == "" else one
        if self.attribute is not None:
            return one.get(self.attribute)
        if self.as_html or (self.regex is not None and self.elements is None):
            return str(etree.tostring(one, encoding="unicode", method="html", with_tail=False))
        if self.as_link:
            named = next((value for name in ("href", "src") if (value := one.get(name)) is not None), None)
            return named if named is not None else text_of(one, is_xml=document.is_xml).strip() or None
        return text_of(one, is_xml=document.is_xml, part_digits=self.part_digits)


def found_in(find: JsonFinder, sources: Sequence[Json], document: Document, where: str) -> list[Json]:
    """What a JSONPath finds in the first of the sources that has something."""
    failed: Exception | None = None
    for source in sources:
        try:
            if values := find(source):
                return values
        except (jsonpath.JSONPathError, RecursionError) as error:
            failed = error
    if failed is not None:
        reason = str(failed).partition("\n")[0]
        document.problems.note(FIELD_FAILED, where, f"the JSONPath does not fit the document: {reason}")
    return []


def _searched(value: Json) -> str:
    """What a regular expression sees: what stands apart in a text is in lines of its own."""
    return value.replace(PARTED, "\n") if isinstance(value, str) else orjson.dumps(value).decode()


def compile_selector(
    selector: Selector, compiler: Compiler, place: str, *, where: str = "", as_link: bool = False
) -> ValueFinder:
    """One selector; `where` names it among the problems."""
    kind = selector.type if isinstance(selector, FieldRule) else ""
    return ValueFinder(
        elements=compiler.elements(selector, place),
        json=compiler.json(selector.jsonpath, f"{place}.jsonpath") if selector.jsonpath else None,
        regex=compiler.regex(selector.regex, f"{place}.regex") if selector.regex else None,
        attribute=selector.attribute,
        as_html=kind == "html",
        as_link=as_link or kind == "url",
        part_digits=kind in ("number", "integer", "date"),
        where=where or place,
        most=compiler.most,
    )
