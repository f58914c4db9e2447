"""Precedence of what must be on time over what may be late. Pure: knows neither runs nor schedules.

When very many fire times are due together, the first runs of them end while the last have not been accepted. Ends are
kept by JetStream and lose nothing by a wait; a fire time that comes late is late.
"""

import asyncio
import contextlib
from collections.abc import Iterator

# What waits goes on after this long, whatever the rush still has to do.
LONGEST_SECONDS = 5.0


class Rush:
    """At most one rush at a time for each who begins one; they may overlap."""

    def __init__(self, longest_seconds: float = LONGEST_SECONDS) -> None:
        self._longest_seconds = longest_seconds
        self._calm = asyncio.Event()
        self._calm.set()
        self._under_way = 0
        self._until = 0.0

    @contextlib.contextmanager
    def begun(self) -> Iterator[None]:
        """While this lasts there is a rush."""
        if not self._under_way:
            self._until = asyncio.get_running_loop().time() + self._longest_seconds
            self._calm.clear()
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._calm.set()

    async def calm(self) -> None:
        """Return when there is none, or when the one under way has had its time."""
        if self._calm.is_set():
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(self._until):
                await self._calm.wait()
