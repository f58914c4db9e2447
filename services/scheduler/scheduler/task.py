"""What a task is. Pure: owns its defaults, limits and checks; knows no driver and no protocol.

A task says what to do. Its field limits are ours; the originals state none.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from chassis.errors import InvalidInput
from chassis.suggestions import did_you_mean, nearest
from wire.subjects import DEFAULT_PRIORITY, PRIORITIES, is_queue_name, queue_of

from scheduler.misfires import Policy, policy_of
from scheduler.run import DEFAULT_RETRY_FACTOR, DEFAULT_RETRY_INITIAL_MS, DEFAULT_RETRY_MAX_MS, Retry
from scheduler.schedule import next_after, parse_new

Json = Any
DEFAULT_RETRIES: Final = 3
DEFAULT_TIMEOUT_SECONDS: Final = 3_600
MAX_TIMEOUT_SECONDS: Final = 7 * 86_400
MAX_RETRIES: Final = 100
MAX_NAME: Final = 200
MAX_TEXT: Final = 10_000
MAX_COMMAND: Final = 100_000
MAX_ARGUMENTS: Final = 1_000
MAX_LIST: Final = 100
# What Trawl reads of `metadata` and of its `retry`; the rest is the owner's own.
METADATA: Final = frozenset({"params", "retry", "misfire", "misfire_window_seconds", "misfire_cap", "overlap"})
RETRY: Final = frozenset({"initial_seconds", "factor", "max_seconds"})
SLIP: Final = 0.8
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Task:
    """A task definition. Times in epoch ms; `version` grows with every change."""

    id: int
    name: str
    task_type: str
    executor: str
    command: str = ""
    # None: never given (a shell command is then a shell line).
    arguments: tuple[str, ...] | None = None
    description: str = ""
    schedule: str = ""
    priority: str = DEFAULT_PRIORITY
    retry_count: int = DEFAULT_RETRIES
    timeout_seconds: int = DEFAULT_TIMEOUT_SECONDS
    dependencies: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Json] = field(default_factory=dict)
    status: Literal["active", "paused"] = "active"
    created_ms: int = 0
    updated_ms: int = 0
    version: int = 1
    contract: str = "scheduler"
    # Fire times up to this are none of this schedule's business: it was set, changed or resumed then.
    schedule_since_ms: int = 0
    # What its runs find is one collection. Never changes.
    collects: bool = False

    @property
    def queue(self) -> str:
        """Where its runs wait."""
        return queue_of(self.task_type, self.executor)

    @property
    def parameters(self) -> Mapping[str, Json]:
        """`metadata.params`, which a trigger's parameters overlay."""
        params = self.metadata.get("params")
        return params if isinstance(params, dict) else {}

    @property
    def policy(self) -> Policy:
        """What becomes of missed and overlapping fire times."""
        return policy_of(self.metadata)

    def next_run_ms(self, now: int) -> int:
        """When the schedule starts its next run; 0 = it doesn't."""
        if not self.schedule or self.status != "active":
            return 0
        fire = next_after(self.schedule, max(now, self.schedule_since_ms))
        return fire.at_ms if fire else 0

    @property
    def retry(self) -> Retry:
        """`retry_count` tuned by `metadata.retry`, in seconds there."""
        tuning = self.metadata.get("retry")
        tuning = tuning if isinstance(tuning, dict) else {}
        return Retry(
            max_retries=self.retry_count,
            initial_ms=int(tuning.get("initial_seconds", DEFAULT_RETRY_INITIAL_MS / 1000) * 1000),
            factor=float(tuning.get("factor", DEFAULT_RETRY_FACTOR)),
            max_ms=int(tuning.get("max_seconds", DEFAULT_RETRY_MAX_MS / 1000) * 1000),
        )


def check(task: Task) -> Task:
    """The task, if it is sound. Raises `InvalidInput` with the field."""
    _check_text("name", task.name, MAX_NAME, required=True)
    _check_text("description", task.description, MAX_TEXT)
    _check_text("command", task.command, MAX_COMMAND, control_allowed=True)
    for name, value in (("task_type", task.task_type), ("executor", task.executor)):
        _refuse(not value, name, "required", "is required", value)
        _refuse(not is_queue_name(value), name, "pattern", "must be 1 to 64 letters, digits, _ or -", value)
    _refuse(
        task.priority not in PRIORITIES, "priority", "enum", f"must be one of {', '.join(PRIORITIES)}", task.priority
    )
    _refuse(
        not 0 <= task.retry_count <= MAX_RETRIES,
        "retry_count",
        "range",
        f"must be 0 to {MAX_RETRIES}",
        task.retry_count,
    )
    _refuse(
        not 1 <= task.timeout_seconds <= MAX_TIMEOUT_SECONDS,
        "timeout_seconds", "range", f"must be 1 to {MAX_TIMEOUT_SECONDS}", task.timeout_seconds,
    )  # fmt: skip
    _refuse(len(task.arguments or ()) > MAX_ARGUMENTS, "arguments", "max_items", f"at most {MAX_ARGUMENTS}", None)
    for name, values in (("tags", task.tags), ("dependencies", task.dependencies)):
        _refuse(len(values) > MAX_LIST, name, "max_items", f"at most {MAX_LIST}", None)
        for value in values:
            _check_text(name, value, MAX_NAME, required=True)
    _check_metadata(task.metadata)
    if task.schedule:
        parse_new(task.schedule)
    policy_of(task.metadata)
    return task


def _check_metadata(metadata: Mapping[str, Json]) -> None:
    """Its members are the owner's own; one that nearly has the name of a documented one is a slip of the pen."""
    for name in sorted(metadata.keys() - METADATA):
        near = nearest(name, METADATA, SLIP)
        _refuse(near is not None, f"metadata.{name}", "known", f"is no member; did you mean {near!r}?", None)
    params = metadata.get("params", {})
    _refuse(not isinstance(params, dict), "metadata.params", "type", "must be an object", None)
    tuning = metadata.get("retry", {})
    _refuse(not isinstance(tuning, dict), "metadata.retry", "type", "must be an object", None)
    for name in sorted(tuning.keys() - RETRY):
        _refuse(True, f"metadata.retry.{name}", "known", f"is no member{did_you_mean(name, RETRY)}", None)
    for name, low, high in (
        ("initial_seconds", 0.0, 86_400.0),
        ("factor", 1.0, 100.0),
        ("max_seconds", 0.0, 604_800.0),
    ):
        value = tuning.get(name, low)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        _refuse(
            not number or not low <= value <= high, f"metadata.retry.{name}", "range", f"must be {low} to {high}", value
        )


def _check_text(name: str, value: str, longest: int, *, required: bool = False, control_allowed: bool = False) -> None:
    _refuse(required and not value.strip(), name, "required", "is required", value)
    _refuse(len(value) > longest, name, "max_length", f"must be at most {longest} characters", None)
    forbidden = "\x00" in value if control_allowed else _CONTROL.search(value) is not None
    _refuse(forbidden, name, "pattern", "must not contain control characters", None)


def _refuse(wrong: bool, name: str, rule: str, message: str, value: Json) -> None:
    if wrong:
        raise InvalidInput(f"{name} {message}", field=name, rule=rule, value=value)


def changed(task: Task, changes: Mapping[str, Json], now: int) -> Task:
    """The task with those fields replaced, checked, one version on. A changed or resumed schedule starts from `now`."""
    new = replace(task, **changes, updated_ms=now, version=task.version + 1)
    if new.schedule != task.schedule or (task.status == "paused" and new.status == "active"):
        new = replace(new, schedule_since_ms=now)
    return check(new)
