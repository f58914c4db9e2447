"""The pure rules of a run's life."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scheduler.run import Retry, fencing_token


@given(st.integers(1, 2**40), st.integers(1, 4_094))
def test_a_later_delivery_has_a_larger_token_than_an_earlier_one(sequence: int, deliveries: int) -> None:
    """Redelivery and republishing both make the token grow, and it stays an exact double."""
    token = fencing_token(sequence, deliveries)
    assert token < fencing_token(sequence, deliveries + 1) < fencing_token(sequence + 1, 1) < 2**53


@given(st.integers(1, 60), st.floats(0, 0.999))
def test_the_delay_of_a_retry_grows_up_to_its_maximum_and_is_jittered_by_a_quarter(attempt: int, jitter: float) -> None:
    retry = Retry(max_retries=100, initial_ms=1_000, factor=2, max_ms=60_000)
    exact = min(60_000, 1_000 * 2 ** (attempt - 1))
    assert exact * 0.75 - 1 <= retry.delay_ms(attempt, jitter) <= min(60_000, exact * 1.25)


@pytest.mark.parametrize(("retries", "attempt", "again"), [(0, 1, False), (3, 3, True), (3, 4, False)])
def test_retry_count_is_the_number_of_attempts_after_the_first(retries: int, attempt: int, *, again: bool) -> None:
    assert Retry(max_retries=retries).allows(attempt) is again
