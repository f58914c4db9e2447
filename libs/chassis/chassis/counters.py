"""What a process counts about itself: things that should not happen, and are made good when they do. Owns the numbers.

They are in the process's memory, and go out through OpenTelemetry where a meter is installed; without one that costs
nothing.
"""

from collections import Counter

from opentelemetry import metrics

UNEXPECTED = "trawl_unexpected_errors_total"
SET_ASIDE = "trawl_set_aside_total"
UNTOLD = "trawl_untold_waits_total"
# In words; `place` is the consumer, loop or wait.
TEXTS = {
    UNEXPECTED: "Work items and loops that failed with something nobody expected",
    SET_ASIDE: "Work items that were set aside after their last try",
    UNTOLD: "Waits that their time limit ended although what they wait for had come: nobody told them",
}

# What is measured and may fall again; it has no place.
CLOCK_AHEAD = "trawl_clock_ahead_milliseconds"
GAUGES = {CLOCK_AHEAD: "By how much the machine's own clock is ahead of Redis', which is the one that counts"}

_meter = metrics.get_meter("trawl")
_instruments = {name: _meter.create_counter(name) for name in TEXTS}
_gauges = {name: _meter.create_gauge(name) for name in GAUGES}
_counts: Counter[tuple[str, str]] = Counter()


def count(name: str, place: str, amount: int = 1) -> None:
    """Count it."""
    _counts[name, place] += amount
    _instruments[name].add(amount, {"place": place})


def gauge(name: str, value: int) -> None:
    """It is so much now."""
    _counts[name, ""] = value
    _gauges[name].set(value)


def counted(name: str, place: str | None = None) -> int:
    """How often, at one place or everywhere."""
    return sum(amount for (what, where), amount in _counts.items() if what == name and place in (None, where))


def all_counts() -> dict[tuple[str, str], int]:
    """Every number by name and place."""
    return dict(_counts)
