"""Benchmark: how late each hop is on a stack at rest: dependents, workflow steps, streams of events, webhooks."""

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web

from benchmarks.errors import BenchmarkError
from benchmarks.lab import Lab
from benchmarks.machine import HOST, free_port
from benchmarks.report import Bars, Cell, Goal, Report, Table, paragraphs
from benchmarks.statistics import latency_ms, percentile
from benchmarks.trawl_system import Trawl, TrawlLive

TITLE = "Hops at rest"
# For each of the rounds that are asked for.
RESTS = 20
REST_SECONDS = 5.0
FIRST_REST_SECONDS = 60.0
STEPS = 3
WARM_UP = 200
HOP_SECONDS = 30.0
NOTES = """\
Each round begins after five seconds in which nothing happens, the first one after a minute. A no-op task is triggered:
`sse` and `webhook` count from the request to the arrival of its `task.completed`, so a whole run is in them;
`dependent` counts from that arrival to the one of the dependent task's `task.triggered`, on the same stream. Then,
after another rest, a workflow of three no-op steps in a row is executed: a third of the time to its end, as polling
sees it.
"""


Times = dict[str, list[float]]


class Ears:
    """Hears events on a stream and by webhook: when each (who heard it, event, task) came last, by this clock."""

    def __init__(self) -> None:
        self._heard: dict[tuple[str, str, int], float] = {}
        self._news: dict[tuple[str, str, int], asyncio.Event] = defaultdict(asyncio.Event)

    def hear(self, who: str, event: str, task_id: int) -> None:
        """It has come."""
        self._heard[who, event, task_id] = time.monotonic()
        self._news[who, event, task_id].set()

    def forget(self) -> None:
        """Nothing has come yet."""
        self._heard.clear()
        self._news.clear()

    async def when(self, who: str, event: str, task_id: int) -> float:
        """When it came. Raises `BenchmarkError` when it does not."""
        try:
            async with asyncio.timeout(HOP_SECONDS):
                await self._news[who, event, task_id].wait()
        except TimeoutError:
            raise BenchmarkError(f"{event} of task {task_id} did not come by {who}.") from None
        return self._heard[who, event, task_id]

    async def follow(self, client: aiohttp.ClientSession, url: str, ready: asyncio.Event) -> None:
        """Read a stream of events for ever."""
        async with client.get(url, timeout=aiohttp.ClientTimeout(total=None)) as response:
            ready.set()
            async for line in response.content:
                if line.startswith(b"data:") and (said := json.loads(line[5:])).get("event"):
                    self.hear("sse", said["event"], said["data"].get("task_id", 0))

    async def on_webhook(self, request: web.Request) -> web.Response:
        """A webhook's target."""
        said = await request.json()
        self.hear("webhook", said["event"], said["data"].get("task_id", 0))
        return web.Response(status=204)


async def measure(lab: Lab) -> Report:
    """Rest, do one thing, take the times."""
    rounds, rest, first = RESTS * lab.options.rounds, REST_SECONDS, FIRST_REST_SECONDS
    if lab.options.quick:
        rounds, rest, first = 2, 0.5, 1.0
    times: Times = defaultdict(list)
    async with Trawl().running(lab.folder()) as live, live.session() as client, _listening(live, client) as ears:
        task_id = await live.create_task()
        for _ in range(WARM_UP):
            await _post(client, f"{live.api}/tasks/{task_id}/trigger", {})
        dependent_id = await _post(client, f"{live.api}/tasks", {
            "name": "benchmark-dependent", "task_type": "benchmark", "executor": "noop", "command": "",
            "dependencies": [str(task_id)],
        })  # fmt: skip
        flow = await _workflow(live, client)
        for number in range(rounds):
            await asyncio.sleep(rest if number else first)
            await _run(client, f"{live.api}/tasks/{task_id}", ears, dependent_id["data"]["id"], times)
            await asyncio.sleep(rest)
            times["workflow step"].append(await _execute(client, flow) / STEPS)
            if number % 10 == 9:
                lab.say(f"rest {number + 1} of {rounds}")
    return _report(rounds, rest, times)


async def _run(client: aiohttp.ClientSession, url: str, ears: Ears, dependent_id: int, times: Times) -> None:
    """`url` is the task's."""
    task_id = int(url.rpartition("/")[2])
    ears.forget()
    began = time.monotonic()
    await _post(client, f"{url}/trigger", {})
    streamed = await ears.when("sse", "task.completed", task_id)
    times["sse"].append(streamed - began)
    times["webhook"].append(await ears.when("webhook", "task.completed", task_id) - began)
    # Of two events that come in one message the second may be read first.
    times["dependent"].append(max(0.0, await ears.when("sse", "task.triggered", dependent_id) - streamed))
    await ears.when("sse", "task.completed", dependent_id)


async def _workflow(live: TrawlLive, client: aiohttp.ClientSession) -> str:
    base = live.api.removesuffix("/api") + "/management/workflows"
    steps = [
        {"id": f"s{n}", "taskType": "noop", "params": {}, "dependsOn": [f"s{n - 1}"] if n else []} for n in range(STEPS)
    ]
    await _post(client, base, {"name": "benchmark-hops", "steps": steps})
    return base


async def _execute(client: aiohttp.ClientSession, base: str) -> float:
    began = time.monotonic()
    one = (await _post(client, f"{base}/benchmark-hops/execute", {}))["executionId"]
    while time.monotonic() - began < HOP_SECONDS:
        async with client.get(f"{base}/executions/{one}") as response:
            if (await response.json())["status"] == "completed":
                return time.monotonic() - began
        await asyncio.sleep(0.005)
    raise BenchmarkError("The workflow did not end.")


async def _post(client: aiohttp.ClientSession, url: str, body: dict[str, Any]) -> Any:
    async with client.post(url, json=body) as response:
        if response.status >= 300:
            raise BenchmarkError(f"{url} answered {response.status}: {await response.text()}")
        return await response.json(content_type=None)


@asynccontextmanager
async def _listening(live: TrawlLive, client: aiohttp.ClientSession) -> AsyncIterator[Ears]:
    ears, ready, port = Ears(), asyncio.Event(), free_port()
    target = web.Application()
    target.router.add_post("/", ears.on_webhook)
    runner = web.AppRunner(target)
    await runner.setup()
    await web.TCPSite(runner, HOST, port).start()
    hook = {"url": f"http://{HOST}:{port}/", "events": ["task.completed"]}
    await _post(client, f"{live.api}/webhooks", hook)
    following = asyncio.create_task(ears.follow(client, f"{live.api}/events", ready))
    try:
        await asyncio.wait_for(ready.wait(), HOP_SECONDS)
        yield ears
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await runner.cleanup()


def _report(rounds: int, rest: float, times: Times) -> Report:
    rows: list[list[Cell]] = []
    for name, seconds in sorted(times.items()):
        found = latency_ms(seconds)
        rows.append([name, found["p50_ms"], found["p99_ms"], percentile(seconds, 100) * 1000])
    p99 = {str(row[0]): float(row[2] or 0) for row in rows}
    # A whole run is in these two.
    limits = {"sse": 100, "webhook": 100}
    return Report(
        "hops", TITLE, {"rests": rounds, "rest seconds": rest},
        [Table("after a rest", ("hop", "p50 ms", "p99 ms", "largest ms"), rows)],
        [Bars("p50", "ms", {str(row[0]): float(row[1] or 0) for row in rows}), Bars("p99", "ms", p99)],
        [Goal(f"{name}, p99 ms", value, limits.get(name, 50)) for name, value in p99.items()],
        paragraphs(NOTES), {name: [round(second * 1000, 1) for second in seconds] for name, seconds in times.items()},
    )  # fmt: skip
