"""Crawls: what pages, headers and sitemaps say of addresses, and pages whose own address is dead."""

from typing import Any

import pytest
from aiohttp import web
from crawl_kit import Site, crawl, definition, names, page
from scraper.frontier import Frontier, Standing

HOME = page("home", "/a", "/b", "/c")


def canonical(name: str, url: str, *links: str) -> str:
    return page(name, *links, head=f'<link rel="Canonical nofollow" href="{url}">')


@pytest.mark.parametrize(
    ("pages", "stored", "same"),
    [
        # The canonical page can't be had: not there, refused, no page, too many redirects.
        ({"/a": canonical("a", "/b"), "/b": web.Response(status=404)}, ["a", "home"], 0),
        ({"/a": canonical("a", "/b"), "/b": web.Response(status=403)}, ["a", "home"], 0),
        ({"/a": canonical("a", "/b"), "/b": web.Response(headers={"Location": "/b"}, status=302)}, ["a", "home"], 0),
        ({"/a": canonical("a", "/b"), "/b": web.Response(content_type="application/pdf")}, ["a", "home"], 0),
        ({"/a": web.Response(status=404), "/b": canonical("b", "/a")}, ["b", "home"], 0),
        # Several pages name it, one behind the other: those that can be read count once each.
        ({"/a": canonical("a", "/c"), "/b": canonical("b", "/c")}, ["a", "b", "home"], 0),
        ({"/a": canonical("a", "/b"), "/b": canonical("b", "/c")}, ["b", "home"], 1),
        # It is alive.
        ({"/a": canonical("a", "/b"), "/b": page("b")}, ["b", "home"], 1),
        ({"/a": canonical("a", "/b"), "/b": canonical("b", "/c"), "/c": page("c")}, ["c", "home"], 2),
        # They name one another: one of them counts.
        ({"/a": canonical("a", "/b"), "/b": canonical("b", "/a")}, ["b", "home"], 1),
        ({"/a": canonical("a", "/b"), "/b": canonical("b", "/c"), "/c": canonical("c", "/a")}, ["c", "home"], 2),
        # Nobody links to it: the page stands for it.
        ({"/a": canonical("a", "/nowhere"), "/b": canonical("b", "/nowhere")}, ["a", "home"], 1),
    ],
)  # fmt: skip
async def test_a_dead_canonical_address_drops_no_page(
    pages: dict[str, str | web.Response], stored: list[str], same: int
) -> None:
    site = Site({"/": HOME, **pages})
    async with site.open() as base:
        # One page at a time, in the order of the links.
        result, context = await crawl(definition(base, politeness={"concurrency": 1}))
    assert (names(context), result["same_pages"]) == (stored, same)


async def test_a_canonical_address_that_robots_txt_forbids_drops_no_page() -> None:
    site = Site({"/robots.txt": "User-agent: *\nDisallow: /b", "/": HOME, "/a": canonical("a", "/b"), "/c": page("c")})
    async with site.open() as base:
        _, context = await crawl(definition(base, politeness={"concurrency": 1}))
    assert names(context) == ["a", "c", "home"]


async def test_a_crawl_with_dead_canonical_addresses_goes_on_from_every_checkpoint() -> None:
    pages: dict[str, str | web.Response] = {"/": page("home", *(f"/{n}" for n in range(12)))}
    for n in range(0, 12, 2):
        pages[f"/{n}"] = canonical(str(n), f"/{n + 1}")
        pages[f"/{n + 1}"] = page(f"{n} whole") if n % 4 else web.Response(status=410)
    async with Site(pages).open() as base:
        parameters = definition(base)
        whole_result, whole = await crawl(parameters)
        assert names(whole) == sorted(["home", "0", "4", "8", "2 whole", "6 whole", "10 whole"])
        assert whole_result["same_pages"] == 3
        for checkpoint in whole.checkpoints:
            result, again = await crawl(parameters, checkpoint=checkpoint, attempt=2)
            assert (result["items"], result["stop_reason"]) == (7, "finished")
            assert again.items.keys() <= whole.items.keys()


def test_deferred_pages_are_in_a_checkpoint_and_failures_as_well() -> None:
    frontier = Frontier(4)
    for name in ("a", "b", "dead"):
        frontier.offer(f"http://h/{name}", 0)
    a, b, dead = (frontier.take(), frontier.take(), frontier.take())
    assert a is not None and b is not None and dead is not None  # noqa: PT018
    assert frontier.stand(a, "http://h/b") is Standing.LATER
    frontier.defer(a, "http://h/b")
    frontier.done(dead, failed=True)
    again = Frontier.from_json(frontier.to_json(), 4)
    resumed = {spot.url: spot for _ in range(2) if (spot := again.take()) is not None}
    assert resumed.keys() == {"http://h/a", "http://h/b"}
    assert again.stand(resumed["http://h/b"], "http://h/dead") is Standing.OWN
    assert frontier.done(b) == 1


@pytest.mark.parametrize(
    ("head", "headers", "robots", "followed"),
    [
        ("<meta name=robots content=none>", {}, True, False),
        ("<META NAME=' RoBoTs ' CONTENT='NoIndex,NoFollow'>", {}, True, False),
        ("<meta name=acornbot content=nofollow>", {}, True, False),
        ("<meta name=otherbot content=nofollow><meta name=description content=nofollow>", {}, True, True),
        ("", {"X-Robots-Tag": "noindex, nofollow"}, True, False),
        ("", {"X-Robots-Tag": "acornbot: none"}, True, False),
        ("", {"X-Robots-Tag": "otherbot: nofollow"}, True, True),
        ("<meta name=robots content=noindex>", {"X-Robots-Tag": "noindex"}, True, True),
        ("<meta name=robots content=none>", {"X-Robots-Tag": "none"}, False, True),
    ],
)
async def test_pages_and_headers_that_ask_not_to_be_followed_are_obeyed(
    head: str, headers: dict[str, str], robots: bool, followed: bool
) -> None:
    start = web.Response(text=page("home", "/a", head=head), content_type="text/html", headers=headers)
    site = Site({"/": start, "/a": page("a")})
    async with site.open() as base:
        await crawl(definition(base, robots=robots, user_agent="Acornbot/3 (like Otherbot)"))
    assert ("/a" in site.hits) is followed


async def test_only_a_whole_word_of_a_link_asks_not_to_follow_it() -> None:
    links = '<a rel="noopener NoFollow" href="/a">x</a><a rel="x-nofollow-y" href="/b">x</a>'
    site = Site({"/": f"<h1>home</h1>{links}", "/b": page("b")})
    async with site.open() as base:
        await crawl(definition(base))
    assert site.visited() == ["/", "/b"]


async def test_parameters_are_stripped_before_an_address_is_asked_for() -> None:
    site = Site({
        "/": page("home", "/a?utm_source=x&id=1&sid=9", "/a?sid=3&id=1", "/b?sid=1", "/a?id=2"),
        "/a?id=1": page("one"), "/a?id=2": canonical("two", "/a?id=2&utm_x=y"), "/b": page("b"),
        "/sitemap.xml": "<urlset><url><loc>BASE/b?utm_campaign=z</loc></url></urlset>",
    })  # fmt: skip
    async with site.open() as base:
        parameters: dict[str, Any] = {"strip_parameters": ["utm_*", "sid"], "sitemap": [f"{base}/sitemap.xml"]}
        result, context = await crawl(definition(base, parameters, start_urls=[f"{base}/?sid=8"]))
    assert site.visited() == ["/", "/a?id=1", "/a?id=2", "/b"]
    assert (names(context), result["same_pages"]) == (["b", "home", "one", "two"], 0)


async def test_long_links_are_followed_and_those_that_no_server_takes_are_counted() -> None:
    long, longer = ("/x?" + "a=1&" * count + "end=1" for count in (600, 3000))
    site = Site({"/": page("home", long, longer), long: page("long")})
    async with site.open() as base:
        result, context = await crawl(definition(base))
    assert names(context) == ["home", "long"]
    (problem,) = result["problems"]
    assert (problem["what"], problem["where"], problem["count"]) == ("links_left_out", "crawl.links", 1)


@pytest.mark.parametrize(
    ("sitemap", "message"),
    [
        ("<html><p>Not here</p></html>", "neither a sitemap"),
        ("<urlset><url><loc>BASE/a</loc></url><url><loc>BASE/b", "ends early"),
        ("BASE/a\nnonsense\n", "1 of its lines"),
    ],
)
async def test_what_cannot_be_read_of_a_sitemap_is_a_counted_problem(sitemap: str, message: str) -> None:
    site = Site({"/": page("home"), "/sitemap-1.xml": sitemap, "/a": page("a")})
    async with site.open() as base:
        result, context = await crawl(definition(base, {"sitemap": [f"{base}/sitemap-1.xml"]}))
    assert ("a" in names(context)) is ("/a" in sitemap)
    (problem,) = result["problems"]
    assert (problem["what"], problem["where"]) == ("file_unreadable", "crawl.sitemap")
    assert message in problem["message"]
    assert problem["url"].endswith("/sitemap-1.xml")


async def test_a_sitemap_that_is_missing_is_a_problem_when_it_was_named_and_none_when_guessed() -> None:
    site = Site({"/": page("home")})
    async with site.open() as base:
        result, _ = await crawl(definition(base, {"sitemap": [f"{base}/sitemap-1.xml"]}))
        assert [problem["what"] for problem in result["problems"]] == ["file_unreadable"]
        result, _ = await crawl(definition(base, {"sitemap": True}))
        assert result["problems"] == []
        site.pages["/sitemap.xml"] = "<html>no</html>"
        result, _ = await crawl(definition(base, {"sitemap": True}))
        assert result["problems"] == []


async def test_an_index_of_indexes_is_read_to_its_end_and_circles_end() -> None:
    def index(*names: str) -> str:
        return "<sitemapindex>" + "".join(f"<sitemap><loc>{name}</loc></sitemap>" for name in names) + "</sitemapindex>"

    site = Site({
        "/": page("home"), "/a": page("a"), "/sitemap-1.xml": index("/maps/sitemap-2.xml", "/sitemap-missing.xml"),
        "/maps/sitemap-2.xml": index("sitemap-3.xml", "/sitemap-1.xml"),
        "/maps/sitemap-3.xml": "<urlset><url><loc>../a</loc></url></urlset>",
    })  # fmt: skip
    async with site.open() as base:
        result, context = await crawl(definition(base, {"sitemap": [f"{base}/sitemap-1.xml"], "depth": 0}))
    assert names(context) == ["a", "home"]
    assert [problem["message"] for problem in result["problems"]] == ["HTTP 404 Not Found"]
