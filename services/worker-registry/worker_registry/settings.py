"""Settings of the worker registry, from its environment."""

from chassis.calling_settings import CallingSettings
from pydantic import Field


class Settings(CallingSettings):
    """See `CallingSettings` for what all services have."""

    grpc_port: int = Field(default=50053, ge=0, le=65535)
    # For workers that don't name an interval when they register.
    heartbeat_ms: int = Field(default=5_000, ge=100, le=600_000)
    # A worker that wants to be heard more often is refused.
    shortest_heartbeat_ms: int = Field(default=1_000, ge=100, le=600_000)
    # One more is refused, so that lists stay bounded.
    max_workers: int = Field(default=20_000, ge=1)

    # Endpoints that are watched at most, and probed at the same time; how long one may take to answer.
    max_endpoints: int = Field(default=1_000, ge=0, le=100_000)
    probes_at_once: int = Field(default=50, ge=1, le=1_000)
    probe_timeout_seconds: float = Field(default=10, gt=0, le=60)
