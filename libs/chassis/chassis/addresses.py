"""Which addresses and ports may be called for somebody. Owns: the one guard for calls to targets that come from
outside. Must not know who calls, or why.

The guard judges the address that is really connected to, so a name that resolves to a private address, a literal and
every hop of a redirect are all caught. An address that only carries another one inside (IPv4-mapped, 6to4, NAT64) is
judged by what it carries.
"""

import asyncio
import socket
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any
from urllib.parse import SplitResult, urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from chassis.blocked_ports import BLOCKED_PORTS
from chassis.bounds import MAX_URL_CHARACTERS
from chassis.host_names import can_be_host
from chassis.special_addresses import special_name

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

NAT64 = IPv6Network("64:ff9b::/96")


class AddressNotAllowed(Exception):
    """The target is a private address or a port that no setting lists, or not a web address at all. The message says
    which.
    """


Refusal = Callable[[str], Exception]


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """The networks of an allow-list setting, as CIDRs or single addresses. Raises ValueError that names the bad one."""
    return tuple(ip_network(text.strip(), strict=False) for text in texts if text.strip())


def carried_address(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for, or else the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def is_public(address: Address) -> bool:
    """Whether it is an ordinary address of the internet."""
    return special_name(carried_address(address)) is None


class AddressGuard:
    """Says which addresses may be called: public ones, and those in the allow-list; and at which ports: all but those
    that no web server has, unless they are in `ports`. `refusal` makes the error that is raised for others, so that
    each service meets one of its own kind.
    """

    def __init__(
        self, allow: Sequence[Network] = (), *, ports: Collection[int] = (), refusal: Refusal = AddressNotAllowed
    ) -> None:
        self._allow, self._blocked, self._refusal = tuple(allow), BLOCKED_PORTS - frozenset(ports), refusal

    def allows(self, address: Address) -> bool:
        """Whether a call to `address` may be made."""
        if is_public(address):
            return True
        judged = carried_address(address)
        return any(judged in network or address in network for network in self._allow)

    def check_address(self, text: str) -> None:
        """Raise the refusal unless the numeric address `text` may be called."""
        if not self.allows(ip_address(text)):
            raise self._refusal(f"the address {text} is private or reserved, and no setting allows it")

    def check_port(self, port: int) -> None:
        """Raise the refusal for a port that no web server has, unless a setting allows it."""
        if port in self._blocked:
            raise self._refusal(f"the port {port} is not one of web servers, and no setting allows it")

    def check_url(self, url: str, *, proxy: bool = False) -> SplitResult:
        """The parts of `url`, when it is an http(s) address with a host that a literal check doesn't refuse. A proxy
        may have any port.
        """
        parts = check_url(url, self._refusal)
        if parts.port is not None and not proxy:
            self.check_port(parts.port)
        literal = literal_address(parts.hostname or "")
        if literal is not None and not self.allows(literal):
            raise self._refusal(f"the address {literal} is private or reserved, and no setting allows it")
        return parts

    async def check_host(self, host: str, *, timeout_seconds: float = 5) -> None:
        """Raise the refusal if any address of `host` is refused; for callers whose connections aren't ours.

        A name that doesn't resolve here passes: whoever connects will not get further either. A browser resolves
        again by itself, so a name that changes its answer in between is only caught by checking each request.
        """
        literal = literal_address(host)
        if literal is not None:
            self.check_address(str(literal))
            return
        try:
            async with asyncio.timeout(timeout_seconds):
                found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except (OSError, TimeoutError, UnicodeError):
            return
        for entry in found:
            self.check_named(host, str(entry[4][0]))

    def check_named(self, host: str, address: str) -> None:
        """Raise the refusal unless the numeric `address`, at which `host` is, may be called."""
        if host == address:
            self.check_address(address)
        if not self.allows(ip_address(address)):
            raise self._refusal(f"{host} is at {address}, which is private or reserved, and no setting allows it")

    def connector(self, *, proxies: bool = False, **options: Any) -> aiohttp.TCPConnector:
        """An aiohttp connector that can't reach what isn't allowed; `options` go to TCPConnector. `proxies`: it also
        reaches proxies, so that who uses it judges the ports of all targets.
        """

        def open_socket(info: tuple[Any, ...]) -> socket.socket:
            family, kind, protocol, _, address = info
            self.check_address(str(address[0]))
            if not proxies:
                self.check_port(address[1])
            return socket.socket(family=family, type=kind, proto=protocol)

        resolver = _GuardedResolver(self, self._refusal)
        return aiohttp.TCPConnector(resolver=resolver, socket_factory=open_socket, **options)


def check_url(url: str, refusal: Refusal = AddressNotAllowed) -> SplitResult:
    """The parts of an http(s) URL with a host. Raises the refusal, which says what is wrong with it."""
    if len(url) > MAX_URL_CHARACTERS:
        raise refusal(f"a URL of {len(url)} characters is longer than {MAX_URL_CHARACTERS}")
    try:
        parts = urlsplit(url.strip())
        port_is_valid = parts.port is None or parts.port > 0
    except ValueError as error:
        raise refusal(f"{shown_url(url)!r} is not a URL: {error}") from error
    if parts.scheme.lower() not in ("http", "https"):
        raise refusal(f"{shown_url(url)!r} is not an http or https URL")
    if not parts.hostname or not port_is_valid or not can_be_host(parts.hostname):
        raise refusal(f"{shown_url(url)!r} names no host that can be called")
    return parts


def shown_url(url: str) -> str:
    """`url` as logs and messages may show it: no credentials, no values of secret-looking names, at most 300 long."""
    head, _, query = url.partition("?")
    scheme, separator, rest = head.partition("://")
    authority, slash, path = rest.partition("/")
    shown = f"{scheme}{separator}{authority.rpartition('@')[2]}{slash}{path}" if separator else head
    names = "&".join(_shown_pair(pair) for pair in query.partition("#")[0].split("&")) if query else ""
    shown = f"{shown}?{names}" if names else shown
    return shown if len(shown) <= 300 else shown[:297] + "..."


def _shown_pair(pair: str) -> str:
    name, equals, _ = pair.partition("=")
    secret = any(word in name.lower() for word in ("key", "token", "secret", "pass", "auth", "sig"))
    return f"{name}{equals}***" if secret and equals else pair


@lru_cache(maxsize=4096)
def literal_address(host: str) -> Address | None:
    """The address that `host` spells, in every spelling that a system resolver takes (127.1, 0x7f000001), or None."""
    host = host.strip("[]")
    try:
        return ip_address(host)
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(host))
    except (OSError, ValueError):
        return None


class _GuardedResolver(AbstractResolver):
    """Leaves only the addresses that may be called, so that a name with both kinds is reached at its public one."""

    def __init__(self, guard: AddressGuard, refusal: Refusal) -> None:
        self._guard, self._refusal = guard, refusal
        self._inner = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        allowed = [entry for entry in found if self._guard.allows(ip_address(entry["host"]))]
        if found and not allowed:
            addresses = ", ".join(entry["host"] for entry in found)
            raise self._refusal(f"{host} is at {addresses}: private or reserved, and no setting allows it")
        return allowed

    async def close(self) -> None:
        await self._inner.close()
