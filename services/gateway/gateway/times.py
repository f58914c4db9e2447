"""How times are written. Owns: the contracts' notations of an epoch-millisecond time. All of them are UTC."""

import time
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache


def iso_seconds(ms: int) -> str | None:
    """`2024-01-15T10:30:00Z`, or None for 0 = not set."""
    return _second(ms // 1000) if ms else None


@lru_cache(maxsize=1_024)  # runs of a list were made, started and ended in the same few seconds
def _second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second))


def iso_milliseconds(ms: int) -> str | None:
    """`2023-05-10T12:34:56.789Z`, or None for 0 = not set."""
    seconds = iso_seconds(ms)
    return f"{seconds[:-1]}.{ms % 1000:03}Z" if seconds else None


def moment_ms(text: str) -> int:
    """Epoch ms of an ISO 8601 time; without a zone it is UTC. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def day_start_ms(text: str) -> int:
    """Midnight that begins the day `YYYY-MM-DD`. Raises ValueError."""
    day = date.fromisoformat(text)
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)


def day_end_ms(text: str) -> int:
    """Midnight that ends the day `YYYY-MM-DD`. Raises ValueError."""
    return day_start_ms(text) + int(timedelta(days=1).total_seconds() * 1000)


def duration_words(seconds: float) -> str:
    """`7d 12h 30m`."""
    minutes = max(int(seconds), 0) // 60
    return f"{minutes // 1440}d {minutes // 60 % 24}h {minutes % 60}m"
