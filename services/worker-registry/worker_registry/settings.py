"""Settings of the worker registry, from its environment."""

from chassis.settings import ServiceSettings
from pydantic import Field


class Settings(ServiceSettings):
    """See `ServiceSettings` for what all services have."""

    grpc_port: int = Field(default=50053, ge=0, le=65535)
    # For workers that don't name an interval when they register.
    heartbeat_ms: int = Field(default=5_000, ge=100, le=600_000)
    # A worker that wants to be heard more often is refused.
    shortest_heartbeat_ms: int = Field(default=1_000, ge=100, le=600_000)
    # One more is refused, so that lists stay bounded.
    max_workers: int = Field(default=20_000, ge=1)
