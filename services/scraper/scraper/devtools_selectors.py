"""Selectors of Chrome DevTools Recorder as targets. Owns: what each kind means. Must not know a browser.

A step has alternatives; each is one selector or a chain of them, from the outside in. A link of a chain is looked for
in the shadow root of the element before it, when that has one; the first in the page itself. Kinds: `aria/` (the whole
accessible name, perhaps with a role), `text/` (a part of the text), `xpath/`, `pierce/` (CSS into all shadow roots),
CSS.
"""

import re
from collections.abc import Mapping

from scraper.executor import InvalidParameters, Json
from scraper.step_targets import MAX_LINKS

Raw = dict[str, Json]
MAX_ALTERNATIVES = 20
_ARIA_PART = re.compile(r"\[\s*+(?P<key>[a-z]++)\s*+=\s*+(?P<quote>[\"']?+)(?P<value>[^\"'\]]*+)(?P=quote)\s*+\]")
# Puppeteer's own additions to CSS, which no browser knows.
_NOT_CSS = re.compile(r">>>|::-p-")


def targets(step: Mapping[str, Json], path: str) -> list[Raw]:
    """The alternatives in the recording's order. Raises `InvalidParameters` that names the selector."""
    selectors = step.get("selectors")
    if not isinstance(selectors, list | tuple) or not selectors:
        raise InvalidParameters("must be a list of selectors", field=f"{path}.selectors")
    if len(selectors) > MAX_ALTERNATIVES:
        raise InvalidParameters(f"has more than {MAX_ALTERNATIVES} selectors", field=f"{path}.selectors")
    framed = frame(step.get("frame"), path)
    return [{**_target(one, f"{path}.selectors[{index}]"), **framed} for index, one in enumerate(selectors)]


def frame(value: Json, path: str) -> Raw:
    """The frame, by its number within the page and within each frame above it."""
    if not value:
        return {}
    numbers = [number for number in value if type(number) is int] if isinstance(value, list | tuple) else []
    if not numbers or len(numbers) != len(value) or len(numbers) > 10 or not all(0 <= one < 1000 for one in numbers):
        raise InvalidParameters("must be a list of frame numbers", field=f"{path}.frame")
    return {"frame": " >> ".join(f":nth-match(:is(iframe, frame), {number + 1})" for number in numbers)}


def _target(selector: Json, path: str) -> Raw:
    chain = list(selector) if isinstance(selector, list | tuple) else [selector]
    if not chain or len(chain) > MAX_LINKS:
        raise InvalidParameters(f"must be a selector, or a chain of at most {MAX_LINKS}", field=path)
    *holders, last = [_link(link, path) for link in chain]
    return {**last, "within": holders} if holders else last


def _link(link: Json, path: str) -> Raw:
    if not isinstance(link, str) or not link.strip():
        raise InvalidParameters("must be a selector", field=path)
    kind, slash, rest = link.strip().partition("/")
    if not slash or kind not in ("xpath", "text", "aria", "pierce"):
        return _css(link.strip(), path, pierce=False)
    if not rest.strip():
        raise InvalidParameters("must be a selector", field=path)
    if kind == "pierce":
        return _css(rest, path, pierce=True)
    return _aria(rest, path) if kind == "aria" else {kind: rest}


def _css(css: str, path: str, *, pierce: bool) -> Raw:
    if _NOT_CSS.search(css):
        raise InvalidParameters("is no CSS: give a chain of selectors instead", field=path)
    return {"css": css} if pierce else {"css": css, "pierce": False}


def _aria(selector: str, path: str) -> Raw:
    said = {"name": " ".join(_ARIA_PART.sub("", selector).split())}
    for part in _ARIA_PART.finditer(selector):
        if part["key"] not in ("role", "name"):
            # A name with brackets of its own.
            return {"name": selector.strip()}
        said[part["key"]] = part["value"].strip()
    said = {key: value for key, value in said.items() if value}
    if not said:
        raise InvalidParameters("must be a selector", field=path)
    return {**said, "exact": True} if "role" in said else said
