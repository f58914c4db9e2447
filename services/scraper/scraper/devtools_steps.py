"""Recordings of the Chrome DevTools Recorder as canonical steps. Owns: that format's types. Must not know a browser.

All that a step says is done, or the step is refused by its field. `waitForExpression` is refused, as no step runs code
that came in a request.
"""

from collections.abc import Callable, Mapping, Sequence

from scraper import devtools_fields as fields
from scraper import devtools_selectors as selectors
from scraper.executor import InvalidParameters, Json
from scraper.step_kinds import Step
from scraper.steps import MAX_STEPS, nearest, parse_step

Raw = dict[str, Json]
_MAIN = "main"


def is_devtools(raw: Json) -> bool:
    """Whether it is the object that Chrome exports."""
    return isinstance(raw, Mapping) and "steps" in raw


def import_devtools(recording: Mapping[str, Json], root: str = "sortedData") -> tuple[Step, ...]:
    """The steps of a recording; raises `InvalidParameters` naming the step and the field that is wrong."""
    fields.check_known(recording, fields.HEAD, root)
    steps = recording.get("steps")
    path = f"{root}.steps"
    if not isinstance(steps, list | tuple):
        raise InvalidParameters("must be a list of steps", field=path)
    if len(steps) > MAX_STEPS:
        raise InvalidParameters(f"has more than {MAX_STEPS} steps", field=path)
    return _Importer(fields.timeout(recording, root)).steps(steps, path)


class _Importer:
    """One import. It knows which tab or frame is the current one; `timeout` is that of steps without one."""

    def __init__(self, timeout: Raw) -> None:
        self._timeout = timeout
        self._tab: str | None = _MAIN
        self._makers: Mapping[str, Callable[[Raw, str], Raw | None]] = {
            "setViewport": _set_viewport,
            "navigate": lambda step, path: {"type": "navigate", "url": fields.text(step, "url", path)},
            "click": lambda step, path: _click("click", step, path),
            "doubleClick": lambda step, path: _click("double_click", step, path),
            "hover": _hover,
            "change": _change,
            "keyDown": lambda step, path: _key("key_down", step, path),
            "keyUp": lambda step, path: _key("key_up", step, path),
            "scroll": _scroll,
            "close": self._close,
            "emulateNetworkConditions": lambda step, path: {"type": "emulate_network", **fields.network(step, path)},
            "waitForElement": _wait,
            "customStep": _custom,
        }

    def steps(self, raw: Sequence[Json], path: str) -> tuple[Step, ...]:
        steps: list[Step] = []
        for index, step in enumerate(raw):
            here = f"{path}[{index}]"
            if not isinstance(step, Mapping):
                raise InvalidParameters("must be an object", field=here)
            kind = fields.text(step, "type", here)
            if kind not in fields.FIELDS:
                message = f"unknown step type {kind[:100]!r}{nearest(kind, fields.FIELDS.keys())}"
                raise InvalidParameters(message, field=f"{here}.type")
            if kind == "waitForExpression":
                raise InvalidParameters("steps can't run code: wait for an element instead", field=f"{here}.type")
            fields.check_known(step, fields.FIELDS[kind], here)
            common = {**self._timeout, **fields.timeout(step, here), "source": here[:200]}
            moved = self._moved(step, here)
            made = self._makers[kind](dict(step), here)
            if made is None:
                continue
            steps += [parse_step({**one, **common}, here) for one in moved]
            steps.append(parse_step({**made, **common, **fields.asserted(step, here)}, here))
        return tuple(steps)

    def _moved(self, step: Mapping[str, Json], path: str) -> list[Raw]:
        """The step to the tab, or the frame of another site, that this one was recorded in."""
        tab = _MAIN if step.get("target") is None else fields.text(step, "target", path)
        if tab == self._tab:
            return []
        self._tab = tab
        return [{"type": "switch_tab", **({"index": 0} if tab == _MAIN else {"url": tab, "frames": True})}]

    def _close(self, _step: Raw, _path: str) -> Raw:
        self._tab = None
        return {"type": "close_tab"}


def _set_viewport(step: Raw, path: str) -> Raw | None:
    screen = fields.viewport(step, path)
    return None if screen is None else {"type": "set_viewport", **screen}


def _click(kind: str, step: Raw, path: str) -> Raw:
    # Steps in a tab that it opens name that tab.
    return {"type": kind, "target": selectors.targets(step, path), "newTab": "stay", **fields.clicked(step, path)}


def _hover(step: Raw, path: str) -> Raw:
    return {"type": "hover", "target": selectors.targets(step, path), **fields.offset(step, path)}


def _change(step: Raw, path: str) -> Raw:
    value = step.get("value")
    if not isinstance(value, str | int | float):
        raise InvalidParameters("is missing" if value is None else "must be a text", field=f"{path}.value")
    said = ("true" if value else "false") if isinstance(value, bool) else str(value)
    return {"type": "input", "target": selectors.targets(step, path), "value": said}


def _key(kind: str, step: Raw, path: str) -> Raw:
    return {"type": kind, "key": fields.text(step, "key", path, strip=False)}


def _scroll(step: Raw, path: str) -> Raw:
    x, y = (fields.number(step, key, path, -fields.MAX_PIXELS, fields.MAX_PIXELS) or 0 for key in ("x", "y"))
    made: Raw = {"type": "scroll", "to": {"x": x, "y": y}}
    if step.get("selectors") is not None:
        return {**made, "target": selectors.targets(step, path)}
    framed = selectors.frame(step.get("frame"), path)
    return {**made, "target": {"css": ":root", **framed}} if framed else made


def _wait(step: Raw, path: str) -> Raw:
    return {"type": "wait_for", "target": selectors.targets(step, path), **fields.awaited(step, path)}


def _custom(step: Raw, path: str) -> Raw:
    return {"type": "custom", "name": fields.text(step, "name", path)[:200], "value": step.get("parameters")}
