"""How the stand-ins misbehave when told to, and how often they may be asked. Owns: faults by source, paces, a log."""

import math
import time
from dataclasses import dataclass, field

# What the real services allow, in seconds between two requests.
INTERVALS = {"semantic_scholar": 1.0, "arxiv": 3.0, "openalex": 0.1, "crossref": 0.02, "files": 0.0}
KINDS = ("down", "slow", "total", "rubbish", "repeat", "limit", "cut", "stall", "empty")
# Clocks and networks are not exact: so much too early is still in time.
TOLERANCE = 0.8


@dataclass(frozen=True, slots=True)
class Fault:
    """`kind`: one of KINDS; `cut`: files break off in the middle, `stall`: after they have stood still there; `empty`:
    pages without entries. `seconds`: how slow, or for how long to go away. `pages`: so many answers are still right.
    `times`: after so many wrong ones it is over; 0 = never.
    """

    kind: str
    seconds: float = 1.0
    pages: int = 0
    times: int = 0


@dataclass
class Manners:
    """One source's state."""

    interval: float
    fault: Fault | None = None
    requests: list[float] = field(default_factory=list)
    refused: int = 0
    starts: list[int] = field(default_factory=list)
    _right: int = 0
    _wrong: int = 0
    _allowed_at: float = 0.0

    def misbehave(self, fault: Fault | None) -> None:
        """From now on; None: be well."""
        self.fault, self._right, self._wrong = fault, 0, 0

    def active_fault(self) -> Fault | None:
        """The fault that this answer has; counts."""
        fault = self.fault
        if fault is None:
            return None
        if self._right < fault.pages:
            self._right += 1
            return None
        self._wrong += 1
        if fault.times and self._wrong > fault.times:
            self.fault = None
            return None
        return fault

    def refusal_seconds(self) -> int:
        """0 when the request may be made, else what `Retry-After` says."""
        now = time.monotonic()
        self.requests.append(time.time())
        if now < self._allowed_at:
            self.refused += 1
            return max(1, math.ceil(self._allowed_at - now))
        self._allowed_at = now + self.interval * TOLERANCE
        return 0
