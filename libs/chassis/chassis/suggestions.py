"""What somebody may have meant who wrote a name that there is not. Must not know what names stand for."""

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The nearest known name, whatever the case; None when none is near. `cutoff`: from 0 (any) to 1 (equal)."""
    by_lower = {one.lower(): one for one in known}
    near = get_close_matches(name.lower(), list(by_lower), n=1, cutoff=cutoff)
    return by_lower[near[0]] if near else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'limits'?`, or nothing when no known name is near or begins so."""
    names = list(known)
    near = nearest(name, names) or next((one for one in names if name and one.startswith(name)), None)
    return f"; did you mean {near!r}?" if near else ""
