"""When a task's schedule fires. Pure: owns the syntax and daylight saving; knows no task, clock or driver.

Syntax: five fields, or six with seconds in front; a macro such as `@hourly`; `CRON_TZ=Zone ` before either
(UTC without).
Fields follow Debian's cron, plus `L`, `LW` in the day of the month and `5L`, `5#2` in the day of the week.

Daylight saving: a schedule that fires in every hour follows elapsed time, so that nothing happens to its rhythm. Any
other follows the clock on the wall: what falls into a gap fires once, when the gap ends; what falls into an overlap
fires in its first pass only.
"""

import heapq
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from itertools import takewhile
from zoneinfo import ZoneInfo

from chassis.errors import InvalidInput
from cronsim import CronSim

from scheduler.schedule_words import BAD_TEXT, senseless_step, unknown_macro, unreadable

MAX_LENGTH = 256
# Fire times are computed up to here only, so that no arithmetic leaves the range of dates.
LAST_MS = int(datetime(2300, 1, 1, tzinfo=UTC).timestamp() * 1000)
MACROS = {
    "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}  # fmt: skip
_ZONE_PREFIX = re.compile(r"CRON_TZ=(\S+)\s+(.*)", re.DOTALL)
_ZONE_NAME = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+){0,2}")
# No zone moves its clocks by more; a wall time is only ambiguous this close to a move.
_NEAR = timedelta(hours=3)
_EVERY_HOUR = frozenset({"*", "*/1", "0-23"})


@dataclass(frozen=True, slots=True)
class FireTime:
    """One moment, epoch ms; `note` says what daylight saving did to it."""

    at_ms: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule that was read. `cron` is what the cron library takes."""

    text: str
    cron: str
    zone_name: str
    zone: tzinfo
    every_hour: bool

    def after(self, after_ms: int) -> Iterator[FireTime]:
        """The fire times after that moment, ascending, up to the year 2300."""
        moment = datetime.fromtimestamp(after_ms / 1000, UTC)
        last = after_ms
        for fire in self._ascending(moment):
            if fire.at_ms > LAST_MS:
                return
            if fire.at_ms > last:
                last = fire.at_ms
                yield fire

    def _ascending(self, moment: datetime) -> Iterator[FireTime]:
        repeated: list[tuple[int, str]] = []
        for wall in CronSim(self.cron, self._start(moment)):
            for fire in self._fires(wall, repeated):
                while repeated and repeated[0][0] < fire.at_ms:
                    yield FireTime(*heapq.heappop(repeated))
                yield fire

    def _start(self, moment: datetime) -> datetime:
        """A wall time that lies before every fire time after `moment`."""
        wall = moment.astimezone(self.zone)
        near = {(moment + distance).astimezone(self.zone).utcoffset() for distance in (-_NEAR, _NEAR)}
        naive = wall.replace(tzinfo=None)
        return naive if near == {wall.utcoffset()} else naive - _NEAR

    def _fires(self, wall: datetime, repeated: list[tuple[int, str]]) -> Iterator[FireTime]:
        """The fire times of one wall time; a second pass goes to `repeated`."""
        first, second = (_epoch_ms(wall.replace(tzinfo=self.zone, fold=fold)) for fold in (0, 1))
        if first == second:
            yield FireTime(first)
        elif first < second:
            if self.every_hour:
                yield FireTime(first, f"{wall:%H:%M:%S} comes twice in {self.zone_name}: the first pass")
                heapq.heappush(repeated, (second, f"{wall:%H:%M:%S} comes twice in {self.zone_name}: the second pass"))
            else:
                yield FireTime(first, f"{wall:%H:%M:%S} comes twice in {self.zone_name}: only the first pass fires")
        elif not self.every_hour:
            # In a gap: the later reading is before the clocks move, the earlier one after.
            note = f"{wall:%H:%M:%S} does not exist in {self.zone_name} that day: fires when the gap ends"
            yield FireTime(self._gap_end(second, first), note)

    def _gap_end(self, before_ms: int, after_ms: int) -> int:
        """When the clocks move, between two moments (to the second)."""
        low, high = before_ms // 1000, after_ms // 1000
        old = datetime.fromtimestamp(low, self.zone).utcoffset()
        while high - low > 1:
            middle = (low + high) // 2
            if datetime.fromtimestamp(middle, self.zone).utcoffset() == old:
                low = middle
            else:
                high = middle
        return high * 1000


def _epoch_ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


@lru_cache(maxsize=4096)
def parse(text: str) -> Schedule:
    """The schedule. Raises `InvalidInput` for field `schedule`, also when it would never fire."""
    if len(text) > MAX_LENGTH:
        raise _invalid(f"must be at most {MAX_LENGTH} characters", None)
    stripped = text.strip()
    zone_name = "UTC"
    if match := _ZONE_PREFIX.fullmatch(stripped):
        zone_name, stripped = match[1], match[2].strip()
    elif stripped.upper().startswith(("CRON_TZ=", "TZ=")):
        raise _invalid("must be CRON_TZ=Zone, a space, and a cron expression", text)
    zone = _zone(zone_name, text)
    cron = MACROS.get(stripped.lower(), stripped)
    if cron.startswith("@"):
        raise _invalid(unknown_macro(cron, ", ".join(MACROS)), text)
    parts = cron.split()
    if len(parts) not in (5, 6):
        raise _invalid(unreadable(cron), text)
    schedule = Schedule(stripped if zone_name == "UTC" else text.strip(), cron, zone_name, zone,
                        parts[-4] in _EVERY_HOUR)  # fmt: skip
    try:
        first = next(iter(CronSim(cron, datetime(2024, 1, 1))), None)  # noqa: DTZ001 - wall time, in no zone
    except BAD_TEXT as error:
        raise _invalid(unreadable(cron), text) from error
    if first is None:
        raise _invalid("never fires", text)
    return schedule


def parse_new(text: str) -> Schedule:
    """As `parse`, for one that is about to be kept. Raises `InvalidInput` also for what can't have been meant."""
    schedule = parse(text)
    if (problem := senseless_step(schedule.cron)) is not None:
        raise _invalid(problem, text)
    return schedule


def _zone(name: str, text: str) -> tzinfo:
    if name == "UTC":
        return UTC
    if not _ZONE_NAME.fullmatch(name):
        raise _invalid("names an unknown time zone", text)
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise _invalid("names an unknown time zone", text) from error


def _invalid(message: str, value: str | None) -> InvalidInput:
    return InvalidInput(f"schedule {message}", field="schedule", rule="cron", value=value)


@lru_cache(maxsize=16_384)
def next_after(text: str, after_ms: int) -> FireTime | None:
    """The first fire time after that moment; None when there is none before the year 2300."""
    return next(parse(text).after(after_ms), None)


def between(text: str, after_ms: int, until_ms: int, limit: int) -> tuple[list[FireTime], bool]:
    """The newest `limit` fire times in (after, until], ascending, and whether there are older ones.

    Looks at growing stretches before `until`, so that a long outage of a busy schedule costs little.
    """
    schedule = parse(text)
    stretch = 3_600_000
    while True:
        start = max(after_ms, until_ms - stretch)
        found = deque(takewhile(lambda fire: fire.at_ms <= until_ms, schedule.after(start)), maxlen=limit + 1)
        if start == after_ms or len(found) > limit:
            return list(found)[-limit:], len(found) > limit
        stretch *= 2
