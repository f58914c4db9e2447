"""What a process counts about itself: things that should not happen, and are made good when they do. Owns the numbers.

They are in the process's memory, and go out through OpenTelemetry where a meter is installed; without one that costs
nothing.
"""

from collections import Counter

from opentelemetry import metrics

# A work item, or a loop, failed with something nobody expected. `place`: the consumer or loop.
UNEXPECTED = "trawl_unexpected_errors_total"
# A work item was set aside after its last try.
SET_ASIDE = "trawl_set_aside_total"
# A wait was ended by its time limit although what it waits for had come: somebody did not tell.
UNTOLD = "trawl_untold_waits_total"

_meter = metrics.get_meter("trawl")
_instruments = {name: _meter.create_counter(name) for name in (UNEXPECTED, SET_ASIDE, UNTOLD)}
_counts: Counter[tuple[str, str]] = Counter()


def count(name: str, place: str, amount: int = 1) -> None:
    """Count it."""
    _counts[name, place] += amount
    _instruments[name].add(amount, {"place": place})


def counted(name: str, place: str | None = None) -> int:
    """How often, at one place or everywhere."""
    return sum(amount for (what, where), amount in _counts.items() if what == name and place in (None, where))


def all_counts() -> dict[tuple[str, str], int]:
    """Every number by name and place."""
    return dict(_counts)
