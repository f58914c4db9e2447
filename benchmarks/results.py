"""Benchmark: collections at scale: storing, search by two keys, export in every format, and the memory that these take.

One stack is up. Its collection is filled through the scraper's own repository, from outside: the search index follows.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from statistics import median
from typing import Any

import aiohttp
from chassis.stores import mongo_client, mongo_database
from scraper.executor import Item
from scraper.mongo_collections import Collections, collected_key
from scraper.settings import ScraperSettings

from benchmarks.errors import BenchmarkError
from benchmarks.lab import Lab
from benchmarks.report import Bars, Goal, Report, Table, paragraphs
from benchmarks.statistics import latency_ms
from benchmarks.trawl_system import Trawl, TrawlLive
from benchmarks.usage import peak_mb, peak_rss_mb

TITLE = "Results"
CHUNK = 1_000
FOUND_SECONDS = 1_800.0
EXPORT_SECONDS = 3_600
SEARCHES = 50
BATCHES, BATCH_SIZE = 5, 1_000
FORMATS = ("json", "ndjson", "csv", "parquet", "xlsx")
WORDS = 20_000
NOTES = """\
Tasks in a batch are those of one request, which is answered when all of them are stored.

An item is a synthetic tweet of about 600 bytes with some 40 words. Search time is that of the whole HTTP request, with
the total and a page of fifty.

Memory is the growth of a process's own memory over its idle state after filling, at most during the export. Its own is
what is resident without pages of files: those of the search index come and go with what the machine has to spare.
Parquet and XLSX are written by a process of their own, which ends with the export; its whole memory is told.
"""
# What is asked, from two rare keys to two that half of all items have.
QUERIES = {
    "two rare": "username:user{n},text:w{n}",
    "rare and common": "username:user{n},verified:true",
    "two common": "lang:en,verified:true",
}


async def measure(lab: Lab) -> Report:
    """Fill, search, export."""
    rows = 2_000 if lab.options.quick else lab.options.rows
    async with Trawl().running(lab.folder()) as live:
        base = live.api.removesuffix("/api") + "/xget/api/v1"
        batches = await _create_batches(live, base)
        lab.say(f"{BATCH_SIZE:,} tasks in one batch: {', '.join(f'{one:.2f}' for one in batches)} s")
        task = await _create_task(live, base)
        filled_s = await _fill(live, int(task.removeprefix("task-")), rows)
        lab.say(f"stored {rows:,} items in {filled_s:.0f} s")
        indexed_s = await _until_found(live, base, rows)
        lab.say(f"all of them found {indexed_s:.0f} s later")
        searches = {name: await _search(live, base, query) for name, query in QUERIES.items()}
        lab.say(", ".join(f"{name}: {one['p99_ms']:.0f} ms" for name, one in searches.items()))
        await asyncio.sleep(1 if lab.options.quick else 10)
        exports = {}
        for kind in FORMATS:
            exports[kind] = one = await _export(live, base, task, kind, rows)
            lab.say(f"{kind}: {one['seconds']:.1f} s, {one['mb']:.0f} MB, growth {one['growth_mb']}")
    return report_of(
        rows, batches=batches, filled_s=filled_s, indexed_s=indexed_s, searches=searches, exports=exports
    )  # fmt: skip


async def _create_task(live: TrawlLive, base: str) -> str:
    body = {"task_name": "benchmark", "task_type": "KEYWORD_SEARCH", "parameters": {"query": "x"}, "user_id": "b"}
    async with live.session() as client, client.post(f"{base}/tasks", json=body) as response:
        if response.status != 201:
            raise BenchmarkError(f"The task was refused with {response.status}: {await response.text()}")
        return str((await response.json())["id"])


async def _create_batches(live: TrawlLive, base: str) -> list[float]:
    """Seconds of each."""
    seconds = []
    async with live.session() as client:
        for number in range(BATCHES):
            tasks = [
                {"task_name": f"batch {number}, task {index}", "task_type": "USER_INFO", "user_id": "batch",
                 "parameters": {"username": f"user{index}"}}
                for index in range(BATCH_SIZE)
            ]  # fmt: skip
            began = time.perf_counter()
            async with client.post(f"{base}/tasks/batch", json=tasks) as response:
                answer = await response.json(content_type=None)
            seconds.append(time.perf_counter() - began)
            if response.status != 200 or len(answer) != BATCH_SIZE:
                raise BenchmarkError(f"The batch was answered with {response.status}: {str(answer)[:500]}")
            # Its events are heard of before the next one is sent.
            await asyncio.sleep(1)
    return seconds


async def _fill(live: TrawlLive, task_id: int, rows: int) -> float:
    client = mongo_client(ScraperSettings.model_validate({"mongodb_uri": live.mongodb_uri}))
    source = random.Random(1)
    began = time.monotonic()
    try:
        collections = Collections(mongo_database(client, ScraperSettings(), "scraper"))
        for first in range(0, rows, CHUNK):
            items = [(number, _tweet(number, source)) for number in range(first, min(first + CHUNK, rows))]
            await collections.add(1, {collected_key(task_id, 1, item, place): (place, item) for place, item in items})
    finally:
        client.close()
    return time.monotonic() - began


def _tweet(number: int, source: random.Random) -> Item:
    words = [f"w{source.randrange(WORDS)}" for _ in range(24)]
    user = number % 5_000
    data = {
        "id": str(10**18 + number), "text": " ".join([*words, f"w{user}"]), "lang": "en" if number % 2 else "de",
        "created_at": "2024-01-15T10:00:00Z", "likes": number % 977, "retweets": number % 89,
        "user": {"id": str(user), "username": f"user{user}", "name": f"User {user}", "verified": number % 3 == 0},
        "url": f"https://x.example/user{user}/status/{10**18 + number}",
    }  # fmt: skip
    return Item(data, "tweet", str(10**18 + number), {"source": "twitter"})


async def _until_found(live: TrawlLive, base: str, rows: int) -> float:
    began = time.monotonic()
    async with live.session() as client:
        while time.monotonic() - began < FOUND_SECONDS:
            async with client.get(f"{base}/tasks/search/results", params={"query": "user:x,id:x"}) as response:
                await response.read()
            total = 0
            for language in ("en", "de"):
                query: dict[str, str | int] = {"query": f"lang:{language}", "limit": 1}
                async with client.get(f"{base}/tasks/search/results", params=query) as response:
                    total += (await response.json()).get("total", 0)
            if total >= rows:
                return time.monotonic() - began
            await asyncio.sleep(0.5)
    raise BenchmarkError(f"{rows} items should be found, and {total} are.")


async def _search(live: TrawlLive, base: str, query: str) -> dict[str, Any]:
    seconds, total = [], 0
    source = random.Random(2)
    async with live.session() as client:
        for _ in range(SEARCHES):
            asked: dict[str, str | int] = {"query": query.format(n=source.randrange(2_000)), "limit": 50}
            began = time.perf_counter()
            async with client.get(f"{base}/tasks/search/results", params=asked) as response:
                answer = await response.json()
            seconds.append(time.perf_counter() - began)
            total = answer["total"]
    return latency_ms(seconds) | {"total": total}


async def _export(live: TrawlLive, base: str, task: str, kind: str, rows: int) -> dict[str, Any]:
    idle, idle_rss = live.meter.own_mb(), live.meter.rss_mb()
    began, size, first_s = time.monotonic(), 0, 0.0
    async with peak_mb(live.meter.own_mb, 0.2) as peak, peak_rss_mb(live.meter, 0.2) as peak_rss:
        async for chunk in _download(live, f"{base}/tasks/export/{task}?format={kind}"):
            first_s = first_s or time.monotonic() - began
            size += len(chunk)
    seconds = time.monotonic() - began
    return {
        "seconds": seconds, "first_s": first_s, "mb": size / 2**20, "rows_per_s": rows / seconds,
        "growth_mb": _growth(idle, peak), "growth_rss_mb": _growth(idle_rss, peak_rss),
    }  # fmt: skip


def _growth(idle: Mapping[str, float], peak: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value - idle.get(name, 0.0), 1) for name, value in peak.items() if name != "mongodb"}


async def _download(live: TrawlLive, url: str) -> AsyncIterator[bytes]:
    patience = aiohttp.ClientTimeout(total=EXPORT_SECONDS)
    async with live.session() as client, client.post(url, timeout=patience) as response:
        if response.status != 200:
            raise BenchmarkError(f"The export was refused with {response.status}: {await response.text()}")
        async for chunk in response.content.iter_chunked(2**18):
            yield chunk


def report_of(
    rows: int, *, batches: Sequence[float], filled_s: float, indexed_s: float, searches: Mapping[str, Any],
    exports: Mapping[str, Any],
) -> Report:  # fmt: skip
    """What was found, as it is kept and drawn."""
    worst = {kind: max(one["growth_mb"].get(name, 0.0) for name in ("scraper", "gateway"))
             for kind, one in exports.items()}  # fmt: skip
    return Report(
        "results", TITLE, {"rows": rows},
        [
            Table("creating", ("", "s"), [[f"{BATCH_SIZE:,} tasks in one batch, median", median(batches)],
                                          ["the slowest", max(batches)]]),
            Table("storing", ("", "items/s"), [["stored", rows / filled_s], ["found after storing, s", indexed_s]]),
            Table("search", ("", "p50 ms", "p99 ms", "matches"),
                  [[name, one["p50_ms"], one["p99_ms"], one["total"]] for name, one in searches.items()]),
            Table("export", ("", "rows/s", "MB", "first byte s", "scraper grows MB", "gateway grows MB", "writer MB"),
                  [[kind, one["rows_per_s"], one["mb"], one["first_s"], one["growth_mb"].get("scraper"),
                    one["growth_mb"].get("gateway"), one["growth_mb"].get("export writer")]
                   for kind, one in exports.items()]),
        ],
        bars=[
            Bars("search, p99", "ms", {name: one["p99_ms"] for name, one in searches.items()}),
            Bars("export", "rows per second", {kind: one["rows_per_s"] for kind, one in exports.items()}),
            Bars("a process grows by", "MB", worst),
        ],
        goals=[
            Goal(f"{BATCH_SIZE:,} tasks in one batch, s", median(batches), 1),
            *(Goal(f"search p99 ms, {name}", one["p99_ms"], 200) for name, one in searches.items()),
            *(Goal(f"memory growth MB, {kind}", value, 100) for kind, value in worst.items()),
        ],
        notes=paragraphs(NOTES),
        rounds={"batches": list(batches), "searches": dict(searches), "exports": dict(exports)},
    )  # fmt: skip
