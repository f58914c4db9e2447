"""The process's clock follows the store's, and moves no further than an answer proves it wrong."""

from chassis.clock import Clock, steady_ns

MS = 1_000_000
HOUR = 3_600_000 * MS


def test_the_clock_follows_the_store_and_not_the_machine() -> None:
    clock, now = Clock(), steady_ns()
    clock.learn(HOUR, now, now)
    assert HOUR // MS <= clock.now_ms() < HOUR // MS + 60_000
    assert clock.machine_ahead_ms() > HOUR // MS  # epoch time is decades ahead of an hour


def test_an_answer_that_took_long_moves_nothing_that_it_does_not_disprove() -> None:
    clock, now = Clock(), steady_ns()
    assert clock.learn(HOUR, now, now) == 0
    # The store's clock was read at some moment of these 300 ms: 200 ms after the question would fit.
    assert clock.learn(HOUR + 200 * MS, now, now + 300 * MS) == 0
    # At most 300 ms have passed, and it shows 5 s more.
    assert clock.learn(HOUR + 5_000 * MS, now, now + 300 * MS) == 4_700 * MS
    assert clock.learn(HOUR - 5_000 * MS, now, now) == -9_700 * MS
