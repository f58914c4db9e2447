"""What waits for a rush, and how pauses grow."""

import asyncio

import pytest
from chassis.grpc_client import Backoff
from scheduler.rush import Rush


async def _began(work: "asyncio.Task[None]") -> None:
    """Whatever the task can do now, it has done."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_nothing_waits_where_there_is_no_rush() -> None:
    """Neither before the first nor after the last."""
    rush = Rush(longest_seconds=600)
    await asyncio.wait_for(rush.calm(), 5)
    with rush.begun():
        pass
    await asyncio.wait_for(rush.calm(), 5)


async def test_what_waits_goes_on_with_the_end_of_the_last_rush() -> None:
    """Also when the last one fails."""
    rush = Rush(longest_seconds=600)
    with rush.begun():
        waiting = asyncio.create_task(rush.calm())
        with pytest.raises(ValueError, match="broken"), rush.begun():
            raise ValueError("broken")
        await _began(waiting)
        assert not waiting.done()
    await asyncio.wait_for(waiting, 5)


async def test_a_rush_holds_others_up_for_a_bounded_time() -> None:
    """From its begin on, not from theirs: whoever comes later waits no longer."""
    rush = Rush(longest_seconds=0.05)
    with rush.begun():
        await asyncio.wait_for(rush.calm(), 20)
        late = asyncio.create_task(rush.calm())
        await asyncio.wait_for(late, 20)


def test_pauses_double_up_to_their_limit_and_begin_anew() -> None:
    """Each is half of that at least, so that no failure is followed by a storm."""
    backoff = Backoff(1, 4)
    for most in (1, 2, 4, 4):
        assert most / 2 <= backoff.failed() <= most
    backoff.succeeded()
    assert backoff.failed() <= 1
    assert Backoff(5, 0.2).failed() <= 0.2
