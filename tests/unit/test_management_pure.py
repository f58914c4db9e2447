"""Rules of the task management contract and of watched endpoints that need no server."""

import uuid

import pytest
from chassis.addresses import AddressGuard
from gateway.management.execution_id import MAX_RUN_ID, execution_id, run_id_of
from hypothesis import given
from hypothesis import strategies as st
from worker_registry.endpoint import HOUR_MS, KEPT_HOURS, KEPT_PROBES, Probe, new_endpoint


@given(st.integers(min_value=1, max_value=MAX_RUN_ID))
def test_an_execution_id_is_a_uuid_of_version_4_and_tells_its_run(run_id: int) -> None:
    text = execution_id(run_id)
    assert (uuid.UUID(text).version, str(uuid.UUID(text))) == (4, text)
    assert run_id_of(text) == run_id
    assert run_id_of(text.upper()) == run_id


@given(st.uuids(version=4))
def test_a_uuid_of_somebody_else_is_no_execution(foreign: uuid.UUID) -> None:
    assert run_id_of(str(foreign)) is None


@pytest.mark.parametrize("text", ["", "1", "x" * 36, execution_id(7)[:-1], execution_id(7) + "0", "0" * 10_000])
def test_what_is_no_uuid_is_no_execution(text: str) -> None:
    assert run_id_of(text) is None


def test_one_digit_that_is_wrong_makes_an_id_unknown() -> None:
    text = execution_id(123_456_789)
    for place, digit in enumerate(text):
        if digit != "-":
            other = text[:place] + ("0" if digit != "0" else "1") + text[place + 1 :]
            assert run_id_of(other) in (None, 123_456_789) if place == 19 else run_id_of(other) is None


def test_probes_keep_their_rhythm_and_do_not_make_up_for_an_outage() -> None:
    endpoint = new_endpoint("x", "http://example.com/", 10_000, guard=AddressGuard(), now=1_000)
    assert endpoint.claimed(1_400).next_ms == 11_000
    assert endpoint.claimed(1_400).claimed(11_900).next_ms == 21_000
    assert endpoint.claimed(500_000).next_ms == 510_000


def test_the_share_counts_a_week_and_the_history_its_newest_probes() -> None:
    endpoint = new_endpoint("x", "http://example.com/", 1_000, guard=AddressGuard(), now=HOUR_MS)
    for hour in range(1, KEPT_HOURS + 11):
        for healthy in (True, False):
            endpoint = endpoint.probed(
                Probe(hour * HOUR_MS + 5, healthy, 1.0, 200 if healthy else 500, "" if healthy else "no")
            )
    assert len(endpoint.history) == KEPT_PROBES
    assert endpoint.counted == (2 * KEPT_HOURS, KEPT_HOURS, 11 * HOUR_MS)
    assert (endpoint.status, endpoint.last_error) == ("unhealthy", "no")
