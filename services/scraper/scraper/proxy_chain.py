"""A way out through somebody's proxy. Owns: a SOCKS5 listener on loopback for one browser context, whose connections
are made by an HTTP or SOCKS proxy elsewhere.

The browser never sees the proxy's credentials, and the proxy's own address passes the guard at each connection. So does
each target before the proxy hears of it: its address, or those that its name has here. Must not know whose proxy it is.
"""

import asyncio
import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit

from python_socks import ProxyConnectionError, ProxyError, ProxyTimeoutError
from python_socks.async_.asyncio import Proxy

from scraper.addresses import AddressGuard
from scraper.egress import CHUNK, CONNECT_SECONDS, EgressProxy, Refusal, WhyNot

PROXY_FAILED = "the proxy does not work"


class ProxyChain(EgressProxy):
    """Like `EgressProxy`, but what it connects to is the proxy, which connects to the target."""

    def __init__(self, url: str, guard: AddressGuard) -> None:
        super().__init__(guard)
        self._url = urlsplit(url)

    async def connect(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Streams to the target. Raises `Refusal` and `AddressNotAllowed`."""
        await self._check_target(host)
        proxy = Proxy.from_url(await self._numeric_url())
        try:
            connected = await proxy.connect(dest_host=host, dest_port=port, timeout=CONNECT_SECONDS)
        except (ProxyError, ProxyConnectionError, ProxyTimeoutError, OSError) as error:
            raise _failed() from error
        return await asyncio.open_connection(sock=connected, limit=CHUNK)

    async def _check_target(self, host: str) -> None:
        """By all addresses that its name has here; one that has none here is the proxy's to know."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                found = await self.resolve(host)
        except (OSError, UnicodeError, TimeoutError):
            return
        for address in found:
            self.guard.check_named(host, address)

    async def _numeric_url(self) -> str:
        """The proxy's URL with an address that was just judged, so that its name can't mean another one later."""
        assert self._url.hostname is not None
        try:
            found = await self.resolve(self._url.hostname)
        except (OSError, UnicodeError) as error:
            raise _failed("its name can't be resolved") from error
        for address in found:
            if self.guard.allows(ipaddress.ip_address(address)):
                shown = f"[{address}]" if ipaddress.ip_address(address).version == 6 else address
                credentials, at, _ = self._url.netloc.rpartition("@")
                return urlunsplit((self._url.scheme, f"{credentials}{at}{shown}:{self._url.port}", "", "", ""))
        raise _failed("its address is private or reserved, and no setting allows it")


def _failed(detail: str = "") -> Refusal:
    return Refusal(WhyNot(f"{PROXY_FAILED}: {detail}" if detail else PROXY_FAILED, "PROXY_FAILED"))


@asynccontextmanager
async def proxy_chain(url: str, guard: AddressGuard) -> AsyncIterator[ProxyChain]:
    """A chain that listens while the block lasts."""
    chain = ProxyChain(url, guard)
    try:
        await chain.start()
        yield chain
    finally:
        await chain.close()
