"""Connections through a SOCKS proxy for aiohttp. Owns: that the proxy's own address passes the guard. Knows no runs.

The proxy resolves the targets' names, as HTTP proxies do. Whoever fetches judges them before
(`AddressGuard.check_host`).
"""

import asyncio
import socket
from ipaddress import ip_address
from urllib.parse import urlsplit

from aiohttp_socks import ProxyConnectionError, ProxyConnector, ProxyError, ProxyTimeoutError
from python_socks import parse_proxy_url

from scraper.addresses import AddressGuard, AddressNotAllowed
from scraper.executor import ExecutorError

SCHEMES = frozenset({"socks4", "socks5"})
RESOLVE_SECONDS = 10
# What the connector raises when it gets no further than the proxy.
PROXY_ERRORS = (ProxyError, ProxyConnectionError, ProxyTimeoutError)


class ProxyFailed(ExecutorError):
    """The proxy is nowhere."""

    def __init__(self, message: str) -> None:
        super().__init__(f"the proxy does not work: {message}", code="PROXY_FAILED", retryable=True)


def is_socks(proxy: str) -> bool:
    """Whether the proxy's URL is one of a SOCKS proxy."""
    return urlsplit(proxy).scheme.lower() in SCHEMES


async def socks_connector(proxy: str, guard: AddressGuard, *, limit: int, keepalive_seconds: float) -> ProxyConnector:
    """A connector for one session, which owns it. Raises AddressNotAllowed or ProxyFailed."""
    kind, host, port, username, password = parse_proxy_url(proxy)
    return ProxyConnector(
        # The judged address, so that the proxy's name can't mean another one later.
        host=await _judged_address(guard, host, port),
        port=port,
        proxy_type=kind,
        username=username,
        password=password,
        rdns=True,
        limit=limit,
        keepalive_timeout=keepalive_seconds,
    )


async def _judged_address(guard: AddressGuard, host: str, port: int) -> str:
    try:
        async with asyncio.timeout(RESOLVE_SECONDS):
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError, UnicodeError) as error:
        raise ProxyFailed("its name can't be resolved") from error
    for entry in found:
        address = str(entry[4][0])
        if guard.allows(ip_address(address)):
            return address
    raise AddressNotAllowed("the proxy's address is private or reserved, and no setting allows it")
