"""Recorded SmartRPA events (`sortedData`) as canonical steps. Owns: that format and its rules. Must not know a browser.

Values that equal a key of `row` become `{{row.key}}`, so that one recording runs for any row; what was recorded as text
of the page is taken literally. Each step keeps its event's place (`sortedData[3]`) for messages.
"""

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from scraper.executor import InvalidParameters, Json
from scraper.step_kinds import Step
from scraper.steps import MAX_DEPTH, MAX_STEPS, parse_steps

Pacing = Literal["none", "recorded", "human"]
Raw = dict[str, Json]
Event = Mapping[str, Json]

LONGEST_PAUSE_MS = 120_000
SHORTEST_PAUSE_MS = 2_000
_CUSTOM = re.compile(r"自定义\d{1,9}")
_TAG = re.compile(r"[a-z][a-z0-9-]{0,60}")
# Keys that an input method reports; they can't be pressed, and the text they make is in the next input event.
_NO_KEYS = frozenset({"Process", "Unidentified", "Dead"})
_MAX_LABEL = 300
_AFTER_ENTER = frozenset({"keydown", "scroll"})


@dataclass(frozen=True, slots=True)
class Recording:
    """What surrounds the events: `rows` gives the keys that values may name, `task_name` names custom steps."""

    rows: Sequence[Event] = ()
    task_name: str = ""
    pacing: Pacing = "none"

    def key(self, value: Json) -> str | None:
        """The template for a value that equals a key of any row."""
        text = _text(value)
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
    return parse_steps(_Importer(recording).steps(events, root, depth=1), root)


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

    def steps(self, events: Json, root: str, depth: int) -> list[Raw]:
        """The events' steps, loops over rows after all others."""
        self._bound(events, root, depth)
        steps: list[Raw] = []
        last: list[Raw] = []
        entered = False
        before: datetime | None = None
        for index, event in _in_time_order(events, root):
            path = f"{root}[{index}]"
            kind = _required_text(event, "type", path)
            if kind == "keydown" and _text(event.get("key")) in _NO_KEYS:
                continue
            now = _time(event)
            pause = _pause(self._recording.pacing, before, now)
            step = {**self._step(kind, event, path, depth), "source": path[:200], "pauseMs": pause}
            if kind == "navigation" and entered:
                step["unlessNavigated"] = True
            entered = event.get("key") == "Enter" if kind == "keydown" else entered and kind in _AFTER_ENTER
            before = now
            (last if kind == "loop_new" else steps).append(step)
        return steps + last

    def _bound(self, events: Json, root: str, depth: int) -> None:
        if not isinstance(events, list | tuple):
            raise InvalidParameters("must be a list of events", field=root)
        self._events += len(events)
        if self._events > MAX_STEPS:
            raise InvalidParameters(f"has more than {MAX_STEPS} events", field=root)
        if depth > MAX_DEPTH:
            raise InvalidParameters(f"is nested deeper than {MAX_DEPTH} levels", field=root)

    def _step(self, kind: str, event: Event, path: str, depth: int) -> Raw:
        element = _element(event, path)
        leixing = _text(element.get("leixing"))
        if _CUSTOM.fullmatch(leixing):
            name = f"{self._recording.task_name}:{leixing}"[:200]
            return {"type": "custom", "name": name, "value": event.get("value")}
        if kind in ("loop", "loop_new"):
            times = {"rows": True} if kind == "loop_new" else {"count": self._count(event, path)}
            inner = self.steps(event.get("loopEvents"), f"{path}.loopEvents", depth + 1)
            return {"type": "loop", "steps": inner, **times}
        maker = self._makers.get(kind)
        if maker is None:
            raise InvalidParameters(f"unknown event type {kind[:100]!r}", field=f"{path}.type")
        return maker(event, element, path)

    def _count(self, event: Event, path: str) -> Json:
        count = self._recording.value(event.get("loopCount"))
        whole = isinstance(count, int) and not isinstance(count, bool)
        if not whole and not (isinstance(count, str) and (count.startswith("{{") or count.strip().isdecimal())):
            raise InvalidParameters("must be a whole number or a key of row", field=f"{path}.loopCount")
        return count

    def _navigation(self, event: Event, _element: Event, path: str) -> Raw:
        return {"type": "navigate", "url": self._recording.value(_required_text(event, "url", path))}

    def _click(self, event: Event, element: Event, path: str) -> Raw:
        return {"type": "click", "target": _required_target(_click_targets(event, element, self._recording), path)}

    def _keydown(self, event: Event, _element: Event, path: str) -> Raw:
        return {"type": "press", "key": _required_text(event, "key", path, strip=False)}

    def _input(self, event: Event, element: Event, path: str) -> Raw:
        value = event.get("value", element.get("value"))
        if isinstance(value, Mapping | list):
            raise InvalidParameters("must be a text", field=f"{path}.value")
        kind = "select" if _text(element.get("tagName")).lower() == "select" else "input"
        target = _required_target(_input_targets(element), path)
        return {"type": kind, "target": target, "value": self._recording.value("" if value is None else value)}

    def _output(self, event: Event, element: Event, path: str) -> Raw:
        target = _click_targets({}, element, self._recording) or _input_targets(element)
        value = event.get("value")
        if not target and value is None:
            raise InvalidParameters("needs an element that can be found, or a value", field=path)
        step: Raw = {"type": "output", "name": (_literal(element.get("leixing")) or "output")[:200]}
        if target:
            step["target"] = target
        if value is not None:
            step["value"] = self._recording.value(value)
        return step


def _in_time_order(events: Sequence[Json], root: str) -> list[tuple[int, Event]]:
    """Array order, unless every event has a time: then by time, stably. Indexes stay the sender's."""
    for index, event in enumerate(events):
        if not isinstance(event, Mapping):
            raise InvalidParameters("must be an object", field=f"{root}[{index}]")
    numbered = list(enumerate(events))
    times = [_time(event) for event in events]
    known = [time for time in times if time is not None]
    if len(known) == len(numbered):
        numbered.sort(key=lambda entry: known[entry[0]])
    return numbered


def _time(event: Event) -> datetime | None:
    raw = event.get("time")
    if not isinstance(raw, str):
        return None
    try:
        time = datetime.fromisoformat(raw.strip())
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


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


# --- targets


def _click_targets(event: Event, element: Event, recording: Recording) -> list[Raw]:
    """Id, tag with visible text, class; then what else may help. A row's value decides alone which element it is."""
    tag = _tag(element)
    chosen = recording.key(event.get("value")) or recording.key(event.get("label"))
    if chosen:
        return [*([{"css": tag, "hasText": chosen}] if tag else []), {"text": chosen}]
    text = _label(element.get("innerText"))
    targets: list[Raw] = []
    _add(targets, "id", _literal(element.get("id")))
    if text and tag:
        targets += [{"xpath": _exact_text(tag, text)}, {"css": tag, "hasText": text}]
    elif text:
        targets.append({"text": text})
    _add(targets, "css", _classes(element, tag))
    _add(targets, "css", _named(element, tag))
    _add(targets, "placeholder", _label(element.get("placeholder")))
    _add(targets, "label", _label(event.get("label")))
    return targets


def _input_targets(element: Event) -> list[Raw]:
    """Label, id, class, tag, text, placeholder; then the field's name."""
    tag = _tag(element)
    targets: list[Raw] = []
    _add(targets, "label", _label(element.get("label")))
    _add(targets, "id", _literal(element.get("id")))
    _add(targets, "css", _classes(element, tag))
    _add(targets, "css", tag)
    _add(targets, "text", _label(element.get("innerText")))
    _add(targets, "placeholder", _label(element.get("placeholder")))
    _add(targets, "css", _named(element, tag))
    return targets


def _add(targets: list[Raw], by: str, value: str | None) -> None:
    if value:
        targets.append({by: value})


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


def _tag(element: Event) -> str | None:
    tag = _text(element.get("tagName")).strip().lower()
    return tag if _TAG.fullmatch(tag) else None


def _classes(element: Event, tag: str | None) -> str | None:
    names = (_literal(element.get("className")) or "").split()[:10]
    return (tag or "") + "".join(f"[class~={_quoted(name)}]" for name in names) if names else None


def _named(element: Event, tag: str | None) -> str | None:
    name = _literal(element.get("name"))
    return f"{tag or ''}[name={_quoted(name)}]" if name else None


def _exact_text(tag: str, text: str) -> str:
    """XPath for the innermost elements of that tag whose whole text it is."""
    parts = text.split("'")
    literal = f"'{text}'" if len(parts) == 1 else "concat(" + ', "\'", '.join(f"'{part}'" for part in parts) + ")"
    return f"//{tag}[normalize-space(.)={literal}]"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\a ") + '"'


def _literal(value: Json) -> str | None:
    """A recorded text as it stands; one that looks like a template can't be used."""
    text = _text(value)
    return text if text.strip() and "{{" not in text and len(text) <= 5000 else None


def _label(value: Json) -> str | None:
    """The first line of a visible text, its spaces made single."""
    lines = [" ".join(line.split()) for line in (_literal(value) or "").splitlines()]
    return next((line[:_MAX_LABEL] for line in lines if line), None)


def _text(value: Json) -> str:
    return value if isinstance(value, str) else str(value) if isinstance(value, int | float) else ""


def _required_text(event: Event, key: str, path: str, *, strip: bool = True) -> str:
    value = event.get(key)
    if not isinstance(value, str) or not (value.strip() if strip else value):
        raise InvalidParameters("is missing" if value is None else "must be a text", field=f"{path}.{key}")
    return value
