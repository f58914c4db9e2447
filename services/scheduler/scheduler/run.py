"""Rules of a run's life. Pure: owns states, tokens, the retry delay; knows no driver and no protocol."""

import random
from dataclasses import dataclass
from enum import StrEnum

DELIVERIES_PER_SEQUENCE = 4096
DEFAULT_RETRY_INITIAL_MS = 2_000
DEFAULT_RETRY_FACTOR = 2.0
DEFAULT_RETRY_MAX_MS = 300_000


class Status(StrEnum):
    """A run's state as readers see it. The last three are terminal."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    ABORTED = "aborted"


TERMINAL = frozenset({Status.COMPLETED, Status.FAILED, Status.ABORTED})


class ErrorCode(StrEnum):
    """Why a run failed, where the scheduler itself decides it."""

    TIMED_OUT = "TIMED_OUT"
    WORKER_LOST = "WORKER_LOST"
    # Something failed that nobody expected; the service's log has the details.
    INTERNAL = "INTERNAL"


@dataclass(frozen=True, slots=True)
class Retry:
    """How a failed attempt is followed by another."""

    max_retries: int
    initial_ms: int = DEFAULT_RETRY_INITIAL_MS
    factor: float = DEFAULT_RETRY_FACTOR
    max_ms: int = DEFAULT_RETRY_MAX_MS

    def allows(self, attempt: int) -> bool:
        """Whether another attempt follows the given one (1 = the first)."""
        return attempt <= self.max_retries

    def delay_ms(self, attempt: int, jitter: float | None = None) -> int:
        """How long to wait after that attempt: exponential, and between 75 % and 125 % of it by `jitter` in [0, 1)."""
        spread = random.random() if jitter is None else jitter  # noqa: S311 - spreads load, hides nothing
        exact = min(float(self.max_ms), self.initial_ms * self.factor ** min(attempt - 1, 64))
        return int(min(float(self.max_ms), exact * (0.75 + spread / 2)))


def fencing_token(sequence: int, deliveries: int) -> int:
    """The token of one delivery: grows with each republished message and each redelivery of one.

    Below 2**53, so that it survives Redis' Lua numbers: 2**41 messages, and redeliveries from the 4,095th on share one.
    """
    return sequence * DELIVERIES_PER_SEQUENCE + min(deliveries, DELIVERIES_PER_SEQUENCE - 1)
