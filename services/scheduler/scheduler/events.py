"""The scheduler's words on JetStream: ready runs and run events. Knows subjects and message ids, decides nothing."""

import contextlib
from collections.abc import Sequence

from chassis.clock import now_ms
from chassis.events import NATS_DOWN, Events
from chassis.logs import get_logger
from trawl.scheduler.v1 import events_pb2, runs_pb2
from wire import subjects

from scheduler.records import PRIORITY_NAMES

log = get_logger("events")


def message_id(run_id: int, suffix: str = "") -> str:
    """JetStream's id of the message that queues a run; a later attempt's differs by its suffix."""
    return f"run-{run_id}{suffix}"


def ready_message(spec: runs_pb2.RunSpec, raw: bytes | None = None, *, reason: str = "") -> tuple[str, bytes, str]:
    """(subject, payload, message id) that queues a run. The id is the run's for its first attempt; later ones carry
    attempt and reason, since JetStream would take them for repeats of the first.
    """
    subject = subjects.ready_subject(spec.queue, PRIORITY_NAMES.get(spec.priority, subjects.DEFAULT_PRIORITY))
    suffix = f"-{spec.attempt}{reason}" if spec.attempt or reason else ""
    return subject, raw if raw is not None else spec.SerializeToString(), message_id(spec.run_id, suffix)


def run_event(kind: str, run: runs_pb2.Run) -> events_pb2.RunEvent:
    """What happened to a run."""
    return events_pb2.RunEvent(
        kind=kind,
        run_id=run.spec.run_id,
        task_id=run.spec.task_id,
        task_name=run.spec.task_name,
        status=run.status,
        attempt=run.attempt,
        worker_id=run.worker_id,
        time_ms=run.updated_ms or now_ms(),
        error_message=run.error_message,
        contract=run.spec.contract,
        external_id=run.spec.external_id,
        collects=run.spec.collects,
    )


class Announcer:
    """Publishes run and task events; every call waits for JetStream's acknowledgement."""

    def __init__(self, events: Events) -> None:
        self._events = events

    async def ready(self, messages: Sequence[tuple[str, bytes, str]]) -> None:
        """Queue runs. Raises `Unavailable`; then some may have been queued all the same."""
        await self._events.publish_all(messages)

    async def accepted(self, messages: Sequence[tuple[str, bytes, str]], runs: Sequence[runs_pb2.Run]) -> None:
        """Queue new runs, and say so. Raises `Unavailable`; then some may have been queued all the same."""
        if messages:
            said = events_pb2.RunEvents(events=[run_event("triggered", run) for run in runs])
            await self._events.publish_all([*messages, (subjects.RUN_EVENTS, said.SerializeToString(), "")])

    async def runs(self, events: Sequence[events_pb2.RunEvent]) -> None:
        """Say what happened to runs, in one message."""
        if events:
            payload = events_pb2.RunEvents(events=events).SerializeToString()
            await self._events.publish(subjects.RUN_EVENTS, payload)

    async def task(self, kind: str, task_id: int, name: str) -> None:
        """Say that a task was created, updated or deleted."""
        event = events_pb2.TaskEvent(kind=kind, task_id=task_id, task_name=name, time_ms=now_ms())
        await self._events.publish(subjects.TASK_EVENTS, event.SerializeToString())

    async def tasks(self, kind: str, tasks: Sequence[tuple[int, str]]) -> None:
        """Say the same of several tasks, given as `(id, name)`."""
        now = now_ms()
        events = [events_pb2.TaskEvent(kind=kind, task_id=i, task_name=name, time_ms=now) for i, name in tasks]
        await self._events.publish_all([(subjects.TASK_EVENTS, event.SerializeToString(), "") for event in events])

    async def order_abort(self, session: str, run_ids: Sequence[int]) -> None:
        """Tell a worker process at once; what gets lost is said again in the answers to its reports."""
        if self._events.connected:
            order = events_pb2.AbortOrder(run_ids=run_ids)
            await self._events.nc.publish(subjects.abort_subject(session), order.SerializeToString())

    async def logs_stored(self, run_ids: Sequence[int]) -> None:
        """Tell whoever follows these runs' logs; not stored, since a follower that misses it looks again by itself."""
        if run_ids and self._events.connected:
            with contextlib.suppress(*NATS_DOWN):
                await self._events.nc.publish(subjects.LIVE_LOGS, " ".join(map(str, run_ids)).encode())

    async def workflows_changed(self) -> None:
        """Tell the other schedulers; not stored, since they look again by themselves."""
        if self._events.connected:
            with contextlib.suppress(*NATS_DOWN):
                await self._events.nc.publish(subjects.LIVE_WORKFLOWS, b"")

    async def queue_changed(self, name: str) -> None:
        """Tell whoever pulls that a queue was paused or resumed; who misses it learns it from claims, or by asking."""
        if self._events.connected:
            with contextlib.suppress(*NATS_DOWN):
                await self._events.nc.publish(subjects.LIVE_QUEUES, name.encode())

    async def dead_letter(self, origin: str, payload: bytes, reason: str) -> None:
        """Keep what nobody can read, with the reason."""
        log.error("dead letter", origin=origin, reason=reason, bytes=len(payload))
        headers = subjects.dead_headers(reason, now_ms())
        await self._events.publish_with(subjects.dead_subject(origin), payload, headers)
