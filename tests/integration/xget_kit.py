"""The XGet contract for tests: a client made from the document, and a worker that stands for the X scrapers."""

import contextlib
import itertools
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cell as cells
import stores

Json = Any
TYPES = ("USER_TWEETS", "USER_INFO", "KEYWORD_SEARCH", "HASHTAG_SEARCH", "USER_FOLLOWERS", "USER_FOLLOWING")


@dataclass
class Reply:
    """What came back."""

    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Json:
        """The body as JSON."""
        return json.loads(self.body)


def request(method: str, url: str, body: Json = None, headers: dict[str, str] | None = None) -> Reply:
    """One request; a body is sent as JSON, bytes as they are."""
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    sent = dict(headers or {})
    if data is not None:
        sent.setdefault("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, sent, method=method), timeout=90) as answer:
            return Reply(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return Reply(error.code, error.headers, error.read())


@dataclass
class XGet:
    """A client of the contract's base URL."""

    base: str
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def call(self, method: str, path: str, body: Json = None, **query: Any) -> Reply:
        """One request below the base URL."""
        encoded = f"?{urllib.parse.urlencode(query)}" if query else ""
        return request(method, f"{self.base}{path}{encoded}", body)

    def get(self, path: str, **query: Any) -> Json:
        """The JSON of an answer that must be 200."""
        reply = self.call("GET", path, **query)
        assert reply.status == 200, (path, reply.status, reply.body)
        return reply.json

    def create(self, **fields: Any) -> Json:
        """A new task."""
        task = {
            "task_name": f"task {next(self.numbers)}", "task_type": "USER_TWEETS",
            "parameters": {"username": "example"}, "user_id": "user-1",
        }  # fmt: skip
        reply = self.call("POST", "/tasks", task | fields)
        assert reply.status == 201, reply.body
        return reply.json

    def start(self, task: Json) -> Json:
        """The started task."""
        reply = self.call("POST", f"/tasks/{task['id']}/start")
        assert reply.status == 200, reply.body
        return reply.json

    def task(self, task: Json) -> Json:
        """The task as it is now."""
        return self.get(f"/tasks/{task['id']}")

    def await_status(self, task: Json, status: str) -> Json:
        """The task once it has that status."""
        return eventually(lambda: found if (found := self.task(task))["status"] == status else None)


@dataclass
class Scrapers:
    """An outside worker that offers the six types. `take` leases the next run."""

    api: str
    key: str
    worker: str = ""

    def post(self, path: str, body: Json) -> Json:
        """`data` of an answer of the scheduler's contract that must be a success."""
        reply = request("POST", self.api + path, body, {"Authorization": f"Bearer {self.key}"})
        assert reply.status in (200, 201), (path, reply.status, reply.body)
        return reply.json["data"]

    def register(self) -> None:
        """Offer the six types."""
        worker = {"hostname": "x", "ip_address": "127.0.0.1", "port": 0, "task_types": list(TYPES),
                  "max_concurrent_tasks": 50, "heartbeat_interval_seconds": 300}  # fmt: skip
        self.worker = self.post("/workers", worker)["id"]

    def take(self) -> Json:
        """The next run."""
        (run,) = self.post(f"/workers/{self.worker}/lease", {"max_runs": 1, "wait_seconds": 40})["runs"]
        return run

    def find(self, run: Json, *items: Json) -> None:
        """Store items, given as `{"data", "data_type", "key"}`."""
        self.post(f"/runs/{run['run_id']}/results", {"lease_token": run["lease_token"], "items": list(items)})

    def complete(self, run: Json, result: Json = None) -> None:
        """The run has ended well."""
        self.post(f"/runs/{run['run_id']}/complete", {"lease_token": run["lease_token"], "result": result})

    def fail(self, run: Json, message: str) -> None:
        """The run has failed for good."""
        body = {"lease_token": run["lease_token"], "error_message": message, "retryable": False}
        self.post(f"/runs/{run['run_id']}/fail", body)

    def confirm_abort(self, run: Json) -> None:
        """Wait for the order to stop, and obey."""
        eventually(
            lambda: run["run_id"] in self.post(
                f"/workers/{self.worker}/heartbeat", {"current_tasks": [run["run_id"]]}
            )["abort"]
        )  # fmt: skip
        self.post(f"/runs/{run['run_id']}/fail", {"lease_token": run["lease_token"], "aborted": True})

    def collect(self, xget: XGet, task: Json, *items: Json) -> Json:
        """Start the task, find the items, end; the task when it is completed."""
        xget.start(task)
        run = self.take()
        self.find(run, *items)
        self.complete(run)
        return xget.await_status(task, "COMPLETED")


def tweet(number: int, text: str, username: str = "example", **more: Any) -> Json:
    """A result item as the scrapers make it."""
    data = {"id": str(number), "text": text, "user": {"username": username, "name": username.title()}, **more}
    return {"key": str(number), "data_type": "tweet", "data": data, "metadata": {"source": "twitter"}}


def eventually(condition: Callable[[], Any], seconds: float = 60) -> Any:
    """What the condition gives once it holds."""
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, f"not so after {seconds} s"
        time.sleep(0.03)
    return found


@dataclass
class System:
    """A started cell with its XGet port, and a worker for the six types."""

    cell: cells.Cell
    xget: XGet
    scrapers: Scrapers


@contextlib.contextmanager
def running_system(directory: Path) -> Iterator[System]:
    """All of it, ended afterwards."""
    port = str(stores.free_port())
    environment = {"PORT_XGET": port, "SEARCH_DIR": str(directory / "search")}
    with cells.running_cell(directory, *cells.ALL, "gateway", **environment) as cell:
        eventually(lambda: request("GET", f"http://127.0.0.1:{port}/readyz").status == 200)
        xget = XGet(f"http://127.0.0.1:{port}/api/v1")
        scrapers = Scrapers(cell.api, cell.api_key)
        key = {"Authorization": f"Bearer {cell.api_key}"}
        eventually(lambda: request("GET", f"{cell.api}/workers?status=active", headers=key).json["data"]["total"])
        scrapers.register()
        yield System(cell, xget, scrapers)
