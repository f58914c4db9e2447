"""A host's pace."""

import asyncio

from scraper.host_pace import HostPace, PolitenessRules
from scraper.politeness import retry_after_seconds


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


def test_fetch_retry_after_is_read_as_seconds_or_date() -> None:
    from types import SimpleNamespace

    def read(text: str) -> float | None:
        return retry_after_seconds(SimpleNamespace(headers={"Retry-After": text}))  # type: ignore[arg-type]

    assert read("7") == 7
    assert read("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert (read("Wed, 21 Oct 2115 07:28:00 GMT") or 0) > 1e9
    for text in ("", "soon", "-1", "١", "9" * 5000):
        assert read(text) in (None, float("9" * 9))
