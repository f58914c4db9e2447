"""Recordings of the Chrome DevTools Recorder as canonical steps. Owns: that format's rules. Must not know a browser.

Source of the format: the JSON that Chrome's Recorder panel exports. What only sets the scene (`setViewport`, `close`,
`emulateNetworkConditions`) is left out; `waitForExpression` is refused, as no step runs code that came in a request.
"""

import re
from collections.abc import Callable, Mapping, Sequence

from scraper.executor import InvalidParameters, Json
from scraper.step_kinds import MAX_TIMEOUT_MS, Step
from scraper.steps import MAX_STEPS, parse_steps

Raw = dict[str, Json]
_LEFT_OUT = frozenset({"setViewport", "close", "emulateNetworkConditions"})
_MODIFIERS = frozenset({"Control", "Shift", "Alt", "Meta"})
_ARIA = re.compile(r"^aria/(?P<name>.*?)(\[role=[\"']?(?P<role>[a-z]+)[\"']?\])?$", re.DOTALL)
_KNOWN = frozenset({
    "setViewport", "navigate", "click", "doubleClick", "hover", "change", "keyDown", "keyUp", "scroll", "close",
    "emulateNetworkConditions", "waitForElement", "waitForExpression", "customStep",
})  # fmt: skip
MAX_ALTERNATIVES = 20


def is_devtools(raw: Json) -> bool:
    """Whether it is the object that Chrome exports."""
    return isinstance(raw, Mapping) and "steps" in raw


def import_devtools(recording: Mapping[str, Json], root: str = "sortedData") -> tuple[Step, ...]:
    """The steps of a recording; raises `InvalidParameters` naming the step that is wrong."""
    steps = recording.get("steps")
    path = f"{root}.steps"
    if not isinstance(steps, list | tuple):
        raise InvalidParameters("must be a list of steps", field=path)
    if len(steps) > MAX_STEPS:
        raise InvalidParameters(f"has more than {MAX_STEPS} steps", field=path)
    return parse_steps(_Importer().steps(steps, path), path)


class _Importer:
    """One import. It knows which keys are held, how far the page is scrolled, and which tab is the current one."""

    def __init__(self) -> None:
        self._held: list[str] = []
        self._y = 0.0
        self._tab = "main"
        self._makers: Mapping[str, Callable[[Raw, str], Raw | None]] = {
            "navigate": self._navigate,
            "click": lambda step, path: self._pointed("click", step, path),
            "doubleClick": lambda step, path: self._pointed("double_click", step, path),
            "hover": lambda step, path: self._pointed("hover", step, path),
            "change": self._change,
            "keyDown": self._key_down,
            "keyUp": self._key_up,
            "scroll": self._scroll,
            "waitForElement": self._wait,
            "customStep": _custom,
        }

    def steps(self, raw: Sequence[Json], path: str) -> list[Raw]:
        steps: list[Raw] = []
        for index, step in enumerate(raw):
            here = f"{path}[{index}]"
            if not isinstance(step, Mapping):
                raise InvalidParameters("must be an object", field=here)
            kind = _text(step, "type", here)
            if kind not in _KNOWN:
                raise InvalidParameters(f"unknown step type {kind[:100]!r}", field=f"{here}.type")
            if kind == "waitForExpression":
                raise InvalidParameters("steps can't run code: wait for an element instead", field=f"{here}.type")
            if kind in _LEFT_OUT:
                continue
            made = self._makers[kind](dict(step), here)
            if made is None:
                continue
            steps += self._moved(step, here)
            steps.append({**made, **_timeout(step, here), "source": here[:200]})
        return steps

    def _moved(self, step: Mapping[str, Json], path: str) -> list[Raw]:
        """The step to the tab that this one was recorded in."""
        tab = step.get("target") or "main"
        if not isinstance(tab, str):
            raise InvalidParameters("must be a text", field=f"{path}.target")
        if tab == self._tab:
            return []
        self._tab, self._y = tab, 0.0
        where: Raw = {"index": 0} if tab == "main" else {"url": tab[:10_000]}
        return [{"type": "switch_tab", **where, "source": path[:200]}]

    def _navigate(self, step: Raw, path: str) -> Raw:
        self._y = 0.0
        return {"type": "navigate", "url": _text(step, "url", path)}

    def _pointed(self, kind: str, step: Raw, path: str) -> Raw:
        return {"type": kind, "target": _targets(step, path, roles=("button", "link", "menuitem", "tab"))}

    def _change(self, step: Raw, path: str) -> Raw:
        value = step.get("value")
        if not isinstance(value, str | int | float | bool):
            raise InvalidParameters("must be a text", field=f"{path}.value")
        roles = ("textbox", "combobox", "searchbox", "checkbox", "spinbutton")
        return {"type": "input", "target": _targets(step, path, roles=roles), "value": str(value)}

    def _key_down(self, step: Raw, path: str) -> Raw | None:
        key = _text(step, "key", path, strip=False)
        if key in _MODIFIERS:
            if key not in self._held:
                self._held.append(key)
            return None
        return {"type": "press", "key": "+".join([*self._held, key])}

    def _key_up(self, step: Raw, path: str) -> None:
        key = _text(step, "key", path, strip=False)
        if key in self._held:
            self._held.remove(key)

    def _scroll(self, step: Raw, path: str) -> Raw:
        if step.get("selectors"):
            return {"type": "scroll", "target": _targets(step, path, roles=())}
        y = step.get("y", 0)
        if isinstance(y, bool) or not isinstance(y, int | float) or not abs(y) <= 1_000_000:
            raise InvalidParameters("must be a number of pixels", field=f"{path}.y")
        moved, self._y = y - self._y, float(y)
        return {"type": "scroll", "direction": "down" if moved >= 0 else "up", "distance": min(abs(moved), 1_000_000)}

    def _wait(self, step: Raw, path: str) -> Raw:
        targets = _targets(step, path, roles=("button", "link", "heading"))
        if step.get("visible") is False or (step.get("count") == 0 and step.get("operator") in (None, "==", "<=")):
            return {"type": "assert", "when": {"target": targets, "visible": False}}
        return {"type": "wait_for", "target": targets}


def _custom(step: Raw, path: str) -> Raw:
    return {"type": "custom", "name": _text(step, "name", path)[:200], "value": step.get("parameters")}


def _timeout(step: Mapping[str, Json], path: str) -> Raw:
    timeout = step.get("timeout")
    if timeout is None:
        return {}
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 1 <= timeout <= MAX_TIMEOUT_MS:
        raise InvalidParameters(f"must be 1 to {MAX_TIMEOUT_MS} ms", field=f"{path}.timeout")
    return {"timeoutMs": int(timeout)}


def _targets(step: Raw, path: str, *, roles: Sequence[str]) -> list[Raw]:
    """The alternatives in the recording's order. Of a chain through frames or shadow roots the last link counts."""
    selectors = step.get("selectors")
    if not isinstance(selectors, list | tuple) or not selectors:
        raise InvalidParameters("must be a list of selectors", field=f"{path}.selectors")
    frame = _frame(step.get("frame"), path)
    targets: list[Raw] = []
    for index, alternative in enumerate(selectors):
        link = alternative[-1] if isinstance(alternative, list | tuple) and alternative else alternative
        if not isinstance(link, str) or not link.strip():
            raise InvalidParameters("must be a selector", field=f"{path}.selectors[{index}]")
        targets += [{**found, **frame} for found in _alternatives(link.strip(), roles)]
    return targets[:MAX_ALTERNATIVES]


def _alternatives(selector: str, roles: Sequence[str]) -> list[Raw]:
    if selector.startswith("xpath/"):
        return [{"xpath": selector.removeprefix("xpath/")}]
    if selector.startswith("text/"):
        return [{"text": selector.removeprefix("text/")}]
    if selector.startswith("aria/"):
        match = _ARIA.match(selector)
        name = match["name"].strip() if match else ""
        role = match["role"] if match else None
        if role:
            return [{"role": role, "name": name} if name else {"role": role}]
        if not name:
            return []
        by_role: list[Raw] = [{"role": one, "name": name} for one in roles]
        return [*by_role, {"label": name}, {"placeholder": name}, {"text": name}]
    # `pierce/` reaches into shadow roots, as CSS does here anyway.
    return [{"css": selector.removeprefix("pierce/")}]


def _frame(value: Json, path: str) -> Raw:
    if not value:
        return {}
    numbers = [number for number in value if type(number) is int] if isinstance(value, list | tuple) else []
    if not numbers or len(numbers) != len(value) or len(numbers) > 10 or not all(0 <= one < 1000 for one in numbers):
        raise InvalidParameters("must be a list of frame numbers", field=f"{path}.frame")
    return {"frame": " >> ".join(f":nth-match(:is(iframe, frame), {number + 1})" for number in numbers)}


def _text(step: Mapping[str, Json], key: str, path: str, *, strip: bool = True) -> str:
    value = step.get(key)
    if not isinstance(value, str) or not (value.strip() if strip else value):
        raise InvalidParameters("is missing" if value is None else "must be a text", field=f"{path}.{key}")
    return value
