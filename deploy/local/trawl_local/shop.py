"""The sample shop: a small site with the habits of real ones, for demonstrations and tests. Owns its wares (the truth).

Must not know Trawl. Everything is made by rule, so that two shops are alike. Loopback only.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache

from aiohttp import web
from aiohttp.typedefs import Handler

from trawl_local import shop_pages as pages

LAMPS = 60
PER_PAGE = 12
DEALS = 8
RETRY_AFTER_SECONDS = 1
SLOW_SECONDS = 3.0
LOGIN = {"username": "visitor", "password": "lamplight"}
_SESSION = "lamp-session"

_KINDS = ("Desk lamp", "Floor lamp", "Pendant", "Wall light", "Table lamp", "Reading light")
_NAMES = ("Aurora", "Birk", "Ceres", "Dahlia", "Ember", "Fjord", "Glimt", "Halo", "Iris", "Juno")
_COLOURS = ("brass", "black", "white", "copper", "sage")
_ROOMS = ("office", "bedroom", "living room", "hall")


@dataclass(frozen=True, slots=True)
class Lamp:
    """One of the shop's wares."""

    sku: str
    slug: str
    name: str
    # Euro cents, so that nothing is rounded.
    price_cents: int
    tags: tuple[str, ...]
    description: str
    stock: int
    watts: int

    @property
    def price(self) -> float:
        """Euros."""
        return self.price_cents / 100


@dataclass(frozen=True, slots=True)
class Deal:
    """A lamp at a lower price; deals appear by script only."""

    lamp: Lamp
    deal_cents: int

    @property
    def price(self) -> float:
        """Euros."""
        return self.deal_cents / 100


def _lamp(number: int) -> Lamp:
    kind, name = _KINDS[number % len(_KINDS)], _NAMES[(number * 7) % len(_NAMES)]
    colour, room = _COLOURS[(number * 3) % len(_COLOURS)], _ROOMS[(number // 2) % len(_ROOMS)]
    title = f"{name} {kind} {number + 1:02d}"
    watts = 4 + number * 5 % 23
    return Lamp(
        sku=f"LMP-{1000 + number * 17}",
        slug=title.lower().replace(" ", "-"),
        name=f"{title} & shade" if number % 10 == 9 else title,
        price_cents=1990 + number * number * 613 % 48_000 // 10 * 10,
        tags=(colour, room) if number % 4 else (colour, room, "dimmable"),
        description=(
            f"{title} in {colour}: a {kind.lower()} of {watts} W for the {room}. "
            f"Warm light, {2 + number % 4} years of warranty — “made to last”."
        ),
        stock=number * 11 % 40,
        watts=watts,
    )


@cache
def items() -> tuple[Lamp, ...]:
    """Everything on the list pages, in their order."""
    return tuple(_lamp(number) for number in range(LAMPS))


@cache
def deals() -> tuple[Deal, ...]:
    """What /deals shows once its script has run, in its order."""
    return tuple(Deal(lamp, lamp.price_cents * 3 // 4) for lamp in items()[3 :: LAMPS // DEALS][:DEALS])


def search(words: str) -> tuple[Lamp, ...]:
    """Lamps whose name or tags hold every word."""
    wanted = words.lower().split()
    return tuple(
        lamp
        for lamp in items()
        if wanted and all(word in f"{lamp.name} {' '.join(lamp.tags)}".lower() for word in wanted)
    )


def list_pages() -> int:
    """Number of list pages."""
    return -(-LAMPS // PER_PAGE)


class Shop:
    """The site. Its only state is which list pages were asked for before, and how often anything was."""

    def __init__(self) -> None:
        self._seen: set[int] = set()
        # Requests by path, for tests of politeness.
        self.requests: dict[str, int] = {}

    @staticmethod
    def items() -> tuple[Lamp, ...]:
        """The truth: every lamp exactly once."""
        return items()

    @staticmethod
    def deals() -> tuple[Deal, ...]:
        """The truth about /deals."""
        return deals()

    def application(self) -> web.Application:
        """The site as an aiohttp application."""
        site = web.Application(middlewares=[self._count])
        site.add_routes(
            [
                web.get("/", self._home),
                web.get("/lamps", self._list),
                web.get("/lamps/{slug}", self._detail),
                web.get("/deals", self._deals),
                web.get("/search", self._search),
                web.get("/slow", self._slow),
                web.get("/staff", self._staff),
                web.get("/login", self._login_form),
                web.post("/login", self._login),
                web.get("/account", self._account),
                web.get("/api/deals", self._deals_data),
                web.get("/api/search", self._search_data),
                web.get("/robots.txt", self._robots),
                web.get("/sitemap.xml", self._sitemap),
                web.get("/favicon.ico", self._nothing),
            ]
        )
        return site

    @web.middleware
    async def _count(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self.requests[request.path] = self.requests.get(request.path, 0) + 1
        return await handler(request)

    async def _home(self, _request: web.Request) -> web.Response:
        return _html(pages.home(items()[:3]))

    async def _list(self, request: web.Request) -> web.Response:
        text = request.query.get("page", "1")
        number = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0
        if not 1 <= number <= list_pages():
            return _html(pages.message("No such page", "This list has no page of that number."), status=404)
        if number % 3 == 0 and number not in self._seen:
            self._seen.add(number)
            return web.Response(
                status=503, text="busy, come back soon", headers={"Retry-After": str(RETRY_AFTER_SECONDS)}
            )
        start = (number - 1) * PER_PAGE
        return _html(pages.lamp_list(items()[start : start + PER_PAGE], number, list_pages()))

    async def _detail(self, request: web.Request) -> web.Response:
        lamp = next((lamp for lamp in items() if lamp.slug == request.match_info["slug"]), None)
        if lamp is None:
            return _html(pages.message("No such lamp", "It may have been sold."), status=404)
        return _html(pages.detail(lamp))

    async def _deals(self, _request: web.Request) -> web.Response:
        return _html(pages.scripted("Deals of the day", "/api/deals"))

    async def _deals_data(self, _request: web.Request) -> web.Response:
        return web.json_response({"items": [pages.card(deal.lamp, deal.price) for deal in deals()]})

    async def _search(self, request: web.Request) -> web.Response:
        return _html(pages.search(request.query.get("q", "")[:200]))

    async def _search_data(self, request: web.Request) -> web.Response:
        found = search(request.query.get("q", "")[:200])
        return web.json_response({"items": [pages.card(lamp, lamp.price) for lamp in found]})

    async def _slow(self, _request: web.Request) -> web.Response:
        await asyncio.sleep(SLOW_SECONDS)
        return _html(pages.message("Slow page", "Thank you for your patience."))

    async def _staff(self, _request: web.Request) -> web.Response:
        return _html(pages.message("Staff only", "robots.txt asks robots to stay away from here."))

    async def _login_form(self, _request: web.Request) -> web.Response:
        return _html(pages.login(failed=False))

    async def _login(self, request: web.Request) -> web.Response:
        form = await request.post()
        if {name: form.get(name) for name in LOGIN} != LOGIN:
            return _html(pages.login(failed=True), status=401)
        response = web.Response(status=303, headers={"Location": "/account"})
        response.set_cookie(_SESSION, "visitor", httponly=True, samesite="Lax")
        return response

    async def _account(self, request: web.Request) -> web.Response:
        if request.cookies.get(_SESSION) != "visitor":
            return web.Response(status=303, headers={"Location": "/login"})
        return _html(pages.account())

    async def _robots(self, request: web.Request) -> web.Response:
        return web.Response(text=f"User-agent: *\nDisallow: /staff\nSitemap: {request.url.origin()}/sitemap.xml\n")

    async def _sitemap(self, request: web.Request) -> web.Response:
        text = pages.sitemap(str(request.url.origin()), [f"/lamps/{lamp.slug}" for lamp in items()])
        return web.Response(text=text, content_type="application/xml")

    async def _nothing(self, _request: web.Request) -> web.Response:
        return web.Response(status=204)


def _html(text: str, status: int = 200) -> web.Response:
    return web.Response(text=text, status=status, content_type="text/html")


@asynccontextmanager
async def serve_shop(port: int = 0, shop: Shop | None = None) -> AsyncIterator[str]:
    """Serve a shop on loopback; gives its address without a slash at the end. Port 0: any free one."""
    runner = web.AppRunner((shop or Shop()).application(), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
