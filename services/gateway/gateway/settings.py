"""The gateway's settings. Owns: names, defaults and limits of what can be set. Must not know how any of it is used."""

import ipaddress
from typing import Literal

from chassis.settings import ServiceSettings
from pydantic import Field, SecretStr

MEGABYTE = 1024 * 1024


class GatewaySettings(ServiceSettings):
    """Read from the environment. A port of 0 switches its contract's listener off."""

    gateway_host: str = "127.0.0.1"
    port_scheduler: int = Field(default=8080, ge=0, le=65_535)
    port_smartrpa: int = Field(default=8082, ge=0, le=65_535)
    port_management: int = Field(default=8083, ge=0, le=65_535)
    port_xget: int = Field(default=8003, ge=0, le=65_535)
    port_pipeline: int = Field(default=8000, ge=0, le=65_535)

    scheduler_target: str = "127.0.0.1:50051"
    scraper_target: str = "127.0.0.1:50052"
    registry_target: str = "127.0.0.1:50053"

    # native: only port 8080 asks for a key; all: every port does. Unset: native on loopback, all elsewhere.
    auth_required: Literal["native", "all"] | None = None
    # The key that always works, as an administrator, and needs no database.
    trawl_api_key: SecretStr | None = None
    # Signs access tokens; unset: derived from the API key, so that all replicas agree.
    jwt_secret: SecretStr | None = None
    jwt_ttl_seconds: int = Field(default=900, ge=10, le=86_400)
    # How long a key that was checked against the database is believed: a deleted key works on for that long.
    key_cache_seconds: float = Field(default=5, ge=0, le=300)

    # Names, besides the loopback ones, that ports without authentication answer to (comma list).
    allowed_hosts: str = ""
    max_body_bytes: int = Field(default=50 * MEGABYTE, ge=1024, le=60 * MEGABYTE)
    # Longest time that one `scrape_dengdai` is waited for.
    wait_seconds: float = Field(default=1_800, gt=0, le=7_200)

    @property
    def open_ports_ask_for_key(self) -> bool:
        """Whether the contracts that document no authentication ask for the key all the same."""
        if self.auth_required is None:
            return not is_loopback(self.gateway_host)
        return self.auth_required == "all"

    @property
    def host_names(self) -> frozenset[str]:
        """What may stand in `Host` on a port without authentication."""
        listed = (name.strip().lower() for name in self.allowed_hosts.split(","))
        return frozenset({"localhost", "127.0.0.1", "::1", self.gateway_host.lower(), *filter(None, listed)})


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
