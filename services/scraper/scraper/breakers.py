"""Breakers: an operation whose answers can't be read any more rests until a person has looked. Pure data."""

from dataclasses import dataclass


def wake_of(operation: str) -> str:
    """What runs wait for at an open breaker, by the name that wakes them."""
    return f"x-breaker:{operation}"


@dataclass(frozen=True, slots=True)
class Breaker:
    """An open breaker of one operation: since when, why, and which run met it (`evidence`: a kept answer's name)."""

    operation: str
    since_ms: int
    reason: str
    run_id: int
    evidence: str = ""
