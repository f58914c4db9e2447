"""Time as the services keep it: UTC epoch milliseconds."""

import time


def now_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000
