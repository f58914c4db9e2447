"""Faults on demand. Owns: which request meets which fault. Must not know how an answer is made."""

from dataclasses import dataclass, field
from typing import Any

# What can be injected, and what then happens.
KINDS = {
    "rate_limit": "429 with a reset `seconds` (default 60) away",
    "code_88": "200 with error code 88",
    "code_326": "403 with code 326: the account is locked",
    "code_32": "401 with code 32: the account is logged out",
    "code_64": "403 with code 64: the account is suspended",
    "forbidden": "403 without a body",
    "code_336": "400 with code 336: unknown features",
    "changed_path": "a timeline at another place",
    "changed_tweets": "tweets and users with renamed parts",
    "unknown_kinds": "more entries of kinds that nobody knows than there are others",
    "garbage": "200 with something that is no JSON",
    "html_block": "403 with a web page",
    "empty": "a page with cursors only",
    "loop_cursor": "a page whose cursor leads to itself",
    "server_error": "503",
    "stale_query": "404, as for an outdated query id",
    "slow": "an answer after `seconds`",
    "silent": "no answer at all",
    "partial_errors": "a good answer that also carries errors",
}
ANY = "*"


class BadFault(ValueError):
    """No such fault."""


@dataclass(slots=True)
class Fault:
    """One fault. It spares the first `after` matching requests and then meets `times` ones (0: all)."""

    kind: str
    operation: str = ANY
    account: str = ANY
    after: int = 0
    times: int = 1
    seconds: float = 60
    met: int = field(default=0, init=False)

    def meets(self, operation: str, account: str) -> bool:
        """Whether this request meets it; counts the request."""
        if self.operation not in (ANY, operation) or self.account not in (ANY, account):
            return False
        self.met += 1
        number = self.met - self.after
        return number > 0 and (self.times == 0 or number <= self.times)


def parse_fault(raw: Any) -> Fault:
    """The fault that a control request describes. Raises BadFault."""
    if not isinstance(raw, dict) or raw.get("kind") not in KINDS:
        raise BadFault(f"kind must be one of {', '.join(KINDS)}")
    try:
        return Fault(
            kind=raw["kind"],
            operation=str(raw.get("operation", ANY)),
            account=str(raw.get("account", ANY)),
            after=int(raw.get("after", 0)),
            times=int(raw.get("times", 1)),
            seconds=float(raw.get("seconds", 60)),
        )
    except (TypeError, ValueError) as error:
        raise BadFault(str(error)) from error


@dataclass(slots=True)
class FaultPlan:
    """The faults that are set, in order; the first that meets a request has it."""

    faults: list[Fault] = field(default_factory=list)

    def next(self, operation: str, account: str) -> Fault | None:
        """What happens to this request."""
        met = [fault for fault in self.faults if fault.meets(operation, account)]
        return met[0] if met else None
