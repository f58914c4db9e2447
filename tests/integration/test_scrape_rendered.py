"""Scrape runs with a real browser."""

import asyncio

from aiohttp import web
from executor_kit import context_of, fetching, serve, until
from integration.browser_kit import pool_in
from scrape_kit import page_readers
from scraper.executors.scrape import ScrapeExecutor
from scraper.renderer import BrowserRenderer

# The list comes with a script that asks for it; each lamp's price comes a while after its page.
LIST = """<div id="root"></div><script>
fetch('/rows').then(r => r.json()).then(rows => {
  document.getElementById('root').innerHTML = rows.map(n => `<a class="lamp" href="/lamp/${n}">Lamp ${n}</a>`).join('');
});
</script>"""
LAMP = """<h1>Lamp</h1><script>
fetch('/price' + location.pathname).then(r => r.text()).then(text => {
  setTimeout(() => { document.body.insertAdjacentHTML('beforeend', `<b>${text}</b>`); }, 20);
});
</script>"""


async def test_scrape_finds_out_that_pages_need_a_browser_and_loads_them_side_by_side(tmp_path):
    """Two prices are only told once both were asked for, which one tab at a time never does."""
    asked: set[str] = set()

    async def rows(_: web.Request) -> web.Response:
        return web.json_response([1, 2, 3, 4])

    async def price(request: web.Request) -> web.Response:
        number = int(request.match_info["number"])
        asked.add(str(number))
        await until(lambda: len(asked) > 1, seconds=30)
        return web.Response(text=f"{number}.50")

    async def lamp(_: web.Request) -> web.Response:
        return web.Response(text=LAMP, content_type="text/html")

    pool = pool_in(tmp_path)
    routes = {"/list": LIST, "/rows": rows, "/lamp/{number}": lamp, "/price/lamp/{number}": price}
    fields = {"name": {"css": "a"}, "url": {"css": "a", "attribute": "href", "type": "url"}}
    try:
        async with serve(routes) as base, fetching() as fetcher:
            definition = {
                "start_urls": [f"{base}/list"],
                "items": {"select": {"css": "a.lamp"}, "fields": fields},
                "detail": {"follow": "url", "fields": {"price": {"css": "b", "type": "number"}}},
                "politeness": {"concurrency": 4},
                "page_seconds": 60,
                "wait_for": "a.lamp, b",
            }
            context = context_of("scrape", parameters=definition)
            executor = ScrapeExecutor(fetcher=fetcher, readers=page_readers(), renderer=BrowserRenderer(pool, {}.get))
            result = await asyncio.wait_for(executor.run(context), 100)
            await executor.close()
        found = [(item.data["name"], item.data["price"]) for item in context.emitted]
        assert found == [("Lamp 1", 1.5), ("Lamp 2", 2.5), ("Lamp 3", 3.5), ("Lamp 4", 4.5)]
        assert {kind: one["mode"] for kind, one in result["rendering"].items()} == {
            "list": "browser",
            "detail": "browser",
        }
        assert "the element that scripts fill is empty" in result["rendering"]["list"]["why"]
        await until(lambda: not context.guarded[0].alive())
    finally:
        await pool.close()
