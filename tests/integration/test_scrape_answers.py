"""Scrape runs over answers as servers really send them: what is read, what is asked again, and what is counted."""

import time
from email.utils import formatdate
from typing import Any

import pytest
from executor_kit import RecordingContext, context_of, fetching
from raw_site import RawSite, answer
from scrape_kit import page_readers
from scraper.executor import ExecutorError
from scraper.executors.rpa_base import RpaBaseExecutor
from scraper.executors.scrape import ScrapeExecutor
from scraper.host_pace import PolitenessRules
from scraper.page_requests import FAILED_TRIES, PageRequests
from scraper.politeness import Politeness
from scraper.scrape_definition import read_definition

FIELDS = {"name": {"css": "h1"}, "link": {"css": "a", "type": "url"}}


async def scrape(base: str, *paths: str, **changes: Any) -> tuple[Any, RecordingContext]:
    parameters = {
        "start_urls": [base + path for path in paths or ("/",)],
        "render": "http",
        "robots": False,
        "items": {"fields": FIELDS},
    } | changes
    context = context_of("scrape", parameters=parameters)
    async with fetching() as fetcher:
        executor = ScrapeExecutor(fetcher=fetcher, readers=page_readers())
        try:
            return await executor.run(context), context
        finally:
            await executor.close()


def items(context: RecordingContext) -> list[Any]:
    return [item.data for item in context.items.values()]


@pytest.mark.parametrize(
    ("octets", "asked"),
    [
        (answer("no", status="404 Not Found"), 1),
        (answer("no", status="403 Forbidden"), 1),
        (answer("packed?", ("Content-Encoding", "gzip")), 1),
        (answer("packed?", ("Content-Encoding", "zstd")), 1),
        (b"no HTTP at all\r\n\r\n", 1),
        # The client itself asks twice: a kept connection may have been over.
        (b"", 2 * FAILED_TRIES),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhel", FAILED_TRIES),
        (answer("", ("Location", "/"), status="302 Found"), 11),
        (answer("cut", length=99), FAILED_TRIES),
    ],
)
async def test_what_will_not_change_is_asked_for_once_and_slows_nobody(octets: bytes, asked: int) -> None:
    site = RawSite({"/": octets})
    definition = read_definition({"start_urls": ["http://h/"], "items": {"fields": FIELDS}})
    async with site.open() as base, fetching() as fetcher, fetcher.session() as session:
        politeness = Politeness(PolitenessRules(robots=False), session, user_agent="x")
        requests = PageRequests(context_of("scrape"), definition, session, politeness)
        with pytest.raises(ExecutorError):
            await requests.page(base + "/")
        pace = await politeness.pace_of(base)
        assert (pace.host.limit, pace.host.delay) == (4, 0)
        await politeness.close()
    assert len(site.heads) == asked


@pytest.mark.parametrize(
    ("octets", "retryable"),
    [(answer("packed?", ("Content-Encoding", "gzip")), False), (answer("cut", length=99), True)],
)
async def test_a_run_is_tried_again_only_where_that_may_help(octets: bytes, retryable: bool) -> None:
    async with RawSite({"/": octets}).open() as base:
        with pytest.raises(ExecutorError, match="could not be read") as caught:
            await scrape(base)
    assert caught.value.retryable is retryable


async def test_a_page_longer_than_its_bound_is_read_as_far_and_counted() -> None:
    page = "<h1>Oak</h1>" + "<p>x</p>" * 1000
    async with RawSite({"/": answer(page), "/short": answer("<h1>Elm</h1>")}).open() as base:
        result, context = await scrape(base, "/", "/short", limits={"page_bytes": 2000})
    assert {item["name"] for item in items(context)} == {"Oak", "Elm"}
    (problem,) = result["problems"]
    assert (problem["what"], problem["where"], problem["count"]) == ("page_cut", "page", 1)
    assert "first 2000 bytes" in problem["message"]


@pytest.mark.parametrize(
    ("content_type", "charset", "query", "name"),
    [
        ("text/html; charset=gbk", None, "w=%B5%C6", "灯"),
        ("text/html; charset=windows-1252", "GB2312", "w=%B5%C6", "灯"),
        ("text/html; charset=gbk", "windows-1252", "w=%B5%C6", "µÆ"),
    ],
)
async def test_the_definition_may_say_the_encoding_and_queries_go_out_in_it(
    content_type: str, charset: str | None, query: str, name: str
) -> None:
    page = "<h1>灯</h1><a href='/q?w=灯'>x</a>".encode("gbk")
    site = RawSite({"/": answer(page, kind=content_type), "/q": answer("<h2>1</h2>")})
    async with site.open() as base:
        detail = {"follow": "link", "fields": {"n": {"css": "h2"}}}
        _, context = await scrape(base, detail=detail, **({"charset": charset} if charset else {}))
    assert items(context) == [{"name": name, "link": f"{base}/q?{query}", "n": "1"}]
    assert site.targets == ["/", f"/q?{query}"]


@pytest.mark.parametrize(
    ("head", "body", "targets", "name"),
    [
        ("<meta http-equiv=refresh content='0;url=/new'>", "", ["/", "/new"], "New"),
        ("<meta http-equiv=refresh content='60;url=/new'>", "<h1>Old</h1>", ["/"], "Old"),
        ("<noscript><meta http-equiv=refresh content='0;url=/new'></noscript>", "<h1>Old</h1>", ["/"], "Old"),
        ("<noscript><meta http-equiv=refresh content='0;url=/new'></noscript>", "", ["/", "/new"], "New"),
    ],
)
async def test_a_page_that_sends_on_is_read_where_it_sends_to(
    head: str, body: str, targets: list[str], name: str
) -> None:
    site = RawSite({"/": answer(f"<html><head>{head}</head>{body}</html>"), "/new": answer("<h1>New</h1>")})
    async with site.open() as base:
        _, context = await scrape(base)
    assert (site.targets, [item["name"] for item in items(context)]) == (targets, [name])


async def test_a_page_that_sends_on_to_what_robots_txt_forbids_is_not_followed() -> None:
    robots = answer("User-agent: *\nDisallow: /new", kind="text/plain")
    site = RawSite({"/robots.txt": robots, "/": answer("", ("Refresh", "0;url=/new"))})
    async with site.open() as base:
        with pytest.raises(ExecutorError, match="disallows") as caught:
            await scrape(base, robots=True)
    assert not caught.value.retryable
    assert site.targets == ["/robots.txt", "/"]


async def test_robots_txt_judges_the_address_that_is_asked_for() -> None:
    robots = answer("User-agent: *\nDisallow: /private/", kind="text/plain")
    site = RawSite({"/robots.txt": robots})
    async with site.open() as base:
        for path in ("/a/../private/x", "/a/%2e%2e/private/x", "/a\\..\\private\\x"):
            with pytest.raises(ExecutorError, match="disallows"):
                await scrape(base, path, robots=True)
    assert set(site.targets) == {"/robots.txt"}


async def test_the_item_says_where_it_was_found_with_its_fragment() -> None:
    site = RawSite({"/": answer("", ("Location", "/new"), status="302 Found"), "/new": answer("<h1>New</h1>")})
    async with site.open() as base:
        _, context = await scrape(base, "/#part")
    (item,) = context.items.values()
    assert item.metadata["url"] == f"{base}/new#part"


async def test_an_empty_link_is_the_page_itself_and_an_empty_text_is_none() -> None:
    site = RawSite({"/": answer("<h1>Oak</h1><a href=''>x</a>"), "/text": answer("<h1>Elm</h1><a> </a>")})
    async with site.open() as base:
        _, context = await scrape(base, "/", "/text")
    # Pages are read side by side: their order is nobody's promise.
    assert {item["name"]: item["link"] for item in items(context)} == {"Oak": f"{base}/", "Elm": None}


async def test_steps_wait_as_long_as_the_date_says_that_a_busy_server_names() -> None:
    later = formatdate(time.time() + 86_400, usegmt=True)
    busy = answer("busy", ("Retry-After", later), status="503 Service Unavailable")
    site = RawSite({"/": [busy, answer("<h1>Oak</h1>")]})
    async with site.open() as base:
        steps = [{"type": "extract", "name": "h", "target": {"css": "h1"}}]
        context = context_of("rpa_base", parameters={"BASE_URL": f"{base}/", "steps": steps})
        async with fetching() as fetcher:
            # That is after the step's own deadline, so it isn't waited for.
            with pytest.raises(ExecutorError, match="answered 503"):
                await RpaBaseExecutor(fetcher, {}.get, page_readers()).run(context)
    assert site.targets == ["/"]


async def test_steps_follow_pages_that_send_on_and_links_as_browsers_do() -> None:
    site = RawSite({
        "/": answer("<meta http-equiv=refresh content='0;url=/new'>"),
        "/new": answer("<a href='\\q?a=%7e|\u00fc'>x</a>".encode("cp1252"), kind="text/html; charset=windows-1252"),
        "/q": answer("<h1>Oak</h1>"),
    })  # fmt: skip
    async with site.open() as base:
        steps = [{"type": "click", "target": {"css": "a"}}, {"type": "extract", "name": "h", "target": {"css": "h1"}}]
        context = context_of("rpa_base", parameters={"BASE_URL": f"{base}/", "steps": steps})
        async with fetching() as fetcher:
            result = await RpaBaseExecutor(fetcher, {}.get, page_readers()).run(context)
    assert result["h"] == "Oak"
    assert site.targets == ["/", "/new", "/q?a=%7e|%FC"]
