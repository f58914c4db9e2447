"""Values out of a page. Owns: reading text, attributes and fields of elements, and their types and transforms.

Reads all elements in one call into the page. Passwords in fields are never read. Must not know steps' flow or results.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from scraper.executor import Json
from scraper.step_error import StepError
from scraper.step_kinds import ExtractField
from scraper.values import NO_HINTS, Unread
from scraper.values.number import as_integer, as_number

if TYPE_CHECKING:
    # Processes that read pages without a browser do without its library.
    from playwright.async_api import Locator

# What is beyond is left out, and counted.
MAX_ELEMENTS = 100_000
MAX_VALUES = 10_000
MAX_TEXT = 1_000_000

# Answers, per element, per field, the raw texts found (null where there is no such attribute), and how many elements
# and values were left out and texts cut.
_READ = """
(elements, {fields, maxElements, maxValues, maxText}) => {
  const left = {elements: Math.max(elements.length - maxElements, 0), values: 0, texts: 0};
  const cut = text => {
    if (text === null || text === undefined) return null;
    const whole = String(text);
    left.texts += whole.length > maxText;
    return whole.slice(0, maxText);
  };
  const read = (node, field) => {
    if (node.nodeType !== Node.ELEMENT_NODE) return cut(node.nodeValue);
    const secret = node.localName === 'input' && node.type === 'password';
    if (field.attribute) return secret && field.attribute === 'value' ? '***' : cut(node.getAttribute(field.attribute));
    if (field.html) return cut(node.innerHTML);
    if (secret) return '***';
    if (['input', 'textarea', 'select'].includes(node.localName)) return cut(node.value);
    return cut(node.innerText || node.textContent);
  };
  const find = (element, field) => {
    if (field.css) return Array.from(element.querySelectorAll(field.css));
    if (!field.xpath) return [element];
    const found = document.evaluate(field.xpath, element, null, XPathResult.ORDERED_NODE_SNAPSHOT_TYPE, null);
    return Array.from({length: found.snapshotLength}, (_, index) => found.snapshotItem(index));
  };
  const rows = elements.slice(0, maxElements).map(element => fields.map(field => {
    const found = find(element, field);
    if (field.list) left.values += Math.max(found.length - maxValues, 0);
    return found.slice(0, field.list ? maxValues : 1).map(node => read(node, field));
  }));
  return {rows, left};
}
"""

_TRUE = {"true", "yes", "on", "1", "y", "是"}
_FALSE = {"false", "no", "off", "0", "n", "否", ""}


# (what was left out, how often): `elements`, `values` or `texts`.
LeftOut = Callable[[str, int], None]


async def read_fields(
    elements: "Locator", fields: Mapping[str, ExtractField], base_url: str, left_out: LeftOut
) -> list[dict[str, Json]]:
    """The fields of each element; a field that isn't there is None (an empty list with `list`)."""
    described = [
        {
            "css": field.css,
            "xpath": field.xpath,
            "attribute": field.attribute,
            "html": field.type == "html",
            "list": field.list,
        }
        for field in fields.values()
    ]
    limits = {"maxElements": MAX_ELEMENTS, "maxValues": MAX_VALUES, "maxText": MAX_TEXT}
    read = await elements.evaluate_all(_READ, {"fields": described, **limits})
    for what, count in read["left"].items():
        if count:
            left_out(what, count)
    rows: Sequence[Sequence[Sequence[str | None]]] = read["rows"]
    return [
        {name: _field_value(values, field, base_url) for (name, field), values in zip(fields.items(), row, strict=True)}
        for row in rows
    ]


async def read_values(elements: "Locator", field: ExtractField, base_url: str, left_out: LeftOut) -> list[Json]:
    """One value of each element."""
    return [row["value"] for row in await read_fields(elements, {"value": field}, base_url, left_out)]


def _field_value(values: Sequence[str | None], field: ExtractField, base_url: str) -> Json:
    typed = [None if value is None else convert(value, field, base_url) for value in values]
    if field.list:
        return typed
    return typed[0] if typed else None


def convert(raw: str, field: ExtractField, base_url: str) -> Any:
    """A text as the field's type; raises `StepError` when it can't be one."""
    text = _transform(raw, field.transform) if field.type == "html" else _transform(raw, field.transform).strip()
    match field.type:
        case "number" | "integer":
            return _number(text, whole=field.type == "integer")
        case "boolean":
            return _boolean(text)
        case "url":
            return urljoin(base_url, text)
        case _:
            return text


def _transform(text: str, name: str | None) -> str:
    match name:
        case "trim":
            return text.strip()
        case "lower":
            return text.lower()
        case "upper":
            return text.upper()
        case "digits":
            return "".join(filter(str.isdecimal, text))
        case _:
            return text


def _number(text: str, *, whole: bool) -> int | float | None:
    """The number that the text says, as a `scrape` field reads it; what has no value or several is an error here."""
    if not text:
        return None
    found = as_integer(text, NO_HINTS) if whole else as_number(text, NO_HINTS)
    if isinstance(found, Unread):
        raise StepError(f"{text[:50]!r} is not a number: {found.message}", code="BAD_VALUE")
    return found


def _boolean(text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise StepError(f"{text[:50]!r} is neither true nor false", code="BAD_VALUE")
