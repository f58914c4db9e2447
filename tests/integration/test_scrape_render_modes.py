"""When a scrape run opens a browser for a page, and when it does without."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from executor_kit import serve
from scrape_kit import Shop, definition, scrape
from scraper.executor import ExecutorError, Json, RunContext
from scraper.rendering import PageOptions, RenderedPage, Scrolling


class FakeRenderer:
    """A browser that fetches a page and runs its "script": it asks for the same page with `scripts=1`."""

    def __init__(self) -> None:
        self.sessions = self.closed = 0
        self.loaded: list[str] = []
        self.asked: list[PageOptions] = []

    @asynccontextmanager
    async def session(self, context: RunContext, options: Mapping[str, Json]) -> AsyncIterator["FakeRenderer"]:
        self.sessions += 1
        self.options = {name: options[name] for name in ("dialogs", "viewport") if name in options}
        async with aiohttp.ClientSession() as client:
            self._client = client
            yield self
        self.closed += 1

    async def load(self, url: str, options: PageOptions) -> RenderedPage:
        self.loaded.append(url)
        self.asked.append(options)
        async with self._client.get(url, headers={"X-Scripts": "1"}) as answer:
            told = {name.lower(): [value] for name, value in answer.headers.items() if name == "X-Robots-Tag"}
            text, charset = await answer.text(), answer.charset or "UTF-8"
            return RenderedPage(url, answer.status, text, charset=charset, headers=told)


async def scripted(request: web.Request) -> web.Response:
    page = int(request.query.get("page", 1))
    items = "".join(f'<li class="item"><b class="name">{page}-{n}</b></li>' for n in range(2))
    html = items if "X-Scripts" in request.headers else ""
    following = f'<a class="next" href="/list?page={page + 1}">n</a>' if page < 3 else ""
    return web.Response(text=f"<script>load()</script>{html}{following}", content_type="text/html")


async def test_scrape_auto_goes_to_the_browser_where_items_need_scripts_and_stays() -> None:
    renderer = FakeRenderer()
    async with serve({"/list": scripted}) as base:
        parameters = definition(base, render="auto", detail=None, unique_by=["name"], wait_for=".item", scroll=True)
        parameters |= {"dialogs": {"text": "Ada"}, "viewport": {"width": 500, "height": 400}}
        result, context = await scrape(parameters, renderer=renderer)
    assert [item.data["name"] for item in context.emitted] == ["1-0", "1-1", "2-0", "2-1", "3-0", "3-1"]
    assert (renderer.sessions, renderer.closed, len(renderer.loaded), result["rendered_pages"]) == (1, 1, 3, 3)
    assert renderer.asked[0] == PageOptions(wait_for=".item", scroll=Scrolling(), steps=[])
    assert renderer.options == {"dialogs": {"text": "Ada"}, "viewport": {"width": 500, "height": 400}}
    assert any("needs a browser" in message for message in context.messages())
    why = result["rendering"]["list"]["why"]
    assert result["rendering"]["list"]["mode"] == "browser"
    assert "nothing was found" in why
    assert "2 items with 2 values where HTTP found nothing" in why


async def test_scrape_auto_looks_once_for_a_field_that_no_item_has() -> None:
    """Where scripts add only a part of each item, that is found out; where nothing adds it, it is asked no more."""

    async def priced(request: web.Request) -> web.Response:
        scripts = "X-Scripts" in request.headers and request.query.get("late")
        price = "<i>5</i>" if scripts else ""
        rows = "".join(f'<li class="item"><b class="name">{n}</b>{price}</li>' for n in range(2))
        following = f'<a class="next" href="{request.path_qs}&p=1">n</a>' if "p" not in request.query else ""
        return web.Response(text=f"<script>load()</script>{rows}{following}", content_type="text/html")

    fields = {"name": {"css": ".name"}, "price": {"css": "i", "type": "integer"}}
    async with serve({"/list": priced}) as base:
        for query, mode, loaded, price in (("late=1", "browser", 2, 5), ("x=1", "http", 1, None)):
            renderer = FakeRenderer()
            parameters = definition(base, render="auto", detail=None, unique_by=[])
            parameters |= {"start_urls": [f"{base}/list?{query}"],
                           "items": {"select": {"css": "li.item"}, "fields": fields}}  # fmt: skip
            result, context = await scrape(parameters, renderer=renderer)
            assert [item.data["price"] for item in context.emitted] == [price] * 4
            assert (result["rendering"]["list"]["mode"], len(renderer.loaded)) == (mode, loaded)
            assert "'price' is in none of the 2 items" in result["rendering"]["list"]["why"]


async def test_scrape_auto_opens_no_browser_when_http_is_enough() -> None:
    renderer = FakeRenderer()
    shop = Shop(pages=2)
    async with shop.open() as base:
        result, _ = await scrape(definition(base, render="auto"), renderer=renderer)
    assert (result["items"], renderer.sessions) == (8, 0)


async def test_scrape_render_http_never_opens_a_browser_and_browser_always_does() -> None:
    renderer = FakeRenderer()
    async with serve({"/list": scripted}) as base:
        plain = definition(base, render="http", detail=None, unique_by=[])
        result, _ = await scrape(plain, renderer=renderer)
        assert (result["items"], renderer.sessions) == (0, 0)
        result, _ = await scrape(plain | {"render": "browser"}, renderer=renderer)
        assert (result["items"], renderer.sessions, renderer.closed) == (6, 1, 1)
        with pytest.raises(ExecutorError, match="no browser"):
            await scrape(plain | {"render": "browser"})


async def test_headers_that_rendered_pages_do_without_are_counted() -> None:
    async with serve({"/list": scripted}) as base:
        parameters = definition(base, detail=None, unique_by=["name"], headers={"X-Shop": "1"})
        for render, expected in (("browser", [("option_ignored", "headers", 3)]), ("http", [])):
            result, _ = await scrape(parameters | {"render": render}, renderer=FakeRenderer())
            assert [(one["what"], one["where"], one["count"]) for one in result["problems"]] == expected


async def test_queries_of_a_rendered_page_go_out_in_the_encoding_it_was_written_in() -> None:
    html = '<meta charset=gbk><li class="item"><b class="name">灯</b><a href="/q?w=灯">x</a></li>'

    async def chinese(_: web.Request) -> web.Response:
        return web.Response(body=html.encode("gbk"), content_type="text/html", charset="gbk")

    async with serve({"/list": chinese}) as base:
        parameters = definition(base, render="browser", detail=None, next=None, unique_by=[])
        _, context = await scrape(parameters, renderer=FakeRenderer())
    (item,) = context.emitted
    assert (item.data["name"], item.data["url"]) == ("灯", f"{base}/q?w=%B5%C6")


async def test_headers_of_a_rendered_page_ask_crawlers_not_to_follow_it() -> None:
    for value, followed in (("otherbot: nofollow", True), ("noindex, nofollow", False)):
        hits: list[str] = []

        async def page(request: web.Request, hits: list[str] = hits, value: str = value) -> web.Response:
            hits.append(request.path)
            if request.path == "/robots.txt":
                return web.Response(status=404)
            text = "<h1>x</h1><a href='/next'>n</a>"
            return web.Response(text=text, content_type="text/html", headers={"X-Robots-Tag": value})

        async with serve({"/{path:.*}": page}) as base:
            fields = {"name": {"css": "h1"}}
            parameters = {"start_urls": [base], "render": "browser", "crawl": True, "items": {"fields": fields}}
            await scrape(parameters, renderer=FakeRenderer())
        assert ("/next" in hits) is followed
