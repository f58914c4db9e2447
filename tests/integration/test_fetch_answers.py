"""Answers as servers really send them, fetched over real connections."""

import asyncio
import gzip

import brotli
import pytest
from executor_kit import fetching
from raw_site import RawSite, answer
from scraper.exchanges import Fetched, FetchFailed, FetchRequest
from scraper.fetch import LARGE_AT_ONCE

PAGE = "<html><h1>Oak</h1></html>"
CHUNKED = f"{len(PAGE):x}\r\n{PAGE}\r\n0\r\n\r\n".encode()
LENGTHY = ("Content-Security-Policy", "default-src " + "https://c.example " * 6000)


async def fetched(site: RawSite, path: str = "/", **request: object) -> Fetched:
    async with site.open() as base, fetching() as fetcher, fetcher.session() as session:
        return await session.fetch(FetchRequest(base + path, **request))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "octets",
    [
        answer(PAGE, ("X Odd Name", "1")),
        answer(PAGE, LENGTHY),
        answer(PAGE, *((f"X-{n}", "1") for n in range(500))),
        answer(PAGE).replace(b"\r\n", b"\n"),
        b"\r\n" + answer(PAGE),
        b"HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + answer(PAGE),
        answer(PAGE) + b"and more behind it",
        answer(PAGE) + answer("another answer"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n" + CHUNKED,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKED + b"HTTP/1.1 200 OK\r\n\r\nmore",
        b"HTTP/1.0 200 OK\r\nContent-Length: none\r\n\r\n" + PAGE.encode(),
        answer(gzip.compress(PAGE.encode()), ("Content-Encoding", "x-gzip")),
        answer(gzip.compress(PAGE.encode()) + b"\0\0", ("Content-Encoding", "gzip")),
        answer(brotli.compress(PAGE.encode()), ("Content-Encoding", "br")),
        answer(brotli.compress(gzip.compress(PAGE.encode())), ("Content-Encoding", "gzip"), ("content-encoding", "br")),
    ],
)  # fmt: skip
async def test_an_odd_answer_is_read_as_browsers_read_it(octets: bytes) -> None:
    found = await fetched(RawSite({"/": octets}))
    assert (found.status, found.text(), found.truncated, found.incomplete) == (200, PAGE, False, False)


async def test_what_comes_behind_an_answer_is_never_the_next_one() -> None:
    site = RawSite({"/": answer("first") + answer("smuggled"), "/next": answer("second")}, closes=False)
    async with site.open() as base, fetching() as fetcher, fetcher.session() as session:
        texts = [(await session.fetch(FetchRequest(base + path))).text() for path in ("/", "/next")]
    assert texts == ["first", "second"]
    assert site.connections == 2


async def test_a_connection_is_used_again_after_a_whole_answer() -> None:
    site = RawSite({"/": answer("first"), "/none": answer(status="304 Not Modified")}, closes=False)
    async with site.open() as base, fetching() as fetcher, fetcher.session() as session:
        for path in ("/", "/none", "/"):
            await session.fetch(FetchRequest(base + path))
        await session.fetch(FetchRequest(base + "/none", method="HEAD"))
    assert site.connections == 1


@pytest.mark.parametrize(
    ("octets", "code", "retryable", "message"),
    [
        (answer(PAGE, length=900), "ANSWER_CUT", True, "was cut"),
        (answer(PAGE, ("Content-Encoding", "br")), "ANSWER_UNREADABLE", False, "br"),
        (answer(PAGE, ("Content-Encoding", "compress")), "ANSWER_UNREADABLE", False, "'compress' is not known"),
        (answer(PAGE, ("Content-Length", "3")), "ANSWER_UNREADABLE", False, "lengths that differ"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "ANSWER_UNREADABLE", False, "not HTTP"),
        (answer(PAGE, ("X", "a" * 300_000)), "ANSWER_UNREADABLE", False, "262144 bytes of header lines"),
        (answer("", ("Location", "http://[x"), status="302 Found"), "FETCH_FAILED", False, "no address"),
        (answer("", ("Location", "/"), status="302 Found"), "TOO_MANY_REDIRECTS", False, "more than 10"),
    ],
)  # fmt: skip
async def test_what_cannot_be_read_says_why_and_whether_asking_again_may_help(
    octets: bytes, code: str, retryable: bool, message: str
) -> None:
    with pytest.raises(FetchFailed, match=message) as caught:
        await fetched(RawSite({"/": octets}))
    assert (caught.value.code, caught.value.retryable) == (code, retryable)


async def test_a_bomb_is_read_as_far_as_the_bound() -> None:
    bomb = gzip.compress(gzip.compress(b"\0" * (64 << 20)))
    found = await fetched(RawSite({"/": answer(bomb, ("Content-Encoding", "gzip, gzip"))}), max_bytes=100_000)
    assert (len(found.body), found.truncated) == (100_000, True)
    empty = gzip.compress(b"") * 40_000
    with pytest.raises(FetchFailed, match="longer than what it may unpack to"):
        await fetched(RawSite({"/": answer(empty, ("Content-Encoding", "gzip"))}), max_bytes=1000)


async def test_a_packed_body_that_ends_early_is_said_to() -> None:
    packed = gzip.compress(PAGE.encode() * 2000)
    found = await fetched(RawSite({"/": answer(packed[: len(packed) // 2], ("Content-Encoding", "gzip"))}))
    assert found.text().startswith(PAGE)
    assert found.incomplete


@pytest.mark.parametrize(
    ("asked", "target"),
    [
        ("/a%2Fb/%7e?s=x%2fy%3d&t=a+b%20c", "/a%2Fb/%7e?s=x%2fy%3d&t=a+b%20c"),
        ("/q?k[]=1&j={x}|y&z=%", "/q?k[]=1&j={x}|y&z=%"),
        ("/it's;v=1/(x)!*,$&=@:", "/it's;v=1/(x)!*,$&=@:"),
        ("/a/../b/./%2e%2E/c?", "/c?"),
        ("/ü x?ü x#part", "/%C3%BC%20x?%C3%BC%20x"),
        ("\\a\\b", "/a/b"),
    ],
)
async def test_an_address_goes_out_as_a_browser_sends_it(asked: str, target: str) -> None:
    site = RawSite()
    await fetched(site, asked)
    assert site.targets == [target]


@pytest.mark.parametrize(
    ("location", "target", "fragment"),
    [
        ("/t/a%2Fb%27%7e?sig=x%2F%3d+", "/t/a%2Fb%27%7e?sig=x%2F%3d+", "#part"),
        ("/t/a b?c=d e#own", "/t/a%20b?c=d%20e", "#own"),
        ("t\\a", "/t/a", "#part"),
        ("/t/café-灯", "/t/caf%C3%A9-%E7%81%AF", "#part"),
        (b"/t/caf\xe9", "/t/caf%E9", "#part"),
        ("?x=1", "/?x=1", "#part"),
    ],
)
async def test_a_location_is_joined_as_it_stands_and_keeps_the_fragment(
    location: str | bytes, target: str, fragment: str
) -> None:
    site = RawSite({"/": [answer("", ("Location", location), status="302 Found"), answer(PAGE)]})
    found = await fetched(site, "/#part")
    assert site.targets == ["/", target]
    assert found.url.endswith(target + fragment)


async def test_cookies_go_back_as_they_came_also_beside_those_of_the_caller() -> None:
    cookies = [b'a="b\\054c"', b'j={"x":1,"y":[2]}', b"e=", b"alone", b"u=\xe9t\xe9", "k=été".encode()]
    setting = [("Set-Cookie", cookie + b"; Path=/") for cookie in cookies]
    site = RawSite({"/": answer("", *setting, ("Location", "/show"), status="302 Found"), "/show": answer(PAGE)})
    await fetched(site, headers=(("Cookie", "own=1"),))
    wanted = b"; ".join([b"own=1", *cookies]).decode("latin-1")
    assert site.sent("Cookie") == ["own=1", wanted]
    assert site.sent("Accept-Encoding") == ["gzip, deflate, br"] * 2


async def test_runs_have_cookies_of_their_own() -> None:
    site = RawSite({"/": answer(PAGE, ("Set-Cookie", "a=1; Path=/"))})
    async with site.open() as base, fetching() as fetcher:
        for _ in range(2):
            async with fetcher.session() as session:
                await session.fetch(FetchRequest(base))
                await session.fetch(FetchRequest(base))
    assert site.sent("Cookie") == ["", "a=1", "", "a=1"]


async def test_a_page_that_sends_on_is_followed_where_that_was_asked_for() -> None:
    moved = answer("<meta http-equiv=refresh content='0;url=/new'>")
    for octets in (moved, answer(PAGE, ("Refresh", "1; /new"))):
        site = RawSite({"/": octets, "/new": answer(PAGE)})
        assert (await fetched(site, refresh=True)).url.endswith("/new")
        assert (await fetched(site)).url.endswith("/")
    circle = RawSite({"/": moved, "/new": answer("<meta http-equiv=refresh content='0;url=/'>")})
    with pytest.raises(FetchFailed, match="more than 10"):
        await fetched(circle, refresh=True)


async def test_a_refresh_passes_the_guard_and_carries_no_credentials_to_another_origin() -> None:
    elsewhere = answer("", ("Refresh", "0; http://169.254.169.254/latest"))
    with pytest.raises(Exception, match="private or reserved"):
        await fetched(RawSite({"/": elsewhere}), refresh=True)
    other = RawSite({"/": answer(PAGE)})
    async with other.open() as target:
        site = RawSite({"/": answer("", ("Refresh", f"0; {target}/"), ("Set-Cookie", "s=1"))})
        await fetched(site, refresh=True, headers=(("Authorization", "Basic x"), ("X-Own", "1")))
    assert (other.sent("Authorization"), other.sent("X-Own")) == ([""], ["1"])


async def test_large_bodies_grow_a_few_at_a_time_and_all_are_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scraper.answer_bodies.MAX_BODY_BYTES", 1000)
    site = RawSite({"/": answer("x" * 200_000)})
    async with site.open() as base, fetching() as fetcher, fetcher.session() as session:
        found = await asyncio.gather(
            *(session.fetch(FetchRequest(base, max_bytes=limit)) for limit in [300_000, 150_000] * 6)
        )
        assert [(len(one.body), one.truncated) for one in found] == [(200_000, False), (150_000, True)] * 6
        # Nobody has kept a place.
        assert fetcher._large._value == LARGE_AT_ONCE
