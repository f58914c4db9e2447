"""Settings of services that call addresses which come from outside. Owns: what they may call all the same."""

from ipaddress import IPv4Network, IPv6Network
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from chassis.addresses import parse_networks
from chassis.settings import ServiceSettings

Port = Annotated[int, Field(ge=1, le=65_535)]


class CallingSettings(ServiceSettings):
    """Comma lists; set and empty means none."""

    # Private addresses, as CIDRs.
    allowed_addresses: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = ()
    # Ports that no web server has.
    allowed_ports: Annotated[tuple[Port, ...], NoDecode] = ()

    @field_validator("allowed_addresses", mode="before")
    @classmethod
    def _networks(cls, value: object) -> object:
        return parse_networks(value.split(",")) if isinstance(value, str) else value

    @field_validator("allowed_ports", mode="before")
    @classmethod
    def _ports(cls, value: object) -> object:
        return tuple(part for part in value.split(",") if part.strip()) if isinstance(value, str) else value
