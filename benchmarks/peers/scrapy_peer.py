"""Scrapy over the site: lists, product pages, items into a JSON-lines file. `scrapy_peer.py BASE CONCURRENCY FILE`."""

import json
import resource
import sys
from collections.abc import Iterator
from typing import Any

import scrapy
from scrapy.crawler import CrawlerProcess


class Lamps(scrapy.Spider):
    """Every list, and every product on it."""

    name = "lamps"

    def parse(self, response: Any) -> Iterator[Any]:
        """A list."""
        yield from response.follow_all(css="a.product", callback=self.parse_product)
        yield from response.follow_all(css="a.next", callback=self.parse)

    def parse_product(self, response: Any) -> Iterator[dict[str, Any]]:
        """A product."""
        yield {
            "name": response.css("h1.name::text").get(),
            "price": response.css("span.price::text").get(),
            "sku": response.css("div.sku::text").get(),
            "specs": response.css("table.specs td::text").getall(),
        }


def main() -> None:
    """Crawl, then tell how long it took."""
    base, concurrency, path = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    process = CrawlerProcess(
        {
            "LOG_LEVEL": "WARNING",
            "TELNETCONSOLE_ENABLED": False,
            "CONCURRENT_REQUESTS": concurrency,
            "CONCURRENT_REQUESTS_PER_DOMAIN": concurrency,
            "FEEDS": {path: {"format": "jsonlines"}},
        }
    )
    crawler = process.create_crawler(Lamps)
    process.crawl(crawler, start_urls=[f"{base}/list/1"])
    process.start()
    stats = crawler.stats.get_stats()
    seconds = (stats["finish_time"] - stats["start_time"]).total_seconds()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    told = {
        "seconds": seconds,
        "pages": stats["response_received_count"],
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
    }
    print("DONE " + json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
