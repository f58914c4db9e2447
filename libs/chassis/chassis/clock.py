"""Time as the services keep it: UTC epoch milliseconds by the store's clock, where that is known (`store_clock`).

The process has one clock, as the machine has: whatever it writes or compares is told by it. Between two looks at the
store the machine's steady clock carries it on, so that nobody's setting of the machine's own time is seen.
"""

import time

# Goes on while the machine sleeps, where there is such a one.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def steady_ns() -> int:
    """Nanoseconds since some moment; never set."""
    return time.clock_gettime_ns(_STEADY)


class Clock:
    """The machine's own time until it has learnt a better one."""

    __slots__ = ("_offset_ns",)

    def __init__(self) -> None:
        self._offset_ns: int | None = None

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""
        if self._offset_ns is None:
            return time.time_ns() // 1_000_000
        return (time.clock_gettime_ns(_STEADY) + self._offset_ns) // 1_000_000

    def learn(self, store_ns: int, asked_ns: int, answered_ns: int) -> int:
        """The store's time was `store_ns` at some moment between these two of the steady clock. The clock moves no
        further than that proves it wrong; answers by how many nanoseconds it did, 0 the first time.
        """
        low, high = store_ns - answered_ns, store_ns - asked_ns
        before = self._offset_ns
        self._offset_ns = (low + high) // 2 if before is None else min(max(before, low), high)
        return 0 if before is None else self._offset_ns - before

    def machine_ahead_ms(self) -> int:
        """By how much the machine's own clock is ahead of this one."""
        return time.time_ns() // 1_000_000 - self.now_ms()


CLOCK = Clock()
now_ms = CLOCK.now_ms
