"""What a worker is. Owns: its states, its names, when silence means loss, which changes are valid.
Must not know gRPC, Redis, MongoDB or NATS.

A worker has a wanted status, which operators set and which outlives restarts of its process, and it is heard or silent.
Silent for three of its own heartbeat intervals is offline, whatever is wanted.
"""

import ipaddress
import math
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import orjson
from chassis.errors import Conflict, InvalidInput
from wire.subjects import is_queue_name

SILENT_INTERVALS = 3
LONGEST_INTERVAL_MS = 600_000
DEFAULT_SLOTS = 5
MAX_SLOTS = 10_000
MAX_TASK_TYPES = 200
MAX_METADATA_BYTES = 64 * 1024
# Sessions that a worker id remembers as replaced: one of them can't take the id back.
REMEMBERED_SESSIONS = 16

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
# A session becomes a token of a subject.
_SESSION = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Status(StrEnum):
    """What a worker does: takes runs; finishes what it has; takes nothing."""

    ACTIVE = "active"
    DRAINING = "draining"
    OFFLINE = "offline"


@dataclass(frozen=True, slots=True)
class Worker:
    """A registered worker, without what its heartbeats say. `version` grows by one with every change."""

    id: str
    session: str
    hostname: str
    ip_address: str
    port: int
    task_types: tuple[str, ...]
    max_concurrent_tasks: int
    interval_ms: int
    # A JSON object.
    metadata_json: bytes
    registered_ms: int
    wanted: Status = Status.ACTIVE
    version: int = 1
    # Earlier sessions of this id, the newest last.
    replaced: tuple[str, ...] = ()
    # Those of them whose loss has not been handed on yet.
    unannounced: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Beat:
    """What one heartbeat says. An empty `session` stands for whatever session is there."""

    id: str
    session: str
    current_task_count: int = 0
    load_average: float = 0.0
    # Megabytes.
    memory_usage: int = 0
    # Percent of one core.
    cpu_usage: float = 0.0
    current_runs: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Liveness:
    """What is known of a worker from its heartbeats. `heard_ms` is 0 when there was none."""

    alive: bool
    heard_ms: int = 0
    beat: Beat | None = None


@dataclass(frozen=True, slots=True)
class WorkerView:
    """A worker as readers see it."""

    worker: Worker
    liveness: Liveness

    @property
    def status(self) -> Status:
        """What is wanted, unless it is silent."""
        return self.worker.wanted if self.liveness.alive else Status.OFFLINE

    @property
    def heard_ms(self) -> int:
        """When it last gave a sign of life; registering is one."""
        return self.liveness.heard_ms or self.worker.registered_ms


@dataclass(frozen=True, slots=True)
class WorkerFact:
    """Something that happened to a worker, for others to know."""

    # registered | unregistered | lost | draining | active
    kind: str
    worker_id: str
    session: str
    hostname: str
    time_ms: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ListQuery:
    """Which workers to list; an empty string filters nothing."""

    status: str = ""
    task_type: str = ""
    hostname: str = ""
    sort: str = "registered_at"
    ascending: bool = False
    offset: int = 0
    limit: int = 20


SORTS: dict[str, Callable[[WorkerView], int | str]] = {
    "registered_at": lambda view: view.worker.registered_ms,
    "hostname": lambda view: view.worker.hostname,
    "last_heartbeat": lambda view: view.heard_ms,
    "status": lambda view: view.status.value,
}


def silent_ms(interval_ms: int) -> int:
    """How long a worker may be silent before it is lost."""
    return SILENT_INTERVALS * interval_ms


def made_id(number: int) -> str:
    """The id of the n-th worker that came without one."""
    return f"worker-{number:03d}"


def made_session() -> str:
    """A session for a worker that came without one."""
    return secrets.token_hex(16)


def take_place(old: Worker, new: Worker) -> Worker:
    """`new`, as the process that takes the place of `old`. What operators want of the worker stays.

    Raises `Conflict` when the new session was itself replaced before: two processes that use one id must not take it
    from each other for ever.
    """
    if new.session in old.replaced:
        raise Conflict(f"another process has taken over worker {old.id}", worker_id=old.id)
    return replace(
        new,
        wanted=old.wanted,
        version=old.version + 1,
        replaced=(*old.replaced, old.session)[-REMEMBERED_SESSIONS:],
        unannounced=(*old.unannounced, old.session)[-REMEMBERED_SESSIONS:],
    )


@dataclass(frozen=True, slots=True)
class Change:
    """What an operator changes; None leaves it as it is."""

    wanted: Status | None = None
    max_concurrent_tasks: int | None = None
    task_types: tuple[str, ...] | None = None
    metadata_json: bytes | None = None

    def apply(self, worker: Worker) -> Worker:
        """The worker after the change, with its next version."""
        given = {name: getattr(self, name) for name in self.__slots__ if getattr(self, name) is not None}
        return replace(worker, **given, version=worker.version + 1)


def select(views: list[WorkerView], query: ListQuery) -> tuple[list[WorkerView], int]:
    """The page that `query` asks for, and the number of all that match."""
    found = [
        view
        for view in views
        if (not query.status or view.status == query.status)
        and (not query.task_type or query.task_type in view.worker.task_types)
        and (not query.hostname or view.worker.hostname == query.hostname)
    ]
    found.sort(key=lambda view: view.worker.id)
    found.sort(key=SORTS[query.sort], reverse=not query.ascending)
    return found[query.offset : query.offset + query.limit], len(found)


# --- checks of what comes from outside; each raises InvalidInput that names the field


def checked_id(value: str) -> str:
    """A worker id."""
    if not _ID.fullmatch(value):
        raise InvalidInput("must be 1 to 64 letters, digits, '_', '.' or '-'", field="id")
    return value


def checked_session(value: str) -> str:
    """A session."""
    if not _SESSION.fullmatch(value):
        raise InvalidInput("must be 1 to 64 letters, digits, '_' or '-'", field="session")
    return value


def checked_hostname(value: str) -> str:
    """A host's name, as text."""
    if not 1 <= len(value) <= 255 or not value.isprintable():
        raise InvalidInput("must be 1 to 255 printable characters", field="hostname")
    return value


def checked_address(value: str) -> str:
    """An IP address; a worker that nobody calls may have none."""
    if value:
        try:
            ipaddress.ip_address(value)
        except ValueError as error:
            raise InvalidInput("must be an IP address", field="ip_address") from error
    return value


def checked_number(value: int, low: int, high: int, field_name: str) -> int:
    """A whole number within bounds."""
    if not low <= value <= high:
        raise InvalidInput(f"must be between {low} and {high}", field=field_name)
    return value


def checked_share(value: float, field_name: str) -> float:
    """A measured figure: finite, not negative."""
    if not math.isfinite(value) or value < 0:
        raise InvalidInput("must be a number of at least 0", field=field_name)
    return value


def checked_task_types(values: list[str]) -> tuple[str, ...]:
    """At least one task type, each a queue's name; repeated ones count once."""
    if not 1 <= len(values) <= MAX_TASK_TYPES:
        raise InvalidInput(f"must have 1 to {MAX_TASK_TYPES} entries", field="task_types")
    for value in values:
        if not is_queue_name(value):
            raise InvalidInput("each must be 1 to 64 letters, digits, '_' or '-'", field="task_types")
    return tuple(dict.fromkeys(values))


def checked_metadata(value: bytes) -> bytes:
    """A JSON object, as text that nothing else looks into; empty is `{}`."""
    if not value:
        return b"{}"
    if len(value) > MAX_METADATA_BYTES:
        raise InvalidInput(f"must not exceed {MAX_METADATA_BYTES} bytes", field="metadata")
    try:
        parsed: Any = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise InvalidInput("must be JSON", field="metadata") from error
    if not isinstance(parsed, dict):
        raise InvalidInput("must be an object", field="metadata")
    return orjson.dumps(parsed)


def checked_status(value: str, *, allow_empty: bool = False) -> str:
    """One of the statuses."""
    if not (allow_empty and not value) and value not in set(Status):
        raise InvalidInput(f"must be one of {', '.join(Status)}", field="status")
    return value


def checked_sort(value: str) -> str:
    """What lists can be sorted by."""
    if value and value not in SORTS:
        raise InvalidInput(f"must be one of {', '.join(SORTS)}", field="sort")
    return value or "registered_at"
