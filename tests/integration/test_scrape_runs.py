"""Scrape runs against a small shop: what they store, how they stop, and how they go on."""

import asyncio
import time
from typing import Any

import pytest
from aiohttp import web
from executor_kit import context_of, fetching, serve
from scrape_kit import Shop, definition, page_readers, scrape
from scraper.executor import ExecutorError, InvalidParameters, Parked
from scraper.executors.scrape import ScrapeExecutor
from scraper.host_pace import MAX_PAUSE_SECONDS


async def test_scrape_follows_pages_and_details() -> None:
    shop = Shop()
    async with shop.open() as base:
        result, context = await scrape(definition(base))
    assert [item.data["sku"] for item in context.emitted] == list(range(12)), "items come in the order of the pages"
    first = context.emitted[1]
    assert first.data == {
        "name": "Lamp 1",
        "price": 1001.5,
        "url": f"{base}/lamp/1",
        "tags": ["a", "b1"],
        "description": "Lamp number 1",
        "sku": 1,
    }
    assert (first.data_type, first.metadata) == ("product", {"url": f"{base}/lamp/1"})
    assert (result["pages"], result["items"], result["failed_count"], result["stop_reason"]) == (15, 12, 0, "finished")
    assert context.steps[-1] == (15, None, "15 pages, 12 items")
    assert shop.most_running <= 4, "a host gets no more than four requests at once"
    assert shop.hits.count("/robots.txt") == 1


async def test_scrape_items_come_while_it_runs() -> None:
    seen: list[int] = []
    shop = Shop()
    async with shop.open() as base:
        context = context_of("scrape", parameters=definition(base, detail=None, unique_by=[]))
        context.on_emit = lambda _: seen.append(len(shop.hits))
        async with fetching() as fetcher:
            await ScrapeExecutor(fetcher=fetcher, readers=page_readers()).run(context)
    assert seen[0] < len(shop.hits)


@pytest.mark.parametrize(
    ("limits", "pages", "items", "reason"),
    [
        ({"pages": 2}, 2, 1, "page_limit"),
        ({"pages": 7}, 7, 5, "page_limit"),
        ({"items": 3}, None, 3, "item_limit"),
        ({"items": 4}, None, 4, "item_limit"),
        ({"items": 12}, None, 12, "finished"),
        ({"depth": 0}, 3, 12, "finished"),
        ({"seconds": 0.0001}, 0, 0, "time_limit"),
    ],
)
async def test_scrape_limits_say_what_stopped_it(
    limits: dict[str, float], pages: int | None, items: int, reason: str
) -> None:
    shop = Shop()
    async with shop.open() as base:
        unique = {"unique_by": ["url"]} if "depth" in limits else {}
        result, context = await scrape(definition(base, limits=limits, **unique))
    assert (result["items"], len(context.items), result["stop_reason"]) == (items, items, reason)
    assert pages is None or result["pages"] == pages
    loaded = len([path for path in shop.hits if path != "/robots.txt"])
    assert loaded <= result["pages"], "no page is loaded beyond what is counted"


async def test_scrape_time_limit_ends_a_page_that_hangs() -> None:
    async def hang(_: web.Request) -> web.Response:
        await asyncio.sleep(600)
        return web.Response()

    async with serve({"/list": hang}) as base:
        result, _ = await asyncio.wait_for(scrape(definition(base, robots=False, limits={"seconds": 0.3})), 40)
    assert result["stop_reason"] == "time_limit"


async def test_scrape_a_retry_goes_on_where_the_attempt_stopped() -> None:
    """At every checkpoint of a run, a retry from it completes the run, twice storing nothing and missing nothing."""
    shop = Shop(pages=4, per_page=3)
    async with shop.open() as base:
        for unique_by in (["sku"], []):
            parameters = definition(base, unique_by=unique_by)
            context = context_of("scrape", parameters=parameters)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("scraper.scrape_run.CHECKPOINT_SECONDS", 0)
                async with fetching() as fetcher:
                    await ScrapeExecutor(fetcher=fetcher, readers=page_readers()).run(context)
            whole = {key: item.data["sku"] for key, item in context.items.items()}
            assert sorted(whole.values()) == list(range(12))
            assert len(context.checkpoints) > 4
            for checkpoint in context.checkpoints:
                shop.hits.clear()
                result, again = await scrape(parameters, checkpoint=checkpoint, attempt=2)
                stored_before = checkpoint["items"]
                assert len(again.emitted) == 12 - stored_before
                assert {key: item.data["sku"] for key, item in again.items.items()}.items() <= whole.items()
                assert (result["items"], result["stop_reason"]) == (12, "finished")
                assert len([path for path in shop.hits if path.startswith("/lamp")]) == 12 - stored_before


async def test_scrape_a_cancelled_attempt_and_its_retry_store_each_item_once() -> None:
    shop = Shop(pages=4, per_page=5)
    async with shop.open() as base:
        parameters = definition(base)
        context = context_of("scrape", parameters=parameters)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("scraper.scrape_run.CHECKPOINT_SECONDS", 0)
            async with fetching() as fetcher:
                task = asyncio.create_task(ScrapeExecutor(fetcher=fetcher, readers=page_readers()).run(context))
                context.on_emit = lambda _: task.cancel() if len(context.items) >= 8 else None
                with pytest.raises(asyncio.CancelledError):
                    await task
        first = len(context.items)
        assert 8 <= first < 20
        shop.hits.clear()
        _, again = await scrape(parameters, checkpoint=context.checkpoints[-1], attempt=2)
    assert "/list" not in shop.hits, "the first page isn't asked for again"
    assert len(context.items | again.items) == 20
    assert {item.data["sku"] for item in (context.items | again.items).values()} == set(range(20))


async def test_scrape_a_checkpoint_of_another_definition_is_not_used() -> None:
    shop = Shop(pages=1)
    async with shop.open() as base:
        _, context = await scrape(definition(base))
        result, _ = await scrape(definition(base, data_type="other"), checkpoint=context.checkpoints[-1])
    assert result["items"] == 4


async def test_scrape_many_start_urls_resume_without_loss() -> None:
    shop = Shop(pages=2, per_page=2)
    async with shop.open() as base:
        starts = [f"{base}/list?chain={n}" for n in range(20)]
        parameters = definition(base, start_urls=starts, detail=None, next=None, unique_by=[])
        context = context_of("scrape", parameters=parameters)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("scraper.scrape_run.CHECKPOINT_SECONDS", 0)
            async with fetching() as fetcher:
                await ScrapeExecutor(fetcher=fetcher, readers=page_readers()).run(context)
        assert len(context.items) == 40
        middle = context.checkpoints[len(context.checkpoints) // 2]
        _, again = await scrape(parameters, checkpoint=middle)
    assert 0 < len(again.items) < 40
    assert set(again.items) <= set(context.items)
    assert len(again.items) == 40 - middle["items"]


async def test_scrape_a_circle_of_pages_ends() -> None:
    page = '<li class="item"><b class="name">x</b></li><a class="next" href="/list">again</a>'
    async with serve({"/list": page}) as base:
        result, context = await scrape(definition(base, detail=None, unique_by=[]))
    assert (result["pages"], result["items"], result["stop_reason"]) == (1, 1, "finished")
    assert any("seen before" in message for message in context.messages())


async def test_scrape_duplicates_are_stored_once() -> None:
    page = '<li class="item"><b class="name">x</b></li>' * 3
    async with serve({"/list": page}) as base:
        result, _ = await scrape(definition(base, detail=None, unique_by=["name"]))
        again, _ = await scrape(definition(base, detail=None, unique_by=[]))
    assert (result["items"], result["duplicates"]) == (1, 2)
    assert again["items"] == 3


async def test_scrape_overloaded_host_slows_the_run_instead_of_failing_it() -> None:
    shop = Shop(pages=2)
    busy = [
        web.Response(status=429, headers={"Retry-After": "0"}),
        web.Response(status=503, headers={"Retry-After": "1"}),
    ]
    shop.trouble["/list"] = busy
    async with shop.open() as base:
        started = asyncio.get_running_loop().time()
        result, context = await scrape(definition(base, detail=None, unique_by=[]))
    assert (result["items"], result["failed_count"], result["stop_reason"]) == (8, 0, "finished")
    assert asyncio.get_running_loop().time() - started >= 1
    assert any("503" in message and "1.0 s" in message for message in context.messages("warn"))


async def test_scrape_a_long_retry_after_parks_the_run_for_a_bounded_time() -> None:
    shop = Shop(pages=1)
    shop.trouble["/list"] = [web.Response(status=429, headers={"Retry-After": "1000000"})]
    async with shop.open() as base, fetching() as fetcher:
        context = context_of("scrape", parameters=definition(base, detail=None, unique_by=[]))
        with pytest.raises(Parked) as caught:
            await ScrapeExecutor(fetcher=fetcher, readers=page_readers()).run(context)
    assert 0 < caught.value.resume_at_ms - time.time() * 1000 <= MAX_PAUSE_SECONDS * 1000
    assert shop.hits.count("/list") == 1


async def test_scrape_pages_that_stay_away_are_named() -> None:
    shop = Shop(pages=2)
    shop.trouble["/lamp/1"] = [web.Response(status=404)]
    shop.trouble["/list?page=2"] = [web.Response(status=410)]
    async with shop.open() as base:
        result, context = await scrape(definition(base, unique_by=["url"]))
    assert {(page["url"].removeprefix(base), page["reason"], page["status"]) for page in result["failed_pages"]} == {
        ("/lamp/1", "HTTP 404 Not Found", 404),
        ("/list?page=2", "HTTP 410 Gone", 410),
    }
    assert (result["items"], result["failed_count"], result["stop_reason"]) == (4, 2, "pages_failed")
    lame = next(item for item in context.emitted if item.data["url"].endswith("/lamp/1"))
    assert lame.data["description"] is None
    assert lame.metadata["detail_failed"] == "HTTP 404 Not Found"


@pytest.mark.parametrize(("status", "again"), [(404, False), (403, False), (408, True)])
async def test_scrape_without_any_start_page_fails_and_only_what_may_change_is_tried_again(
    status: int, again: bool
) -> None:
    shop = Shop()
    shop.trouble["/list"] = [web.Response(status=status, headers={"Retry-After": "0"}) for _ in range(9)]
    async with shop.open() as base:
        context = context_of("scrape", parameters=definition(base))
        async with fetching() as fetcher:
            with pytest.raises(ExecutorError, match=f"HTTP {status}") as caught:
                await ScrapeExecutor(fetcher=fetcher, readers=page_readers()).run(context)
    assert caught.value.retryable is again
    assert shop.hits.count("/list") == (3 if again else 1)
    assert context.checkpoints == []


async def test_scrape_robots_txt_is_obeyed_unless_switched_off() -> None:
    shop = Shop(pages=2, robots="User-agent: Trawl\nDisallow: /list?page=2\n\nUser-agent: *\nDisallow: /")
    async with shop.open() as base:
        result, _ = await scrape(definition(base, detail=None, unique_by=[]))
        assert [page["reason"] for page in result["failed_pages"]] == [
            f"robots.txt of 127.0.0.1 disallows {base}/list?page=2"
        ]
        assert "/list?page=2" not in shop.hits
        result, _ = await scrape(definition(base, detail=None, unique_by=[], robots=False))
        assert result["items"] == 8
        with pytest.raises(ExecutorError, match=r"robots\.txt") as caught:
            await scrape(definition(base, user_agent="Other/1"))
    assert not caught.value.retryable


async def test_scrape_unreadable_robots_txt_counts_as_forbidden() -> None:
    shop = Shop()
    shop.trouble["/robots.txt"] = [web.Response(status=500, headers={"Retry-After": "0"}) for _ in range(5)]
    async with shop.open() as base:
        with pytest.raises(ExecutorError, match="counts as disallowed") as caught:
            await scrape(definition(base))
    assert caught.value.retryable
    assert "/list" not in shop.hits


async def test_scrape_crawl_delay_is_kept() -> None:
    shop = Shop(pages=3, robots="User-agent: *\nCrawl-delay: 0.2")
    async with shop.open() as base:
        started = asyncio.get_running_loop().time()
        await scrape(definition(base, detail=None, unique_by=[]))
    assert asyncio.get_running_loop().time() - started >= 0.4


async def test_scrape_a_page_where_nothing_matched_is_reported_with_what_was_tried() -> None:
    async with serve({"/list": "<title>Other</title><p>nothing</p>"}) as base:
        result, context = await scrape(definition(base, detail=None, unique_by=[]))
    level, message, data = next(entry for entry in context.logs if "Nothing found" in entry[1])
    assert (level, result["items"], result["stop_reason"]) == ("warn", 0, "finished")
    assert "no item matched" in message
    assert data["tried"]["select"] == {"css": "li.item"}
    assert data["title"] == "Other"


async def test_scrape_items_without_required_fields_are_left_out_and_counted() -> None:
    page = '<li class="item"><b class="name">x</b></li><li class="item"><i class="tag">y</i></li><li class="item"></li>'
    fields = {"name": {"css": ".name", "required": True}, "tag": {"css": ".tag", "default": "none"}}
    async with serve({"/list": page}) as base:
        parameters = definition(base, detail=None, unique_by=[], items={"select": {"css": "li.item"}, "fields": fields})
        result, context = await scrape(parameters)
    assert [item.data for item in context.emitted] == [{"name": "x", "tag": "none"}]
    assert result["incomplete"] == 2
    assert any("required fields are missing: name" in message for message in context.messages("warn"))


async def test_scrape_json_answers_page_by_page() -> None:
    async def api(request: web.Request) -> web.Response:
        page = int(request.query.get("p", 0))
        following = f"/list?p={page + 1}" if page < 2 else None
        return web.json_response(
            {"rows": [{"id": page * 2 + n, "a": {"b": [1, 2]}} for n in (0, 1)], "next": following}
        )

    parameters = {
        "items": {
            "select": {"jsonpath": "$.rows[*]"},
            "fields": {"id": {"jsonpath": "$.id"}, "b": {"jsonpath": "$.a.b"}},
        },
        "next": {"jsonpath": "$.next"},
        "unique_by": ["id"],
        "detail": None,
    }
    async with serve({"/list": api}) as base:
        result, context = await scrape(definition(base, **parameters))
    assert [item.data for item in context.emitted] == [{"id": n, "b": [1, 2]} for n in range(6)]
    assert result["stop_reason"] == "finished"


async def test_scrape_private_addresses_fail_for_good() -> None:
    async with serve({"/list": "secret"}) as base, fetching(allow=()) as fetcher:
        with pytest.raises(ExecutorError) as caught:
            await ScrapeExecutor(fetcher=fetcher, readers=page_readers()).run(
                context_of("scrape", parameters=definition(base))
            )
    assert (caught.value.code, caught.value.retryable) == ("ADDRESS_NOT_ALLOWED", False)


async def test_scrape_credentials_go_only_to_the_start_sites() -> None:
    seen: dict[str, Any] = {}

    async def other(request: web.Request) -> web.Response:
        seen.update(request.headers)
        return web.Response(text="<div id=desc>x</div>", content_type="text/html")

    async with serve({"/lamp": other}) as elsewhere:
        page = f'<li class="item"><a href="{elsewhere}/lamp">x</a></li>'
        async with serve({"/list": page}) as base:
            await scrape(definition(base, unique_by=[], headers={"Authorization": "secret", "X-Any": "1"}))
    assert "Authorization" not in seen
    assert seen["X-Any"] == "1"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"start_urls": []}, "start_urls"),
        ({"start_urls": ["ftp://x/"]}, "start_urls[0]"),
        ({"start_urls": "http://x/"}, "start_urls"),
        ({"render": "magic"}, "render"),
        ({"items": None}, "items"),
        ({"items": {"fields": {}}}, "items.fields"),
        ({"items": {"fields": {"a": {}}}}, "items.fields.a"),
        ({"items": {"fields": {"a": {"css": "a", "xpath": "b"}}}}, "items.fields.a"),
        ({"items": {"fields": {"url": {"css": "a[["}, "sku": {"css": "x"}}}}, "items.fields.url.css"),
        ({"items": {"fields": {"url": {"xpath": "//a["}}}}, "items.fields.url.xpath"),
        ({"items": {"fields": {"url": {"xpath": "re:test(., 'a')"}}}}, "items.fields.url.xpath"),
        ({"items": {"fields": {"url": {"xpath": "document('/etc/passwd')"}}}}, "items.fields.url.xpath"),
        ({"items": {"fields": {"url": {"regex": "(?=a)"}}}}, "items.fields.url.regex"),
        ({"items": {"fields": {"url": {"jsonpath": "$["}}}}, "items.fields.url.jsonpath"),
        ({"items": {"select": {"regex": "a"}, "fields": {"url": {"css": "a"}}}}, "items.select.regex"),
        ({"detail": {"follow": "nope", "fields": {"sku": {"css": "a"}}}}, "detail.follow"),
        ({"unique_by": ["nope"]}, "unique_by"),
        ({"limits": {"pages": "many"}}, "limits.pages"),
        ({"limits": {"pages": 0}}, "limits.pages"),
        ({"changes": True}, "changes"),
        ({"mode": "crawl"}, "next"),
        ({"proxy_id": "p"}, "proxy_id"),
    ],
)
async def test_scrape_wrong_definitions_are_refused_by_field(change: dict[str, Any], field: str) -> None:
    parameters = definition("http://127.0.0.1:1") | change
    with pytest.raises(InvalidParameters) as caught:
        await scrape({name: value for name, value in parameters.items() if value is not None})
    assert caught.value.message.startswith(f"{field}: ")


async def test_scrape_a_selector_that_never_ends_costs_its_page_and_holds_up_no_other() -> None:
    """The hostile XPath is cubic in the large page and quick on the small one: the process that reads it is ended."""
    rows = "".join(f"<p><i>{n}</i></p>" for n in range(20_000))
    fields = {"a": {"xpath": "count(//p[count(//p[i > ../p[1]/i]) > 1])", "type": "integer"}}
    async with serve({"/large": rows, "/small": "<p><i>1</i></p>"}) as base:
        readers = page_readers(page_seconds=0.5)
        starts = [f"{base}/large", f"{base}/small", f"{base}/small?2"]
        parameters = definition(base, start_urls=starts, detail=None, unique_by=[], items={"fields": fields})
        loop = asyncio.get_running_loop()
        laps: list[float] = []

        async def count_laps() -> None:
            while True:
                laps.append(loop.time())
                await asyncio.sleep(0.01)

        counting = asyncio.create_task(count_laps())
        result, context = await scrape(parameters, readers=readers)
        counting.cancel()
    assert [item.data for item in context.items.values()] == [{"a": 0}, {"a": 0}]
    assert [page["url"] for page in result["failed_pages"]] == [f"{base}/large"]
    assert "took more than 0.5 s of processor time: items.a costs too much" in result["failed_pages"][0]["reason"]
    # In the loop, or in a thread that holds the interpreter, there would have been a handful.
    assert len(laps) >= 10


async def test_scrape_a_start_page_that_is_not_there_is_asked_for_once_and_not_tried_again() -> None:
    shop = Shop()
    shop.trouble["/list"] = [web.Response(status=404)]
    async with shop.open() as base:
        with pytest.raises(ExecutorError, match="HTTP 404") as caught:
            await scrape(definition(base))
    assert not caught.value.retryable
    assert shop.hits.count("/list") == 1


async def test_scrape_that_finds_nothing_says_so_and_fails_where_that_is_asked_for() -> None:
    shop = Shop(pages=1)
    async with shop.open() as base:
        nowhere = definition(base, detail=None, unique_by=[], next=None) | {
            "items": {"select": {"css": ".nowhere"}, "fields": {"a": {"css": "a"}}}
        }
        result, context = await scrape(nowhere)
        assert result["items"] == 0
        assert any(message.startswith("Nothing was found: none of the 1 pages") for message in context.messages("warn"))
        with pytest.raises(ExecutorError) as caught:
            await scrape(nowhere | {"fail_if_empty": True})
        found, _ = await scrape(definition(base, fail_if_empty=True))
    assert (caught.value.code, caught.value.retryable) == ("EMPTY_RESULT", False)
    assert found["items"] == 4


async def test_scrape_counts_the_items_that_lack_a_field() -> None:
    shop = Shop(pages=1)
    async with shop.open() as base:
        fields = {"name": {"css": ".name"}, "colour": {"css": ".colour"}, "sizes": {"css": ".size", "many": True}}
        items = {"select": {"css": "li.item"}, "fields": fields}
        result, context = await scrape(definition(base, items=items, detail=None, unique_by=[]))
    assert result["empty_fields"] == {"colour": 4, "sizes": 4}
    assert "Fields without a value, of 4 items: colour in 4, sizes in 4" in context.messages("warn")
