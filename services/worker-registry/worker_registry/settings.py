"""Settings of the worker registry, from its environment."""

from ipaddress import IPv4Network, IPv6Network
from typing import Annotated

from chassis.addresses import parse_networks
from chassis.settings import ServiceSettings
from pydantic import Field, field_validator
from pydantic_settings import NoDecode


class Settings(ServiceSettings):
    """See `ServiceSettings` for what all services have."""

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
    # Private addresses that may be probed all the same, as CIDRs (comma list).
    allowed_addresses: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = ()

    @field_validator("allowed_addresses", mode="before")
    @classmethod
    def _networks(cls, value: object) -> object:
        return parse_networks(value.split(",")) if isinstance(value, str) else value
