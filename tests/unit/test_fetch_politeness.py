"""A host's pace."""

import asyncio

import pytest
from chassis.retry_after import retry_after
from scraper.host_pace import HostPace, PolitenessRules


class Clock:
    """Time that passes when it is told to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


async def test_fetch_pace_limits_requests_at_once() -> None:
    pace = HostPace(PolitenessRules(concurrency=2))
    running = most = 0

    async def request() -> None:
        nonlocal running, most
        async with pace.turn():
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            running -= 1

    await asyncio.gather(*(request() for _ in range(10)))
    assert most == 2


async def test_fetch_pace_halves_on_trouble_and_recovers_with_answers() -> None:
    pace = HostPace(PolitenessRules(concurrency=8), clock=Clock())
    assert pace.slow_down(None) == 1
    assert pace.slow_down(None) == 2
    assert (pace.limit, pace.delay) == (2, 0.5)
    for _ in range(100):
        pace.answered(0.1)
    assert (pace.limit, pace.delay) == (8, 0)


async def test_fetch_pace_retry_after_is_bounded() -> None:
    pace = HostPace(PolitenessRules(max_wait_seconds=5), clock=Clock())
    assert pace.slow_down(3600) == 5
    assert pace.slow_down(-1) == 0


async def test_fetch_pace_slow_answers_reduce_concurrency() -> None:
    pace = HostPace(PolitenessRules(concurrency=4), clock=Clock())
    pace.answered(0.1)
    pace.answered(5)
    assert pace.limit == 3


async def test_fetch_pace_delay_asked_for_is_bounded_and_kept() -> None:
    pace = HostPace(PolitenessRules(max_delay_seconds=10), clock=Clock())
    pace.ask_delay(3600)
    pace.answered(0.1)
    assert pace.delay == 10


async def test_fetch_pace_a_request_that_gives_up_leaves_its_place() -> None:
    pace = HostPace(PolitenessRules(concurrency=1))
    async with pace.turn():
        waiting = asyncio.create_task(pace.turn().__aenter__())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    async with asyncio.timeout(40), pace.turn():
        pass


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("7", 7, 7),
        (" 0 ", 0, 0),
        ("1.5", 1.5, 1.5),
        ("9" * 5000, 1e8, 1e9),
        # In the three forms that servers may use (RFC 9110 5.6.7); what has passed is now.
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0),
        ("Wed, 21 Oct 2115 07:28:00 GMT", 1e9, 1e11),
        ("Monday, 21-Oct-65 07:28:00 GMT", 1e8, 1e11),
        ("Mon Oct 21 07:28:00 2115", 1e9, 1e11),
    ],
)
def test_fetch_retry_after_is_read_as_seconds_or_date(text: str, least: float, most: float) -> None:
    found = retry_after({"Retry-After": text})
    assert found is not None
    assert least <= found <= most


@pytest.mark.parametrize("text", ["", "soon", "-1", "١", "7 s", "Wed, 99 Oct 2115 07:28:00 GMT"])
def test_fetch_a_retry_after_that_says_no_time_is_none(text: str) -> None:
    assert retry_after({"Retry-After": text}) is None
