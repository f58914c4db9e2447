"""`scrape` over HTTP through a SOCKS proxy: all of it passes, and the guard holds at both ends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from executor_kit import ANYWHERE, RecordingContext, context_of, fetching, serve
from scrape_kit import page_readers
from scraper.egress import EgressProxy
from scraper.executor import ExecutorError
from scraper.executors.scrape import ScrapeExecutor
from stores import free_port

LIST = "<ul><li><b>one</b></li><li><b>two</b></li></ul><a class=next href=/2>next</a>"


class Elsewhere(EgressProxy):
    """A SOCKS proxy that knows names which nobody else does, and remembers what it was asked for."""

    def __init__(self, target: str) -> None:
        super().__init__(ANYWHERE)
        self._target = urlsplit(target)
        self.asked: list[str] = []

    async def connect(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        self.asked.append(f"{host}:{port}")
        assert self._target.hostname is not None
        return await super().connect(self._target.hostname, self._target.port or 80)


@asynccontextmanager
async def site_behind_a_proxy() -> AsyncIterator[tuple[Elsewhere, str]]:
    async with serve({"/1": LIST, "/2": "<li><b>three</b></li>"}) as url:
        proxy = Elsewhere(url)
        try:
            yield proxy, await proxy.start()
        finally:
            await proxy.close()


async def scrape(start: str, proxy: str, **bounds: Any) -> tuple[RecordingContext, Any]:
    context = context_of(
        "scrape",
        parameters={
            "start_urls": [start], "proxy_id": "p", "render": "http", "next": {"css": "a.next"},
            "items": {"select": {"css": "li"}, "fields": {"name": {"css": "b"}}},
        },
    )  # fmt: skip

    async def address_of(_: str) -> str:
        return proxy

    async with fetching(**bounds) as fetcher:
        executor = ScrapeExecutor(fetcher=fetcher, readers=page_readers(), proxy_of=address_of)
        try:
            return context, await executor.run(context)
        finally:
            await executor.close()


async def test_every_request_goes_through_the_proxy_which_resolves_the_names() -> None:
    async with site_behind_a_proxy() as (proxy, address):
        context, result = await scrape("http://shop.invalid/1", address)
        assert [item.data["name"] for item in context.emitted] == ["one", "two", "three"]
        assert result["stop_reason"] == "finished"
        assert set(proxy.asked) == {"shop.invalid:80"}


async def test_private_targets_and_private_proxies_are_refused() -> None:
    async with site_behind_a_proxy() as (proxy, address):
        for target in ("http://10.0.0.1/1", "http://localhost.localdomain@169.254.169.254/1"):
            with pytest.raises(ExecutorError) as caught:
                await scrape(target, address)
            assert caught.value.code == "ADDRESS_NOT_ALLOWED"
        with pytest.raises(ExecutorError) as caught:
            await scrape("http://shop.invalid/1", address, allow=())
        assert caught.value.code == "ADDRESS_NOT_ALLOWED"
        assert proxy.asked == []


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:{port}", "socks5://nowhere.invalid:{port}"])
async def test_a_proxy_that_is_not_there_fails_the_attempt_and_says_so(proxy: str) -> None:
    with pytest.raises(ExecutorError) as caught:
        await scrape("http://shop.invalid/1", proxy.format(port=free_port()))
    assert caught.value.retryable
    assert "the proxy does not work" in caught.value.message
