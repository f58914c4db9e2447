"""The crawlers to be measured: Trawl's `scrape`, Scrapy, Crawlee. Owns: how each is started, and what it has stored."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from chassis.stores import mongo_client, mongo_database
from scraper.browser_process import find_chromium
from scraper.mongo_results import Results
from scraper.settings import ScraperSettings
from trawl.scheduler.v1 import runs_pb2

from benchmarks.errors import BenchmarkError
from benchmarks.machine import plain_environment
from benchmarks.peer_environment import SOURCES, peer_python
from benchmarks.programs import Programs
from benchmarks.statistics import difference
from benchmarks.trawl_system import CALL_SECONDS, TrawlLive
from benchmarks.usage import Meter, Tree

RUN_SECONDS = 900.0
SAMPLE_SECONDS = 0.5
# The programs that a scrape run keeps busy; the others only stand by.
WORKING = ("scraper", "chromium", "driver", "mongodb")


@dataclass(frozen=True, slots=True)
class Crawled:
    """One crawl: `seconds` of crawling without the start of the program; CPU seconds by program."""

    seconds: float
    pages: int
    rows: Sequence[Mapping[str, Any]]
    cpu: Mapping[str, float]


def definition(base: str, *, render: str, concurrency: int) -> dict[str, Any]:
    """The same work as the peers' spiders do."""
    return {
        "start_urls": [f"{base}/list/1"],
        "render": render,
        "items": {"select": {"css": "a.product"},
                  "fields": {"url": {"css": "a", "attribute": "href", "type": "url"}}},
        "detail": {"follow": "url", "fields": {
            "name": {"css": "h1.name"}, "price": {"css": "span.price"}, "sku": {"css": "div.sku"},
            "specs": {"css": "table.specs td", "many": True}}},
        "next": {"css": "a.next"},
        "unique_by": ["sku"],
        "limits": {"pages": 100_000, "items": 100_000},
        "politeness": {"concurrency": concurrency},
    }  # fmt: skip


def browser_program(command: Sequence[str]) -> str:
    """What a process below a worker or a peer is called."""
    words = " ".join(command[:2])
    return "chromium" if "chrom" in words else "driver" if "playwright/driver" in words else ""


class TrawlCrawler:
    """`scrape` in a stack that is up."""

    def __init__(self, live: TrawlLive) -> None:
        self._live = live
        scraper = live.meter.pids()["scraper"][0]
        self.browser = Meter([Tree(scraper, "scraper", browser_program)])
        self._others = live.meter
        self._number = 0

    async def crawl(self, base: str, *, render: str, concurrency: int) -> Crawled:
        """One run, and what it has stored."""
        task = await self._create_task(definition(base, render=render, concurrency=concurrency))
        before = self._cpu()
        self._live.ends.forget()
        run_id = await self._trigger(task)
        await self._until_ended()
        spent = difference(before, self._cpu())
        run = await self._run(run_id)
        seconds = (run["ended"] - run["started"]) / 1000
        return Crawled(seconds, run["result"]["pages"], await self._stored(run_id), spent)

    def _cpu(self) -> dict[str, float]:
        """By program, the browser's apart from the scraper's."""
        inside = self.browser.cpu_seconds()
        whole = {name: spent for name, spent in self._others.cpu_seconds().items() if name != "scraper"}
        return {name: spent for name, spent in (whole | inside).items() if name in WORKING}

    async def _create_task(self, params: Mapping[str, Any]) -> int:
        self._number += 1
        body = {
            "name": f"pages-{self._number}", "task_type": "pages", "executor": "scrape", "command": "",
            "timeout_seconds": int(RUN_SECONDS), "retry_count": 0, "metadata": {"params": dict(params)},
        }  # fmt: skip
        async with self._live.session() as client, client.post(f"{self._live.api}/tasks", json=body) as response:
            if response.status != 201:
                raise BenchmarkError(f"The task was refused with {response.status}: {await response.text()}")
            return int((await response.json())["data"]["id"])

    async def _trigger(self, task: int) -> int:
        url = f"{self._live.api}/tasks/{task}/trigger"
        async with self._live.session() as client, client.post(url, json={}) as response:
            if response.status != 200:
                raise BenchmarkError(f"The run was refused with {response.status}: {await response.text()}")
            return int((await response.json())["data"]["run_id"])

    async def _until_ended(self) -> None:
        deadline = time.monotonic() + RUN_SECONDS
        while not self._live.ends.completed:
            if self._live.ends.not_completed:
                raise BenchmarkError("The scrape run failed.")
            if time.monotonic() > deadline:
                raise BenchmarkError("The scrape run did not end in time.")
            await asyncio.sleep(0.05)

    async def _run(self, run_id: int) -> dict[str, Any]:
        found = await self._live.runs.GetRun(runs_pb2.GetRunRequest(run_id=run_id), timeout=CALL_SECONDS)
        return {"started": found.started_ms, "ended": found.completed_ms, "result": json.loads(found.result_json)}

    async def _stored(self, run_id: int) -> list[Mapping[str, Any]]:
        client = mongo_client(ScraperSettings.model_validate({"mongodb_uri": self._live.mongodb_uri}))
        try:
            results = Results(mongo_database(client, ScraperSettings(), "scraper"))
            return [row["data"] async for page in results.stream(run_id, "") for row in page]
        finally:
            client.close()


class PeerCrawler:
    """A program that crawls once: started, waited for, read."""

    def __init__(self, name: str, script: str) -> None:
        self.name, self._script = name, script

    async def crawl(self, programs: Programs, base: str, *, concurrency: int, number: int) -> Crawled:
        """One crawl. CPU time is read while it runs, unless it tells it itself: tenths of a second may be missing."""
        python = await peer_python("requirements-pages.txt")
        rows, name = programs.directory / f"{self.name}-{number}.jsonl", f"{self.name}-{number}"
        pid = await programs.start(
            name, [str(python), str(SOURCES / self._script), base, str(concurrency), str(rows), find_chromium() or ""],
            **{**plain_environment(), "CRAWLEE_STORAGE_DIR": str(programs.directory / f"{name}-storage")},
        )  # fmt: skip
        meter = Meter([Tree(pid, self.name.lower(), browser_program)])
        spent = await _watched(programs, name, meter)
        log = (programs.directory / f"{name}.log").read_text(errors="replace")
        done = [line for line in log.splitlines() if line.startswith("DONE ")]
        if not done:
            raise BenchmarkError(f"{self.name} did not finish:\n{log[-2000:]}")
        told = json.loads(done[-1].removeprefix("DONE "))
        if "cpu_seconds" in told:
            spent = {self.name.lower(): told["cpu_seconds"]}
        found = [json.loads(line) for line in rows.read_text().splitlines()]
        return Crawled(told["seconds"], told["pages"], found, spent)


async def _watched(programs: Programs, name: str, meter: Meter) -> dict[str, float]:
    """CPU seconds by program, the highest that was read while it ran."""
    process = programs.started[name]
    spent: dict[str, float] = {}
    deadline = time.monotonic() + RUN_SECONDS
    while process.returncode is None:
        for program, seconds in meter.cpu_seconds().items():
            spent[program] = max(spent.get(program, 0.0), seconds)
        if time.monotonic() > deadline:
            raise BenchmarkError(f"{name} did not end in time.")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), SAMPLE_SECONDS)
    del programs.started[name]
    return spent


@contextlib.asynccontextmanager
async def peak_pss_mb(meter: Meter, programs: Sequence[str]) -> AsyncIterator[list[float]]:
    """A list with the megabytes that these programs have together, seen every second."""
    seen: list[float] = []

    async def watch() -> None:
        while True:
            with contextlib.suppress(psutil.Error):
                seen.append(pss_mb(meter, programs))
            await asyncio.sleep(1)

    watching = asyncio.create_task(watch())
    try:
        yield seen
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


def pss_mb(meter: Meter, programs: Sequence[str]) -> float:
    """The megabytes that these programs have together now."""
    return sum(memory.pss_mb for name, memory in meter.memory().items() if name in programs)


def site_command(python: Path, port: int, products: int) -> list[str]:
    """What starts the site."""
    return [str(python), str(Path(__file__).with_name("page_site.py")), str(port), str(products)]
