"""How fields are taken from a document. Owns: compiled selectors. Must not know where documents come from.

Selectors are strangers' text: regular expressions run in linear time (RE2), also within JSONPath; XPath has neither
regular expressions nor documents. Everything is compiled once for a run.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jsonpath
import orjson
import re2
from jsonpath.function_extensions import ExpressionType, FilterFunction
from lxml import etree
from parsel.csstranslator import GenericTranslator, HTMLTranslator

from scraper.documents import Document, Element, is_element
from scraper.executor import InvalidParameters, Json
from scraper.scrape_definition import FieldRule, ItemSelector, Selector
from scraper.structured_data import entities_of
from scraper.values import clean, convert

MAX_MATCHES = 10_000
ATTRIBUTE = re.compile(r"\[[^\]]*\]")
PSEUDO_ELEMENT = re.compile(r"::(?:text|attr\([\w-]+\))\s*$")
CODE = frozenset({"script", "style"})
HAS_CODE = etree.XPath("boolean(.//script|.//style)")
TEXT_WITHOUT_CODE = etree.XPath(".//text()[not(parent::script or parent::style)]", smart_strings=False)
PROBE = etree.fromstring("<html><body/></html>")
WHOLE_TEXT = etree.XPath("string()", smart_strings=False)
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

    def __init__(self) -> None:
        # Whether everything compiled so far takes no more time than a walk over the page.
        self.quick = True
        self._json = jsonpath.JSONPathEnvironment(strict=True)
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

    def json(self, expression: str, place: str) -> Callable[[Json], list[Json]]:
        """What finds the values of a JSONPath."""
        self.quick = False
        try:
            compiled = self._json.compile(expression)
        except (jsonpath.JSONPathError, RecursionError) as error:
            reason = str(error).partition("\n")[0]
            raise InvalidParameters(f"{expression!r} is not a JSONPath: {reason}", field=place) from error
        return lambda value: _bounded(compiled, value)

    def regex(self, expression: str, place: str) -> Callable[[str], list[str]]:
        """What finds the matches of a regular expression: the first group if there is one, or else the whole."""
        self.quick = False
        try:
            compiled = re2.compile(expression, _re2_options())
        except re2.error as error:
            reason = error.args[0].decode() if isinstance(error.args[0], bytes) else str(error)
            raise InvalidParameters(f"{expression!r} is not a regular expression: {reason}", field=place) from error
        group = 1 if compiled.groups else 0

        def find(text: str) -> list[str]:
            found: list[str] = []
            for match in compiled.finditer(text):
                if match[group] is not None:
                    found.append(match[group])
                if len(found) >= MAX_MATCHES:
                    break
            return found

        return find


def is_plain(css: str) -> bool:
    """Whether a selector (already known to compile) has no siblings, negations or counting: it then costs one walk."""
    return not any(mark in PSEUDO_ELEMENT.sub("", ATTRIBUTE.sub("", css)) for mark in ":+~|")


def _entities(node: Node, document: Document, kind: str) -> list[Node]:
    return entities_of(document, kind) if is_element(node) or node is document.json else []


def _bounded(compiled: Any, value: Json) -> list[Json]:
    found: list[Json] = []
    try:
        for match in compiled.finditer(value):
            found.append(match.obj)
            if len(found) >= MAX_MATCHES:
                break
    except (jsonpath.JSONPathError, RecursionError):
        return found  # It doesn't fit this document; what it found so far counts.
    return found


def _as_list(found: Any) -> list[Node]:
    return found[:MAX_MATCHES] if isinstance(found, list) else [found]


@dataclass(frozen=True, slots=True)
class ValueFinder:
    """Finds the raw values of one selector: elements, then JSON within, then matches within."""

    elements: Finder | None
    json: Callable[[Json], list[Json]] | None
    regex: Callable[[str], list[str]] | None
    attribute: str | None
    as_html: bool = False
    # An element without a named attribute stands for where it leads.
    as_link: bool = False

    def find(self, node: Node, document: Document) -> list[Json]:
        """The values in `node`, in the document's order."""
        found = [node] if self.elements is None else self.elements(node, document)
        if self.json is not None:
            found = self._find_json(found, node, document)
        values = [value for one in found if (value := self._value_of(one)) is not None]
        if self.regex is None:
            return values
        return [match for value in values for match in self.regex(value if isinstance(value, str) else _dumped(value))]

    def _find_json(self, found: list[Node], node: Node, document: Document) -> list[Json]:
        assert self.json is not None
        if self.elements is not None:
            loaded = [value for one in found if (value := _loaded(self._value_of(one))) is not None]
            return [value for source in loaded for value in self.json(source)]
        sources = list(document.embedded()) if is_element(node) else [node]
        for source in sources:
            if values := self.json(source):
                return values
        return []

    def _value_of(self, one: Node) -> Json:
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
            return named if named is not None else _text_of(one).strip() or None
        return _text_of(one)


def _text_of(element: Element) -> str:
    # Most elements that are asked for have nothing in them but text.
    if len(element) == 0:
        return str(element.text or "")
    # Scripts and styles are no text to a reader, unless they were asked for.
    if element.tag not in CODE and HAS_CODE(element):
        return "".join(TEXT_WITHOUT_CODE(element))
    return str(WHOLE_TEXT(element))


def _loaded(text: Json) -> Json:
    if not isinstance(text, str):
        return text
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def _dumped(value: Json) -> str:
    return orjson.dumps(value).decode()


@dataclass(frozen=True, slots=True)
class Field:
    """A compiled field."""

    name: str
    rule: FieldRule
    finder: ValueFinder

    def read(self, node: Node, document: Document) -> tuple[Json, bool]:
        """The field's value in `node`, and whether something was found (or else it is the default)."""
        rule = self.rule
        values = self.finder.find(node, document)
        if not rule.many and len(values) == 1 and isinstance(values[0], list) and rule.type == "text":
            return values[0], True
        if rule.type == "text":
            converted = [(clean(value) or None) if isinstance(value, str) else value for value in values]
        else:
            converted = [convert(value, rule.type, document.base_url, document.encoding) for value in values]
        if rule.many:
            kept = [value for value in converted if value is not None]
            return (kept, True) if kept else (rule.default if rule.default is not None else [], False)
        value = next((value for value in converted if value is not None), None)
        return (rule.default, False) if value is None else (value, True)


@dataclass(frozen=True, slots=True)
class FieldsRead:
    """The fields of one node. `missing`: required ones with neither value nor default. `lacking`: those not found.

    `problems`: of the page, where the fields are all that was read from it (`Problems.to_json`).
    """

    data: dict[str, Json]
    found: int
    missing: tuple[str, ...] = ()
    lacking: tuple[str, ...] = ()
    problems: tuple[Json, ...] = ()


def compile_fields(rules: Mapping[str, FieldRule], compiler: Compiler, place: str) -> tuple[Field, ...]:
    """Every field, in its order."""
    # Dates are looked for in many languages, and by one thread at a time.
    compiler.quick = compiler.quick and all(rule.type != "date" for rule in rules.values())
    return tuple(Field(name, rule, compile_selector(rule, compiler, f"{place}.{name}")) for name, rule in rules.items())


def compile_selector(selector: Selector, compiler: Compiler, place: str, *, as_link: bool = False) -> ValueFinder:
    """One selector."""
    kind = selector.type if isinstance(selector, FieldRule) else ""
    return ValueFinder(
        elements=compiler.elements(selector, place),
        json=compiler.json(selector.jsonpath, f"{place}.jsonpath") if selector.jsonpath else None,
        regex=compiler.regex(selector.regex, f"{place}.regex") if selector.regex else None,
        attribute=selector.attribute,
        as_html=kind == "html",
        as_link=as_link or kind == "url",
    )


def read_fields(fields: Sequence[Field], node: Node, document: Document) -> FieldsRead:
    """What `node` has of each field."""
    data: dict[str, Json] = {}
    lacking: list[Field] = []
    for field in fields:
        data[field.name], found = field.read(node, document)
        if not found:
            lacking.append(field)
    if not lacking:
        return FieldsRead(data, len(data))
    missing = tuple(field.name for field in lacking if field.rule.required and field.rule.default is None)
    return FieldsRead(data, len(data) - len(lacking), missing, tuple(field.name for field in lacking))


def compile_items(selector: ItemSelector | None, compiler: Compiler) -> Finder:
    """What finds the items of a page."""
    if selector is None:
        return lambda node, _: [node]
    if selector.jsonpath is None:
        finder = compiler.elements(selector, "items.select")
        assert finder is not None
        return finder
    find = compiler.json(selector.jsonpath, "items.select.jsonpath")

    def find_in(node: Node, document: Document) -> list[Node]:
        if document.is_json:
            return _flattened(find(node))
        return next((found for value in document.embedded() if (found := _flattened(find(value)))), [])

    return find_in


def _flattened(found: list[Json]) -> list[Json]:
    # A path to one list means its members.
    return found[0][:MAX_MATCHES] if len(found) == 1 and isinstance(found[0], list) else found
