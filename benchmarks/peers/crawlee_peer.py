"""Crawlee's Playwright crawler over the site. `crawlee_peer.py BASE CONCURRENCY FILE CHROMIUM`.

Its storage is in memory, which is to its favour; the rows are written to the file afterwards.
"""

import asyncio
import json
import sys
import time
from datetime import timedelta
from pathlib import Path

from crawlee import ConcurrencySettings
from crawlee.crawlers import PlaywrightCrawler, PlaywrightCrawlingContext
from crawlee.storage_clients import MemoryStorageClient

SPECS = "cells => cells.map(cell => cell.textContent)"


async def main() -> None:
    """Crawl, then tell how long it took."""
    base, concurrency, path, chromium = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
    crawler = PlaywrightCrawler(
        headless=True,
        browser_type="chromium",
        browser_launch_options={"executable_path": chromium, "args": ["--no-sandbox"]},
        concurrency_settings=ConcurrencySettings(
            min_concurrency=concurrency, desired_concurrency=concurrency, max_concurrency=concurrency
        ),
        storage_client=MemoryStorageClient(),
        request_handler_timeout=timedelta(seconds=60),
        configure_logging=False,
    )

    @crawler.router.default_handler
    async def lists(context: PlaywrightCrawlingContext) -> None:
        await context.enqueue_links(selector="a.product", label="product")
        await context.enqueue_links(selector="a.next")

    @crawler.router.handler("product")
    async def product(context: PlaywrightCrawlingContext) -> None:
        page = context.page
        await context.push_data(
            {
                "name": await page.text_content("h1.name"),
                "price": await page.text_content("span.price"),
                "sku": await page.text_content("div.sku"),
                "specs": await page.eval_on_selector_all("table.specs td", SPECS),
            }
        )

    began = time.perf_counter()
    statistics = await crawler.run([f"{base}/list/1"])
    seconds = time.perf_counter() - began
    rows = await crawler.get_data(limit=10**6)
    Path(path).write_text("".join(json.dumps(row) + "\n" for row in rows.items), encoding="utf-8")
    print("DONE " + json.dumps({"seconds": seconds, "pages": statistics.requests_finished}), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
