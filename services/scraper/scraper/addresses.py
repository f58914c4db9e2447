"""Which addresses a run may call. Owns: how a refused one ends an attempt; the guard itself is the chassis'."""

from collections.abc import Collection, Sequence
from urllib.parse import SplitResult

from chassis import addresses
from chassis.addresses import Network, literal_address, parse_networks, shown_url

from scraper.executor import ExecutorError


class AddressNotAllowed(ExecutorError):
    """The target is a private address or a port that no setting lists, or not a web address at all."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="ADDRESS_NOT_ALLOWED", retryable=False)


class AddressGuard(addresses.AddressGuard):
    """The guard, whose refusals fail the attempt for good."""

    def __init__(self, allow: Sequence[Network] = (), ports: Collection[int] = ()) -> None:
        super().__init__(allow, ports=ports, refusal=AddressNotAllowed)


def check_url(url: str) -> SplitResult:
    """The parts of an http(s) URL with a host. Raises AddressNotAllowed, which says what is wrong with it."""
    return addresses.check_url(url, AddressNotAllowed)


__all__ = [
    "AddressGuard",
    "AddressNotAllowed",
    "Network",
    "check_url",
    "literal_address",
    "parse_networks",
    "shown_url",
]
