"""The fields of Chrome DevTools Recorder's steps. Owns: which each type has, and the reading of each, or its refusal.

Source of the format: the JSON that Chrome's Recorder panel exports, as its public schema describes it. A field that is
null counts as not given. All errors are `InvalidParameters` with the field's path.
"""

from collections.abc import Collection, Mapping
from typing import Any

from scraper.executor import InvalidParameters, Json
from scraper.step_actions import MAX_HOLD_MS
from scraper.step_base import MAX_TIMEOUT_MS
from scraper.steps import nearest

Raw = dict[str, Json]
HEAD = frozenset({"title", "timeout", "selectorAttribute", "steps"})
_STEP = frozenset({"type", "timeout", "assertedEvents", "target"})
_FRAMED = _STEP | {"frame"}
_FOUND = _FRAMED | {"selectors"}
_CLICKED = _FOUND | {"deviceType", "button", "offsetX", "offsetY", "duration"}
FIELDS: Mapping[str, Collection[str]] = {
    "setViewport": _STEP | {"width", "height", "deviceScaleFactor", "isMobile", "hasTouch", "isLandscape"},
    "navigate": _STEP | {"url"},
    "click": _CLICKED,
    "doubleClick": _CLICKED,
    "hover": _FOUND | {"offsetX", "offsetY"},
    "change": _FOUND | {"value"},
    "keyDown": _STEP | {"key"},
    "keyUp": _STEP | {"key"},
    "scroll": _FOUND | {"x", "y"},
    "close": _STEP,
    "emulateNetworkConditions": _STEP | {"download", "upload", "latency"},
    "waitForElement": _FOUND | {"operator", "count", "visible", "properties", "attributes"},
    "waitForExpression": _FRAMED | {"expression"},
    "customStep": _STEP | {"name", "parameters"},
}
_EVENT = frozenset({"type", "url", "title"})
_BUTTONS = {"primary": "left", "auxiliary": "middle", "secondary": "right", "back": "back", "forward": "forward"}
_DEVICES = {"mouse": "mouse", "pen": "pen", "touch": "touch"}
_OPERATORS = {one: one for one in ("==", ">=", "<=")}
MAX_PIXELS = 1_000_000


def check_known(step: Mapping[str, Json], known: Collection[str], path: str) -> None:
    """Nothing in it may be left out in silence."""
    for name in step:
        if name not in known:
            shown = str(name)[:100]
            raise InvalidParameters(f"unknown field{nearest(shown, known)}", field=f"{path}.{shown}")


def text(step: Mapping[str, Json], key: str, path: str, *, strip: bool = True) -> str:
    """A required text."""
    value = step.get(key)
    if not isinstance(value, str) or not (value.strip() if strip else value):
        raise InvalidParameters("is missing" if value is None else "must be a text", field=f"{path}.{key}")
    return value


def number(step: Mapping[str, Json], key: str, path: str, low: float, high: float) -> float | None:
    """A number within the bounds."""
    value = step.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise InvalidParameters(f"must be a number from {low:g} to {high:g}", field=f"{path}.{key}")
    return value


def flag(step: Mapping[str, Json], key: str, path: str, *, default: bool) -> bool:
    """True or false."""
    value = step.get(key)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise InvalidParameters("must be true or false", field=f"{path}.{key}")
    return value


def _choice(step: Mapping[str, Json], key: str, path: str, known: Mapping[str, str]) -> str | None:
    value = step.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or value not in known:
        raise InvalidParameters(f"must be one of {', '.join(known)}", field=f"{path}.{key}")
    return known[value]


def _mapping(step: Mapping[str, Json], key: str, path: str) -> Mapping[str, Json] | None:
    value = step.get(key)
    if value is not None and not isinstance(value, Mapping):
        raise InvalidParameters("must be an object", field=f"{path}.{key}")
    return value


# --- what several types have


def timeout(step: Mapping[str, Json], path: str) -> Raw:
    """The time limit, of a step or of the whole recording."""
    value = step.get("timeout")
    if value is None:
        return {}
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= MAX_TIMEOUT_MS:
        raise InvalidParameters(f"must be 1 to {MAX_TIMEOUT_MS} ms", field=f"{path}.timeout")
    return {"timeoutMs": int(value)}


def asserted(step: Mapping[str, Json], path: str) -> Raw:
    """The pages that the step is to lead to. An empty address or title says nothing.

    Where the step's own address holds a template, the recorded page is that of another row: only that a page comes is
    asserted.
    """
    events = step.get("assertedEvents")
    if events is None:
        return {}
    if not isinstance(events, list | tuple):
        raise InvalidParameters("must be a list of events", field=f"{path}.assertedEvents")
    address = step.get("url")
    for_this_row = isinstance(address, str) and "{{" in address
    pages: list[Raw] = []
    for index, event in enumerate(events):
        here = f"{path}.assertedEvents[{index}]"
        if not isinstance(event, Mapping):
            raise InvalidParameters("must be an object", field=here)
        if event.get("type") != "navigation":
            raise InvalidParameters("must be navigation: nothing else can be asserted", field=f"{here}.type")
        check_known(event, _EVENT, here)
        said = {name: text(event, name, here) for name in ("url", "title") if event.get(name) not in (None, "")}
        pages.append({} if for_this_row and "{{" not in "".join(said.values()) else dict(said))
    return {"expectNavigation": pages} if pages else {}


def offset(step: Mapping[str, Json], path: str) -> Raw:
    """The place in the element; both numbers or neither."""
    x, y = (number(step, key, path, -MAX_PIXELS, MAX_PIXELS) for key in ("offsetX", "offsetY"))
    if x is None and y is None:
        return {}
    for key, value in (("offsetX", x), ("offsetY", y)):
        if value is None:
            raise InvalidParameters("is missing", field=f"{path}.{key}")
    return {"position": {"x": x, "y": y}}


def clicked(step: Mapping[str, Json], path: str) -> Raw:
    """Device, button, place and duration of a click."""
    made = offset(step, path)
    device, button = _choice(step, "deviceType", path, _DEVICES), _choice(step, "button", path, _BUTTONS)
    if device == "touch":
        if button not in (None, "left"):
            raise InvalidParameters("a touch has no buttons", field=f"{path}.button")
        if step.get("type") == "doubleClick":
            raise InvalidParameters("a double click can't be made by touch", field=f"{path}.deviceType")
    hold = number(step, "duration", path, 0, MAX_HOLD_MS)
    return made | _without_none({"device": device, "button": button, "holdMs": None if hold is None else round(hold)})


def viewport(step: Mapping[str, Json], path: str) -> Raw | None:
    """The screen; None where nothing is said of it."""
    if not step.keys() - _STEP:
        return None
    sizes: dict[str, Any] = {}
    for key in ("width", "height"):
        size = number(step, key, path, 1, 10_000)
        if size is None:
            raise InvalidParameters("is missing", field=f"{path}.{key}")
        sizes[key] = max(round(size), 1)
    flags = {key: flag(step, key, path, default=False) for key in ("isMobile", "hasTouch", "isLandscape")}
    # Zero is the browser's own.
    scale = number(step, "deviceScaleFactor", path, 0, 10) or 1
    return {**sizes, "deviceScaleFactor": scale, **flags}


def network(step: Mapping[str, Json], path: str) -> Raw:
    """Bytes per second and milliseconds. No traffic either way is being offline; a negative rate is no bound."""
    down, up = (number(step, key, path, -1, 1e12) for key in ("download", "upload"))
    latency = number(step, "latency", path, 0, 600_000) or 0
    if down == 0 and up == 0:
        return {"offline": True, "latencyMs": latency}
    for key, rate in (("download", down), ("upload", up)):
        if rate == 0:
            raise InvalidParameters("can't be zero alone", field=f"{path}.{key}")
    rates = {"downloadBytesPerSecond": down, "uploadBytesPerSecond": up}
    return {"latencyMs": latency, **{key: rate for key, rate in rates.items() if rate is not None and rate > 0}}


def awaited(step: Mapping[str, Json], path: str) -> Raw:
    """What a `waitForElement` says of its elements. `visible: false` turns the condition round."""
    seen = flag(step, "visible", path, default=True)
    count = number(step, "count", path, 0, 100_000)
    if count is not None and count != int(count):
        raise InvalidParameters("must be a whole number", field=f"{path}.count")
    operator = _choice(step, "operator", path, _OPERATORS)
    attributes, properties = _mapping(step, "attributes", path), _mapping(step, "properties", path)
    for name, value in (attributes or {}).items():
        if not isinstance(value, str):
            raise InvalidParameters("must be a text", field=f"{path}.attributes.{name[:100]}")
    # "At least none" says nothing: what is meant is that none is left.
    operator = operator or ("==" if count == 0 else None)
    said = {
        "state": "attached" if seen else "hidden", "count": None if count is None else int(count),
        "operator": operator, "attributes": attributes or None, "properties": properties or None,
    }  # fmt: skip
    return _without_none(said)


def _without_none(fields: Raw) -> Raw:
    return {name: value for name, value in fields.items() if value is not None}
