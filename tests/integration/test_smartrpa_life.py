"""The SmartRPA contract through the whole system: gateway, scheduler, scraper, real brokers and real Chromium."""

import json
import threading
import time
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import parse_qs

import cell as cells
import psutil
import pytest
from stores import wait_until

PASSWORD = "k7-Wolkenkuckucksheim"
LOGIN_PAGE = """<title>Sign in</title><form method=post action=/login>
<input name=user placeholder="User name"><input type=password name=pw><button>Sign in</button></form>"""


class Site(ThreadingHTTPServer):
    """Pages behind a login; `inside` counts who is on /slow now, `most` the most there ever were."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.inside, self.most, self.hits = 0, 0, 0
        self.lock = threading.Lock()
        self.gate = threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    server: Site

    def log_message(self, *_: Any) -> None:
        pass

    def answer(self, html: str, status: int = 200, **headers: str) -> None:
        body = html.encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        name = "sid=in"
        if self.path == "/account":
            inside = name in self.headers.get("Cookie", "")
            self.answer("<h1 id=who>Hello visitor</h1>" if inside else "<h1 id=who>Who are you?</h1>")
        elif self.path == "/login":
            self.answer(LOGIN_PAGE)
        elif self.path == "/hang":
            self.server.gate.wait(600)
            self.answer("late")
        elif self.path == "/busy":
            with self.server.lock:
                self.server.inside += 1
                self.server.hits += 1
                self.server.most = max(self.server.most, self.server.inside)
            time.sleep(0.5)
            with self.server.lock:
                self.server.inside -= 1
            self.answer("<title>busy</title>")
        else:
            self.answer("<title>Start</title><h1>Start</h1><p>Some text</p><a href=/account>Account</a>")

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        if form.get("user") == ["visitor"] and form.get("pw") == [PASSWORD]:
            self.answer("", 303, Location="/account", Set_Cookie="sid=in; Max-Age=9999; HttpOnly")
        else:
            self.answer(LOGIN_PAGE, 401)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    running = Site()
    yield running
    running.gate.set()
    running.shutdown()
    running.server_close()


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cells.Cell]:
    directory = tmp_path_factory.mktemp("cell")
    key_file = str(tmp_path_factory.mktemp("keys") / "secrets-key")
    with cells.running_cell(directory, *cells.ALL, "gateway", SECRETS_KEY_FILE=key_file) as running:
        yield running


def call(cell: cells.Cell, method: str, path: str, body: Any = None, *, seconds: float = 90) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(cell.smartrpa + path, data, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=seconds) as answer:
            return answer.status, json.loads(answer.read())
    except HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def status(cell: cells.Cell, task_id: str, *wanted: str, seconds: float = 60) -> dict[str, Any]:
    """The task's heartbeat once its status is one of `wanted`."""
    until = time.monotonic() + seconds
    while True:
        shown: dict[str, Any] = call(cell, "GET", f"/heartbeat?id={task_id}")[1]
        if shown["status"] in wanted:
            return shown
        assert time.monotonic() < until, shown
        time.sleep(0.05)


def at_step(cell: cells.Cell, task_id: str, step: str) -> None:
    until = time.monotonic() + 60
    while step not in str(call(cell, "GET", f"/heartbeat?id={task_id}")[1]["currentStep"]):
        assert time.monotonic() < until
        time.sleep(0.05)


def files_with(folder: Path, text: bytes) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and text in path.read_bytes()]


WHO = [{"type": "extract", "name": "who", "target": {"id": "who"}}]


def test_a_login_lasts_through_a_killed_worker_and_its_password_is_on_no_disk(cell: cells.Cell, site: Site) -> None:
    login = {"url": f"{site.url}/login", "task_name": "login", "username": "visitor", "浏览器id": "b1"}
    code, answer = call(
        cell, "POST", "/login", login | {"password": "wrong", "successSelectors": ["#who"], "timeout": 1}
    )
    assert (code, answer["message"]) == (500, "登录失败")
    assert "successSelectors" in answer["error"]
    code, answer = call(cell, "POST", "/login", login | {"password": PASSWORD})
    assert (code, answer) == (200, {"status": "success", "message": "登录成功，cookies已保存"})
    task = {"task_name": "who", "BASE_URL": f"{site.url}/account", "sortedData": WHO}
    for task_id, browser, who in (("w1", "b1", "Hello visitor"), ("w2", "b2", "Who are you?")):
        code, answer = call(cell, "POST", "/scrape_dengdai", task | {"taskId": task_id, "row": {"浏览器id": browser}})
        assert (code, answer["result"]) == (200, {"who": who})
    cell.restart("scraper")
    cell.programs["scraper"].wait_ready()
    code, answer = call(cell, "POST", "/scrape_dengdai", task | {"taskId": "w3", "browserId": "b1"})
    assert (code, answer["result"]) == (200, {"who": "Hello visitor"})
    code, answer = call(cell, "GET", "/sessions?browserId=b1")
    assert [(one["origin"], one["cookies"]) for one in answer["sessions"]] == [(site.url, 1)]
    assert files_with(cell.directory, PASSWORD.encode()) == []
    assert files_with(cell.directory, b'"sid"') == [], "nor is the cookie readable"
    assert call(cell, "DELETE", "/sessions?browserId=b1")[1]["deleted"] == 1
    code, answer = call(cell, "POST", "/scrape_dengdai", task | {"taskId": "w4", "browserId": "b1"})
    assert answer["result"] == {"who": "Who are you?"}


def test_scrape_base_does_what_needs_no_browser_and_names_what_does(cell: cells.Cell, site: Site) -> None:
    task = {"taskId": "base1", "task_name": "base", "BASE_URL": site.url}
    assert call(cell, "POST", "/scrape_base", task)[0] == 202
    result = status(cell, "base1", "completed", "error")["result"]
    assert (result["status"], result["title"], result["text"]) == (200, "Start", "Start Some text Account")
    assert result["links"] == [{"text": "Account", "url": f"{site.url}/account"}]
    steps = [{"type": "click", "target": {"text": "Account"}}, *WHO, {"type": "hover", "target": {"id": "who"}}]
    call(cell, "POST", "/scrape_base", task | {"taskId": "base2", "sortedData": steps[:2]})
    assert status(cell, "base2", "completed", "error")["result"] == {"who": "Who are you?"}
    call(cell, "POST", "/scrape_base", task | {"taskId": "base3", "sortedData": steps})
    assert "sortedData[2]: hover needs a browser" in status(cell, "base3", "completed", "error")["error"]


@pytest.mark.parametrize(
    ("path", "task_id", "step"),
    [
        ("/scrape", "c1", {"type": "wait_for", "timeMs": 600_000}),
        ("/scrape_base", "c2", {"type": "navigate", "url": "/hang"}),
    ],
)
def test_cancelling_stops_the_work_within_two_seconds(
    cell: cells.Cell, site: Site, path: str, task_id: str, step: dict[str, Any]
) -> None:
    call(cell, "POST", path, {"taskId": task_id, "task_name": "c", "BASE_URL": site.url, "sortedData": [step]})
    at_step(cell, task_id, step["type"])
    assert call(cell, "POST", "/cancel-task", {"taskId": task_id})[0] == 200
    shown = status(cell, task_id, "error")
    assert shown["message"] == "任务已取消"
    run = cell.runs.GetRun(cells.runs_pb2.GetRunRequest(contract="smartrpa", external_id=task_id))
    # Two seconds, on a machine that has nothing else to do.
    assert run.stop.stopped_ms - run.stop.requested_ms < 10_000
    wait_until(lambda: call(cell, "GET", f"/task-trace?id={task_id}")[1]["steps"][-1]["outcome"] == "stopped")


def test_a_clients_word_ends_a_task_and_stops_its_work(cell: cells.Cell, site: Site) -> None:
    steps = [{"type": "wait_for", "timeMs": 600_000}]
    call(cell, "POST", "/scrape", {"taskId": "p1", "task_name": "p", "BASE_URL": site.url, "sortedData": steps})
    at_step(cell, "p1", "wait_for")
    assert call(cell, "POST", "/task-progress", {"taskId": "p1", "progress": 65, "status": "running"})[0] == 200
    body = {"taskId": "p1", "status": "completed", "result": {"by": "hand"}}
    assert call(cell, "POST", "/task-progress", body)[0] == 200
    shown = call(cell, "GET", "/task-status?id=p1")[1]
    assert (shown["status"], shown["progress"], shown["result"]) == ("completed", 100, {"by": "hand"})
    # The worker's slot is free again: all of them can be had at once.
    for number in range(4):
        call(cell, "POST", "/scrape", {"taskId": f"p1-{number}", "task_name": "p", "BASE_URL": site.url})
    for number in range(4):
        status(cell, f"p1-{number}", "completed")
    assert call(cell, "GET", "/task-status?id=p1")[1]["result"] == {"by": "hand"}, "no later word changes it"
    listed = call(cell, "GET", "/tasks")[1]
    assert "p1" in {one["taskId"] for one in listed["completed"]}


def test_one_profile_is_never_used_by_two_tasks_at_once(cell: cells.Cell, site: Site) -> None:
    for number in range(3):
        task = {"taskId": f"b{number}", "task_name": "busy", "BASE_URL": f"{site.url}/busy", "browserId": "shared"}
        assert call(cell, "POST", "/scrape", task)[0] == 202
    for number in range(3):
        status(cell, f"b{number}", "completed")
    assert (site.hits, site.most) == (3, 1)


def test_a_failed_step_fails_the_task_with_its_place_and_a_picture(cell: cells.Cell, site: Site) -> None:
    steps = [{"type": "click", "target": {"css": "#none"}, "timeoutMs": 100}]
    task = {"taskId": "f1", "task_name": "f", "BASE_URL": site.url, "sortedData": steps}
    code, answer = call(cell, "POST", "/scrape_dengdai", task)
    assert code == 500
    assert answer["error"].startswith(f"sortedData[0] click css '#none' on {site.url}/: no target found")
    failed = call(cell, "GET", "/task-trace?id=f1")[1]["steps"][-1]
    name = failed["screenshot"].rpartition("/")[2]
    with urllib.request.urlopen(f"{cell.smartrpa}/task-file?id=f1&name={name}", timeout=60) as picture:
        assert picture.read().startswith(b"\x89PNG")


def test_a_killed_worker_leaves_no_browser_behind_once_it_is_back(cell: cells.Cell) -> None:
    cell.restart("scraper")
    cell.programs["scraper"].wait_ready()
    mark = f"user-data-dir={cell.directory}"

    def left() -> list[str]:
        lines = [" ".join(one.info["cmdline"] or []) for one in psutil.process_iter(["cmdline"])]
        return [line for line in lines if mark in line]

    wait_until(lambda: not left())
    wait_until(lambda: not list((cell.directory / "work" / "browsers").glob("*")))
