"""The sample shop: its pages say what its truth says, and it behaves as it promises."""

import json
from collections.abc import AsyncIterator
from urllib.parse import urljoin

import aiohttp
import pytest
from parsel import Selector
from trawl_local import shop
from trawl_local.shop import Shop, serve_shop


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """A browser without scripts."""
    async with serve_shop() as site, aiohttp.ClientSession(site, cookie_jar=aiohttp.CookieJar(unsafe=True)) as opened:
        yield opened


async def page(session: aiohttp.ClientSession, path: str) -> Selector:
    async with session.get(path) as response:
        if response.status == 503:
            assert response.headers["Retry-After"] == str(shop.RETRY_AFTER_SECONDS)
            return await page(session, path)
        assert response.status == 200, path
        return Selector(await response.text())


async def test_the_list_pages_hold_every_lamp_once_in_order(session: aiohttp.ClientSession) -> None:
    found, path = [], "/lamps"
    while path:
        listed = await page(session, path)
        found += [
            (
                row.css(".name::text").get(),
                row.css(".price::text").get(),
                row.css("a::attr(href)").get(),
                tuple(row.css(".tag::text").getall()),
            )
            for row in listed.css("li.item")
        ]
        following = listed.css("a.next::attr(href)").get()
        path = urljoin(path, following) if following else ""
    assert found == [
        (lamp.name, f"€{lamp.price_cents / 100:,.2f}", f"/lamps/{lamp.slug}", lamp.tags) for lamp in Shop.items()
    ]


async def test_every_lamp_has_its_page_and_the_same_facts_as_json_ld(session: aiohttp.ClientSession) -> None:
    for lamp in Shop.items():
        detail = await page(session, f"/lamps/{lamp.slug}")
        assert detail.css("h1::text").get() == lamp.name
        assert detail.css("#desc::text").get() == lamp.description
        assert detail.css("[itemprop=sku]::text").get() == lamp.sku
        facts = json.loads(detail.css("script[type='application/ld+json']::text").get())
        assert (facts["sku"], facts["name"], facts["description"]) == (lamp.sku, lamp.name, lamp.description)
        assert facts["offers"]["price"] == f"{lamp.price:.2f}"


def test_nothing_in_the_truth_is_there_twice() -> None:
    assert len(Shop.items()) == shop.LAMPS
    for key in ("sku", "slug", "name"):
        assert len({getattr(lamp, key) for lamp in Shop.items()}) == shop.LAMPS
    assert len({deal.lamp.sku for deal in Shop.deals()}) == shop.DEALS
    assert all(0 < deal.price < deal.lamp.price for deal in Shop.deals())


async def test_deals_are_not_in_the_page_but_in_the_data(session: aiohttp.ClientSession) -> None:
    assert (await page(session, "/deals")).css("li.deal") == []
    async with session.get("/api/deals") as response:
        rows = (await response.json())["items"]
    assert [(row["sku"], row["price"]) for row in rows] == [
        (deal.lamp.sku, f"€{deal.price:,.2f}") for deal in Shop.deals()
    ]


async def test_search_finds_lamps_with_every_word(session: aiohttp.ClientSession) -> None:
    async with session.get("/api/search", params={"q": "BRASS office"}) as response:
        found = {row["sku"] for row in (await response.json())["items"]}
    assert found == {lamp.sku for lamp in Shop.items() if {"brass", "office"} <= set(lamp.tags)}
    assert found
    async with session.get("/api/search", params={"q": " "}) as response:
        assert (await response.json())["items"] == []


async def test_what_is_searched_for_stays_text(session: aiohttp.ClientSession) -> None:
    async with session.get("/search", params={"q": '"><script>alert(1)</script>'}) as response:
        assert "<script>alert" not in await response.text()


async def test_only_the_first_request_of_every_third_list_page_is_busy(session: aiohttp.ClientSession) -> None:
    answers = []
    for number in (1, 2, 3, 3, 4, 5, 3):
        async with session.get("/lamps", params={"page": number}) as response:
            answers.append(response.status)
    assert answers == [200, 200, 503, 200, 200, 200, 200]


@pytest.mark.parametrize("number", ["0", "6", "-1", "x", "１", "9" * 5000])
async def test_a_page_that_is_not_there_is_404(session: aiohttp.ClientSession, number: str) -> None:
    async with session.get("/lamps", params={"page": number}) as response:
        assert response.status == 404


async def test_signing_in_takes_the_right_words_and_lasts(session: aiohttp.ClientSession) -> None:
    async with session.get("/account") as response:
        assert response.url.path == "/login"
    async with session.post("/login", data={"username": "visitor", "password": "wrong"}) as response:
        assert response.status == 401
    async with session.post("/login", data=shop.LOGIN) as response:
        assert response.url.path == "/account"
        assert "Welcome back" in await response.text()


async def test_robots_and_sitemap_name_what_they_should(session: aiohttp.ClientSession) -> None:
    async with session.get("/robots.txt") as response:
        assert "Disallow: /staff" in (await response.text()).splitlines()
    async with session.get("/sitemap.xml") as response:
        text = await response.text()
    assert text.count("<loc>") == shop.LAMPS


async def test_two_shops_are_alike_and_count_their_own_requests() -> None:
    first, second = Shop(), Shop()
    async with serve_shop(shop=first) as one, serve_shop(shop=second) as two, aiohttp.ClientSession() as session:
        texts = []
        for site in (one, two):
            async with session.get(f"{site}/lamps?page=2") as response:
                texts.append(await response.text())
    assert texts[0] == texts[1]
    assert first.requests == second.requests == {"/lamps": 1}
