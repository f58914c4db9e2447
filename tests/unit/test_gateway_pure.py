"""The gateway's pure parts: checks, times, roles, chunks, steps' types."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

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


SECRETS: dict[str, Any] = {"trawl_api_key": "k" * 7 + "-of-a-kind", "jwt_secret": "a secret of some length"}


def test_open_ports_are_open_by_default_only_on_loopback() -> None:
    assert not GatewaySettings().open_ports_ask_for_key
    assert GatewaySettings(gateway_host="0.0.0.0", **SECRETS).open_ports_ask_for_key
    assert GatewaySettings(gateway_host="::", **SECRETS).open_ports_ask_for_key
    assert not GatewaySettings(gateway_host="0.0.0.0", auth_required="native", **SECRETS).open_ports_ask_for_key
    assert GatewaySettings(auth_required="all").open_ports_ask_for_key


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"gateway_host": "0.0.0.0", "trawl_api_key": "replace-me"}, "TRAWL_API_KEY is a placeholder"),
        ({"gateway_host": "0.0.0.0", "trawl_api_key": "changemechangemechangeme"}, "TRAWL_API_KEY is a placeholder"),
        ({"gateway_host": "10.0.0.1", "trawl_api_key": "tooshort"}, "TRAWL_API_KEY is a placeholder"),
        ({"auth_required": "all", "trawl_api_key": "Development"}, "TRAWL_API_KEY is a placeholder"),
        ({"gateway_host": "0.0.0.0", "jwt_secret": "replace-me"}, "JWT_SECRET is a placeholder"),
        ({"gateway_host": "0.0.0.0", "jwt_secret": None}, "set JWT_SECRET or JWT_SECRET_FILE"),
    ],
)
def test_placeholders_start_nothing_that_others_can_reach(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        GatewaySettings(**(SECRETS | changes))


def test_on_this_machine_alone_a_weak_key_is_only_noted() -> None:
    assert GatewaySettings(trawl_api_key="replace-me").has_weak_key  # type: ignore[arg-type]  # read from text
    assert not GatewaySettings(**SECRETS).has_weak_key


def test_the_signing_secret_is_random_and_kept_where_it_is_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "jwt-secret"
    kept = signing_secret(None, file)
    assert kept == signing_secret(None, file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["jwt-secret"]
    assert signing_secret(None, tmp_path / "another") != kept
    assert signing_secret(None, None) != signing_secret(None, None)
    assert signing_secret("set", file) == signing_secret("set", None) != kept
