"""The http executor and the fetcher below it, against a real server."""

import asyncio
import gzip
from ipaddress import ip_network

import pytest
from aiohttp import web
from executor_kit import context_of, fetching, serve
from scraper.addresses import AddressNotAllowed
from scraper.executor import ExecutorError, InvalidParameters
from scraper.executors.http import HttpExecutor
from scraper.fetch import FetchFailed, FetchRequest


async def echo(request: web.Request) -> web.Response:
    return web.json_response(
        {
            "method": request.method,
            "path": request.path_qs,
            "headers": dict(request.headers),
            "body": (await request.read()).decode(),
        }
    )


async def test_http_executor_sends_what_the_arguments_say() -> None:
    async with serve({"/{tail:.*}": echo}) as base, fetching() as fetcher:
        arguments = ["POST", "-H", "X-Name: {{who}}", "--json", '{"n": {{n}}}', "-u", "me:{{secret}}"]
        context = context_of(
            command=base + "/{{path}}?a=1",
            arguments=arguments,
            parameters={"who": "a b", "n": 1, "secret": "s", "path": "p"},
        )
        result = await HttpExecutor(fetcher=fetcher).run(context)
    assert result["status"] == 200
    assert result["body"]["method"] == "POST"
    assert result["body"]["path"] == "/p?a=1"
    assert result["body"]["body"] == '{"n": 1}'
    assert result["body"]["headers"]["X-Name"] == "a b"
    assert result["body"]["headers"]["Authorization"] == "Basic bWU6cw=="
    assert result["headers"]["Content-Type"].startswith("application/json")


@pytest.mark.parametrize(
    ("status", "retryable"),
    [(400, False), (404, False), (408, True), (425, True), (429, True), (500, True), (503, True)],
)
async def test_http_executor_status_of_400_and_above_fails_the_attempt(status: int, retryable: bool) -> None:
    async def fail(_: web.Request) -> web.Response:
        return web.Response(status=status, text="the reason")

    async with serve({"/": fail}) as base, fetching() as fetcher:
        with pytest.raises(ExecutorError, match=f"HTTP {status}.*the reason") as caught:
            await HttpExecutor(fetcher=fetcher).run(context_of(command=base + "/"))
    assert caught.value.retryable is retryable


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
async def test_http_executor_reads_json_behind_a_byte_order_mark(encoding: str) -> None:
    async def tell(_: web.Request) -> web.Response:
        return web.Response(body='{"n": "灯"}'.encode(encoding), content_type="application/json")

    async with serve({"/": tell}) as base, fetching() as fetcher:
        result = await HttpExecutor(fetcher=fetcher).run(context_of(command=base + "/"))
    assert result["body"] == {"n": "灯"}


async def test_http_executor_text_is_cut_and_says_so() -> None:
    async with serve({"/": "é" * 100_000, "/small": "x"}) as base, fetching() as fetcher:
        executor = HttpExecutor(fetcher=fetcher)
        big = await executor.run(context_of(command=base + "/"))
        small = await executor.run(context_of(command=base + "/small"))
    assert (len(big["body"].encode()), big["truncated"]) == (64 * 1024, True)
    assert small["body"] == "x"
    assert "truncated" not in small


async def test_http_executor_binary_is_kept_as_a_file() -> None:
    async def image(_: web.Request) -> web.Response:
        return web.Response(body=b"\x89PNG\0\0", content_type="image/png")

    async with serve({"/": image}) as base, fetching() as fetcher:
        context = context_of(command=base + "/")
        result = await HttpExecutor(fetcher=fetcher).run(context)
    assert (result["body"], context.blobs[result["file"]]) == (None, b"\x89PNG\0\0")


async def test_http_executor_redirects_only_with_location_option() -> None:
    async def move(_: web.Request) -> web.Response:
        raise web.HTTPFound("/there")

    async with serve({"/": move, "/there": "arrived"}) as base, fetching() as fetcher:
        executor = HttpExecutor(fetcher=fetcher)
        assert (await executor.run(context_of(command=base + "/")))["status"] == 302
        assert (await executor.run(context_of(command=base + "/", arguments=["-L"])))["body"] == "arrived"


async def test_http_executor_refuses_private_addresses() -> None:
    async with serve({"/": "secret"}) as base, fetching(allow=()) as fetcher:
        executor = HttpExecutor(fetcher=fetcher)
        for url in (base, base.replace("127.0.0.1", "localhost"), "http://[::ffff:127.0.0.1]:1/", "file:///etc/passwd"):
            with pytest.raises(AddressNotAllowed):
                await executor.run(context_of(command=url))


async def test_fetch_checks_every_hop_of_a_redirect() -> None:
    """Allowed 127.0.0.1 sends on to 127.0.0.2, by literal and by a name that resolves to a refused address."""
    allow = [ip_network("127.0.0.1/32")]
    for target in ("http://127.0.0.2:1/", "http://[::1]:1/", "file:///etc/passwd", "http://0.0.0.0:1/"):

        async def move(_: web.Request, target: str = target) -> web.Response:
            return web.Response(status=302, headers={"Location": target})

        async with serve({"/": move}) as base, fetching(allow=allow) as fetcher:
            with pytest.raises(AddressNotAllowed):
                await HttpExecutor(fetcher=fetcher).run(context_of(command=base, arguments=["-L"]))


async def test_fetch_credentials_do_not_follow_to_another_origin() -> None:
    async with serve({"/": echo}) as other:

        async def move(_: web.Request) -> web.Response:
            return web.Response(status=307, headers={"Location": other + "/"})

        async with serve({"/": move}) as base, fetching() as fetcher:
            arguments = ["-L", "-u", "a:b", "-b", "c=d", "-H", "X-Kept: 1", "-d", "x"]
            result = await HttpExecutor(fetcher=fetcher).run(context_of(command=base, arguments=arguments))
    headers = result["body"]["headers"]
    assert "Authorization" not in headers
    assert "Cookie" not in headers
    assert headers["X-Kept"] == "1"
    assert (result["body"]["method"], result["body"]["body"]) == ("POST", "x")


async def test_fetch_ends_a_redirect_circle() -> None:
    async def circle(_: web.Request) -> web.Response:
        raise web.HTTPFound("/")

    async with serve({"/": circle}) as base, fetching() as fetcher:
        with pytest.raises(FetchFailed, match="redirects more than"):
            await HttpExecutor(fetcher=fetcher).run(context_of(command=base, arguments=["-L"]))


async def test_fetch_body_is_bounded_after_decompression() -> None:
    """A small answer that unpacks to 200 MB is held only up to the bound."""
    bomb = gzip.compress(b"0" * 200_000_000, compresslevel=6)

    async def send(_: web.Request) -> web.Response:
        return web.Response(body=bomb, headers={"Content-Encoding": "gzip", "Content-Type": "text/plain"})

    async with serve({"/": send}) as base, fetching() as fetcher, fetcher.session() as session:
        answer = await session.fetch(FetchRequest(base, max_bytes=1_000_000))
    assert (len(answer.body), answer.truncated) == (1_000_000, True)


async def test_fetch_deadline_holds_for_a_body_that_drips() -> None:
    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x")
            await asyncio.sleep(0.02)

    async with serve({"/": drip}) as base, fetching() as fetcher:
        with pytest.raises(FetchFailed, match=r"within 0\.2 s"):
            await HttpExecutor(fetcher=fetcher, timeout_seconds=0.2).run(context_of(command=base))


async def test_fetch_unreachable_is_retryable() -> None:
    async with serve({}) as base:
        pass
    async with fetching() as fetcher:
        with pytest.raises(FetchFailed) as caught:
            await HttpExecutor(fetcher=fetcher).run(context_of(command=base))
        assert caught.value.retryable
        with pytest.raises(InvalidParameters):
            await HttpExecutor(fetcher=fetcher).run(context_of(command=" "))


async def test_fetch_cookies_last_for_one_run() -> None:
    async def cookies(request: web.Request) -> web.Response:
        response = web.json_response(dict(request.cookies))
        response.set_cookie("seen", "yes")
        return response

    async with serve({"/": cookies}) as base, fetching() as fetcher:
        async with fetcher.session() as session:
            assert (await session.fetch(FetchRequest(base))).text() == "{}"
            assert (await session.fetch(FetchRequest(base))).text() == '{"seen": "yes"}'
        async with fetcher.session() as session:
            assert (await session.fetch(FetchRequest(base))).text() == "{}"


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ("灯".encode("gbk"), "text/html; charset=gb2312"),
        ('<meta charset="gbk">灯'.encode("gbk"), "text/html"),
        ("灯".encode(), "text/html"),
        ("\ufeff灯".encode("utf-16-le"), "text/html"),
    ],
)
async def test_fetch_finds_the_charset(body: bytes, content_type: str) -> None:
    async def send(_: web.Request) -> web.Response:
        return web.Response(body=body, headers={"Content-Type": content_type})

    async with serve({"/": send}) as base, fetching() as fetcher, fetcher.session() as session:
        assert (await session.fetch(FetchRequest(base))).text().endswith("灯")


async def test_fetch_goes_through_a_proxy_and_judges_the_target() -> None:
    """The proxy sees the whole URL; a private target is refused although only the proxy would connect to it."""

    async def proxy(request: web.Request) -> web.Response:
        return web.Response(text=f"proxied {request.raw_path}")

    allow = [ip_network("127.0.0.1/32")]
    async with (
        serve({"/{tail:.*}": proxy}) as base,
        fetching(allow=allow) as fetcher,
        fetcher.session(proxy=base) as session,
    ):
        assert (await session.fetch(FetchRequest("http://1.2.3.4/x"))).text() == "proxied http://1.2.3.4/x"
        with pytest.raises(AddressNotAllowed):
            await session.fetch(FetchRequest("http://10.0.0.1/"))


async def test_fetch_user_agent_is_honest_by_default() -> None:
    async with serve({"/": echo}) as base, fetching() as fetcher:
        result = await HttpExecutor(fetcher=fetcher).run(context_of(command=base))
        assert "Trawl" in result["body"]["headers"]["User-Agent"]
        result = await HttpExecutor(fetcher=fetcher).run(context_of(command=base, arguments=["-A", "other"]))
        assert result["body"]["headers"]["User-Agent"] == "other"
