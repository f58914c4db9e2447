"""The site that pages are loaded from: lists of twenty products, each with a page of its own. Knows no crawler.

`python -m benchmarks.page_site PORT PRODUCTS`; every body is made before the first request.
"""

import sys
from collections.abc import Mapping
from typing import Any

from aiohttp import web

PER_LIST = 20
SPECS = 20
TEXT = "A lamp that gives light to a room of any size, at every hour, in all kinds of weather. " * 8


def name_of(number: int) -> str:
    """A product's name."""
    return f"Lamp {number}"


def price_of(number: int) -> str:
    """A product's price, as its page has it."""
    return f"{number * 13 % 900}.{number % 100:02d}"


def is_right(number: int, row: Mapping[str, Any]) -> bool:
    """Whether what a crawler has stored of a product is what its page says."""
    specs = [str(number * 7 % (100 + place)) for place in range(SPECS)]
    wanted = (name_of(number), price_of(number), f"L-{number:05d}", specs)
    return (row.get("name"), row.get("price"), row.get("sku"), row.get("specs")) == wanted


def page_count(products: int) -> int:
    """Product pages and lists."""
    return products + -(-products // PER_LIST)


def product_page(number: int) -> str:
    """A product's HTML."""
    specs = "".join(f"<tr><th>Value {place}</th><td>{number * 7 % (100 + place)}</td></tr>" for place in range(SPECS))
    return (
        f"<!doctype html><html><head><title>{name_of(number)}</title></head><body>"
        f"<nav><a href='/list/1'>All lamps</a></nav><h1 class='name'>{name_of(number)}</h1>"
        f"<span class='price'>{price_of(number)}</span><div class='sku'>L-{number:05d}</div>"
        f"<table class='specs'>{specs}</table><p class='about'>{TEXT}</p></body></html>"
    )


def _list(number: int, products: int) -> str:
    first = (number - 1) * PER_LIST
    links = "".join(
        f"<li><a class='product' href='/lamp/{one}'>{name_of(one)}</a></li>"
        for one in range(first, min(first + PER_LIST, products))
    )
    following = f"<a class='next' href='/list/{number + 1}'>next</a>" if first + PER_LIST < products else ""
    head = f"<!doctype html><html><head><title>Lamps {number}</title></head>"
    return f"{head}<body><ul>{links}</ul>{following}</body></html>"


def application(products: int) -> web.Application:
    """The site; what it hasn't, robots.txt included, is 404."""
    bodies = {f"/lamp/{number}": product_page(number).encode() for number in range(products)}
    lists = -(-products // PER_LIST)
    bodies |= {f"/list/{number}": _list(number, products).encode() for number in range(1, lists + 1)}

    async def answer(request: web.Request) -> web.Response:
        body = bodies.get(request.path)
        if body is None:
            return web.Response(status=404)
        return web.Response(body=body, content_type="text/html", charset="utf-8")

    site = web.Application()
    site.router.add_get("/{path:.*}", answer)
    return site


def main() -> None:
    """Serve until told to stop."""
    import uvloop

    uvloop.install()
    port, products = int(sys.argv[1]), int(sys.argv[2])
    web.run_app(application(products), host="127.0.0.1", port=port, access_log=None, print=None)


if __name__ == "__main__":
    main()
