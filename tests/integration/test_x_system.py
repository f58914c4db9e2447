"""X through the whole system: accounts by REST, runs that outlive a killed worker and a rate limit, breakers."""

import contextlib
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import stores
from cell import Cell, running_cell
from trawl.scheduler.v1 import runs_pb2
from x_support.lab import MAIN

PENDING, RUNNING, COMPLETED = (
    runs_pb2.RUN_STATUS_PENDING, runs_pb2.RUN_STATUS_RUNNING, runs_pb2.RUN_STATUS_COMPLETED
)  # fmt: skip
TWEETS = {"username": MAIN, "limit": 100, "include_replies": True, "include_retweets": True}


def call(method: str, url: str, body: Any = None, key: str = "") -> tuple[int, Any]:
    """Status and JSON of one request."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    if key:
        request.add_header("Authorization", f"Bearer {key}")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"null")


class System:
    """The cell, the stand-in as a process of its own, and REST."""

    def __init__(self, cell: Cell, sim: str) -> None:
        self.cell, self.sim = cell, sim
        self.api = cell.api.removesuffix("/api") + "/xget/api/v1"

    def rest(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """The XGet contract."""
        return call(method, self.api + path, body, self.cell.api_key)

    def control(self, path: str, body: Any = None) -> Any:
        """The stand-in's controls."""
        status, answer = call("GET" if body is None else "POST", f"{self.sim}/_sim/{path}", body)
        assert status == 200, answer
        return answer

    def start(self, task_type: str, parameters: dict[str, Any]) -> int:
        """A run of that type."""
        name = f"{task_type}-{time.monotonic_ns()}"
        return self.cell.start_run(self.cell.create_task(name, task_type, parameters=json.dumps(parameters).encode()))

    def found(self, run_id: int) -> list[str]:
        """Ids of what a run has stored."""
        return [json.loads(item.data_json)["id"] for item in self.cell.items(run_id)]

    def until(self, condition: Any, seconds: float = 60) -> Any:
        """Wait until `condition()` is true, and answer it."""
        deadline = time.monotonic() + seconds
        while not (value := condition()):
            assert time.monotonic() < deadline, "it did not happen"
            time.sleep(0.05)
        return value


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    folder: Path = tmp_path_factory.mktemp("x-system")
    port = stores.free_port()
    command = [stores.find_program("python"), "-m", "simulators.x", "--port", str(port)]
    simulator = stores.Program("simulator", command, port, folder / "simulator")
    simulator.start()
    sim = f"http://127.0.0.1:{port}"
    settings = {
        "X_BASE_URL": sim,
        "SECRETS_KEY": "a key for tests only",
        "EXECUTORS": "noop,x",
        "BROWSER_SLOTS": "1",
        # Never, as far as these tests are concerned: what wakes a run is the notice.
        "X_BREAKER_SECONDS": "3600",
    }
    try:
        with running_cell(folder, *("nats", "redis", "mongodb", "registry", "scheduler", "scraper", "gateway"),
                          **settings) as cell:  # fmt: skip
            opened = System(cell, sim)
            opened.until(lambda: _answers(opened))
            yield opened
    finally:
        simulator.kill()


def _answers(system: System) -> bool:
    with contextlib.suppress(OSError):
        return system.rest("GET", "/breakers")[0] == 200
    return False


def test_accounts_and_proxies_are_managed_and_their_secrets_never_come_back(system: System) -> None:
    status, proxy = system.rest("POST", "/proxies", {"name": "here", "url": "http://me:pass-word@127.0.0.1:9"})
    assert (status, proxy["url"], proxy["has_credentials"]) == (201, "http://127.0.0.1:9", True)
    cookies = {"auth_token": "top-secret-token", "ct0": "top-secret-ct0"}
    new = {"username": "@someone", "cookies": cookies, "proxy_id": proxy["id"], "daily_budget": 9}
    status, account = system.rest("POST", "/accounts", new)
    assert (status, account["username"], account["status"]) == (201, "someone", "ACTIVE")
    assert account["health"]["requests_allowed_today"] == 9
    one = f"/accounts/{account['id']}"
    assert system.rest("GET", one)[1] == account
    assert system.rest("GET", "/accounts/?status=ACTIVE&size=5")[1]["items"] == [account]
    assert system.rest("DELETE", f"/proxies/{proxy['id']}")[0] in (400, 409), "an account is bound to it"
    status, changed = system.rest("PUT", one, {"status": "DISABLED", "proxy_id": None, "notes": "on holiday"})
    assert (status, changed["status"], changed["proxy_id"], changed["notes"]) == (200, "DISABLED", None, "on holiday")
    shown = json.dumps(
        [system.rest("GET", path)[1] for path in ("/accounts", one, "/proxies", f"/proxies/{proxy['id']}")]
    )
    assert "secret" not in shown
    assert "pass-word" not in shown
    kept = b"".join(path.read_bytes() for path in system.cell.directory.rglob("*") if path.is_file())
    assert b"top-secret" not in kept, "a secret lies in a file in plain text"
    assert system.rest("DELETE", f"/proxies/{proxy['id']}")[0] == 200
    assert system.rest("DELETE", one)[0] == 200
    assert system.rest("GET", one)[0] == 404
    assert system.rest("DELETE", one)[0] == 404


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/accounts", {"username": "a"}, "cookies"),
        ("/accounts", {"cookies": {"auth_token": "a", "ct0": "b"}}, "username"),
        ("/accounts", {"username": "a", "cookies": {"auth_token": "a"}}, "cookies"),
        ("/accounts", {"username": "a", "cookies": 7}, "cookies"),
        ("/accounts", {"username": "a", "cookies": "auth_token=a; ct0=b", "daily_budget": -1}, "daily_budget"),
        ("/accounts", {"username": "a", "cookies": "auth_token=a; ct0=b", "proxy_id": "proxy-none"}, "proxy_id"),
        ("/accounts", {"username": "a", "cookies": "auth_token=a; ct0=b", "status": "BANNED"}, "status"),
        ("/proxies", {}, "url"),
        ("/proxies", {"url": "file:///etc/passwd"}, "url"),
        ("/proxies", {"url": "http://10.1.2.3:8080"}, "url"),
        ("/proxies", {"url": "http://[::ffff:169.254.169.254]:80"}, "url"),
        ("/proxies", {"url": "http://127.0.0.1:9", "enabled": "yes"}, "enabled"),
    ],
)
def test_what_is_wrong_with_an_account_or_proxy_is_named(system: System, path: str, body: Any, field: str) -> None:
    status, answer = system.rest("POST", path, body)
    assert status == 422, answer
    assert answer["detail"][0]["loc"][-1] == field
    assert system.rest("GET", path)[1]["total"] == 0


def test_a_run_outlives_its_worker_and_a_rate_limit_and_stores_everything_once(system: System) -> None:
    status, account = system.rest("POST", "/accounts", {"username": "one", "auth_token": "one", "ct0": "two"})
    assert status == 201
    truth = [one["id"] for one in system.control(
        f"truth?task_type=USER_TWEETS&username={MAIN}&include_replies=true&include_retweets=true"
    )["items"]]  # fmt: skip
    system.control("faults", [
        {"kind": "silent", "operation": "UserTweetsAndReplies", "after": 2},
        {"kind": "rate_limit", "operation": "UserTweetsAndReplies", "after": 3, "seconds": 6},
    ])  # fmt: skip
    run_id = system.start("USER_TWEETS", TWEETS)
    system.until(lambda: len(system.found(run_id)) >= 30)
    (health,) = (one["health"] for one in system.rest("GET", "/accounts")[1]["items"])
    assert health["used_by_run"] == run_id
    assert "UserTweetsAndReplies" in health["operations"]
    system.cell.restart("scraper")
    waiting = system.until(lambda: "rate limit" in (run := system.cell.run(run_id)).waiting_reason and run)
    assert waiting.status == PENDING
    run = system.cell.await_run(run_id, seconds=90)
    assert run.status == COMPLETED, run
    assert sorted(system.found(run_id)) == sorted(truth)
    result = json.loads(run.result_json)
    assert result["stop_reason"] == "no_cursor"
    assert result["account_id"] == account["id"]
    cursors = [one["cursor"] for one in system.control("requests") if one["operation"] == "UserTweetsAndReplies"]
    assert cursors.count(None) == 1, "it began anew instead of going on"
    health = system.rest("GET", f"/accounts/{account['id']}")[1]["health"]
    assert health["used_by_run"] is None
    assert health["requests_today"] >= 5


def test_a_breaker_can_be_seen_and_its_reset_wakes_what_waits(system: System) -> None:
    system.control("faults", {"kind": "changed_path", "operation": "Followers", "times": 2})
    run = system.cell.await_run(system.start("USER_FOLLOWERS", {"username": MAIN}), seconds=60)
    assert run.status == runs_pb2.RUN_STATUS_FAILED
    assert "UPSTREAM_CHANGED" in run.error_message
    assert run.attempt == 1, "no retry was burnt"
    (breaker,) = [one for one in system.rest("GET", "/breakers")[1]["items"] if one["state"] == "open"]
    assert (breaker["operation"], breaker["run"]) == ("Followers", run.spec.run_id)
    waiting = system.start("USER_FOLLOWERS", {"username": MAIN})
    system.until(lambda: "breaker" in system.cell.run(waiting).waiting_reason)
    status, closed = system.rest("POST", "/breakers/Followers/reset")
    assert (status, closed["state"]) == (200, "closed")
    assert system.rest("POST", "/breakers/Nonsense/reset")[0] == 404
    run = system.cell.await_run(waiting, seconds=60)
    assert run.status == COMPLETED
    assert all(one["status"] == "ACTIVE" for one in system.rest("GET", "/accounts")[1]["items"])
