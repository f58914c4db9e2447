"""Scrape runs that crawl: which pages they visit, in which bounds, and how they go on."""

import gzip
from typing import Any

import pytest
from aiohttp import web
from crawl_kit import Site, crawl, definition, names, page
from executor_kit import context_of, fetching
from scrape_kit import page_readers
from scraper.executor import InvalidParameters, Parked
from scraper.executors.scrape import ScrapeExecutor
from scraper.frontier import Frontier


async def test_a_crawl_visits_every_page_of_its_own_site_once() -> None:
    site = Site({
        "/": page("home", "/a", "a#part", "/b?y=2&x=1", "https://other.example/", "mailto:x@y", "/logo.png"),
        "/a": page("a", "/", "/b?x=1&y=2", "/gone"),
        "/b?y=2&x=1": page("b", "/a"),
    })  # fmt: skip
    async with site.open() as base:
        result, context = await crawl(definition(base))
    assert site.visited() == ["/", "/a", "/b?y=2&x=1", "/gone"]
    assert names(context) == ["a", "b", "home"]
    assert [(one["url"].removeprefix(base), one["status"]) for one in result["failed_pages"]] == [("/gone", 404)]
    assert (result["pages"], result["items"], result["stop_reason"]) == (4, 3, "finished")


@pytest.mark.parametrize(
    ("rules", "visited"),
    [
        ({"depth": 0}, ["/"]),
        ({"depth": 1}, ["/", "/docs/1", "/shop"]),
        ({"include": ["/docs/"]}, ["/", "/docs/1", "/docs/2"]),
        ({"exclude": [r"/docs/\d"]}, ["/", "/shop"]),
        ({"links": {"css": "a[href^='/docs']"}}, ["/", "/docs/1", "/docs/2"]),
        ({"links": {"regex": r'href="(/docs/\d+)"'}}, ["/", "/docs/1", "/docs/2"]),
        ({"links": {"xpath": "//a[contains(@href, 'shop')]"}}, ["/", "/shop"]),
    ],
)
async def test_a_crawl_follows_what_its_rules_say(rules: dict[str, Any], visited: list[str]) -> None:
    site = Site({"/": page("home", "/docs/1", "/shop"), "/docs/1": page("1", "/docs/2"), "/docs/2": page("2"),
                 "/shop": page("shop")})  # fmt: skip
    async with site.open() as base:
        await crawl(definition(base, rules))
    assert site.visited() == visited


async def test_a_crawl_goes_to_other_sites_only_when_told_to() -> None:
    other = Site({"/": page("other")})
    async with other.open() as address:
        # The same machine under another name is another site.
        elsewhere = address.replace("127.0.0.1", "localhost")
        site = Site({"/": page("home", f"{elsewhere}/")})
        async with site.open() as base:
            _, context = await crawl(definition(base))
            assert names(context) == ["home"]
            _, context = await crawl(definition(base, {"links": {"same_site": False}}))
            assert names(context) == ["home", "other"]


async def test_a_crawl_obeys_robots_txt_and_nofollow() -> None:
    site = Site({
        "/robots.txt": "User-agent: *\nDisallow: /private",
        "/": page("home", "/private/1", "/a") + '<a rel="ugc nofollow" href="/ad">x</a>',
        "/a": page("a", "/b", head='<meta name="robots" content="noindex, NoFollow">'),
        "/private/1": page("p"), "/ad": page("ad"), "/b": page("b"),
    })  # fmt: skip
    async with site.open() as base:
        result, context = await crawl(definition(base))
        assert site.visited() == ["/", "/a"]
        assert "robots.txt" in result["failed_pages"][0]["reason"]
        _, context = await crawl(definition(base, robots=False))
    assert names(context) == ["a", "ad", "b", "home", "p"]


async def test_a_page_with_many_addresses_is_stored_once() -> None:
    """By its canonical address, and by where it redirects to."""
    head = '<link rel="canonical" href="/real">'
    site = Site({
        "/": page("home", "/real?from=a", "/real?from=b", "/old"),
        "/real": page("real", head=head), "/real?from=a": page("real", head=head),
        "/real?from=b": page("real", head=head),
        "/old": web.Response(status=301, headers={"Location": "/real"}),
    })  # fmt: skip
    async with site.open() as base:
        result, context = await crawl(definition(base))
        assert names(context) == ["home", "real"]
        assert result["same_pages"] == 2
        _, context = await crawl(definition(base, {"canonical": False}))
    assert names(context) == ["home", "real", "real", "real"]


async def test_a_crawl_reads_the_sitemaps_that_robots_txt_names() -> None:
    listed = gzip.compress(
        b"<urlset xmlns='http://www.sitemaps.org/schemas/sitemap/0.9'>"
        b"<url><loc>/new</loc><lastmod>2026-05-01T10:00:00Z</lastmod></url>"
        b"<url><loc>/old</loc><lastmod>2020-01-01</lastmod></url><url><loc>/undated</loc></url></urlset>"
    )
    site = Site({
        "/robots.txt": "Sitemap: BASE/sitemaps.xml",
        "/sitemaps.xml": "<sitemapindex><sitemap><loc>BASE/sitemap-1.gz</loc></sitemap></sitemapindex>",
        "/sitemap-1.gz": web.Response(body=listed),
        "/": page("home"), "/new": page("new"), "/old": page("old"), "/undated": page("undated"),
    })  # fmt: skip
    async with site.open() as base:
        _, context = await crawl(definition(base, {"sitemap": True}))
        assert names(context) == ["home", "new", "old", "undated"]
        _, context = await crawl(definition(base, {"sitemap": True, "modified_since": "2025-01-01"}))
        assert names(context) == ["home", "new", "undated"]
        parameters = definition(base, {"sitemap": [f"{base}/sitemaps.xml"], "exclude": ["undated"]})
        result, context = await crawl({name: value for name, value in parameters.items() if name != "start_urls"})
    assert (names(context), result["stop_reason"]) == (["new", "old"], "finished")


async def test_a_crawl_without_a_sitemap_goes_by_links() -> None:
    site = Site({"/": page("home", "/a"), "/a": page("a")})
    async with site.open() as base:
        result, context = await crawl(definition(base, {"sitemap": True}))
    assert (names(context), result["stop_reason"]) == (["a", "home"], "finished")
    assert any("names no sitemap" in message for message in context.messages())


def wide(count: int) -> Site:
    pages: dict[str, str | web.Response] = {"/": page("home", *(f"/{n}" for n in range(count)))}
    return Site(pages | {f"/{n}": page(str(n), "/", f"/{n}/deep") for n in range(count)}
                | {f"/{n}/deep": page(f"{n} deep") for n in range(count)})  # fmt: skip


async def test_a_crawl_stops_at_its_limits_and_says_so() -> None:
    site = wide(20)
    async with site.open() as base:
        result, _ = await crawl(definition(base, limits={"pages": 7}))
        assert (result["pages"], len(site.hits) - 1, result["stop_reason"]) == (7, 7, "page_limit")
        result, context = await crawl(definition(base, limits={"items": 5}))
        assert (len(context.items), result["stop_reason"]) == (5, "item_limit")


async def test_a_crawl_goes_on_from_every_checkpoint_without_loss_or_doubles() -> None:
    site = wide(8)
    async with site.open() as base:
        for unique_by in ([], ["name"]):
            parameters = definition(base, unique_by=unique_by)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("scraper.scrape_run.CHECKPOINT_SECONDS", 0)
                patch.setattr("scraper.scrape_run.CHECKPOINT_SHARE", 1e9)
                _, whole = await crawl(parameters)
            assert len(whole.items) == 17
            assert len(whole.checkpoints) > 4
            for checkpoint in whole.checkpoints[:: max(1, len(whole.checkpoints) // 6)]:
                result, again = await crawl(parameters, checkpoint=checkpoint, attempt=2)
                assert (result["items"], result["stop_reason"]) == (17, "finished")
                assert len(again.emitted) == 17 - checkpoint["items"]
                assert again.items.keys() <= whole.items.keys()


def test_hosts_take_turns_and_a_busy_one_holds_up_no_other() -> None:
    frontier = Frontier(2)
    for number in range(4):
        frontier.offer(f"http://slow/{number}", 0)
    frontier.offer("http://quick/1", 0)
    taken = [spot.url for _ in range(6) if (spot := frontier.take()) is not None]
    assert taken == ["http://slow/0", "http://quick/1", "http://slow/1"]


def test_a_claim_only_counts_in_a_checkpoint_once_its_page_is_done() -> None:
    frontier = Frontier(1)
    frontier.offer("http://h/old", 0)
    spot = frontier.take()
    assert spot is not None
    assert frontier.claim(spot, "http://h/new")
    again = Frontier.from_json(frontier.to_json(), 1)
    resumed = again.take()
    assert resumed is not None
    assert again.claim(resumed, "http://h/new")
    frontier.done(spot)
    frontier.offer("http://h/other", 0)
    other = frontier.take()
    assert other is not None
    assert not frontier.claim(other, "http://h/new")


async def test_a_pause_longer_than_a_run_waits_parks_it_with_its_checkpoint() -> None:
    site = wide(3)
    site.pages["/2"] = web.Response(status=429, headers={"Retry-After": "3600"})
    async with site.open() as base:
        parameters = definition(base, politeness={"concurrency": 1})
        context = context_of("scrape", parameters=parameters)
        async with fetching() as fetcher:
            executor = ScrapeExecutor(fetcher=fetcher, readers=page_readers())
            with pytest.raises(Parked) as caught:
                await executor.run(context)
            await executor.close()
        assert (caught.value.code, "wants no requests" in caught.value.message) == ("HOST_PAUSED", True)
        site.pages["/2"] = page("2")
        result, again = await crawl(parameters, checkpoint=context.checkpoints[-1], attempt=2)
    assert sorted([*names(context), *names(again)]) == ["0", "0 deep", "1", "1 deep", "2", "home"]
    assert result["items"] == 6


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"crawl": {"include": ["("]}}, "crawl.include[0]"),
        ({"crawl": {"links": {"css": "a[["}}}, "crawl.links.css"),
        ({"crawl": {"links": {"css": "a", "xpath": "//a"}}}, "crawl.links"),
        ({"crawl": {"depth": -1}}, "crawl.depth"),
        ({"crawl": {"sitemap": ["ftp://x/"]}}, "crawl.sitemap[0]"),
        ({"crawl": {"modified_since": "yesterday"}}, "crawl.modified_since"),
        ({"crawl": "yes"}, "crawl"),
        ({"next": {"css": "a"}}, "next"),
        ({"changes": True}, "changes"),
        ({"start_urls": []}, "start_urls"),
    ],
)
async def test_a_wrong_crawl_is_refused_by_field(change: dict[str, Any], place: str) -> None:
    with pytest.raises(InvalidParameters) as caught:
        await crawl(definition("http://127.0.0.1:1") | change)
    assert caught.value.message.startswith(f"{place}: ")
