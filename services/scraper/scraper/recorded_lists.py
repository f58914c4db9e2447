"""The order of recorded SmartRPA events, in a list or as they are exported. Owns: both forms. Must not know steps.

A list keeps its order, unless each of its events has a time. A raw export has one list for each kind of event, and its
order is that of their times.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from scraper.executor import InvalidParameters, Json

Event = Mapping[str, Json]

RECORDED_ALONE = frozenset({"navigation", "keydown", "loop_new"})
# Types that both recorded events and canonical steps have.
SHARED = frozenset({"click", "input", "scroll", "output", "loop"})
_RECORDED_MEMBERS = frozenset({"element", "loopEvents", "loopCount", "time", "action"})
# What a canonical step of a shared type has, and no recorded event.
_CANONICAL_MEMBERS = frozenset({
    "steps", "count", "rows", "until", "maxIterations", "newTab", "button", "position", "modifiers", "holdMs", "device",
    "to", "name", "attribute", "delayMs", "timeoutMs", "onError", "retries", "optional", "expectNavigation",
})  # fmt: skip
_RAW_LISTS = {
    "navigations": "navigation", "clicks": "click", "inputs": "input", "keydowns": "keydown", "scrolls": "scroll",
    "outputs": "output", "loops": "loop", "loop_news": "loop_new", "loopNews": "loop_new",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Placed:
    """An event and its place in what was sent, as in `sortedData[3]`."""

    path: str
    event: Event


def is_recorded(event: Json) -> bool:
    """Whether it is surely no canonical step."""
    if not isinstance(event, Mapping):
        return False
    kind = event.get("type")
    return kind in RECORDED_ALONE or (kind in SHARED and bool(_RECORDED_MEMBERS & event.keys()))


def is_canonical(event: Event) -> bool:
    """Whether it is surely a canonical step, of a type that both have or of one that no recorder writes."""
    if is_recorded(event):
        return False
    if event.get("type") not in SHARED:
        return True
    return bool(_CANONICAL_MEMBERS & event.keys()) or isinstance(event.get("target"), Mapping | list)


def looks_recorded(events: Json) -> bool:
    """Whether a list, or a list within it, holds recorded events; a list that tells nothing does."""
    if not isinstance(events, list | tuple):
        return True
    canonical = False
    waiting: list[Json] = list(events)
    while waiting:
        event = waiting.pop()
        if not isinstance(event, Mapping) or not isinstance(event.get("type"), str):
            continue
        if is_recorded(event):
            return True
        canonical |= is_canonical(event)
        for name in ("steps", "then", "else"):
            inner = event.get(name)
            waiting += inner if isinstance(inner, list | tuple) else ()
    return not canonical


def is_raw_export(recorded: Json) -> bool:
    """Whether it is what the recorder exports before it is put in order."""
    return isinstance(recorded, Mapping) and any(isinstance(recorded.get(name), list | tuple) for name in _RAW_LISTS)


def listed(events: Json, root: str) -> list[Placed]:
    """A list's events as they stand. Raises `InvalidParameters`."""
    if not isinstance(events, list | tuple):
        raise InvalidParameters("must be a list of events", field=root)
    placed = []
    for index, event in enumerate(events):
        if not isinstance(event, Mapping):
            raise InvalidParameters("must be an object", field=f"{root}[{index}]")
        placed.append(Placed(f"{root}[{index}]", event))
    return placed


def ordered(events: Json, root: str) -> list[Placed]:
    """All events of a list or of a raw export, in the order in which they happened. Raises `InvalidParameters`."""
    if not is_raw_export(events):
        placed = listed(events, root)
        return _by_time(placed) if all(time_of(one.event) is not None for one in placed) else placed
    lists = {name: found for name, found in events.items() if isinstance(found, list | tuple | Mapping) and found}
    for name in lists:
        if name not in _RAW_LISTS:
            known = ", ".join(_RAW_LISTS)
            raise InvalidParameters(f"unknown list of events; known are {known}", field=f"{root}.{str(name)[:100]}")
    placed = [_typed(one, _RAW_LISTS[name]) for name, found in lists.items() for one in listed(found, f"{root}.{name}")]
    if len(lists) <= 1:
        return placed
    for one in placed:
        if time_of(one.event) is None:
            raise InvalidParameters("is needed, to put the lists in order", field=f"{one.path}.time")
    return _by_time(placed)


def _typed(one: Placed, kind: str) -> Placed:
    if one.event.get("type", kind) != kind:
        raise InvalidParameters(f"must be {kind} in this list", field=f"{one.path}.type")
    return Placed(one.path, {**one.event, "type": kind})


def _by_time(placed: Sequence[Placed]) -> list[Placed]:
    return sorted(placed, key=lambda one: time_of(one.event) or datetime.min.replace(tzinfo=UTC))


def time_of(event: Event) -> datetime | None:
    """When it was recorded; without a zone in UTC."""
    raw = event.get("time")
    if not isinstance(raw, str):
        return None
    try:
        time = datetime.fromisoformat(raw.strip())
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
