"""The registry's rules about workers, without any store."""

import pytest
from chassis.errors import Conflict, InvalidInput
from worker_registry.redis_heartbeats import Sweep
from worker_registry.sweeper import LONGEST_NAP_SECONDS, SHORTEST_NAP_SECONDS, nap
from worker_registry.worker import (
    REMEMBERED_SESSIONS,
    Change,
    ListQuery,
    Liveness,
    Status,
    Worker,
    WorkerView,
    checked_metadata,
    checked_session,
    checked_task_types,
    made_id,
    select,
    take_place,
)


def worker(worker_id: str = "w", session: str = "s", **more: object) -> Worker:
    fields = {
        "hostname": "h", "ip_address": "", "port": 0, "task_types": ("http",), "max_concurrent_tasks": 5,
        "interval_ms": 5000, "metadata_json": b"{}", "registered_ms": 1,
    }  # fmt: skip
    return Worker(worker_id, session, **(fields | more))  # type: ignore[arg-type]


@pytest.mark.parametrize("wanted", list(Status))
def test_a_silent_worker_is_offline_whatever_is_wanted(wanted: Status) -> None:
    """And one that is heard is what is wanted."""
    assert WorkerView(worker(wanted=wanted), Liveness(alive=False)).status == Status.OFFLINE
    assert WorkerView(worker(wanted=wanted), Liveness(alive=True)).status == wanted


def test_registering_is_a_sign_of_life() -> None:
    """Until the first heartbeat."""
    assert WorkerView(worker(registered_ms=7), Liveness(alive=True)).heard_ms == 7
    assert WorkerView(worker(registered_ms=7), Liveness(alive=True, heard_ms=9)).heard_ms == 9


def test_made_ids_have_three_digits_and_more_when_needed() -> None:
    """worker-001 … worker-999, worker-1000."""
    assert [made_id(n) for n in (1, 42, 1000)] == ["worker-001", "worker-042", "worker-1000"]


def test_who_takes_a_place_keeps_what_operators_want_and_remembers_a_bounded_past() -> None:
    """The new process's own facts count, the version grows, a replaced session can't come back."""
    current = worker(session="s0", wanted=Status.DRAINING)
    for n in range(1, 40):
        current = take_place(current, worker(session=f"s{n}", max_concurrent_tasks=n))
    assert (current.wanted, current.max_concurrent_tasks, current.version) == (Status.DRAINING, 39, 40)
    assert len(current.replaced) == len(current.unannounced) == REMEMBERED_SESSIONS
    assert current.replaced[-1] == "s38"
    with pytest.raises(Conflict):
        take_place(current, worker(session="s38"))


def test_a_change_leaves_alone_what_was_not_given() -> None:
    """None means not given."""
    before = worker(metadata_json=b'{"a":1}')
    after = Change(wanted=Status.OFFLINE).apply(before)
    assert (after.wanted, after.metadata_json, after.version) == (Status.OFFLINE, b'{"a":1}', 2)


def test_workers_of_equal_rank_keep_one_order_over_pages() -> None:
    """No worker is on two pages, none is missing."""
    views = [WorkerView(worker(f"w{n:02d}"), Liveness(alive=True)) for n in range(25)]
    pages = [select(views[::-1], ListQuery(offset=offset, limit=10)) for offset in (0, 10, 20)]
    assert [total for _, total in pages] == [25, 25, 25]
    assert sorted(view.worker.id for page, _ in pages for view in page) == [f"w{n:02d}" for n in range(25)]


def test_task_types_count_once_and_keep_their_order() -> None:
    """They become parts of subjects, so only plain names pass."""
    assert checked_task_types(["b", "a", "b"]) == ("b", "a")
    for bad in ([], [""], ["a.b"], ["*"], ["x"] * 201):
        with pytest.raises(InvalidInput):
            checked_task_types(bad)


@pytest.mark.parametrize("session", ["", "a.b", "a b", ">", "x" * 65, "é", "a\n"])
def test_sessions_are_safe_inside_a_subject(session: str) -> None:
    """A session is a token of `trawl.control.abort.<session>`."""
    with pytest.raises(InvalidInput):
        checked_session(session)


@pytest.mark.parametrize(
    "metadata", [b"[]", b"1", b"{", b'{"a":Infinity}', b'{"a":"\xff"}', b"[" * 9000, b'"' + b"a" * 70_000 + b'"']
)
def test_metadata_is_a_bounded_json_object(metadata: bytes) -> None:
    """Anything else is refused by name."""
    with pytest.raises(InvalidInput) as error:
        checked_metadata(metadata)
    assert error.value.field == "metadata"


def sweep(next_deadline: int, shortest_interval: int) -> Sweep:
    return Sweep(False, False, next_deadline, shortest_interval, 0, 0)


def test_the_sweeper_sleeps_until_the_next_deadline_but_half_an_interval_at_most() -> None:
    """In seconds; with nobody registered it hardly looks at all."""
    assert nap(sweep(next_deadline=800, shortest_interval=5000)) == 0.8
    assert nap(sweep(next_deadline=14_000, shortest_interval=5000)) == 2.5
    assert nap(sweep(next_deadline=-1, shortest_interval=0)) == LONGEST_NAP_SECONDS
    assert nap(sweep(next_deadline=0, shortest_interval=5000)) == SHORTEST_NAP_SECONDS
