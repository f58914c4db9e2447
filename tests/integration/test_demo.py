"""The demonstration, against a small stand-in of the scheduler API that answers with what a scrape would find."""

import asyncio
import csv
import io
import os
import signal
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from local_support import PYTHON, marked, write_services
from rich.console import Console
from trawl_local import demo
from trawl_local.api import Api, connect
from trawl_local.errors import Refusal
from trawl_local.ports import private_ports

SITE = "http://127.0.0.1:9"
Rows = Callable[[str], list[dict[str, Any]]]


def truth(name: str) -> list[dict[str, Any]]:
    return demo.wanted_lamps(SITE) if name == "demo-shop" else demo.wanted_deals(SITE)


class StandinApi:
    """Tasks and runs by number; a run takes three looks."""

    def __init__(self, rows: Rows = truth, end: str = "completed") -> None:
        self.rows, self.end = rows, end
        self.tasks: dict[int, dict[str, Any]] = {}
        self.runs: dict[int, dict[str, Any]] = {}
        self.refused = 0
        self.busy = 1

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self._guard])
        app.add_routes(
            [
                web.post("/api/tasks", self._create),
                web.get("/api/tasks", self._list),
                web.put("/api/tasks/{id}", self._update),
                web.post("/api/tasks/{id}/trigger", self._trigger),
                web.get("/api/runs/{id}", self._run),
                web.get("/api/runs/{id}/results", self._results),
            ]
        )
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if request.headers.get("Authorization") != "Bearer the-key":
            return web.json_response({"success": False, "error": {"code": "AUTHENTICATION_ERROR"}}, status=401)
        if self.busy:
            self.busy -= 1
            return web.json_response({"success": False}, status=503, headers={"Retry-After": "0"})
        return await handler(request)

    def _data(self, data: Any, status: int = 200) -> web.Response:
        return web.json_response({"success": True, "data": data}, status=status)

    async def _create(self, request: web.Request) -> web.Response:
        task = await request.json()
        if any(one["name"] == task["name"] for one in self.tasks.values()):
            self.refused += 1
            return web.json_response({"success": False, "error": {"code": "RESOURCE_CONFLICT"}}, status=409)
        task["id"] = len(self.tasks) + 1
        self.tasks[task["id"]] = task
        return self._data(task, 201)

    async def _list(self, request: web.Request) -> web.Response:
        found = [task for task in self.tasks.values() if request.query["search"] in task["name"]]
        return self._data({"items": found, "total": len(found)})

    async def _update(self, request: web.Request) -> web.Response:
        self.tasks[int(request.match_info["id"])] |= await request.json()
        return self._data({})

    async def _trigger(self, request: web.Request) -> web.Response:
        number = len(self.runs) + 100
        self.runs[number] = {"task": int(request.match_info["id"]), "looks": 0}
        return self._data({"run_id": number, "status": "pending"})

    async def _run(self, request: web.Request) -> web.Response:
        run = self.runs[int(request.match_info["id"])]
        run["looks"] += 1
        status = ("pending", "running", self.end)[min(run["looks"], 3) - 1]
        progress = {"done": run["looks"], "total": None, "step": "page 2", "items": 12 * run["looks"]}
        error = "no such host" if status == "failed" else None
        return self._data({"status": status, "error_message": error, "progress": progress})

    async def _results(self, request: web.Request) -> web.Response:
        run = self.runs[int(request.match_info["id"])]
        rows = self.rows(self.tasks[run["task"]]["name"])
        size, page = 25, int(request.query["page"])
        shown = rows[(page - 1) * size : page * size]
        return self._data({"items": [{"id": "r", "data": row} for row in shown], "total": len(rows), "page": page})


async def serve(standin: StandinApi, port: int = 0) -> tuple[web.AppRunner, str]:
    runner = web.AppRunner(standin.application())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}"


@pytest.fixture
async def standin() -> AsyncIterator[tuple[StandinApi, Api]]:
    """The stand-in and a client of it."""
    backend = StandinApi()
    runner, base = await serve(backend)
    async with connect(base, "the-key") as api:
        yield backend, api
    await runner.cleanup()


def quiet() -> Console:
    return Console(file=io.StringIO(), width=200)


async def test_a_whole_shop_is_checked_and_written_and_a_second_demo_updates_its_tasks(
    standin: tuple[StandinApi, Api], tmp_path: Path
) -> None:
    backend, api = standin
    target = tmp_path / "out.csv"
    for _ in range(2):
        task_id, _ = await demo.demonstrate(api, SITE, quiet(), target)
        assert task_id == 1
    assert (len(backend.tasks), len(backend.runs), backend.refused) == (2, 4, 2)
    with target.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["sku"]: float(row["price"]) for row in rows} == {
        lamp["sku"]: lamp["price"] for lamp in demo.wanted_lamps(SITE)
    }
    assert len(rows) == 60


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda rows: rows[1:], "is there 0 times instead of once"),
        (lambda rows: [*rows, rows[0]], "is there 2 times instead of once"),
        (lambda rows: [{**rows[0], "price": 1.0}, *rows[1:]], "price is 1.0 instead of"),
        (lambda rows: [*rows, {"sku": "LMP-0"}], "LMP-0 is not the shop's"),
    ],
)
async def test_a_lamp_missing_doubled_changed_or_invented_fails_the_demo(
    standin: tuple[StandinApi, Api], tmp_path: Path, spoil: Callable[[list], list], said: str
) -> None:
    backend, api = standin
    backend.rows = lambda name: spoil(truth(name))
    with pytest.raises(Refusal, match=said):
        await demo.demonstrate(api, SITE, quiet(), tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


async def test_a_failed_run_is_one_sentence_with_its_reason(standin: tuple[StandinApi, Api], tmp_path: Path) -> None:
    backend, api = standin
    backend.end = "failed"
    with pytest.raises(Refusal, match=r"Run 100 of demo-shop is failed: no such host"):
        await demo.demonstrate(api, SITE, quiet(), tmp_path / "out.csv")


async def test_a_wrong_key_and_a_server_that_is_away_are_one_sentence(standin: tuple[StandinApi, Api]) -> None:
    _, api = standin
    async with connect(api.base, "other") as stranger:
        with pytest.raises(Refusal, match="The key was refused: set TRAWL_API_KEY"):
            await stranger.put_task(demo.shop_task(SITE))
    async with aiohttp.ClientSession() as session:
        away = Api(session, f"http://127.0.0.1:{private_ports(1)[0]}")
        with pytest.raises(Refusal, match="is the stack still running"):
            await away.trigger(1)


async def test_the_command_starts_a_stack_and_stops_it_and_says_why_it_failed(tmp_path: Path) -> None:
    """With services that know no API the demo can't succeed: it ends with one sentence and leaves nothing behind."""
    write_services(tmp_path / "services")
    mark = uuid.uuid4().hex
    environment = {name: value for name, value in os.environ.items() if name not in {"TRAWL_API_KEY", "MONGODB_URI"}}
    variables = ("PORT_SCHEDULER", "PORT_SMARTRPA", "PORT_MANAGEMENT", "PORT_XGET", "PORT_PIPELINE")
    environment |= {name: str(port) for name, port in zip(variables, private_ports(5), strict=True)}
    environment |= {"TRAWL_HOME": str(tmp_path / mark), "PYTHONPATH": str(tmp_path / "services"), "TEST_MARK": mark}
    process = await asyncio.create_subprocess_exec(
        *(PYTHON, "-m", "trawl_local.cli", "demo"),
        env=environment,
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(40):
            out, err = await process.communicate()
        assert process.returncode == 1
        assert b"starting the stack" in out
        assert err.decode().startswith("trawl: POST /api/tasks")
        assert err.count(b"\n") == 1
        assert marked(mark) == []
    finally:
        for pid in marked(mark):
            os.kill(pid, signal.SIGKILL)
