"""Finding elements in a page that was only fetched. Owns: what each alternative of a target means without a browser.

Nothing is visible or hidden here: the first alternative with any element wins. Must not know steps or runs.
"""

from collections.abc import Callable, Iterator
from typing import Any

from cssselect import HTMLTranslator, SelectorError
from lxml import etree

from scraper.documents import is_element
from scraper.step_error import StepError
from scraper.step_kinds import Target

Node = Any
_NOT_TEXT = "not(self::script or self::style or self::template or self::noscript)"
_CODE = frozenset({"script", "style", "template", "noscript"})
# Elements that start a line, or a cell, of their own.
_APART = frozenset({
    "address", "article", "aside", "blockquote", "br", "dd", "div", "dl", "dt", "fieldset", "figcaption", "figure",
    "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "nav", "ol", "option", "p",
    "pre", "section", "table", "td", "th", "tr", "ul", "body", "head", "title",
})  # fmt: skip
_ROLES = {
    "link": ".//a[@href]",
    "button": ".//button | .//input[@type='submit' or @type='button'] | .//*[@role='button']",
    "heading": ".//h1 | .//h2 | .//h3 | .//h4 | .//h5 | .//h6",
    "listitem": ".//li",
    "row": ".//tr",
    "cell": ".//td",
    "img": ".//img",
    "table": ".//table",
}


def find(target: Target, root: Node) -> Iterator[tuple[str, str, list[Node]]]:
    """(by, selector, the elements) of each alternative. Raises `StepError` for what can't be asked for here."""
    if target.frame:
        raise _unsupported("frames")
    for by, selector, look in _ways(target):
        yield by, selector, look(root)


def _ways(target: Target) -> Iterator[tuple[str, str, Callable[[Node], list[Node]]]]:
    t = target
    if t.css:
        yield "css", t.css, lambda root: _containing(_xpath(root, _css(t.css or "")), t.has_text)
    if t.xpath:
        yield "xpath", t.xpath, lambda root: _xpath(root, _relative(t.xpath or ""))
    if t.id:
        yield "id", t.id, lambda root: _xpath(root, ".//*[@id=$value]", t.id)
    if t.text:
        yield "text", t.text, lambda root: _by_text(root, t.text or "", loosely=not t.exact)
    if t.role:
        said = f"{t.role} {t.name or ''}".strip()
        yield "role", said, lambda root: _by_role(root, t.role or "", t.name, loosely=not t.exact)
    elif t.name:
        yield "name", t.name, lambda root: _by_name(root, t.name or "")
    if t.label or t.placeholder:
        by = "label" if t.label else "placeholder"
        attribute = "aria-label" if t.label else "placeholder"
        yield (
            by,
            t.label or t.placeholder or "",
            lambda root: _xpath(root, f".//*[@{attribute}=$value]", t.label or t.placeholder),
        )


def _css(css: str) -> str:
    try:
        return str(HTMLTranslator().css_to_xpath(css, prefix="descendant::"))
    except (SelectorError, RecursionError) as error:
        raise _unusable("css", css) from error


def _relative(xpath: str) -> str:
    return f".{xpath}" if xpath.startswith("/") else xpath


def _xpath(root: Node, expression: str, value: str | None = None) -> list[Node]:
    variables = {} if value is None else {"value": value}
    try:
        found = root.xpath(expression, **variables)
    except (etree.XPathError, ValueError) as error:
        raise _unusable("xpath", expression) from error
    return [node for node in found if is_element(node)] if isinstance(found, list) else []


def _by_text(root: Node, text: str, *, loosely: bool) -> list[Node]:
    """The innermost elements with that whole text, or else those that contain it, whatever the case."""
    wanted = " ".join(text.split())
    exact = _xpath(root, f".//*[{_NOT_TEXT}][normalize-space()=$value]", wanted)
    found = exact or [
        node
        for node in _xpath(root, f".//*[{_NOT_TEXT}][not(self::html or self::body or self::head)]")
        if loosely and wanted.lower() in text_of(node).lower()
    ]
    inner = set(found)
    return [node for node in found if not any(child in inner for child in node.iterdescendants())]


def _by_role(root: Node, role: str, name: str | None, *, loosely: bool) -> list[Node]:
    found = _xpath(root, _ROLES.get(role) or ".//*[@role=$value]", None if role in _ROLES else role)
    if not name:
        return found
    named = [(node, " ".join((text_of(node) or node.get("value") or node.get("alt") or "").split())) for node in found]
    exact = [node for node, said in named if said == name]
    return exact or [node for node, said in named if loosely and name.lower() in said.lower()]


def _by_name(root: Node, name: str) -> list[Node]:
    """Whatever says of itself that it is called so."""
    found = [node for role in _ROLES for node in _by_role(root, role, name, loosely=False)]
    found += _xpath(root, ".//*[@aria-label=$value or @alt=$value or @placeholder=$value]", name)
    return list(dict.fromkeys(found))


def _containing(nodes: list[Node], text: str | None) -> list[Node]:
    return nodes if not text else [node for node in nodes if text.lower() in text_of(node).lower()]


def text_of(node: Node) -> str:
    """What a reader would see of it, its white space made single; parts that stand apart are a space apart."""
    parts: list[str] = []
    skipped = 0
    for event, one in etree.iterwalk(node, events=("start", "end", "comment", "pi")):
        hidden = one.tag in _CODE
        if event == "start":
            skipped += hidden
            if not skipped:
                parts += [" " if one.tag in _APART else "", one.text or ""]
            continue
        if event == "end":
            skipped -= hidden
        if not skipped:
            parts.append(" " if one.tag in _APART else "")
            if one is not node:
                parts.append(one.tail or "")
    return " ".join("".join(parts).split())


def _unusable(by: str, selector: str) -> StepError:
    return StepError(f"{by} {selector[:200]!r} can't be used", code="INVALID_SELECTOR", fatal=True)


def _unsupported(what: str) -> StepError:
    return StepError(f"{what} need a browser", code="NEEDS_BROWSER", fatal=True)
