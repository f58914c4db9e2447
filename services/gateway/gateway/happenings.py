"""What happens in the system, in words for people outside. Owns: the way from a message on `trawl.events.*` to typed
happenings. Must not know who is told, or how. Pure.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.message import DecodeError
from trawl.scheduler.v1 import events_pb2, runs_pb2
from trawl.workerregistry.v1 import events_pb2 as worker_pb
from wire import subjects

from gateway.times import iso_seconds

Json = Any
RUN_TYPES: Final[Mapping[str, str]] = {
    "triggered": "task.triggered",
    "retrying": "task.retrying",
    "completed": "task.completed",
    "failed": "task.failed",
    "aborted": "task.aborted",
}
TASK_TYPES: Final = frozenset({"task.created", "task.updated", "task.deleted"})
WORKER_TYPES: Final[Mapping[str, str]] = {
    "registered": "worker.registered",
    "unregistered": "worker.unregistered",
    "lost": "worker.lost",
    "draining": "worker.draining",
    "active": "worker.active",
}
WORKER_HEARTBEAT: Final = "worker.heartbeat"
HEALTH_CHECK: Final = "system.health_check"
# What a stream of events may carry.
STREAMED_TYPES: Final = tuple(sorted({*RUN_TYPES.values(), *TASK_TYPES, *WORKER_TYPES.values()}))
# A run's fate is told once for each attempt where it can be met again, and once for all where it can't.
_ONCE = frozenset({"triggered", "completed", "failed", "aborted"})


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that happened. The same fact has the same `key`, however often it is announced."""

    type: str
    key: str
    time_ms: int
    data: Mapping[str, Json]

    @property
    def message_id(self) -> str:
        """A name that is the same for the same fact, on every machine."""
        return "msg_" + hashlib.sha256(f"{self.type}|{self.key}".encode()).hexdigest()[:24]

    @property
    def body(self) -> dict[str, Json]:
        """As it is told: `event`, `timestamp`, `data`."""
        return {"event": self.type, "timestamp": iso_seconds(self.time_ms), "data": self.data}


def read_message(subject: str, payload: bytes) -> list[Happening]:
    """What the message says; nothing for an unknown subject or kind. Raises ValueError for garbage."""
    reader = _READERS.get(subject)
    if reader is None:
        return []
    try:
        return reader(payload)
    except DecodeError as error:
        raise ValueError(f"unreadable message on {subject}") from error


def _runs(payload: bytes) -> list[Happening]:
    events = events_pb2.RunEvents.FromString(payload).events
    return [_run(event) for event in events if event.kind in RUN_TYPES]


def _run(event: events_pb2.RunEvent) -> Happening:
    data = {
        "task_id": event.task_id,
        "task_name": event.task_name,
        "run_id": event.run_id,
        "status": runs_pb2.RunStatus.Name(event.status).removeprefix("RUN_STATUS_").lower(),
        "retry_count": max(event.attempt - 1, 0),
        "worker_id": event.worker_id or None,
        "error_message": event.error_message or None,
        "contract": event.contract or "scheduler",
        "external_id": event.external_id or None,
    }
    key = f"{event.run_id}" if event.kind in _ONCE else f"{event.run_id}|{event.attempt}"
    return Happening(RUN_TYPES[event.kind], key, event.time_ms, data)


def _task(payload: bytes) -> list[Happening]:
    event = events_pb2.TaskEvent.FromString(payload)
    kind = f"task.{event.kind}"
    if kind not in TASK_TYPES:
        return []
    data = {"task_id": event.task_id, "task_name": event.task_name}
    return [Happening(kind, f"{event.task_id}|{event.time_ms}", event.time_ms, data)]


def _worker(payload: bytes) -> list[Happening]:
    event = worker_pb.WorkerEvent.FromString(payload)
    kind = WORKER_TYPES.get(event.kind)
    if kind is None:
        return []
    data = {"worker_id": event.worker_id, "hostname": event.hostname or None, "reason": event.reason or None}
    return [Happening(kind, f"{event.worker_id}|{event.worker_session}|{event.time_ms}", event.time_ms, data)]


_READERS: Mapping[str, Callable[[bytes], list[Happening]]] = {
    subjects.RUN_EVENTS: _runs,
    subjects.TASK_EVENTS: _task,
    subjects.WORKER_EVENTS: _worker,
}
