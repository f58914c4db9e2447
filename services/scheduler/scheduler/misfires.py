"""What becomes of fire times that were missed, or that find an earlier run still going. Pure: owns the policies that a
task's metadata names, and their defaults.

`metadata.misfire` = skip | once | all, `metadata.misfire_window_seconds`, `metadata.misfire_cap`, `metadata.overlap` =
skip | allow | queue.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from chassis.errors import InvalidInput

from scheduler.schedule import FireTime

Json = Any
MISFIRES: Final = ("once", "skip", "all")
OVERLAPS: Final = ("skip", "allow", "queue")
# A weekly task whose hour fell into an outage of days still runs once.
DEFAULT_WINDOW_SECONDS: Final = 7 * 86_400
MAX_WINDOW_SECONDS: Final = 366 * 86_400
MAX_CAP: Final = 1_000
# A fire time that nobody could handle for this long was missed; younger ones are merely late.
LATE_MS: Final = 5_000


@dataclass(frozen=True, slots=True)
class Policy:
    """A task's rules. `cap` bounds how many missed fire times `all` makes up for."""

    misfire: Literal["skip", "once", "all"] = "once"
    window_seconds: int = DEFAULT_WINDOW_SECONDS
    cap: int = MAX_CAP
    overlap: Literal["allow", "skip", "queue"] = "skip"


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of one fire time; `reason` says why it starts nothing, or that it was made up for."""

    fire: FireTime
    start: bool
    reason: str = ""


def policy_of(metadata: Mapping[str, Json]) -> Policy:
    """The task's policy. Raises `InvalidInput` with the field."""
    return Policy(
        misfire=_choice(metadata, "misfire", MISFIRES),
        window_seconds=_number(metadata, "misfire_window_seconds", DEFAULT_WINDOW_SECONDS, MAX_WINDOW_SECONDS),
        cap=_number(metadata, "misfire_cap", MAX_CAP, MAX_CAP),
        overlap=_choice(metadata, "overlap", OVERLAPS),
    )


def _choice(metadata: Mapping[str, Json], name: str, allowed: Sequence[str]) -> Any:
    value = metadata.get(name)
    if value is None:
        return allowed[0]
    if not isinstance(value, str) or value not in allowed:
        raise InvalidInput(
            f"metadata.{name} must be one of {', '.join(allowed)}", field=f"metadata.{name}", rule="enum",
            value=value if isinstance(value, str) else None,
        )  # fmt: skip
    return value


def _number(metadata: Mapping[str, Json], name: str, default: int, most: int) -> int:
    value = metadata.get(name)
    if value is None:
        return default
    if type(value) is not int or not 1 <= value <= most:
        raise InvalidInput(f"metadata.{name} must be 1 to {most}", field=f"metadata.{name}", rule="range")
    return value


def make_up(missed: Sequence[FireTime], policy: Policy, now_ms: int) -> list[Decision]:
    """What to do about fire times that were missed, ascending as they are given."""
    oldest = now_ms - policy.window_seconds * 1000
    recent = [fire for fire in missed if fire.at_ms >= oldest]
    wanted = {"skip": 0, "once": 1, "all": policy.cap}[policy.misfire]
    made_up = {fire.at_ms for fire in recent[len(recent) - min(wanted, len(recent)) :]}
    decisions = []
    for fire in missed:
        if fire.at_ms in made_up:
            decisions.append(Decision(fire, True, f"missed, and made up for (misfire={policy.misfire})"))
        elif policy.misfire == "skip":
            decisions.append(Decision(fire, False, "missed (misfire=skip)"))
        elif fire.at_ms < oldest:
            why = f"missed, longer ago than the misfire window of {policy.window_seconds} s"
            decisions.append(Decision(fire, False, why))
        elif policy.misfire == "once":
            decisions.append(Decision(fire, False, "missed; a later missed fire time stands for it (misfire=once)"))
        else:
            decisions.append(Decision(fire, False, f"missed, and more than {policy.cap} were (misfire=all)"))
    return decisions
