"""Medians, percentiles and ratios of measured figures. Pure: knows neither where they come from nor how they are shown.

Figures are nested mappings from names to numbers.
"""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

Figures = Mapping[str, Any]
Name = TypeVar("Name", str, int)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` per cent of the values don't exceed. Raises ValueError for none."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    rank = -(-len(ordered) * share // 100)
    return ordered[max(0, int(rank) - 1)]


def latency_ms(seconds: Sequence[float]) -> dict[str, float]:
    """Median and 99th percentile in milliseconds, and how many there were."""
    return {
        "p50_ms": percentile(seconds, 50) * 1000,
        "p99_ms": percentile(seconds, 99) * 1000,
        "samples": len(seconds),
    }


def medians(rounds: Sequence[Figures]) -> dict[str, Any]:
    """The median of each figure over the rounds, in the shape of the first round; what isn't in all is left out."""
    result: dict[str, Any] = {}
    for name, first in rounds[0].items():
        values = [figures[name] for figures in rounds if name in figures]
        if len(values) < len(rounds):
            continue
        if isinstance(first, Mapping):
            result[name] = medians(values)
        elif isinstance(first, int | float) and not isinstance(first, bool):
            result[name] = statistics.median(values)
    return result


def difference(before: Mapping[Name, float], after: Mapping[Name, float]) -> dict[Name, float]:
    """What grew: `after` less `before` by name; a name that is new began at nought."""
    return {name: value - before.get(name, 0.0) for name, value in after.items()}


def ratio(value: float, base: float) -> float | None:
    """`value / base`; None when the base is nought."""
    return value / base if base else None
