"""Steps over HTTP, without a browser: what targets mean, what is refused, and what a busy server does."""

import asyncio

import pytest
from aiohttp import web
from executor_kit import context_of, fetching, serve
from scrape_kit import page_readers
from scraper.executor import ExecutorError, InvalidParameters
from scraper.executors.rpa_base import RpaBaseExecutor

PAGE = """<title>Shop</title><body><h1>Lamps</h1><script>var hidden = 'Lamp 9'</script>
<ul><li class=item><a href="/d?n=1"><b class=name>Lamp 1</b></a> <i class=price>1,50 €</i></li>
<li class=item><a href="/d?n=2"><b class=name>Lamp 2</b></a> <i class=price>2,50 €</i></li></ul>
<a class=next href="/two">Next page</a><button>Buy</button></body>"""
TWO = "<title>Two</title><li class=item><b class=name>Lamp 3</b></li>"


async def run(base, steps, **more):
    context = context_of("rpa_base", parameters={"BASE_URL": base, "steps": steps} | more)
    async with fetching() as fetcher:
        return await RpaBaseExecutor(fetcher, {"PW": "geheim-1"}.get, page_readers()).run(context), context


async def test_lists_links_loops_and_conditions_work_as_in_a_browser():
    fields = {"name": {"css": ".name"}, "price": {"css": ".price", "type": "number"}, "none": {"css": "u"}}
    steps = [
        {"type": "extract", "name": "items", "list": True, "target": {"css": "li.item"}, "fields": fields},
        {"type": "loop", "target": {"css": "li.item"}, "steps": [
            {"type": "output", "name": "url", "target": {"css": "a"}, "attribute": "href"}]},
        {"type": "scroll", "distance": 100},
        {"type": "if", "when": {"text": "Lamp 9"}, "else": [{"type": "output", "name": "script", "value": "unseen"}]},
        {"type": "click", "target": {"role": "link", "name": "Next page"}},
        {"type": "assert", "when": {"url": "*/two", "target": {"css": "h1"}, "visible": False}},
        {"type": "set_variable", "name": "t", "target": {"css": ".name"}},
        {"type": "output", "name": "last", "value": "{{vars.t}} {{row.k}} {{secret:PW}}"},
    ]  # fmt: skip
    async with serve({"/": PAGE, "/two": TWO}) as base:
        result, context = await run(base, steps, row={"k": "v"})
    assert result["items"][1] == {"name": "Lamp 2", "price": 2.5, "none": None}
    assert result["url"] == ["/d?n=1", "/d?n=2"]
    assert (result["script"], result["last"]) == ("unseen", "Lamp 3 v ***")
    assert b"geheim" not in context.blobs["trace.json"]
    assert b'"outcome":"done"' in context.blobs["trace.json"]


@pytest.mark.parametrize(
    ("target", "found"),
    [
        ({"xpath": "//h1"}, "Lamps"),
        ({"text": "Lamp 2"}, "Lamp 2"),
        ({"text": "amp 1"}, "Lamp 1"),
        ({"role": "heading", "name": "Lamps"}, "Lamps"),
        ({"css": "li", "hasText": "Lamp 2"}, "Lamp 2 2,50 €"),
        ({"name": "Next page"}, "Next page"),
        ([{"text": "amp 1", "exact": True}, {"css": "h1"}], "Lamps"),
        ([{"id": "none"}, {"css": "h1"}], "Lamps"),
    ],
)
async def test_every_way_to_a_target(target, found):
    async with serve({"/": PAGE}) as base:
        result, _ = await run(base, [{"type": "extract", "name": "x", "target": target}])
    assert result == {"x": found}


@pytest.mark.parametrize(
    ("step", "place"),
    [
        ({"type": "hover", "target": {"css": "a"}}, "steps[0]"),
        ({"type": "loop", "count": 1, "steps": [{"type": "press", "key": "Enter"}]}, "steps[0].steps[0]"),
        ({"type": "if", "when": {"text": "x"}, "else": [{"type": "screenshot"}]}, "steps[0].else[0]"),
        ({"type": "wait_for", "networkIdle": True}, "steps[0]"),
        ({"type": "click", "target": {"css": "a"}, "button": "right"}, "steps[0]"),
        ({"type": "wait_for", "target": {"css": "a"}, "properties": {"x": 1}}, "steps[0]"),
        ({"type": "wait_for", "target": {"css": "a", "within": [{"css": "b"}]}}, "steps[0]"),
        ({"type": "if", "when": {"target": {"css": "a", "frame": "b"}}}, "steps[0]"),
    ],
)
async def test_what_needs_a_browser_is_refused_before_anything_is_fetched(step, place):
    with pytest.raises(InvalidParameters) as caught:
        await run("http://127.0.0.1:9/", [step])
    assert caught.value.field == place
    assert "needs a browser" in caught.value.message


async def test_a_chrome_recording_is_done_as_far_as_it_follows_links():
    steps = [
        {"type": "setViewport", "width": 800, "height": 600},
        {"type": "waitForElement", "selectors": [["li.item"]], "operator": "==", "count": 2},
        {"type": "click", "selectors": [["aria/Next page"]], "offsetX": 5, "offsetY": 5,
         "assertedEvents": [{"type": "navigation", "url": "*/two", "title": "Two"}]},
        {"type": "waitForElement", "selectors": [["h1"]], "visible": False},
    ]  # fmt: skip
    async with serve({"/": PAGE, "/two": TWO}) as base:
        _, context = await run(base, {"title": "t", "steps": steps})
        assert context.blobs["trace.json"].count(b'"outcome":"done"') == 5
        steps[2]["assertedEvents"][0]["title"] = "Three"
        with pytest.raises(ExecutorError) as caught:
            await run(base, {"title": "t", "steps": steps})
    assert caught.value.code == "ASSERTION_FAILED"


async def test_a_summary_says_how_much_it_leaves_out():
    links = "".join(f"<a href='/{number}'>n</a> " for number in range(10_050))
    async with serve({"/": f"<title>Many</title><body>{links}</body>", "/few": PAGE}) as base:
        many, _ = await run(base, [])
        few, _ = await run(f"{base}/few", [])
    assert (len(many["links"]), many["truncated"]) == (10_000, {"links": 10_050})
    assert "truncated" not in few


@pytest.mark.parametrize(
    ("step", "code"),
    [
        ({"type": "wait_for", "target": {"css": "li"}, "count": 5}, "STEP_TIMEOUT"),
        ({"type": "click", "target": {"css": "button"}}, "NEEDS_BROWSER"),
        ({"type": "extract", "name": "x", "target": {"css": "##"}}, "INVALID_SELECTOR"),
        ({"type": "extract", "name": "x", "target": {"xpath": "//*[zzz()]"}}, "INVALID_SELECTOR"),
        ({"type": "extract", "name": "x", "target": {"id": "a'\"b"}}, "TARGET_NOT_FOUND"),
        ({"type": "navigate", "url": "file:///etc/passwd"}, "INVALID_URL"),
        ({"type": "custom", "name": "x"}, "UNSUPPORTED_CUSTOM_ACTION"),
        ({"type": "assert", "when": {"text": "nowhere"}}, "ASSERTION_FAILED"),
    ],
)
async def test_what_can_not_be_done_says_so(step, code):
    async with serve({"/": PAGE}) as base:
        with pytest.raises(ExecutorError) as caught:
            await run(base, [step])
    assert caught.value.code == code
    assert caught.value.message.startswith(f"steps[0] {step['type']}")


async def test_a_busy_server_is_asked_again_and_never_taken_for_an_empty_page():
    asked = []

    async def busy(request):
        asked.append(request.path_qs)
        if request.query.get("n") == "1" and len(asked) > 1:
            return web.Response(text="<h1>At last</h1>", content_type="text/html")
        return web.Response(status=503, headers={"Retry-After": "0"} if len(asked) > 1 else {})

    read = [{"type": "extract", "name": "h", "target": {"css": "h1"}}]
    async with serve({"/busy": busy}) as base:
        result, _ = await run(f"{base}/busy?n=1", read)
        assert result == {"h": "At last"}
        with pytest.raises(ExecutorError) as caught:
            await run(f"{base}/busy", [{"type": "navigate", "url": "/busy", "timeoutMs": 500}])
        assert caught.value.code == "SERVER_BUSY"
        result, _ = await run(f"{base}/busy", [])
        assert result["status"] == 503, "without steps the status is what is asked for"


async def test_private_addresses_are_refused():
    context = context_of("rpa_base", parameters={"BASE_URL": "http://127.0.0.1:9/"})
    async with fetching(allow=()) as fetcher:
        with pytest.raises(ExecutorError) as caught:
            await RpaBaseExecutor(fetcher, {}.get, page_readers()).run(context)
    assert caught.value.code == "ADDRESS_NOT_ALLOWED"


async def test_a_cancelled_fetch_ends_at_once():
    async def never(_request):
        await asyncio.sleep(600)
        return web.Response()

    async with serve({"/never": never}) as base:
        task = asyncio.create_task(run(f"{base}/never", []))
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            async with asyncio.timeout(40):
                await task
