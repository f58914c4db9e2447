"""Which events `sortedData` may hold. Owns: the known types, and where an unknown one is. Pure.

Only the outside is checked here: that each event is an object of a known type. What is in it is the worker's to judge.
"""

from collections.abc import Iterator
from typing import Any

from gateway.checks import invalid

Json = Any
RECORDED = frozenset({"navigation", "click", "input", "keydown", "scroll", "output", "loop", "loop_new"})
CANONICAL = frozenset({
    "navigate", "click", "double_click", "hover", "input", "type_keys", "press", "select", "check", "upload", "scroll",
    "wait_for", "extract", "screenshot", "download", "switch_tab", "switch_frame", "if", "loop", "set_variable",
    "assert", "output", "custom", "key_down", "key_up", "close_tab", "set_viewport", "emulate_network",
})  # fmt: skip
DEVTOOLS = frozenset({
    "setViewport", "navigate", "click", "doubleClick", "hover", "change", "keyDown", "keyUp", "scroll", "close",
    "emulateNetworkConditions", "waitForElement", "waitForExpression", "customStep",
})  # fmt: skip
# The lists of what the recorder exports before it is put in order, with the type of their events.
RAW_LISTS = {
    "navigations": "navigation", "clicks": "click", "inputs": "input", "keydowns": "keydown", "scrolls": "scroll",
    "outputs": "output", "loops": "loop", "loop_news": "loop_new", "loopNews": "loop_new",
}  # fmt: skip
# Members that hold further events.
_NESTED = ("loopEvents", "steps", "then", "else")


def check_events(data: Json) -> None:
    """Raises `InvalidInput` that names the first event which is not known, as in `sortedData[3].loopEvents[0].type`.

    `data` is a list of recorded events and canonical steps, or an object: a recorder's raw export, with a list for each
    kind of event, or what the Chrome DevTools Recorder exports.
    """
    if isinstance(data, dict) and "steps" not in data:
        _check_raw_export(data)
    elif isinstance(data, dict):
        steps = data.get("steps")
        if not isinstance(steps, list):
            raise invalid("sortedData.steps", "array", "必须是数组", steps)
        _check_all(steps, "sortedData.steps", DEVTOOLS)
    elif isinstance(data, list):
        _check_all(data, "sortedData", RECORDED | CANONICAL)
    else:
        raise invalid("sortedData", "array", "必须是数组", data)


def _check_raw_export(data: dict[str, Json]) -> None:
    lists = {name: inner for name, inner in data.items() if isinstance(inner, list | dict) and inner}
    for name, inner in lists.items():
        where = f"sortedData.{name[:64]}"
        if name not in RAW_LISTS:
            raise invalid(where, "enum", f"未知的事件列表, 已知: {', '.join(RAW_LISTS)}")
        if not isinstance(inner, list):
            raise invalid(where, "array", "必须是数组", inner)
        kind = RAW_LISTS[name]
        typed = [{"type": kind, **event} if isinstance(event, dict) else event for event in inner]
        _check_all(typed, where, frozenset({kind}), RECORDED | CANONICAL)
    if not any(isinstance(data.get(name), list) for name in RAW_LISTS):
        raise invalid("sortedData", "array", "必须是数组", data)


def _check_all(events: list[Json], where: str, known: frozenset[str], inside: frozenset[str] | None = None) -> None:
    """Without recursion, because the nesting comes from outside. `inside`: the types of nested events."""
    todo = [(events, where, known)]
    while todo:
        inner, path, allowed = todo.pop(0)
        for index, event in enumerate(inner):
            here = f"{path}[{index}]"
            if not isinstance(event, dict):
                raise invalid(here, "object", "必须是对象", event)
            kind = event.get("type")
            if not isinstance(kind, str):
                raise invalid(f"{here}.type", "string", "必须是字符串", kind)
            if kind not in allowed:
                raise invalid(f"{here}.type", "enum", f"未知的事件类型 {kind[:64]!r}", kind)
            todo.extend((nested, place, inside or known) for nested, place in _nested(event, here))


def _nested(event: dict[str, Json], here: str) -> Iterator[tuple[list[Json], str]]:
    for name in _NESTED:
        inner = event.get(name)
        if inner is None:
            continue
        if not isinstance(inner, list):
            raise invalid(f"{here}.{name}", "array", "必须是数组", inner)
        yield inner, f"{here}.{name}"
