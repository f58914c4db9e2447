"""Benchmark: pages over HTTP beside Scrapy, rendered pages beside Crawlee, and the memory of a page.

One site for all of them. They take turns on it in one run; what each has stored is checked row by row.
"""

import asyncio
import re
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks import page_site
from benchmarks.crawlers import Crawled, PeerCrawler, TrawlCrawler, peak_pss_mb, pss_mb, site_command
from benchmarks.errors import BenchmarkError
from benchmarks.lab import Lab, medians_of
from benchmarks.machine import HOST, free_port, plain_environment
from benchmarks.programs import Programs, programs_in
from benchmarks.report import Bars, Cell, Goal, Report, Table, paragraphs
from benchmarks.trawl_system import Trawl

TITLE = "Pages"
PRODUCTS = 1_000
# Requests at once over HTTP, and tabs at once in a browser.
CONCURRENCY, TABS = 32, 4
NOTES = """\
Pages per second count from the first request to the last item, without the programs' start; for Trawl from the start to
the end of the run, with every item stored in MongoDB (the embedded stand-in) and checkpoints written. The peers write
files or keep their items in memory.

CPU time of Trawl is that of the scraper, its browser and the store; the peers' is of all their processes, their start
included. The site's own is not counted, and shares the cores.

Memory of a page: what all processes of the browser have more (PSS) while four pages are open than without any page, by
four.
"""
Measure = Callable[[int], Awaitable[Crawled]]


async def measure(lab: Lab) -> Report:
    """HTTP first, then rendered, then memory."""
    products = 100 if lab.options.quick else PRODUCTS
    rendered = 20 if lab.options.quick else lab.options.rendered
    async with (
        programs_in(lab.folder(), plain_environment()) as programs,
        Trawl().running(lab.folder()) as live,
    ):
        trawl = TrawlCrawler(live)
        large, small = await _site(programs, "site", products), await _site(programs, "small-site", rendered)
        scrapy, crawlee = PeerCrawler("Scrapy", "scrapy_peer.py"), PeerCrawler("Crawlee", "crawlee_peer.py")
        await trawl.crawl(await _site(programs, "first-site", 40), render="http", concurrency=CONCURRENCY)
        plain = await _turns(lab, products, {
            "Trawl, HTTP": lambda _: trawl.crawl(large, render="http", concurrency=CONCURRENCY),
            "Scrapy": lambda n: scrapy.crawl(programs, large, concurrency=CONCURRENCY, number=n),
        })  # fmt: skip
        browsed = await _turns(lab, rendered, {
            "Trawl, rendered": lambda _: trawl.crawl(small, render="browser", concurrency=TABS),
            "Crawlee, Playwright": lambda n: crawlee.crawl(programs, small, concurrency=TABS, number=n),
        })  # fmt: skip
        page_mb = await _memory_of_a_page(lab, trawl, small)
    return _report(lab, products, rendered, plain | browsed, page_mb)


async def _site(programs: Programs, name: str, products: int) -> str:
    port = free_port()
    await programs.start(name, site_command(Path(sys.executable), port, products))
    await programs.until_listening(name, port)
    return f"http://{HOST}:{port}"


async def _turns(lab: Lab, products: int, crawlers: Mapping[str, Measure]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in crawlers}
    for number in range(lab.options.rounds):
        for name, crawl in crawlers.items():
            figures = _figures(name, await crawl(number), products)
            lab.say(
                f"round {number + 1} of {lab.options.rounds}: {name}: {figures['pages_per_s']:.1f} pages/s, "
                f"{figures['cpu_s_per_1000']:.2f} CPU s per 1,000"
            )
            found[name].append(figures)
    return found


def _figures(name: str, crawled: Crawled, products: int) -> dict[str, Any]:
    rows = {row["sku"]: row for row in crawled.rows}
    wrong = [sku for sku, row in rows.items() if not _is_right(str(sku), row)]
    if len(crawled.rows) != products or len(rows) != products or wrong:
        raise BenchmarkError(f"{name} stored {len(crawled.rows)} rows of {products}, {len(wrong)} of them wrong.")
    pages = page_site.page_count(products)
    # Scrapy counts the answer for robots.txt as well.
    if not pages <= crawled.pages <= pages + 1:
        raise BenchmarkError(f"{name} loaded {crawled.pages} pages of {pages}.")
    share = 1_000 / pages
    return {
        "pages_per_s": pages / crawled.seconds,
        "cpu_s_per_1000": sum(crawled.cpu.values()) * share,
        "cpu": {program: seconds * share for program, seconds in crawled.cpu.items()},
    }


def _is_right(sku: str, row: Mapping[str, Any]) -> bool:
    found = re.fullmatch(r"L-(\d{5})", sku)
    return found is not None and page_site.is_right(int(found[1]), row)


async def _memory_of_a_page(lab: Lab, trawl: TrawlCrawler, base: str) -> float:
    programs = ("chromium",)
    async with peak_pss_mb(trawl.browser, programs) as seen:
        await trawl.crawl(base, render="browser", concurrency=TABS)
    await asyncio.sleep(2)
    without = pss_mb(trawl.browser, programs)
    found = (max(seen) - without) / TABS
    lab.say(f"{found:.0f} MB for each of {TABS} pages, {without:.0f} MB without any")
    return found


def _report(
    lab: Lab, products: int, rendered: int, rounds: Mapping[str, list[dict[str, Any]]], page_mb: float
) -> Report:
    medians = medians_of(dict(rounds))
    rows: list[list[Cell]] = [
        [name, one["pages_per_s"], one["cpu_s_per_1000"], *(one["cpu"].get(program) for program in _programs(medians))]
        for name, one in medians.items()
    ]
    plain = medians["Trawl, HTTP"]["pages_per_s"] / medians["Scrapy"]["pages_per_s"]
    browsed = medians["Trawl, rendered"]["pages_per_s"] / medians["Crawlee, Playwright"]["pages_per_s"]
    return Report(
        "pages", TITLE,
        {"rounds": lab.options.rounds, "products": products, "rendered products": rendered,
         "requests at once": CONCURRENCY, "tabs": TABS},
        [Table("medians", ("", "pages/s", "CPU s per 1,000 pages", *_programs(medians)), rows)],
        [Bars("pages", "pages/s", {name: one["pages_per_s"] for name, one in medians.items()}, logarithmic=True),
         Bars("CPU", "s per 1,000 pages", {name: one["cpu_s_per_1000"] for name, one in medians.items()},
              logarithmic=True)],
        [Goal("pages/s over HTTP by Scrapy's", plain, 4, at_least=True),
         Goal("CPU s per 1,000 pages over HTTP", medians["Trawl, HTTP"]["cpu_s_per_1000"], 1),
         Goal("rendered pages/s by Crawlee's", browsed, 3, at_least=True),
         Goal("MB for a page in the browser", page_mb, 70)],
        paragraphs(NOTES), dict(rounds),
    )  # fmt: skip


def _programs(medians: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(program for one in medians.values() for program in one["cpu"]))
