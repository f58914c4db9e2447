"""A site to crawl, and one attempt at it. Must not know what is asserted of either."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from executor_kit import RecordingContext, context_of, fetching, serve
from scrape_kit import page_readers
from scraper.executors.scrape import ScrapeExecutor


@dataclass
class Site:
    """Pages by path: their HTML, or a whole answer. `BASE` in a text stands for the site's address."""

    pages: dict[str, str | web.Response]
    hits: list[str] = field(default_factory=list)
    base: str = ""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        async with serve({"/{path:.*}": self._answer}) as self.base:
            yield self.base

    async def _answer(self, request: web.Request) -> web.Response:
        self.hits.append(request.path_qs)
        await asyncio.sleep(0.001)
        page = self.pages.get(request.path_qs)
        if page is None:
            return web.Response(status=404)
        if isinstance(page, web.Response):
            return web.Response(status=page.status, headers=page.headers, body=page.body)
        text = page.replace("BASE", self.base)
        kind = "application/xml" if request.path.endswith(".xml") else "text/html"
        return web.Response(text=text, content_type="text/plain" if request.path == "/robots.txt" else kind)

    def visited(self) -> list[str]:
        return sorted(path for path in self.hits if path != "/robots.txt" and "sitemap" not in path)


def page(name: str, *links: str, head: str = "") -> str:
    anchors = "".join(f'<a href="{link}">x</a>' for link in links)
    return f"<html><head><title>{name}</title>{head}</head><body><h1>{name}</h1>{anchors}</body></html>"


def definition(base: str, crawl: Mapping[str, Any] | bool = True, **changes: Any) -> dict[str, Any]:
    fields = {"name": {"css": "h1", "required": True}}
    return {"start_urls": [f"{base}/"], "render": "http", "items": {"fields": fields}, "crawl": crawl} | changes


async def crawl(parameters: Mapping[str, Any], **job: Any) -> tuple[Any, RecordingContext]:
    context = context_of("scrape", parameters=parameters, **job)
    async with fetching() as fetcher:
        executor = ScrapeExecutor(fetcher=fetcher, readers=page_readers())
        try:
            return await executor.run(context), context
        finally:
            await executor.close()


def names(context: RecordingContext) -> list[str]:
    return sorted(str(item.data["name"]) for item in context.items.values())
