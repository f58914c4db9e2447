"""A small shop to scrape, and one attempt at it. Must not know what is asserted of either."""

import asyncio
import atexit
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from executor_kit import RecordingContext, context_of, fetching, serve
from scraper.executors.scrape import ScrapeExecutor
from scraper.page_readers import PageReaders
from scraper.rendering import Renderer

# Processes that read pages are of no event loop: all tests share them.
_WARM: deque[Any] = deque()


def page_readers(**settings: Any) -> PageReaders:
    """What pages are read in, over processes that are there already."""
    readers = PageReaders(2, **settings)
    readers._free = _WARM
    return readers


@atexit.register
def _end_readers() -> None:
    while _WARM:
        _WARM.pop().end()


@dataclass
class Shop:
    """`pages` lists of `per_page` lamps with a page of their own each; a lamp's SKU is its number."""

    pages: int = 3
    per_page: int = 4
    robots: str = ""
    hits: list[str] = field(default_factory=list)
    agents: set[str] = field(default_factory=set)
    trouble: dict[str, list[web.Response]] = field(default_factory=dict)
    running: int = 0
    most_running: int = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        routes = {"/robots.txt": self._robots, "/list": self._list, "/lamp/{number}": self._lamp}
        async with serve({path: self._counted(handle) for path, handle in routes.items()}) as base:
            yield base

    def _counted(self, handle: Any) -> Any:
        async def counted(request: web.Request) -> web.Response:
            self.hits.append(request.path_qs)
            self.agents.add(request.headers["User-Agent"])
            self.running += 1
            self.most_running = max(self.most_running, self.running)
            await asyncio.sleep(0.002)
            self.running -= 1
            if waiting := self.trouble.get(request.path_qs):
                answer = waiting.pop(0)
                return web.Response(status=answer.status, headers=answer.headers)
            return await handle(request)

        return counted

    async def _robots(self, _: web.Request) -> web.Response:
        return web.Response(text=self.robots) if self.robots else web.Response(status=404)

    async def _list(self, request: web.Request) -> web.Response:
        page = int(request.query.get("page", 1))
        first = (page - 1) * self.per_page
        items = "".join(
            f'<li class="item"><a href="/lamp/{n}"><b class="name"> Lamp\n {n}</b></a>'
            f'<span class="price">€ 1.{n:03},50</span><i class="tag">a</i><i class="tag">b{n}</i></li>'
            for n in range(first, first + self.per_page)
        )
        following = f'<a class="next" href="list?page={page + 1}">next</a>' if page < self.pages else ""
        return web.Response(text=f"<title>Lamps</title><ul>{items}</ul>{following}", content_type="text/html")

    async def _lamp(self, request: web.Request) -> web.Response:
        number = request.match_info["number"]
        html = (
            f'<div id="desc">Lamp <script>x()</script>number {number}</div><span itemprop="sku">{number}</span>'
            '<script type="application/ld+json">{"offers": {"price": 12.5, "stock": true}}</script>'
        )
        return web.Response(text=html, content_type="text/html")


def definition(base: str, **changes: Any) -> dict[str, Any]:
    """The contract's example, on a local shop."""
    whole = {
        "start_urls": [f"{base}/list"],
        "render": "http",
        "items": {
            "select": {"css": "li.item"},
            "fields": {
                "name": {"css": ".name"},
                "price": {"css": ".price", "type": "number"},
                "url": {"css": "a", "attribute": "href", "type": "url"},
                "tags": {"css": ".tag", "many": True},
            },
        },
        "detail": {
            "follow": "url",
            "fields": {"description": {"css": "#desc"}, "sku": {"xpath": "//*[@itemprop='sku']", "type": "integer"}},
        },
        "next": {"css": "a.next"},
        "unique_by": ["sku"],
        "data_type": "product",
    } | changes
    return {name: value for name, value in whole.items() if value is not None}


async def scrape(
    parameters: Mapping[str, Any],
    *,
    renderer: Renderer | None = None,
    readers: PageReaders | None = None,
    **job: Any,
) -> tuple[Any, RecordingContext]:
    """The result of one attempt, and what it said."""
    context = context_of("scrape", parameters=parameters, **job)
    async with fetching() as fetcher:
        executor = ScrapeExecutor(fetcher=fetcher, readers=readers or page_readers(), renderer=renderer)
        try:
            return await executor.run(context), context
        finally:
            await executor.close()
