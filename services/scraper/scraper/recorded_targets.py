"""How recorded SmartRPA events find their elements. Owns: the order of the ways to each. Must not know a browser.

What was recorded as text of the page is taken literally: one that looks like a template is never filled in.
"""

import re
from collections.abc import Callable, Mapping

from scraper.executor import Json

Raw = dict[str, Json]
Event = Mapping[str, Json]
_TAG = re.compile(r"[a-z][a-z0-9-]{0,60}")
_MAX_LABEL = 300


def click_targets(event: Event, element: Event, row_key: Callable[[Json], str | None]) -> list[Raw]:
    """Id, tag with visible text, class; then what else may help. A row's value decides alone which element it is."""
    tag = _tag(element)
    chosen = row_key(event.get("value")) or row_key(event.get("label"))
    if chosen:
        return [*([{"css": tag, "hasText": chosen}] if tag else []), {"text": chosen}]
    text = _label(element.get("innerText"))
    targets: list[Raw] = []
    _add(targets, "id", literal(element.get("id")))
    if text and tag:
        targets += [{"xpath": _exact_text(tag, text)}, {"css": tag, "hasText": text}]
    elif text:
        targets.append({"text": text})
    _add(targets, "css", _classes(element, tag))
    _add(targets, "css", _named(element, tag))
    _add(targets, "placeholder", _label(element.get("placeholder")))
    _add(targets, "label", _label(event.get("label")))
    return targets


def input_targets(element: Event) -> list[Raw]:
    """Label, id, class, tag, text, placeholder; then the field's name."""
    tag = _tag(element)
    targets: list[Raw] = []
    _add(targets, "label", _label(element.get("label")))
    _add(targets, "id", literal(element.get("id")))
    _add(targets, "css", _classes(element, tag))
    _add(targets, "css", tag)
    _add(targets, "text", _label(element.get("innerText")))
    _add(targets, "placeholder", _label(element.get("placeholder")))
    _add(targets, "css", _named(element, tag))
    return targets


def _add(targets: list[Raw], by: str, value: str | None) -> None:
    if value:
        targets.append({by: value})


def _tag(element: Event) -> str | None:
    tag = as_text(element.get("tagName")).strip().lower()
    return tag if _TAG.fullmatch(tag) else None


def _classes(element: Event, tag: str | None) -> str | None:
    names = (literal(element.get("className")) or "").split()[:10]
    return (tag or "") + "".join(f"[class~={_quoted(name)}]" for name in names) if names else None


def _named(element: Event, tag: str | None) -> str | None:
    name = literal(element.get("name"))
    return f"{tag or ''}[name={_quoted(name)}]" if name else None


def _exact_text(tag: str, text: str) -> str:
    """XPath for the innermost elements of that tag whose whole text it is."""
    parts = text.split("'")
    literal = f"'{text}'" if len(parts) == 1 else "concat(" + ', "\'", '.join(f"'{part}'" for part in parts) + ")"
    return f"//{tag}[normalize-space(.)={literal}]"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\a ") + '"'


def literal(value: Json) -> str | None:
    """A recorded text as it stands; one that looks like a template can't be used."""
    text = as_text(value)
    return text if text.strip() and "{{" not in text and len(text) <= 5000 else None


def _label(value: Json) -> str | None:
    """The first line of a visible text, its spaces made single."""
    lines = [" ".join(line.split()) for line in (literal(value) or "").splitlines()]
    return next((line[:_MAX_LABEL] for line in lines if line), None)


def as_text(value: Json) -> str:
    """A text or number as text; anything else is empty."""
    return value if isinstance(value, str) else str(value) if isinstance(value, int | float) else ""
