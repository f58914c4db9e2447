"""Recorded SmartRPA events (`sortedData`) as canonical steps. Owns: that format and its rules. Must not know a browser.

Values that equal a key of `row` become `{{row.key}}`, so that one recording runs for any row; what was recorded as text
of the page is taken literally. Canonical steps may stand among the events. Each step keeps its event's place
(`sortedData[3]`) for messages.
"""

import random
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from scraper.executor import InvalidParameters, Json
from scraper.recorded_lists import (
    RECORDED_ALONE,
    SHARED,
    Event,
    Placed,
    is_canonical,
    is_recorded,
    listed,
    ordered,
    time_of,
)
from scraper.recorded_targets import as_text, click_targets, input_targets, literal
from scraper.step_kinds import Step
from scraper.steps import MAX_DEPTH, MAX_STEPS, NESTED, TYPES, nearest, parse_step, parse_steps

Pacing = Literal["none", "recorded", "human"]
Raw = dict[str, Json]

LONGEST_PAUSE_MS = 120_000
SHORTEST_PAUSE_MS = 2_000
# 自定义2, 自定义2.1, 自定义2-3: an action of one's own. An `output` may be called anything else that begins so.
_NUMBERED = re.compile(r"自定义\s*\d[\w.-]{0,50}")
_OWN = re.compile(r"自定义.{0,60}")
# Keys that an input method reports; they can't be pressed, and the text they make is in the next input event.
_NO_KEYS = frozenset({"Process", "Unidentified", "Dead", "AltGraph"})
# A letter that follows one of these writes nothing.
_CHORD_KEYS = frozenset({"Control", "Meta"})
_WITH_CHORD = frozenset({"Shift", "Alt"})
_AFTER_ENTER = frozenset({"keydown", "scroll"})


@dataclass(frozen=True, slots=True)
class Recording:
    """What surrounds the events: `rows` gives the keys that values may name, `task_name` names custom steps."""

    rows: Sequence[Event] = ()
    task_name: str = ""
    pacing: Pacing = "none"

    def key(self, value: Json) -> str | None:
        """The template for a value that equals a key of any row."""
        text = as_text(value)
        if not text or "{" in text or "}" in text or text != text.strip():
            return None
        return f"{{{{row.{text}}}}}" if any(text in row for row in self.rows) else None

    def value(self, value: Json) -> Json:
        """The value, or the template for it."""
        return self.key(value) or value


def rows_of(row: Json, field: str = "row") -> tuple[Event, ...]:
    """`row` as a list: it may be an object, a list of objects or absent."""
    if row is None:
        return ()
    rows = row if isinstance(row, list | tuple) else [row]
    for index, one in enumerate(rows):
        if not isinstance(one, Mapping):
            where = f"{field}[{index}]" if isinstance(row, list | tuple) else field
            raise InvalidParameters("must be an object", field=where)
    return tuple(rows)


def parse_pacing(value: Json) -> Pacing:
    """How recorded pauses are replayed; not at all unless asked for."""
    match value:
        case None | "" | "none":
            return "none"
        case "recorded" | "human":
            return value  # type: ignore[no-any-return]  # narrowed by the pattern
        case _:
            raise InvalidParameters("must be none, recorded or human", field="pacing")


def import_recording(events: Json, recording: Recording, root: str = "sortedData") -> tuple[Step, ...]:
    """The steps of recorded events; raises `InvalidParameters` naming the event that is wrong."""
    return parse_steps(_Importer(recording).steps(ordered(events, root), root, depth=1), root)


class _Importer:
    """One import. It counts the events on all levels."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._events = 0
        self._makers: dict[str, Callable[[Event, Event, str], Raw]] = {
            "navigation": self._navigation,
            "click": self._click,
            "input": self._input,
            "keydown": self._keydown,
            "scroll": _scroll,
            "output": self._output,
        }

    def steps(self, events: Sequence[Placed], root: str, depth: int, *, doubtful: bool = True) -> list[Raw]:
        """The events' steps, loops over rows after all others. `doubtful`: what may be either is a recorded event."""
        self._bound(events, root, depth)
        steps: list[Raw] = []
        last: list[Raw] = []
        entered = False
        before: datetime | None = None
        for event, path in _with_chords(events):
            kind = _required_text(event, "type", path)
            if kind == "keydown" and as_text(event.get("key")) in _NO_KEYS:
                continue
            now = time_of(event)
            pause = _pause(self._recording.pacing, before, now)
            before = now
            if is_canonical(event) or not (doubtful or is_recorded(event)):
                steps.append({"source": path[:200], **self._canonical(event, path, depth)})
                entered = False
                continue
            step = {**self._step(kind, event, path, depth), "source": path[:200], "pauseMs": pause}
            if kind == "navigation" and entered:
                step["unlessNavigated"] = True
            entered = event.get("key") == "Enter" if kind == "keydown" else entered and kind in _AFTER_ENTER
            (last if kind == "loop_new" else steps).append(step)
        return steps + last

    def _bound(self, events: Sequence[Placed], root: str, depth: int) -> None:
        self._events += len(events)
        if self._events > MAX_STEPS:
            raise InvalidParameters(f"has more than {MAX_STEPS} events", field=root)
        if depth > MAX_DEPTH:
            raise InvalidParameters(f"is nested deeper than {MAX_DEPTH} levels", field=root)

    def _canonical(self, event: Event, path: str, depth: int) -> Raw:
        """A canonical step, whose own steps may be recorded events. Its time only says where it belongs."""
        kind = str(event["type"])
        if kind not in TYPES:
            message = f"unknown event type {kind[:100]!r}{nearest(kind, {*TYPES, *SHARED, *RECORDED_ALONE})}"
            raise InvalidParameters(message, field=f"{path}.type")
        step = {name: value for name, value in event.items() if name != "time"}
        for name in NESTED:
            if step.get(name) is not None:
                inner = f"{path}.{name}"
                step[name] = self.steps(listed(step[name], inner), inner, depth + 1, doubtful=False)
        parse_step(step, path)
        return step

    def _step(self, kind: str, event: Event, path: str, depth: int) -> Raw:
        element = _element(event, path)
        leixing = unicodedata.normalize("NFKC", as_text(element.get("leixing"))).strip()
        if (_NUMBERED if kind == "output" else _OWN).fullmatch(leixing):
            name = f"{self._recording.task_name}:{leixing}"[:200]
            return {"type": "custom", "name": name, "value": event.get("value")}
        if kind in ("loop", "loop_new"):
            times = {"rows": True} if kind == "loop_new" else {"count": self._count(event, path)}
            inner = f"{path}.loopEvents"
            # In the order of their list: people arrange them by hand, and the times stay as they were.
            events = listed(event.get("loopEvents"), inner)
            return {"type": "loop", "steps": self.steps(events, inner, depth + 1), **times}
        made = self._makers[kind](event, element, path)
        parse_step(made, path)
        return made

    def _count(self, event: Event, path: str) -> Json:
        count = self._recording.value(event.get("loopCount"))
        whole = isinstance(count, int) and not isinstance(count, bool)
        if not whole and not (isinstance(count, str) and (count.startswith("{{") or count.strip().isdecimal())):
            raise InvalidParameters("must be a whole number or a key of row", field=f"{path}.loopCount")
        return count

    def _navigation(self, event: Event, _element: Event, path: str) -> Raw:
        return {"type": "navigate", "url": self._recording.value(_required_text(event, "url", path))}

    def _click(self, event: Event, element: Event, path: str) -> Raw:
        target = _required_target(click_targets(event, element, self._recording.key), path)
        return {"type": "click", "target": target}

    def _keydown(self, event: Event, _element: Event, path: str) -> Raw:
        return {"type": "press", "key": _required_text(event, "key", path, strip=False)}

    def _input(self, event: Event, element: Event, path: str) -> Raw:
        value = event.get("value", element.get("value"))
        if isinstance(value, Mapping | list):
            raise InvalidParameters("must be a text", field=f"{path}.value")
        kind = "select" if as_text(element.get("tagName")).lower() == "select" else "input"
        target = _required_target(input_targets(element), path)
        return {"type": kind, "target": target, "value": self._recording.value("" if value is None else value)}

    def _output(self, event: Event, element: Event, path: str) -> Raw:
        target = click_targets({}, element, self._recording.key) or input_targets(element)
        value = event.get("value")
        if not target and value is None:
            raise InvalidParameters("needs an element that can be found, or a value", field=path)
        step: Raw = {"type": "output", "name": (literal(element.get("leixing")) or "output")[:200]}
        if target:
            step["target"] = target
        if value is not None:
            step["value"] = self._recording.value(value)
        return step


def _with_chords(events: Sequence[Placed]) -> list[tuple[Event, str]]:
    """The events, with Control or Meta and the letters that follow made chords: recorders write no `keyup`.

    A letter right after a chord belongs to it as well: it would be written otherwise, and what people write is in
    `input` events.
    """
    made: list[tuple[Event, str]] = []
    held: list[str] = []
    for index, one in enumerate(events):
        event, key = one.event, as_text(one.event.get("key"))
        if event.get("type") != "keydown" or key in _NO_KEYS:
            held = []
        elif key in _CHORD_KEYS or (held and key in _WITH_CHORD):
            held = [*held, key] if key not in held else held
            after = events[index + 1].event if index + 1 < len(events) else {}
            if after.get("type") == "keydown":
                continue
        elif len(key) != 1:
            event = {**event, "key": "+".join([*held, key])} if held else event
            held = []
        elif chord := held or _marked(event):
            event = {**event, "key": "+".join([*chord, key])}
        made.append((event, one.path))
    return made


def _marked(event: Event) -> list[str]:
    """What a recorder says was held. Control and Alt together write letters on some keyboards."""
    if event.get("altKey") is True:
        return []
    return [name for name, mark in (("Control", "ctrlKey"), ("Meta", "metaKey")) if event.get(mark) is True]


def _pause(pacing: Pacing, before: datetime | None, now: datetime | None) -> int:
    if pacing == "human":
        return random.randint(200, 1200)  # noqa: S311  rhythm, not secrecy
    if pacing != "recorded" or before is None or now is None:
        return 0
    pause = int((now - before).total_seconds() * 1000)
    return 0 if pause < SHORTEST_PAUSE_MS else min(pause, LONGEST_PAUSE_MS)


def _scroll(event: Event, _element: Event, path: str) -> Raw:
    direction = event.get("direction") or "down"
    if direction not in ("down", "up"):
        raise InvalidParameters("must be down or up", field=f"{path}.direction")
    raw = event.get("distance", 800)
    try:
        distance = float(raw)
    except (TypeError, ValueError):
        raise InvalidParameters("must be a number of pixels", field=f"{path}.distance") from None
    if not abs(distance) <= 1_000_000:
        raise InvalidParameters("must be at most 1000000", field=f"{path}.distance")
    return {"type": "scroll", "direction": direction, "distance": abs(distance)}


def _required_target(targets: list[Raw], path: str) -> list[Raw]:
    if not targets:
        raise InvalidParameters("has nothing to find the element by", field=f"{path}.element")
    return targets


def _element(event: Event, path: str) -> Event:
    element = event.get("element")
    if element is None:
        return {}
    if not isinstance(element, Mapping):
        raise InvalidParameters("must be an object", field=f"{path}.element")
    return element


def _required_text(event: Event, key: str, path: str, *, strip: bool = True) -> str:
    value = event.get(key)
    if not isinstance(value, str) or not (value.strip() if strip else value):
        raise InvalidParameters("is missing" if value is None else "must be a text", field=f"{path}.{key}")
    return value
