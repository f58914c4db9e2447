"""The gateway's pure parts: checks, times, roles, chunks, steps' types."""

from collections.abc import Callable

import pytest
from chassis.errors import InvalidInput
from gateway.bodies import MAX_DEPTH, decode_json
from gateway.checks import Fields, path_id
from gateway.failures import Malformed
from gateway.guard import Guard
from gateway.settings import GatewaySettings
from gateway.smartrpa.events import check_events
from gateway.smartrpa.request import parse_task
from gateway.smartrpa.translate import percent
from gateway.times import day_end_ms, day_start_ms, duration_words, iso_milliseconds, iso_seconds
from gateway.tokens import signing_secret
from hypothesis import given
from hypothesis import strategies as st
from trawl.scheduler.v1 import runs_pb2

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def refusal(check: Callable[[], object]) -> str | None:
    """The field that was refused; empty when nothing was, None when the error names none."""
    try:
        check()
    except InvalidInput as error:
        return error.field
    return ""


@given(JSON)
def test_any_sorted_data_is_accepted_or_refused_with_a_field(data: object) -> None:
    assert refusal(lambda: check_events(data)) is not None


@given(st.dictionaries(st.sampled_from(["taskId", "task_name", "taskName", "row", "timeout", "sortedData"]), JSON))
def test_any_task_is_accepted_or_refused_with_a_field(raw: dict[str, object]) -> None:
    assert refusal(lambda: parse_task(raw).start()) is not None


@given(st.dictionaries(st.text(), JSON))
def test_a_digest_does_not_depend_on_the_order_of_keys(row: dict[str, object]) -> None:
    body = {"taskId": "a", "task_name": "b"}
    forward = parse_task({**body, "row": row}).start()
    backward = parse_task({"row": dict(reversed(row.items())), **body}).start()
    assert forward.request_digest == backward.request_digest


def test_nesting_is_taken_to_its_limit_and_no_further() -> None:
    decode_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    with pytest.raises(Malformed):
        decode_json(b"[" * (MAX_DEPTH + 2) + b"]" * (MAX_DEPTH + 2))


def test_many_flat_brackets_are_not_mistaken_for_nesting() -> None:
    assert len(decode_json(b"[" + b"[],{}," * 10_000 + b"1]")) == 20_001


def test_times_are_written_as_each_contract_writes_them() -> None:
    assert iso_seconds(1_705_314_600_999) == "2024-01-15T10:30:00Z"
    assert iso_milliseconds(1_683_722_096_009) == "2023-05-10T12:34:56.009Z"
    assert iso_seconds(0) is None
    assert iso_milliseconds(0) is None
    assert duration_words(7 * 86_400 + 12 * 3_600 + 30 * 60 + 59) == "7d 12h 30m"
    assert day_end_ms("2024-02-29") - day_start_ms("2024-02-29") == 86_400_000


@pytest.mark.parametrize("text", ["", "0", "-1", "1.0", "١", "1e3", " 1", "9" * 20, str(2**63)])
def test_a_path_id_is_a_positive_64_bit_number(text: str) -> None:
    with pytest.raises(InvalidInput):
        path_id("id", text)


def test_the_largest_path_id_is_taken() -> None:
    assert path_id("id", str(2**63 - 1)) == 2**63 - 1


def test_an_error_never_repeats_a_long_value() -> None:
    with pytest.raises(InvalidInput) as caught:
        Fields({"name": "x" * 10_000}).text("name", 10)
    assert len(caught.value.details["value"]) == 200


def test_progress_is_100_only_when_completed() -> None:
    running = runs_pb2.Run(status=runs_pb2.RUN_STATUS_RUNNING, progress_done=20, progress_total=20)
    assert percent(running) == 99
    assert percent(runs_pb2.Run(status=runs_pb2.RUN_STATUS_COMPLETED)) == 100
    assert percent(runs_pb2.Run(status=runs_pb2.RUN_STATUS_FAILED, progress_done=-5, progress_total=10)) == 0


def test_a_guard_knows_names_and_not_their_lookalikes() -> None:
    guard = Guard(frozenset({"localhost", "::1"}))
    for host in (b"localhost", b"LOCALHOST:8082", b"[::1]:1", b"[::1]"):
        assert guard.refusal("GET", {b"host": host}) is None
    for host in (b"", b"localhost.evil", b"evil#localhost", b"[localhost", b"local host", b"\xff"):
        assert guard.refusal("GET", {b"host": host}) is not None, host


def test_open_ports_are_open_by_default_only_on_loopback() -> None:
    assert not GatewaySettings().open_ports_ask_for_key
    assert GatewaySettings(gateway_host="0.0.0.0").open_ports_ask_for_key
    assert GatewaySettings(gateway_host="::").open_ports_ask_for_key
    assert not GatewaySettings(gateway_host="0.0.0.0", auth_required="native").open_ports_ask_for_key
    assert GatewaySettings(auth_required="all").open_ports_ask_for_key


def test_the_signing_secret_is_never_the_admin_key_itself() -> None:
    derived = signing_secret(None, "admin")
    assert derived == signing_secret(None, "admin")
    assert b"admin" not in derived
    assert signing_secret(None, None) != signing_secret(None, None)
    assert signing_secret("a", "admin") != derived
