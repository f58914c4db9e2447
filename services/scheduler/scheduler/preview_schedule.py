"""When a task fires next, and what an outage would make of it, for people. Translates the rules' answers; owns none."""

from itertools import islice

from chassis.errors import InvalidInput
from trawl.scheduler.v1 import tasks_pb2 as pb

from scheduler.misfires import MAX_CAP, make_up
from scheduler.mongo_fires import Fire
from scheduler.schedule import LAST_MS, between, parse
from scheduler.task import Task

DEFAULT_FIRES = 10
MAX_FIRES = 1_000
RECENT = 20


def preview(task: Task, request: pb.SchedulePreviewRequest, now: int) -> pb.SchedulePreview:
    """The next fire times. Raises `InvalidInput`: no schedule, or numbers out of range."""
    if not task.schedule:
        raise InvalidInput(f"task {task.id} has no schedule", field="schedule", rule="required")
    _check(request)
    schedule, policy = parse(task.schedule), task.policy
    start = request.from_ms or now
    paused = task.status == "paused"
    answer = pb.SchedulePreview(
        task_id=task.id, schedule=task.schedule, time_zone=schedule.zone_name, misfire=policy.misfire,
        overlap=policy.overlap, misfire_window_seconds=policy.window_seconds, paused=paused,
    )  # fmt: skip
    for fire in islice(schedule.after(start), request.n or DEFAULT_FIRES):
        notes = [note for note in (fire.note, "paused" if paused else "") if note]
        answer.fires.add(fire_ms=fire.at_ms, action="skip" if paused else "run", note="; ".join(notes))
    if request.down_to_ms:
        missed, answer.outage_truncated = between(task.schedule, request.down_from_ms, request.down_to_ms, MAX_CAP)
        for decision in make_up(missed, policy, request.down_to_ms):
            notes = [note for note in (decision.fire.note, "paused" if paused else decision.reason) if note]
            action = "run" if decision.start and not paused else "skip"
            answer.outage.add(fire_ms=decision.fire.at_ms, action=action, note="; ".join(notes))
    return answer


def _check(request: pb.SchedulePreviewRequest) -> None:
    if not 0 <= request.n <= MAX_FIRES:
        raise InvalidInput(f"n must be 1 to {MAX_FIRES}", field="n", rule="range", value=request.n)
    for name in ("from", "down_from", "down_to"):
        if not 0 <= getattr(request, f"{name}_ms") < LAST_MS:
            raise InvalidInput(f"{name} is out of range", field=name, rule="range")
    if bool(request.down_from_ms) != bool(request.down_to_ms):
        missing = "down_to" if request.down_from_ms else "down_from"
        raise InvalidInput("an outage needs down_from and down_to", field=missing, rule="required")
    if request.down_to_ms < request.down_from_ms:
        raise InvalidInput("down_to must not be before down_from", field="down_to", rule="range")


def fire_to_proto(fire: Fire) -> pb.Fire:
    """A record on the wire."""
    return pb.Fire(
        task_id=fire.task_id, fire_ms=fire.fire_ms, action=fire.action, reason=fire.reason, run_id=fire.run_id,
        recorded_ms=fire.recorded_ms, until_ms=fire.until_ms,
    )  # fmt: skip
