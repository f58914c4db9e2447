"""Every task type under every fault at every moment: what must come of it. Owns the table and its check. Must not know
how faults are injected or attempts made.

Three things hold in every cell: what was found is the beginning of the truth, in order and once; the attempt ends with
the named reason; and when the fault is gone, a person has done what only a person can, and X's windows are over, the
next attempt goes on to the whole truth.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from chassis.clock import now_ms
from executor_kit import RecordingContext
from scraper.accounts import AccountStatus
from scraper.executor import ExecutorError, Parked

from x_support.lab import OPERATIONS, TASKS, Lab, seen

# once: the first request of the timeline; later: its second page; always: each request.
MOMENTS = ("once", "later", "always")
ACCOUNTS = ("session-one", "session-two")
# What is found whatever happened, and how such a collection may end.
WHOLE = "whole"
NATURAL_ENDS = {"limit", "end", "no_cursor", "complete"}
_RESHAPED = {"once": WHOLE, "later": WHOLE, "always": "UPSTREAM_CHANGED"}
_REFUSED = {"once": WHOLE, "later": WHOLE, "always": "NO_ACCOUNT"}
_LIMITED = {"once": WHOLE, "later": WHOLE, "always": "RATE_LIMITED"}
_PASSING = {"once": WHOLE, "later": WHOLE, "always": "UPSTREAM_TROUBLE"}
_HARMLESS = {"once": WHOLE, "later": WHOLE, "always": WHOLE}
# Of each fault: how an attempt ends. A word in lower case is the `stop_reason` of a result, one in upper case an error.
ENDS: dict[str, dict[str, str]] = {
    "rate_limit": _LIMITED,
    "code_88": _LIMITED,
    "code_326": _REFUSED,
    "code_32": _REFUSED,
    "code_64": _REFUSED,
    "forbidden": _REFUSED,
    "code_336": _RESHAPED,
    "changed_path": _RESHAPED,
    "changed_tweets": _RESHAPED,
    "garbage": _RESHAPED,
    "html_block": {"once": "BLOCKED", "later": "BLOCKED", "always": "BLOCKED"},
    "empty": {"once": WHOLE, "later": WHOLE, "always": "empty_pages"},
    "loop_cursor": {"once": WHOLE, "later": "cursor_repeated", "always": "cursor_repeated"},
    "server_error": _PASSING,
    "stale_query": _PASSING,
    "silent": _PASSING,
    "slow": _HARMLESS,
    "partial_errors": _HARMLESS,
    "unknown_kinds": _HARMLESS,
    # Not of an answer, but of the account that asks: `once` is the first account, `always` are all.
    "suspended": {"once": WHOLE, "always": "NO_ACCOUNT"},
    "locked": {"once": WHOLE, "always": "NO_ACCOUNT"},
    "logged_out": {"once": WHOLE, "always": "NO_ACCOUNT"},
    # A web page of refusal instead of the application.
    "walled": {"always": "BLOCKED"},
}
ACCOUNT_STATES = ("suspended", "locked", "logged_out")
REASONS = {
    "code_326": "locked", "code_32": "logged_out", "code_64": "suspended", "forbidden": "forbidden",
    **{state: state for state in ACCOUNT_STATES},
}  # fmt: skip
RETRYABLE = {"BLOCKED", "UPSTREAM_TROUBLE"}


@dataclass(frozen=True, slots=True)
class Cell:
    """One of them."""

    task_type: str
    fault: str
    moment: str

    def __str__(self) -> str:
        return f"{self.task_type}-{self.fault}-{self.moment}"

    @property
    def end(self) -> str:
        """How the attempt must end."""
        if self.task_type == "USER_INFO" and self.fault in ("empty", "loop_cursor"):
            return WHOLE  # a profile has neither pages nor cursors
        return ENDS[self.fault][self.moment]


def cells() -> Iterator[Cell]:
    """All of them. A profile is one request: it has no second page."""
    for fault, ends in ENDS.items():
        for task_type in TASKS:
            for moment in MOMENTS:
                if moment in ends and not (task_type == "USER_INFO" and moment == "later"):
                    yield Cell(task_type, fault, moment)


async def check(x: Lab, cell: Cell) -> None:
    """Raises AssertionError."""
    _inject(x, cell)
    context, result = await x.attempt(cell.task_type, TASKS[cell.task_type])
    faults = x.graphql.state.plan.faults
    assert all(fault.met > fault.after for fault in faults), "the fault was never met"
    await _check_end(x, cell, context, result)
    if not isinstance(result, ExecutorError):
        return
    await _put_right(x)
    again, result = await x.attempt(cell.task_type, TASKS[cell.task_type], before=context)
    assert x.is_exact(cell.task_type, again), result
    assert result["stop_reason"] in NATURAL_ENDS
    assert len(context.emitted) + len(again.emitted) == len(again.items), "something was fetched twice"


def _inject(x: Lab, cell: Cell) -> None:
    if cell.fault in ACCOUNT_STATES:
        # Which one is asked first is the pool's choice.
        broken = ACCOUNTS if cell.moment == "always" else ACCOUNTS[:1]
        x.graphql.state.accounts.update(dict.fromkeys(broken, cell.fault))
    elif cell.fault == "walled":
        x.simulator.walled = True
    else:
        after, times = {"once": (0, 1), "later": (1, 1), "always": (0, 0)}[cell.moment]
        seconds = {"slow": 0.3}.get(cell.fault, 60)
        x.fault(cell.fault, operation=OPERATIONS[cell.task_type], after=after, times=times, seconds=seconds)


async def _check_end(x: Lab, cell: Cell, context: RecordingContext, result: Any) -> None:
    truth = x.truth(cell.task_type, TASKS[cell.task_type])
    found = [seen(item) for item in context.items.values()]
    assert found == truth[: len(found)], "what was found is not the beginning of the truth"
    assert len(context.emitted) == len(found), "something was emitted twice"
    if cell.end == WHOLE:
        assert not isinstance(result, ExecutorError), (result.code, result.message)
        assert found == truth, result
        assert result["stop_reason"] in NATURAL_ENDS
    elif cell.end.islower():
        assert result["stop_reason"] == cell.end, result
    else:
        assert isinstance(result, ExecutorError), result
        assert result.code == cell.end, result.message
        _check_error(cell, result)
    assert (await x.breakers.find(OPERATIONS[cell.task_type]) is not None) == (cell.end == "UPSTREAM_CHANGED")
    banned = await x.accounts.all_with({"status": "BANNED"})
    assert {one.reason for one in banned} <= {REASONS.get(cell.fault)}, "an account was blamed for something else"
    if cell.fault in REASONS and cell.fault not in ACCOUNT_STATES:
        assert len(banned) == (len(ACCOUNTS) if cell.moment == "always" else 1)


def _check_error(cell: Cell, error: ExecutorError) -> None:
    if cell.end == "RATE_LIMITED":
        assert isinstance(error, Parked)
        assert error.resume_at_ms > now_ms()
    else:
        assert error.retryable == (cell.end in RETRYABLE)


async def _put_right(x: Lab) -> None:
    """The fault is gone; windows are over; a person has reset breakers and brought accounts back."""
    x.graphql.state.plan.faults.clear()
    x.graphql.state.accounts.clear()
    x.simulator.walled = False
    await x.redis.flushall()
    for breaker in await x.breakers.all():
        await x.breakers.reset(breaker.operation)
    for account in await x.accounts.all_with({"status": "BANNED"}):
        await x.accounts.replace(replace(account, status=AccountStatus.ACTIVE, reason=""))
