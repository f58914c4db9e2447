"""The XGet contract through real processes, driven as its document says."""

import csv
import io
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from gateway_support.shapes import TIME, assert_shape
from integration.xget_kit import System, eventually, request, running_system, tweet

Json = Any
TASK = {
    "id": str, "task_name": str, "describe": (str, None), "task_type": str, "parameters": dict,
    "account_id": (str, None), "proxy_id": (str, None), "user_id": str, "status": str, "error_message": (str, None),
    "created_at": TIME, "updated_at": (TIME, None),
}  # fmt: skip
EXECUTION = {
    "id": str, "task_id": str, "account_id": (str, None), "proxy_id": (str, None), "status": str,
    "error_message": (str, None), "started_at": TIME, "completed_at": (TIME, None), "duration": (float, None),
    "result_count": (int, None),
}  # fmt: skip
RESULT = {"id": str, "task_id": str, "data_type": str, "data": dict, "metadata": dict, "created_at": TIME}
PROBLEMS = {"detail": [{"loc": [object], "msg": str, "type": str}]}
FULL = {
    "task_name": "采集用户推文",
    "describe": "采集指定用户的最新推文",
    "task_type": "USER_TWEETS",
    "parameters": {"username": "elonmusk", "limit": 50, "include_replies": False, "include_retweets": False},
    "account_id": "account-123",
    "proxy_id": "proxy-456",
    "user_id": "user-789",
}


def page_of(item: Json) -> Json:
    return {"items": [item], "total": int, "page": int, "size": int, "pages": int}


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """One system for all tests of this module."""
    with running_system(tmp_path_factory.mktemp("xget")) as running:
        yield running


def test_a_new_task_reads_back_as_it_was_sent(system: System) -> None:
    reply = system.xget.call("POST", "/tasks", FULL)
    assert reply.status == 201
    assert list(reply.json) == list(TASK)
    expected = FULL | {"status": "PENDING", "error_message": None, "updated_at": None}
    assert {name: reply.json[name] for name in expected} == expected
    assert_shape(reply.json, TASK)
    assert system.xget.task(reply.json) == reply.json


def test_a_task_without_optional_fields_has_them_as_null(system: System) -> None:
    task = system.xget.create()
    assert (task["describe"], task["account_id"], task["proxy_id"]) == (None, None, None)


@pytest.mark.parametrize(
    ("change", "loc"),
    [
        ({"task_name": None}, ["body", "task_name"]),
        ({"task_name": 7}, ["body", "task_name"]),
        ({"task_name": " "}, ["body", "task_name"]),
        ({"task_type": "LIKES"}, ["body", "task_type"]),
        ({"user_id": None}, ["body", "user_id"]),
        ({"account_id": 5}, ["body", "account_id"]),
        ({"parameters": "x"}, ["body", "parameters"]),
        ({"parameters": {}}, ["body", "parameters", "username"]),
        ({"parameters": {"username": "a/../b"}}, ["body", "parameters", "username"]),
        ({"parameters": {"username": "a", "limit": "5"}}, ["body", "parameters", "limit"]),
        ({"parameters": {"username": "a", "limit": 0}}, ["body", "parameters", "limit"]),
        ({"parameters": {"username": "a", "limit": True}}, ["body", "parameters", "limit"]),
        ({"parameters": {"username": "a", "include_replies": 1}}, ["body", "parameters", "include_replies"]),
        ({"task_type": "KEYWORD_SEARCH"}, ["body", "parameters", "query"]),
        ({"task_type": "TOPIC", "parameters": {"hashtag": "a b"}}, ["body", "parameters", "hashtag"]),
        ({"task_type": "SEARCH", "parameters": {"query": "x", "lang": "../"}}, ["body", "parameters", "lang"]),
    ],
)
def test_a_bad_field_is_422_that_names_it(system: System, change: Json, loc: Json) -> None:
    reply = system.xget.call("POST", "/tasks", FULL | change)
    assert reply.status == 422, reply.body
    assert_shape(reply.json, PROBLEMS)
    assert reply.json["detail"][0]["loc"] == loc


@pytest.mark.parametrize("body", [b"{", b"\xff", b"[" * 5_000, b"", b"[]", b'"x"'])
def test_a_body_that_is_no_object_is_422(system: System, body: bytes) -> None:
    reply = system.xget.call("POST", "/tasks", body)
    assert reply.status == 422
    assert_shape(reply.json, PROBLEMS)


@pytest.mark.parametrize(
    ("alias", "task_type", "parameters", "given"),
    [
        ("SEARCH", "KEYWORD_SEARCH", {"query": "tesla", "lang": "en"}, {"query": "tesla", "lang": "en"}),
        ("TOPIC", "HASHTAG_SEARCH", {"hashtag": "#tesla"}, {"hashtag": "#tesla"}),
        ("FOLLOWERS", "USER_FOLLOWERS", {"uid": "example", "limit": 5}, {"username": "example", "limit": 5}),
        ("FOLLOWING", "USER_FOLLOWING", {"uid": "@example", "x": 1}, {"username": "@example"}),
    ],
)
def test_aliases_run_as_the_documented_types(
    system: System, alias: str, task_type: str, parameters: Json, given: Json
) -> None:
    """An executor sees documented names only, and account and proxy beside; the client sees what it has sent."""
    task = system.xget.create(task_type=alias, parameters=parameters, account_id="account-1", user_id="alias")
    assert (task["task_type"], task["parameters"]) == (alias, parameters)
    system.xget.start(task)
    run = system.scrapers.take()
    assert (run["task_type"], run["parameters"]) == (task_type, given | {"account_id": "account-1"})
    system.scrapers.complete(run)
    for name in (alias, task_type):
        listed = system.xget.get("/tasks", user_id="alias", task_type=name)
        assert task["id"] in [item["id"] for item in listed["items"]]


def test_lists_are_filtered_and_paged(system: System) -> None:
    tasks = [system.xget.create(user_id="lister") for _ in range(3)]
    system.xget.start(tasks[1])
    first = system.xget.get("/tasks", user_id="lister", page=1, size=2)
    assert_shape(first, page_of(TASK))
    assert [item["id"] for item in first["items"]] == [tasks[2]["id"], tasks[1]["id"]]
    assert (first["total"], first["page"], first["size"], first["pages"]) == (3, 1, 2, 2)
    running = system.xget.get("/tasks/", user_id="lister", status="RUNNING")
    assert [item["id"] for item in running["items"]] == [tasks[1]["id"]]
    pending = system.xget.get("/tasks", user_id="lister", status="PENDING", task_type="USER_TWEETS")
    assert pending["total"] == 2
    assert system.xget.get("/tasks", user_id="nobody") == {"items": [], "total": 0, "page": 1, "size": 20, "pages": 0}
    system.scrapers.complete(system.scrapers.take())
    eventually(lambda: system.xget.get("/tasks", user_id="lister", status="COMPLETED")["total"] == 1)


@pytest.mark.parametrize(
    ("path", "query", "loc"),
    [
        ("/tasks", {"page": 0}, ["query", "page"]),
        ("/tasks", {"size": 101}, ["query", "size"]),
        ("/tasks", {"size": "x"}, ["query", "size"]),
        ("/tasks", {"status": "DONE"}, ["query", "status"]),
        ("/tasks", {"task_type": "LIKES"}, ["query", "task_type"]),
        ("/task-executions", {"size": 1000}, ["query", "size"]),
        ("/tasks/search/results", {}, ["query", "query"]),
        ("/tasks/search/results", {"query": "tesla"}, ["query", "query"]),
        ("/tasks/search/results", {"query": "a:b", "limit": 1001}, ["query", "limit"]),
        ("/tasks/task-1/results", {"skip": -1}, ["query", "skip"]),
    ],
)
def test_a_bad_query_is_422_that_names_it(system: System, path: str, query: Json, loc: Json) -> None:
    reply = system.xget.call("GET", path, **query)
    assert reply.status == 422, reply.body
    assert_shape(reply.json, PROBLEMS)
    assert reply.json["detail"][0]["loc"] == loc


@pytest.mark.parametrize("task_id", ["task-999999", "task-0", "task-01", "999", "task-", "exec-x", "task-1e3", "%00"])
def test_an_unknown_task_is_404_in_the_documents_words(system: System, task_id: str) -> None:
    one = f"/tasks/{task_id}"
    for method, path in (("GET", one), ("DELETE", one), ("POST", f"{one}/start"), ("POST", f"{one}/stop"),
                         ("GET", f"{one}/results"), ("POST", f"/tasks/export/{task_id}"),
                         ("GET", f"/task-executions/task/{task_id}")):  # fmt: skip
        reply = system.xget.call(method, path)
        assert (reply.status, reply.json) == (404, {"detail": "Task not found"}), (method, path)
    assert system.xget.call("PUT", one, {"task_name": "x"}).status == 404
    assert system.xget.call("GET", f"/task-executions/{task_id}").status == 404


def test_a_tasks_life_and_its_executions(system: System) -> None:
    """Start, run, end, start again, fail: what task, executions and history say at each step."""
    xget, scrapers = system.xget, system.scrapers
    task = xget.create(account_id="account-1", proxy_id="proxy-2")
    started = xget.start(task)
    assert (started["status"], started["id"]) == ("RUNNING", task["id"])
    assert xget.task(task)["status"] == "RUNNING"
    assert xget.call("POST", f"/tasks/{task['id']}/start").json == {"detail": "Task is already running"}
    run = scrapers.take()
    scrapers.find(run, tweet(1, "one"), tweet(2, "two"))
    (execution,) = xget.get("/task-executions", task_id=task["id"], status="RUNNING")["items"]
    assert_shape(execution, EXECUTION)
    assert (execution["account_id"], execution["proxy_id"], execution["completed_at"]) == ("account-1", "proxy-2", None)
    scrapers.complete(run)
    done = xget.await_status(task, "COMPLETED")
    assert done["error_message"] is None
    assert_shape(done["updated_at"], TIME)
    detail = xget.get(f"/task-executions/{execution['id']}/")
    assert (detail["status"], detail["result_count"], detail["task_id"]) == ("COMPLETED", 2, task["id"])
    assert detail["duration"] >= 0
    xget.start(task)
    scrapers.fail(scrapers.take(), "Account suspended")
    assert xget.await_status(task, "FAILED")["error_message"] == "Account suspended"
    history = xget.get(f"/task-executions/task/{task['id']}")
    assert_shape(history, [EXECUTION])
    assert [(one["status"], one["error_message"]) for one in history] == [
        ("FAILED", "Account suspended"), ("COMPLETED", None),
    ]  # fmt: skip
    assert xget.get("/task-executions", task_id=task["id"])["total"] == 2
    assert xget.get("/task-executions", size=1)["items"][0]["id"] == history[0]["id"]


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_client_made_from_the_document_drives_every_endpoint(system: System, slash: str) -> None:
    """In the document's order, with its own bodies: statuses, every key that it shows, nothing but what it knows."""

    def call(status: int, method: str, path: str, body: Json = None, /, **query: Any) -> Any:
        reply = system.xget.call(method, path + slash, body, **query)
        assert reply.status == status, (method, path, reply.body)
        return reply

    task = call(201, "POST", "/tasks", FULL | {"user_id": f"document{slash}"}).json
    assert_shape(task, TASK)
    one, tasks = f"/tasks/{task['id']}", {"page": 1, "size": 10, "status": "PENDING", "user_id": f"document{slash}"}
    assert call(200, "GET", "/tasks", **tasks).json == {"items": [task], "total": 1, "page": 1, "size": 10, "pages": 1}
    assert call(200, "GET", one).json == task
    change = {"task_name": "更新后的任务名称", "describe": "更新后的任务描述", "status": "PENDING",
              "parameters": {"username": "elonmusk", "limit": 100}}  # fmt: skip
    changed = call(200, "PUT", one, change).json
    assert_shape(changed, TASK)
    assert {name: changed[name] for name in change} == change
    batch = [{"task_name": f"任务{n}", "task_type": kind, "parameters": {"username": f"user{n}"}, "user_id": "user-789"}
             for n, kind in ((1, "USER_TWEETS"), (2, "USER_INFO"))]  # fmt: skip
    assert [{name: made[name] for name in batch[0]} for made in call(200, "POST", "/tasks/batch", batch).json] == batch
    started = call(200, "POST", f"{one}/start").json
    assert_shape(started, TASK | {"updated_at": TIME})
    assert started["status"] == "RUNNING"
    assert call(400, "POST", f"{one}/start").json.keys() == {"detail"}
    assert call(200, "POST", f"{one}/stop").json["status"] == "STOPPED"
    word = f"document{'b' if slash else 'a'}"
    system.scrapers.collect(system.xget, task, tweet(456, f"Hello {word}!", "elonmusk"))
    found = call(200, "GET", f"{one}/results", skip=0, limit=100, data_type="tweet").json
    assert_shape(found, page_of(RESULT))
    assert call(200, "GET", "/tasks/search/results", query=f"username:elonmusk,text:{word}", limit=50).json == (
        found | {"size": 50}
    )
    (item,) = found["items"]
    exported = {name: item[name] for name in ("id", "data", "created_at")}
    assert call(200, "POST", f"/tasks/export/{task['id']}").json == {"data": [exported], "total": 1}
    table = call(200, "POST", f"/tasks/export/{task['id']}", format="csv")
    assert table.headers["Content-Type"].startswith("text/csv")
    assert table.body.decode().startswith("id,data.id,data.text,data.user.username,")
    executions = call(200, "GET", "/task-executions", page=1, size=20, task_id=task["id"]).json
    assert_shape(executions, page_of(EXECUTION))
    assert [run["status"] for run in executions["items"]] == ["COMPLETED", "STOPPED"]
    newest = executions["items"][0]
    assert call(200, "GET", f"/task-executions/{newest['id']}").json == newest
    assert call(200, "GET", f"/task-executions/task/{task['id']}").json == executions["items"]
    assert call(200, "DELETE", one).json == {"message": "Task and related results deleted successfully"}
    assert call(404, "GET", one).json == {"detail": "Task not found"}
    assert_shape(call(422, "POST", "/tasks", {}).json, PROBLEMS)


def test_two_starts_at_once_start_one_run(system: System) -> None:
    task = system.xget.create()
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: system.xget.call("POST", f"/tasks/{task['id']}/start").status, range(8)))
    assert sorted(replies) == [200] + [400] * 7
    system.scrapers.complete(system.scrapers.take())
    system.xget.await_status(task, "COMPLETED")
    assert len(system.xget.get(f"/task-executions/task/{task['id']}")) == 1


def test_stop_ends_a_run_that_waits_and_one_that_runs(system: System) -> None:
    xget, task = system.xget, system.xget.create()
    reply = xget.call("POST", f"/tasks/{task['id']}/stop")
    assert (reply.status, reply.json) == (400, {"detail": "Task is not running"})
    xget.start(task)
    stopped = xget.call("POST", f"/tasks/{task['id']}/stop")
    assert (stopped.status, stopped.json["status"]) == (200, "STOPPED")
    xget.start(task)
    run = system.scrapers.take()
    with ThreadPoolExecutor(1) as pool:
        stopping = pool.submit(xget.call, "POST", f"/tasks/{task['id']}/stop")
        system.scrapers.confirm_abort(run)
        assert stopping.result().json["status"] == "STOPPED"
    states = [one["status"] for one in xget.get(f"/task-executions/task/{task['id']}")]
    assert states == ["STOPPED", "STOPPED"]
    eventually(lambda: xget.get("/task-executions", task_id=task["id"], status="STOPPED")["total"] == 2)


def test_a_change_is_kept_and_a_running_task_takes_only_names(system: System) -> None:
    xget, task = system.xget, system.xget.create()
    change = {
        "task_name": "更新后的任务名称", "describe": "新的\r\n描述", "status": "PENDING", "unknown": 1,
        "parameters": {"username": "other", "limit": 100},
    }  # fmt: skip
    reply = xget.call("PUT", f"/tasks/{task['id']}", change)
    assert reply.status == 200, reply.body
    expected = task | {name: change[name] for name in ("task_name", "describe", "parameters")}
    assert reply.json | {"updated_at": None} == expected
    assert_shape(reply.json["updated_at"], TIME)
    xget.start(task)
    for bad in ({"parameters": {"username": "x"}}, {"status": "PENDING"}, {"account_id": "a"}):
        refused = xget.call("PUT", f"/tasks/{task['id']}", bad)
        assert (refused.status, type(refused.json["detail"])) == (400, str), bad
    named = xget.call("PUT", f"/tasks/{task['id']}", xget.task(task) | {"task_name": "renamed"})
    assert (named.status, named.json["task_name"], named.json["status"]) == (200, "renamed", "RUNNING")
    run = system.scrapers.take()
    assert run["parameters"] == {"username": "other", "limit": 100}
    system.scrapers.complete(run)
    xget.await_status(task, "COMPLETED")
    for status, code in (("RUNNING", 400), ("STOPPED", 400), ("NO", 422), ("COMPLETED", 200)):
        assert xget.call("PUT", f"/tasks/{task['id']}", {"status": status}).status == code
    assert xget.call("PUT", f"/tasks/{task['id']}", {"parameters": {"username": 1}}).status == 422
    rearmed = xget.call("PUT", f"/tasks/{task['id']}", {"status": "PENDING"})
    assert (rearmed.status, rearmed.json["status"]) == (200, "PENDING")
    assert xget.task(task)["status"] == "PENDING"
    assert xget.start(task)["status"] == "RUNNING"
    system.scrapers.complete(system.scrapers.take())


def test_a_batch_is_all_or_nothing(system: System) -> None:
    xget = system.xget
    element = {"task_name": "b", "task_type": "USER_INFO", "parameters": {"username": "u"}, "user_id": "batch"}
    bad = [element, element | {"parameters": {}}, element | {"task_type": "NO"}]
    reply = xget.call("POST", "/tasks/batch", bad)
    assert reply.status == 422
    assert [one["loc"] for one in reply.json["detail"]] == [
        ["body", 1, "parameters", "username"], ["body", 2, "task_type"],
    ]  # fmt: skip
    assert xget.call("POST", "/tasks/batch", [element] * 1_001).status == 422
    assert xget.call("POST", "/tasks/batch", element).status == 422
    assert xget.get("/tasks", user_id="batch")["total"] == 0
    made = xget.call("POST", "/tasks/batch/", [element] * 3)
    assert made.status == 200
    assert_shape(made.json, [TASK])
    assert {task["task_name"] for task in made.json} == {"b"}
    assert xget.get("/tasks", user_id="batch")["total"] == 3


def test_a_thousand_tasks_are_one_call(system: System) -> None:
    """How long they take is for the benchmarks to say."""
    element = {"task_name": "many", "task_type": "USER_INFO", "parameters": {"username": "u"}, "user_id": "thousand"}
    reply = system.xget.call("POST", "/tasks/batch", [element] * 1_000)
    assert reply.status == 200, reply.body
    assert len({task["id"] for task in reply.json}) == 1_000
    assert system.xget.get("/tasks", user_id="thousand", page=10, size=100)["total"] == 1_000


def test_a_task_and_its_runs_are_seen_through_the_scheduler(system: System) -> None:
    """One domain: the same task by its number, with its contract; a run started there is an execution here."""
    task = system.xget.create(task_name="seen by all")
    number = int(task["id"].removeprefix("task-"))
    key = {"Authorization": f"Bearer {system.cell.api_key}"}
    native = request("GET", f"{system.cell.api}/tasks/{number}", headers=key).json["data"]
    assert (native["name"], native["task_type"]) == ("seen by all", "USER_TWEETS")
    assert native["metadata"]["params"] == {"username": "example"}
    run_id = request("POST", f"{system.cell.api}/tasks/{number}/trigger", {}, key).json["data"]["run_id"]
    assert system.xget.task(task)["status"] == "RUNNING"
    assert system.xget.get(f"/task-executions/exec-{run_id}")["task_id"] == task["id"]
    assert system.xget.call("POST", f"/tasks/{task['id']}/start").status == 400
    system.scrapers.complete(system.scrapers.take())
    changed = {"metadata": native["metadata"] | {"params": {"username": "changed", "proxy_id": "p"}}}
    assert request("PUT", f"{system.cell.api}/tasks/{number}", changed, key).status == 200
    seen = system.xget.task(task)
    assert (seen["parameters"], seen["proxy_id"], seen["task_name"]) == ({"username": "changed"}, "p", "seen by all")
    system.xget.start(task)
    run = system.scrapers.take()
    listed = request("GET", f"{system.cell.api}/runs?task_id={number}", headers=key).json["data"]["items"]
    assert [one["contract"] for one in listed] == ["xget", "scheduler"]
    system.scrapers.complete(run)


def test_below_the_schedulers_port_a_key_is_asked_for(system: System) -> None:
    base = system.cell.api.removesuffix("/api") + "/xget/api/v1"
    assert request("GET", f"{base}/tasks").status == 401
    reply = request("GET", f"{base}/tasks?size=1", headers={"Authorization": f"Bearer {system.cell.api_key}"})
    assert_shape(reply.json, page_of(TASK))


def test_the_same_idempotency_key_creates_one_task(system: System) -> None:
    body = json.dumps(FULL | {"user_id": "once"}).encode()
    headers = {"Idempotency-Key": "create-1"}
    first, second = (request("POST", f"{system.xget.base}/tasks", body, headers) for _ in range(2))
    assert (first.status, second.status, first.json["id"]) == (201, 201, second.json["id"])
    assert system.xget.get("/tasks", user_id="once")["total"] == 1


# --- results


def test_results_are_one_collection_over_all_executions(system: System) -> None:
    """What two runs found under the same key is one result, in the order of the first finds, as last seen."""
    xget, scrapers, task = system.xget, system.scrapers, system.xget.create()
    scrapers.collect(xget, task, *(tweet(number, f"first {number}") for number in (1, 2, 3)))
    user = {"key": "2", "data_type": "user", "data": {"id": "2"}}
    scrapers.collect(xget, task, tweet(3, "again"), tweet(4, "first 4"), user)
    found = xget.get(f"/tasks/{task['id']}/results")
    assert_shape(found, page_of(RESULT))
    assert [(item["data_type"], item["data"].get("text")) for item in found["items"]] == [
        ("tweet", "first 1"), ("tweet", "first 2"), ("tweet", "again"), ("tweet", "first 4"), ("user", None),
    ]  # fmt: skip
    assert (found["total"], found["page"], found["size"], found["pages"]) == (5, 1, 100, 1)
    assert found["items"][0]["metadata"] == {"source": "twitter"}
    assert len({item["id"] for item in found["items"]}) == 5
    users = xget.get(f"/tasks/{task['id']}/results", data_type="user")
    assert (users["total"], users["items"][0]["data"]) == (1, {"id": "2"})
    page = xget.get(f"/tasks/{task['id']}/results", skip=2, limit=2)
    assert [item["id"] for item in page["items"]] == [item["id"] for item in found["items"][2:4]]
    assert (page["page"], page["size"], page["pages"]) == (2, 2, 3)
    assert xget.get(f"/tasks/{task['id']}/results", page=2, size=2) == page
    runs = [int(one["id"].removeprefix("exec-")) for one in xget.get(f"/task-executions/task/{task['id']}")]
    assert [[json.loads(item.data_json)["id"] for item in system.cell.items(run)] for run in runs] == [
        ["3", "4", "2"], ["1", "2", "3"],
    ]  # fmt: skip


def found_ids(system: System, query: str, **more: Any) -> list[str]:
    answer = system.xget.get("/tasks/search/results", query=query, **more)
    assert answer["total"] == len(answer["items"])
    return sorted(item["data"].get("id", "") for item in answer["items"])


def test_search_matches_whole_words_below_keys_at_any_depth(system: System) -> None:
    task = system.xget.create()
    items = [
        tweet(101, "Tesla is the FUTURE!", "searched", url="https://x.example/a?b=1,2"),
        tweet(102, "teslas are many", "searched"),
        tweet(103, "特斯拉很好", "searched", stats={"likes": 42, "ok": True, "tags": ["one two", "three"]}),
        tweet(104, "tesla", "else_where", **{"a:b": "c,d"}),
        {"key": "105", "data_type": "user", "data": {"id": "105", "username": "searched"}},
    ]
    system.scrapers.collect(system.xget, task, *items)
    assert found_ids(system, "username:searched,text:tesla") == ["101"]
    assert found_ids(system, "username:SEARCHED") == ["101", "102", "103", "105"]
    assert found_ids(system, "username:searched", data_type="user") == ["105"]
    assert found_ids(system, "text:the future,username:searched") == ["101"]
    assert found_ids(system, "text:future the,username:searched") == []
    assert found_ids(system, "text:特斯拉") == ["103"]
    assert found_ids(system, "likes:42,ok:true") == ["103"]
    assert found_ids(system, "tags:two,username:searched") == ["103"]
    assert found_ids(system, "tags:two three") == []
    assert found_ids(system, r"a\:b:c\,d") == ["104"]
    assert found_ids(system, r"url:https\://x.example/a?b=1\,2") == ["101"]
    assert found_ids(system, "username:else") == []
    assert found_ids(system, "user:searched") == []
    assert found_ids(system, "$where:1") == []
    answer = system.xget.get("/tasks/search/results", query="username:searched", skip=1, limit=2)
    assert_shape(answer, page_of(RESULT))
    assert (answer["total"], len(answer["items"]), answer["pages"]) == (4, 2, 2)


def test_search_finds_what_was_seen_last(system: System) -> None:
    """A thing that is found again with other words is found by those, and no longer by the old ones."""
    task = system.xget.create()
    system.scrapers.collect(system.xget, task, tweet(201, "oldword"))
    assert found_ids(system, "text:oldword") == ["201"]
    system.scrapers.collect(system.xget, task, tweet(201, "newword"))
    assert found_ids(system, "text:newword") == ["201"]
    assert found_ids(system, "text:oldword") == []


def test_the_index_outlives_kill_9_and_its_own_loss(system: System) -> None:
    task = system.xget.create()
    system.scrapers.collect(system.xget, task, tweet(301, "durableword"))
    assert found_ids(system, "text:durableword") == ["301"]
    system.cell.restart("scraper")
    eventually(lambda: system.xget.call("GET", "/tasks/search/results", query="text:durableword").status == 200)
    assert found_ids(system, "text:durableword") == ["301"]
    system.cell.programs["scraper"].kill()
    for folder in (system.cell.directory / "search").iterdir():
        (folder / "mark.json").unlink()
        for path in (folder / "index").iterdir():
            path.write_bytes(b"rubbish")
    system.cell.programs["scraper"].start()
    eventually(lambda: system.xget.call("GET", "/tasks/search/results", query="text:durableword").status == 200)
    assert found_ids(system, "text:durableword") == ["301"]


def test_delete_takes_the_results_along_and_stops_the_run_first(system: System) -> None:
    xget, scrapers, task = system.xget, system.scrapers, system.xget.create()
    scrapers.collect(xget, task, tweet(401, "deletedword"))
    assert found_ids(system, "text:deletedword") == ["401"]
    xget.start(task)
    run = scrapers.take()
    with ThreadPoolExecutor(1) as pool:
        deleting = pool.submit(xget.call, "DELETE", f"/tasks/{task['id']}")
        scrapers.confirm_abort(run)
        reply = deleting.result()
    assert (reply.status, reply.json) == (200, {"message": "Task and related results deleted successfully"})
    assert xget.call("GET", f"/tasks/{task['id']}/results").status == 404
    assert found_ids(system, "text:deletedword") == []
    number = int(task["id"].removeprefix("task-"))
    assert request("GET", f"{system.cell.api}/tasks/{number}",
                   headers={"Authorization": f"Bearer {system.cell.api_key}"}).status == 404  # fmt: skip
    eventually(lambda: xget.call("DELETE", f"/tasks/{task['id']}").status == 404)


# --- export


@pytest.fixture(scope="module")
def exported(system: System) -> Json:
    """A task whose results have different keys, and texts that spreadsheets would run."""
    task = system.xget.create()
    items = [
        tweet(501, "plain", likes=3),
        tweet(502, "=1+1", likes=-4, tags=["a", {"b": 1}], lang=None),
        tweet(503, "+x", likes=2.5, quoted={"text": "@y", "user": {}}),
        tweet(504, 'quote " comma , line\nbreak', mixed=1, big=2**60),
        tweet(505, "中文", mixed="text"),
    ]
    system.scrapers.collect(system.xget, task, *items)
    return task


def export(system: System, task: Json, kind: str) -> Any:
    reply = system.xget.call("POST", f"/tasks/export/{task['id']}", format=kind)
    assert reply.status == 200, reply.body
    return reply


def test_export_is_json_by_default(system: System, exported: Json) -> None:
    reply = system.xget.call("POST", f"/tasks/export/{exported['id']}")
    assert reply.headers["Content-Type"] == "application/json"
    assert list(reply.json) == ["data", "total"]
    assert reply.json["total"] == len(reply.json["data"]) == 5
    assert_shape(reply.json["data"], [{"id": str, "data": dict, "created_at": TIME}])
    assert reply.json["data"][3]["data"]["big"] == 2**60
    lines = export(system, exported, "ndjson").body.splitlines()
    assert [json.loads(line) for line in lines] == reply.json["data"]


def test_csv_has_the_union_of_all_columns_and_no_formulas(system: System, exported: Json) -> None:
    reply = export(system, exported, "csv")
    assert reply.headers["Content-Type"].startswith("text/csv")
    name = f"{exported['id'].replace('-', '_')}_results.csv"
    assert reply.headers["Content-Disposition"] == f"attachment; filename={name}"
    rows = list(csv.DictReader(io.StringIO(reply.body.decode())))
    assert list(rows[0]) == [
        "id", "data.id", "data.text", "data.user.username", "data.user.name", "data.likes", "data.tags", "data.lang",
        "data.quoted.text", "data.quoted.user", "data.mixed", "data.big", "created_at",
    ]  # fmt: skip
    assert [row["data.text"] for row in rows] == ["plain", "'=1+1", "'+x", 'quote " comma , line\nbreak', "中文"]
    assert [row["data.likes"] for row in rows] == ["3", "-4", "2.5", "", ""]
    assert (rows[2]["data.quoted.text"], rows[1]["data.tags"]) == ("'@y", '["a",{"b":1}]')
    assert rows[0]["data.big"] == ""


def test_parquet_columns_have_types(system: System, exported: Json) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(io.BytesIO(export(system, exported, "parquet").body))
    assert table.num_rows == 5
    assert table.schema.field("data.likes").type == pa.float64()
    assert table.schema.field("data.big").type == pa.int64()
    assert table["data.mixed"].to_pylist() == [None, None, None, "1", "text"]
    assert table["data.text"].to_pylist()[1] == "=1+1"


def test_a_workbook_has_numbers_as_numbers_and_no_formulas(system: System, exported: Json) -> None:
    import re
    import zipfile

    book = zipfile.ZipFile(io.BytesIO(export(system, exported, "xlsx").body))
    sheet = book.read("xl/worksheets/sheet1.xml").decode()
    assert "<f>" not in sheet
    assert "'=1+1" in sheet
    assert re.search(r"<v>-4</v>", sheet)
    assert sheet.count("<row ") == 6


def test_an_unknown_format_is_422_and_an_empty_task_exports_nothing(system: System) -> None:
    task = system.xget.create()
    reply = system.xget.call("POST", f"/tasks/export/{task['id']}", format="pdf")
    assert (reply.status, reply.json["detail"][0]["loc"]) == (422, ["query", "format"])
    assert export(system, task, "json").json == {"data": [], "total": 0}
    assert export(system, task, "csv").body == b"id,created_at\n"
    assert export(system, task, "ndjson").body == b""
    for kind in ("parquet", "xlsx"):
        assert len(export(system, task, kind).body) > 100
