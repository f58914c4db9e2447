"""What runs of one task know of those before them: items that changed, pages that didn't, hosts that want peace."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import redis.asyncio as aioredis
import stores
from aiohttp import web
from chassis.settings import ServiceSettings
from chassis.stores import mongo_client, mongo_database
from executor_kit import RecordingContext, context_of, fetching, serve, until
from pydantic import SecretStr
from scrape_kit import page_readers
from scraper.executors.scrape import Known, ScrapeExecutor
from scraper.host_pace import HostPaces, HostReport, PolitenessRules
from scraper.mongo_known import MongoKnownItems, MongoKnownPages
from scraper.redis_paces import RedisPaces


@pytest.fixture
async def known(mongodb_uri: str, mongodb_prefix: str) -> AsyncIterator[Known]:
    settings = ServiceSettings(mongodb_uri=SecretStr(mongodb_uri), mongodb_prefix=mongodb_prefix)
    client = mongo_client(settings)
    database = mongo_database(client, settings, "scraper")
    found = Known(MongoKnownItems(database), MongoKnownPages(database))
    await found.items.prepare()
    await found.pages.prepare()
    yield found
    client.close()


@dataclass
class Shop:
    """Lamps by name with a price; a page of them, or one page for each."""

    lamps: dict[str, int]
    state: str = "1"
    whole: int = 0
    unchanged: int = 0
    broken: set[str] = field(default_factory=set)

    async def list(self, request: web.Request) -> web.Response:
        if request.headers.get("If-None-Match") == self.state:
            self.unchanged += 1
            return web.Response(status=304)
        self.whole += 1
        rows = "".join(f"<li><b>{name}</b><i>{price}</i></li>" for name, price in self.lamps.items())
        following = '<a class="next" href="/more">x</a>' if self.broken else ""
        text = f"<ul>{rows}</ul>{following}"
        return web.Response(text=text, content_type="text/html", headers={"ETag": self.state})

    async def more(self, _: web.Request) -> web.Response:
        return web.Response(status=404)


async def scrape(known: Known, base: str, run_id: int, **changes: Any) -> tuple[Any, RecordingContext]:
    fields = {"name": {"css": "b"}, "price": {"css": "i", "type": "integer"}}
    definition = {"start_urls": [f"{base}/list"], "render": "http", "unique_by": ["name"],
                  "items": {"select": {"css": "li"}, "fields": fields}, "next": {"css": "a.next"}}  # fmt: skip
    context = context_of("scrape", parameters=definition | changes, run_id=run_id)
    async with fetching() as fetcher:
        executor = ScrapeExecutor(fetcher=fetcher, readers=page_readers(), known=known)
        try:
            return await executor.run(context), context
        finally:
            await executor.close()


def changes_of(context: RecordingContext) -> dict[str, Any]:
    found = {}
    for item in context.items.values():
        fields: Mapping[str, Any] = item.metadata.get("changed_fields", {})
        found[str(item.data["name"])] = (item.metadata["change"], dict(fields))
    return found


async def test_runs_say_what_is_new_changed_and_gone(known: Known) -> None:
    shop = Shop({"a": 1, "b": 2, "c": 3})
    async with serve({"/list": shop.list, "/more": shop.more}) as base:
        result, context = await scrape(known, base, 1, changes=True)
        assert changes_of(context) == {name: ("new", {}) for name in "abc"}
        shop.lamps, shop.state = {"a": 1, "b": 5, "d": 4}, "2"
        result, context = await scrape(known, base, 2, changes=True)
        expected = {"a": ("unchanged", {}), "b": ("changed", {"price": {"before": 2}}), "c": ("gone", {}),
                    "d": ("new", {})}  # fmt: skip
        assert changes_of(context) == expected
        assert result["changes"] == {"new": 1, "changed": 1, "unchanged": 1, "gone": 1, "complete": True}
        # A retry of the same run comes to the same answers.
        _, context = await scrape(known, base, 2, changes=True, conditional=False)
        assert changes_of(context) == expected
        shop.lamps, shop.state = {"a": 1, "b": 5, "c": 3, "d": 4}, "3"
        _, context = await scrape(known, base, 3, changes=True)
        assert changes_of(context)["c"] == ("new", {}), "what was gone and comes back is new"
        result, context = await scrape(known, base, 4, changes=True)
    assert result["changes"] == {"new": 0, "changed": 0, "unchanged": 4, "gone": 0, "complete": True}


async def test_a_run_that_saw_only_a_part_calls_nothing_gone(known: Known) -> None:
    shop = Shop({"a": 1, "b": 2, "c": 3})
    async with serve({"/list": shop.list, "/more": shop.more}) as base:
        await scrape(known, base, 1, changes=True)
        shop.lamps, shop.broken, shop.state = {"a": 7}, {"more"}, "2"
        result, context = await scrape(known, base, 2, changes=True)
        assert changes_of(context) == {"a": ("changed", {"price": {"before": 1}})}
        assert result["changes"] == {"new": 0, "changed": 1, "unchanged": 0, "complete": False}
        shop.lamps, shop.broken, shop.state = {"a": 7, "b": 2}, set(), "3"
        _, context = await scrape(known, base, 3, changes=True)
    assert changes_of(context) == {"a": ("unchanged", {}), "b": ("unchanged", {}), "c": ("gone", {})}


async def test_pages_that_did_not_change_are_not_sent_again_and_give_the_same_items(known: Known) -> None:
    shop = Shop({"a": 1, "b": 2})
    async with serve({"/list": shop.list}) as base:
        _, first = await scrape(known, base, 1)
        result, second = await scrape(known, base, 2, limits={"pages": 50})
        assert (shop.whole, shop.unchanged, result["unchanged_pages"]) == (1, 1, 1)
        assert second.items == first.items
        await scrape(known, base, 3, conditional=False)
        assert shop.whole == 2
        fields = {"name": {"css": "b"}}
        _, other = await scrape(known, base, 4, items={"select": {"css": "li"}, "fields": fields})
        assert shop.whole == 3, "what another definition read is no answer to this one"
        assert [dict(item.data) for item in other.emitted] == [{"name": "a"}, {"name": "b"}]
        shop.state, shop.lamps = "2", {"z": 9}
        _, last = await scrape(known, base, 5)
    assert [item.data["name"] for item in last.emitted] == ["z"]


@pytest.fixture
async def clients(redis_url: str) -> AsyncIterator[list[aioredis.Redis]]:
    made = [aioredis.Redis.from_url(redis_url) for _ in range(2)]
    yield made
    for client in made:
        await client.aclose()


async def test_workers_share_a_hosts_requests_and_its_troubles(clients: list[aioredis.Redis]) -> None:
    one, other = RedisPaces(clients[0], "one"), RedisPaces(clients[1], "other")
    [view] = await one.exchange([HostReport("h", wanted=8)])
    assert (view.limit, view.delay, view.workers, view.pause_seconds) == (8, 0, 1, 0)
    [view] = await other.exchange([HostReport("h", wanted=4)])
    assert (view.limit, view.workers) == (8, 2), "each may have its part of what the one who wants most may have"
    [view] = await one.exchange([HostReport("h", wanted=8, refused=1, pause_seconds=30)])
    assert (view.limit, view.delay) == (4, 0.25)
    [view] = await other.exchange([HostReport("h", wanted=4, good=1)])
    assert (view.limit, view.delay) == (4.25, 0.2), "a good answer gives back a little"
    assert 0 < view.pause_seconds <= 30
    [view] = await one.exchange([HostReport("h", wanted=0)])
    [view] = await other.exchange([HostReport("h", wanted=4, slow=2)])
    assert (view.limit, view.workers) == (2.25, 1)
    [untouched] = await one.exchange([HostReport("another", wanted=8)])
    assert untouched.limit == 8


async def test_starts_at_a_host_with_a_delay_keep_their_distance_across_workers(
    clients: list[aioredis.Redis],
) -> None:
    waits = [await RedisPaces(clients[number % 2], f"w{number}").reserve("h", 60) for number in range(3)]
    assert waits[0] == 0
    assert 50 < waits[1] <= 60
    assert 110 < waits[2] <= 120


async def test_a_later_run_on_another_worker_waits_as_the_host_told_the_first_one(
    clients: list[aioredis.Redis],
) -> None:
    rules = PolitenessRules(parks=True)
    first, second = (HostPaces(RedisPaces(client, str(number))) for number, client in enumerate(clients))
    pace = await first.join("h", rules)
    pace.slow_down(500)
    first.leave("h", rules)
    # The news is told at once, and the host is then forgotten here.
    await until(lambda: not first._paces)
    later = await second.join("h", rules)
    assert later.take_report().wanted == rules.concurrency
    assert later.limit == 2
    assert later.delay == 0.25
    assert later._next_start > later._clock() + 400
    for paces in (first, second):
        await paces.close()


async def test_while_redis_is_away_runs_keep_their_own_pace(
    clients: list[aioredis.Redis], redis_server: stores.Store
) -> None:
    paces, rules = HostPaces(RedisPaces(clients[0], "one")), PolitenessRules(delay_seconds=0.01)
    redis_server.kill()
    try:
        pace = await asyncio.wait_for(paces.join("h", rules), 30)
        for _ in range(3):
            async with asyncio.timeout(30), pace.turn():
                pass
        await paces.close()
    finally:
        await asyncio.to_thread(redis_server.start)
