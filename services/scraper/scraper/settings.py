"""Settings of the scraper, beside those that every service has."""

import socket
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated

from chassis.settings import ServiceSettings
from pydantic import Field, field_validator
from pydantic_settings import NoDecode


class ScraperSettings(ServiceSettings):
    """Environment variables of the scraper. Lists are comma-separated."""

    grpc_port: int = 50052
    scheduler_target: str = "127.0.0.1:50051"
    registry_target: str = "127.0.0.1:50053"

    worker_id: str = Field("", pattern=r"^[A-Za-z0-9_.-]{0,100}$")
    hostname: str = socket.gethostname()
    executors: Annotated[tuple[str, ...], NoDecode] = ("http", "scrape", "rpa", "noop")
    # Runs at the same time, all together and of those that need a browser.
    worker_slots: int = Field(256, ge=1, le=10_000)
    browser_slots: int = Field(4, ge=1, le=100)
    process_slots: int = Field(8, ge=1, le=1_000)
    heartbeat_seconds: float = Field(5, gt=0)
    # How long running runs may go on after the order to stop; what is left then goes back to the queue.
    drain_seconds: float = Field(5, ge=0)

    scripts_dir: Path = Path("scripts")
    work_dir: Path = Path("work")
    # The search index: a copy that can be lost at any time, and is then built anew from the store.
    search_dir: Path = Path("search")
    chromium_path: str = ""
    # Unset: on, unless this process is root. Containers without user namespaces must switch it off.
    browser_sandbox: bool | None = None
    # Private addresses that runs may call all the same, as CIDRs.
    allowed_addresses: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = ()

    @field_validator("executors", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("allowed_addresses", mode="before")
    @classmethod
    def _networks(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(ip_network(part.strip()) for part in value.split(",") if part.strip())
        return value
