"""Faults on demand. Owns: which kind strikes which call how often. Must not know HTTP."""

import re
from dataclasses import dataclass, field

KINDS = ("refused", "error", "slow", "garbage", "killed")
CALLS = ("start", "stop", "active", "any")
_TEXT = re.compile(r"(?P<kind>[a-z]+)@(?P<call>[a-z]+)(:(?P<times>\d{1,6}))?")


@dataclass(slots=True)
class Fault:
    """`refused`: the connection breaks. `error`: code -1. `slow`: answers after `seconds`. `garbage`: no JSON.
    `killed`: the browser dies `seconds` after the call was answered.
    """

    kind: str
    call: str
    times: int = 1
    seconds: float = 3.0
    message: str = "profile is not exist or banned"


@dataclass(slots=True)
class Faults:
    """What is still to strike, in order."""

    waiting: list[Fault] = field(default_factory=list)
    struck: int = 0

    def add(self, fault: Fault) -> None:
        """Raises ValueError for an unknown kind or call."""
        if fault.kind not in KINDS:
            raise ValueError(f"a fault is one of {', '.join(KINDS)}, not {fault.kind!r}")
        if fault.call not in CALLS:
            raise ValueError(f"a fault strikes one of {', '.join(CALLS)}, not {fault.call!r}")
        self.waiting.append(fault)

    def add_text(self, text: str) -> None:
        """`KIND@CALL[:TIMES]`. Raises ValueError."""
        match = _TEXT.fullmatch(text)
        if match is None:
            raise ValueError(f"write a fault as KIND@CALL[:TIMES], not {text!r}")
        self.add(Fault(match["kind"], match["call"], int(match["times"] or 1)))

    def strike(self, call: str) -> Fault | None:
        """The next fault for this call, one time less of it."""
        for fault in self.waiting:
            if fault.call in (call, "any"):
                fault.times -= 1
                self.struck += 1
                if fault.times <= 0:
                    self.waiting.remove(fault)
                return fault
        return None
