"""How the gateway shows that a run was stopped, or is being stopped."""

from gateway.native.translate import stop_of
from trawl.scheduler.v1 import runs_pb2


def test_a_run_that_is_being_stopped_says_since_when() -> None:
    asked = runs_pb2.Run(status=runs_pb2.RUN_STATUS_RUNNING, abort_requested_ms=1_700_000_000_000)
    assert stop_of(asked) == {
        "requested_at": "2023-11-14T22:13:20Z",
        "delivered_at": None,
        "stopped_at": None,
        "how": None,
        "requested_by": None,
        "reason": None,
        "leftovers_killed": 0,
    }
    assert stop_of(runs_pb2.Run()) is None
