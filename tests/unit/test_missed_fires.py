"""What becomes of fire times that were missed, and of runs that were accepted before a standstill."""

import pytest
from scheduler.fire_schedules import _Due, _plans
from scheduler.schedule import FireTime
from scheduler.task import Task

NOW = 1_800_000_000_000
MISSED = [FireTime(NOW - seconds * 1000) for seconds in (20, 15, 10)]
EARLIER = 77


def planned(fires: list[FireTime], *, unstarted: bool, live: int = 1, **metadata: str) -> list[tuple[bool, bool]]:
    """(started, queued behind the earlier run) for each fire time."""
    task = Task(id=1, name="t", task_type="noop", executor="noop", schedule="*/5 * * * * *", metadata=metadata)
    plans = _plans(_Due(task, fires), live, EARLIER, NOW, {EARLIER} if unstarted else ())
    return [(plan.start, plan.hold) for plan in plans]


def test_a_run_that_nobody_could_start_swallows_no_missed_fire_time() -> None:
    assert planned(MISSED, unstarted=True) == [(False, False), (False, False), (True, True)]


def test_a_run_that_was_going_all_the_time_overlaps_with_them() -> None:
    assert planned(MISSED, unstarted=False) == [(False, False)] * 3


def test_a_fire_time_on_time_is_skipped_while_any_run_waits() -> None:
    """Else runs of a task without a worker would pile up."""
    assert planned([FireTime(NOW)], unstarted=True) == [(False, False)]


@pytest.mark.parametrize(
    ("misfire", "overlap", "wanted"),
    [
        ("once", "allow", [(False, False), (False, False), (True, False)]),
        ("once", "queue", [(False, False), (False, False), (True, True)]),
        ("all", "skip", [(True, True)] * 3),
        ("skip", "skip", [(False, False)] * 3),
    ],
)
def test_other_policies_are_as_they_were(misfire: str, overlap: str, wanted: list[tuple[bool, bool]]) -> None:
    assert planned(MISSED, unstarted=True, misfire=misfire, overlap=overlap) == wanted


def test_without_an_earlier_run_the_last_missed_one_starts_at_once() -> None:
    assert planned(MISSED, unstarted=False, live=0) == [(False, False), (False, False), (True, False)]
