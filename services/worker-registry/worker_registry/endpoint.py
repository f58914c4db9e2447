"""What a watched endpoint is. Owns: its limits, what a probe changes, how the uptime share is counted. Pure.

Every probe counts in the hour in which it was made, and hours are kept for seven days: the share is that of the last
week, or of all the time that there was.
"""

import secrets
from dataclasses import dataclass, replace

from chassis.addresses import AddressGuard, AddressNotAllowed
from chassis.errors import InvalidInput

SHORTEST_INTERVAL_MS = 1_000
LONGEST_INTERVAL_MS = 86_400_000
MAX_NAME = 200
MAX_URL = 2_048
KEPT_PROBES = 100
HOUR_MS = 3_600_000
KEPT_HOURS = 7 * 24
MAX_ERROR = 300


@dataclass(frozen=True, slots=True)
class Probe:
    """One look. `latency_ms` -1 and `http_status` 0: there was no answer. `error` is empty when it is healthy."""

    time_ms: int
    healthy: bool
    latency_ms: float
    http_status: int
    error: str


@dataclass(frozen=True, slots=True)
class Hour:
    """The probes of one hour, which begins at `start_ms`."""

    start_ms: int
    probes: int
    healthy: int


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A watched address. `next_ms`: when the next probe is due; `version` grows by one with every change."""

    id: str
    name: str
    url: str
    interval_ms: int
    created_ms: int
    next_ms: int
    version: int = 1
    last_error: str = ""
    last_error_ms: int = 0
    # Newest first.
    history: tuple[Probe, ...] = ()
    # Oldest first.
    hours: tuple[Hour, ...] = ()

    @property
    def status(self) -> str:
        """What the last probe found."""
        if not self.history:
            return "unknown"
        return "healthy" if self.history[0].healthy else "unhealthy"

    def claimed(self, now: int) -> "Endpoint":
        """With the next probe in its rhythm; one that was missed for long is not made up for."""
        following = self.next_ms + self.interval_ms
        return replace(self, next_ms=following if following > now else now + self.interval_ms, version=self.version + 1)

    def probed(self, probe: Probe) -> "Endpoint":
        """With one more probe."""
        start = probe.time_ms - probe.time_ms % HOUR_MS
        hours = self.hours
        if not hours or hours[-1].start_ms < start:
            hours = (*hours, Hour(start, 0, 0))[-KEPT_HOURS:]
        last = hours[-1]
        hours = (*hours[:-1], Hour(last.start_ms, last.probes + 1, last.healthy + probe.healthy))
        return replace(
            self,
            history=(probe, *self.history)[:KEPT_PROBES],
            hours=hours,
            last_error=self.last_error if probe.healthy else probe.error[:MAX_ERROR],
            last_error_ms=self.last_error_ms if probe.healthy else probe.time_ms,
            version=self.version + 1,
        )

    @property
    def counted(self) -> tuple[int, int, int]:
        """(probes, healthy ones, since when)"""
        since = max(self.created_ms, self.hours[0].start_ms) if self.hours else 0
        return sum(hour.probes for hour in self.hours), sum(hour.healthy for hour in self.hours), since


def new_endpoint(name: str, url: str, interval_ms: int, *, guard: AddressGuard, now: int) -> Endpoint:
    """A new one, due at once. Raises `InvalidInput` with the field."""
    if not name.strip() or len(name) > MAX_NAME or not name.isprintable():
        raise InvalidInput(f"name must have 1 to {MAX_NAME} printable characters", field="name", rule="length")
    if not SHORTEST_INTERVAL_MS <= interval_ms <= LONGEST_INTERVAL_MS:
        raise InvalidInput("intervalSeconds must be 1 to 86400", field="intervalSeconds", rule="range")
    if len(url) > MAX_URL:
        raise InvalidInput(f"url must have at most {MAX_URL} characters", field="url", rule="max_length")
    try:
        parts = guard.check_url(url)
    except AddressNotAllowed as error:
        raise InvalidInput(str(error), field="url", rule="address") from error
    if parts.username or parts.password:
        raise InvalidInput("url must not carry a user or a password", field="url", rule="credentials")
    return Endpoint(f"ep-{secrets.token_hex(8)}", name, url.strip(), interval_ms, created_ms=now, next_ms=now)
