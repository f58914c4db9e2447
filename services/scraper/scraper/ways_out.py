"""Which proxy a run goes through. Owns: from a proxy's id, as runs name it, to its address and to a browser's way out.

Must not know what goes through it, nor how proxies are kept.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from chassis.errors import Unavailable

from scraper.addresses import AddressGuard
from scraper.egress import EgressProxy
from scraper.executor import ExecutorError, InvalidParameters
from scraper.proxy_chain import proxy_chain


class WaysOut:
    """`find`: a proxy's address with its credentials, raises `InvalidParameters`; None: there are no proxies."""

    def __init__(self, find: Callable[[str], Awaitable[str]] | None, guard: AddressGuard) -> None:
        self._find, self._guard = find, guard

    async def address_of(self, proxy_id: str) -> str:
        """Where that proxy is. Raises `ExecutorError`."""
        if self._find is None:
            raise InvalidParameters("this worker knows no proxies", field="proxyId")
        try:
            return await self._find(proxy_id)
        except Unavailable as error:
            raise ExecutorError(error.message, code="STORE_UNAVAILABLE") from error

    @asynccontextmanager
    async def through(self, proxy_id: str | None) -> AsyncIterator[EgressProxy | None]:
        """A browser's way out through that proxy; None, the usual one, without an id."""
        if proxy_id is None:
            yield None
            return
        async with self.through_address(await self.address_of(proxy_id)) as chain:
            yield chain

    @asynccontextmanager
    async def through_address(self, url: str | None) -> AsyncIterator[EgressProxy | None]:
        """As `through`, for an address that was had before."""
        if url is None:
            yield None
            return
        async with proxy_chain(url, self._guard) as chain:
            yield chain
