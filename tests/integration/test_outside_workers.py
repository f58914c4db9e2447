"""Workers that speak only HTTP, through real processes: gateway, scheduler, registry, scraper and the three stores."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cell as cells
import grpc
import pytest
from stores import wait_until
from trawl.scheduler.v1 import runs_pb2
from trawl.scraper.v1 import events_pb2 as ends_pb
from wire import subjects

COMPLETED, FAILED = runs_pb2.RUN_STATUS_COMPLETED, runs_pb2.RUN_STATUS_FAILED
ABORTED, RUNNING, PENDING = runs_pb2.RUN_STATUS_ABORTED, runs_pb2.RUN_STATUS_RUNNING, runs_pb2.RUN_STATUS_PENDING
EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = (*cells.ALL, "gateway")


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cells.Cell]:
    """One system for all tests of this module; leases run out after six seconds."""
    with cells.running_cell(tmp_path_factory.mktemp("cell"), *NAMES, LEASE_SECONDS="6") as running:
        until = time.monotonic() + 60
        while http(running, "GET", "/workers?status=active")[1]["data"]["total"] < 1:
            assert time.monotonic() < until, "the built-in worker is not there"
            time.sleep(0.1)
        yield running


def http(cell: cells.Cell, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """(status, answer)"""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {cell.api_key}", "Content-Type": "application/json"}
    request = urllib.request.Request(cell.api + path, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=70) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)
    except urllib.error.URLError:
        return 0, {"data": {"total": 0}}


def post(cell: cells.Cell, path: str, body: Any = None) -> Any:
    """The `data` of an answer that must be a success."""
    status, answer = http(cell, "POST", path, body if body is not None else {})
    assert status in (200, 201), (path, status, answer)
    return answer["data"]


def register(cell: cells.Cell, *task_types: str, slots: int = 2, heartbeat: float = 20, **fields: Any) -> str:
    """The id of a new outside worker. It is lost after three heartbeats that did not come."""
    worker = {"hostname": "far-away", "ip_address": "192.0.2.7", "port": 0, "task_types": list(task_types)}
    more = {"max_concurrent_tasks": slots, "heartbeat_interval_seconds": heartbeat, **fields}
    return str(post(cell, "/workers", worker | more)["id"])


def lease(cell: cells.Cell, worker: str, wait: float = 10, most: int = 1) -> list[dict[str, Any]]:
    """What the worker is given."""
    runs: list[dict[str, Any]] = post(
        cell, f"/workers/{worker}/lease", {"max_runs": most, "wait_seconds": wait}
    )["runs"]  # fmt: skip
    return runs


def beat(cell: cells.Cell, worker: str, *runs: int) -> Any:
    """A heartbeat's answer."""
    return post(cell, f"/workers/{worker}/heartbeat", {"current_tasks": list(runs)})


def test_a_run_of_a_type_that_nobody_else_offers_is_done_over_http(cell: cells.Cell) -> None:
    """The whole protocol: lease, log, progress, items, result; and what readers see of it."""
    task = cell.create_task("prints", "printing", command="print {{page}}", parameters=b'{"page": 7}', arguments=["-q"],
                            has_arguments=True)  # fmt: skip
    run_id = cell.start_run(task, parameters=b'{"copies": 2}')
    worker = register(cell, "printing")
    (run,) = lease(cell, worker)
    expected = {"run_id": run_id, "task_id": task, "task_name": "prints", "task_type": "printing",
                "executor": "printing", "command": "print {{page}}", "attempt": 1}  # fmt: skip
    assert {key: run[key] for key in expected} == expected
    assert (run["arguments"], run["parameters"], run["timeout_seconds"]) == (["-q"], {"page": 7, "copies": 2}, 60)
    token = {"lease_token": run["lease_token"]}
    detail = http(cell, "GET", f"/workers/{worker}")[1]["data"]
    assert [entry["run_id"] for entry in detail["current_tasks"]] == [run_id]
    post(cell, f"/runs/{run_id}/logs", {**token, "logs": ["one", {"level": "warning", "message": "two"}]})
    post(cell, f"/runs/{run_id}/logs", {**token, "logs": ["three"]})
    post(cell, f"/runs/{run_id}/progress", {**token, "done": 1, "total": 4, "step": "page 1"})
    seen = http(cell, "GET", f"/runs/{run_id}")[1]["data"]
    assert (seen["status"], seen["worker_id"], seen["progress"]) == (
        "running", worker, {"done": 1, "total": 4, "step": "page 1"})  # fmt: skip
    post(cell, f"/runs/{run_id}/results", {**token, "items": [{"data": {"n": 1}}, {"data": {"n": 2}}]})
    for _ in range(2):  # a repeated item with a key is the same item
        post(cell, f"/runs/{run_id}/results", {**token, "items": [{"key": "k", "data": {"n": 3}}]})
    answer = post(cell, f"/runs/{run_id}/complete", {**token, "result": {"pages": [1, 2]}})
    assert (answer["status"], answer["attempt"]) == ("completed", 1)
    seen = http(cell, "GET", f"/runs/{run_id}")[1]["data"]
    assert (seen["status"], seen["result"]) == ("completed", {"pages": [1, 2]})
    assert [(line["level"], line["message"]) for line in seen["logs"]] == [
        ("info", "one"), ("warn", "two"), ("info", "three")]  # fmt: skip
    items = http(cell, "GET", f"/runs/{run_id}/results")[1]["data"]["items"]
    assert [item["data"]["n"] for item in items] == [1, 2, 3]
    statistics = http(cell, "GET", f"/workers/{worker}")[1]["data"]["statistics"]
    assert (statistics["total_tasks_executed"], statistics["successful_tasks"]) == (1, 1)


def test_a_waiting_lease_is_answered_the_moment_a_run_is_queued(cell: cells.Cell) -> None:
    task = cell.create_task("soon", "soon-type")
    worker = register(cell, "other-type", "soon-type")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lease, cell, worker, 50)
        time.sleep(1.5)  # it should be waiting by now; a run that came before would be found as well
        began = time.monotonic()
        run_id = cell.start_run(task)
        assert [run["run_id"] for run in waiting.result(60)] == [run_id]
    # Long before the end of its wait.
    assert time.monotonic() - began < 15


def test_a_client_that_hangs_up_while_it_waits_takes_no_run_with_it(cell: cells.Cell) -> None:
    task = cell.create_task("hung-up", "hanging-up")
    gone, there = register(cell, "hanging-up", heartbeat=20), register(cell, "hanging-up", heartbeat=20)
    port = int(cell.api.split(":")[2].split("/")[0])
    head = f"POST /api/workers/{gone}/lease?api_key={cell.api_key} HTTP/1.1\r\nHost: localhost\r\n"
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(f"{head}Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}".encode())
        time.sleep(1)
    time.sleep(0.5)  # the other side hears of it at its leisure
    run_id = cell.start_run(task)
    (run,) = lease(cell, there, wait=5)
    assert (run["run_id"], run["attempt"]) == (run_id, 1)


def test_a_waiting_lease_survives_a_restart_of_nats(cell: cells.Cell) -> None:
    task = cell.create_task("reconnected", "reconnecting")
    worker = register(cell, "reconnecting", heartbeat=20)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lease, cell, worker, 40)
        time.sleep(1)
        cell.restart("nats")
        run_id = wait_until(lambda: _started(cell, task))
        assert [run["run_id"] for run in waiting.result(60)] == [run_id]


def _started(cell: cells.Cell, task: int) -> int:
    """The run's id; 0 while runs can't be accepted."""
    try:
        return cell.start_run(task)
    except (AssertionError, grpc.RpcError):
        return 0


def test_a_dead_workers_run_is_done_by_another_and_its_late_report_is_refused(cell: cells.Cell) -> None:
    task = cell.create_task("handed-on", "handing")
    run_id = cell.start_run(task)
    first, second = register(cell, "handing", heartbeat=1), register(cell, "handing")
    (lost,) = lease(cell, first)
    assert lease(cell, second, wait=0) == []
    # The first worker is never heard again; the second waits for what becomes of its run.

    def taken_over() -> list[dict[str, Any]]:
        beat(cell, second)
        return lease(cell, second, wait=1)

    (run,) = wait_until(taken_over)
    assert (run["run_id"], run["attempt"]) == (run_id, 2)
    assert http(cell, "GET", f"/workers/{first}")[1]["data"]["status"] == "offline"
    for path, body in (("complete", {"result": 1}), ("fail", {"error_message": "x"}), ("logs", {"logs": ["late"]}),
                       ("progress", {"done": 1}), ("results", {"items": [{"data": {}}]})):  # fmt: skip
        status, answer = http(cell, "POST", f"/runs/{run_id}/{path}", {"lease_token": lost["lease_token"], **body})
        assert (status, answer["error"]["code"]) == (409, "RESOURCE_CONFLICT"), (path, answer)
    post(cell, f"/runs/{run_id}/complete", {"lease_token": run["lease_token"], "result": "second"})
    ended = cell.run(run_id)
    assert (ended.status, ended.attempt, ended.worker_id) == (COMPLETED, 2, second)
    status, _ = http(cell, "POST", f"/runs/{run_id}/complete", {"lease_token": lost["lease_token"]})
    assert (status, cell.run(run_id).result_json) == (409, b'"second"')


def test_heartbeats_hold_a_run_longer_than_its_lease(cell: cells.Cell) -> None:
    """And a run that the heartbeats do not name goes back when its lease has run out."""
    task = cell.create_task("held", "holding")
    kept, dropped = cell.start_run(task), cell.start_run(task)
    worker = register(cell, "holding", heartbeat=2)
    runs = lease(cell, worker, most=2)
    assert {run["run_id"] for run in runs} == {kept, dropped}
    assert lease(cell, worker, wait=0) == []

    def gone() -> bool:
        beat(cell, worker, kept)
        return cell.run(dropped).status == PENDING

    wait_until(gone, 40)
    assert cell.run(kept).status == RUNNING
    assert beat(cell, worker, kept, dropped)["abort"] == [dropped]
    tokens = {run["run_id"]: run["lease_token"] for run in runs}
    assert post(cell, f"/runs/{kept}/complete", {"lease_token": tokens[kept]})["status"] == "completed"
    assert http(cell, "POST", f"/runs/{dropped}/complete", {"lease_token": tokens[dropped]})[0] == 409


def test_a_draining_worker_gets_nothing_new_and_finishes_what_it_has(cell: cells.Cell) -> None:
    task = cell.create_task("drained", "draining-type")
    first, second = cell.start_run(task), cell.start_run(task)
    worker = register(cell, "draining-type")
    (run,) = lease(cell, worker)
    assert run["run_id"] == first
    assert http(cell, "PUT", f"/workers/{worker}", {"status": "draining"})[0] == 200
    assert beat(cell, worker, first)["wanted_status"] == "draining"
    assert lease(cell, worker, wait=0) == []
    post(cell, f"/runs/{first}/complete", {"lease_token": run["lease_token"]})
    assert (cell.run(first).status, cell.run(second).status) == (COMPLETED, PENDING)
    assert http(cell, "PUT", f"/workers/{worker}", {"status": "active"})[0] == 200
    assert [run["run_id"] for run in lease(cell, worker)] == [second]


def test_an_abort_reaches_the_worker_in_its_heartbeat_and_ends_with_a_receipt(cell: cells.Cell) -> None:
    task = cell.create_task("aborted", "aborting")
    run_id = cell.start_run(task)
    worker = register(cell, "aborting")
    (run,) = lease(cell, worker)
    token = {"lease_token": run["lease_token"]}
    status, _ = http(cell, "POST", f"/runs/{run_id}/fail", {**token, "aborted": True})
    assert status == 409, "nobody has asked for it"
    cell.runs.AbortRun(runs_pb2.AbortRunRequest(run_id=run_id), timeout=60)
    assert beat(cell, worker, run_id)["abort"] == [run_id]
    assert post(cell, f"/runs/{run_id}/progress", {**token, "done": 1})["abort"] is True
    answer = post(cell, f"/runs/{run_id}/fail", {**token, "aborted": True})
    assert answer["status"] == "aborted"
    ended = cell.run(run_id)
    assert (ended.status, ended.stop.how) == (ABORTED, "worker")
    assert 0 < ended.stop.requested_ms <= ended.stop.delivered_ms <= ended.stop.stopped_ms


def test_a_failed_attempt_is_retried_unless_the_worker_says_otherwise(cell: cells.Cell) -> None:
    task = cell.create_task("failing", "failing-type")
    run_id = cell.start_run(task)
    worker = register(cell, "failing-type", heartbeat=20)
    (run,) = lease(cell, worker)
    failed = post(cell, f"/runs/{run_id}/fail", {"lease_token": run["lease_token"], "error_message": "paper jam"})
    assert failed["status"] == "pending"
    (run,) = lease(cell, worker)
    assert run["attempt"] == 2
    body = {"lease_token": run["lease_token"], "error_message": "no paper", "retryable": False}
    assert post(cell, f"/runs/{run_id}/fail", body)["status"] == "failed"
    ended = cell.run(run_id)
    assert (ended.status, ended.attempt, ended.error_message) == (FAILED, 2, "no paper")


def test_a_parked_run_waits_out_its_limit_and_uses_up_no_retry(cell: cells.Cell) -> None:
    """What a worker of Trawl itself says when a limit stops it; here it is said in the name of an outside one."""
    task = cell.create_task("limited", "limiting", retry_count=0)
    run_id = cell.start_run(task)
    worker = register(cell, "limiting", heartbeat=20)
    (run,) = lease(cell, worker)
    resume = int(time.time() * 1000) + 6_000
    parked = ends_pb.RunFinished(
        run_id=run_id, token=int(run["lease_token"]), attempt=1, outcome=ends_pb.OUTCOME_PARKED,
        error_message="rate limit of the site", error_code="RATE_LIMITED", resume_at_ms=resume,
        spec=cell.run(run_id).spec.SerializeToString(),
    )  # fmt: skip
    cell.publish(subjects.RUNS_FINISHED, ends_pb.RunsFinished(runs=[parked]).SerializeToString())
    waiting = cell.await_run(run_id, PENDING)
    assert (waiting.waiting_reason, waiting.not_before_ms) == ("rate limit of the site", resume)
    (reason,) = http(cell, "GET", f"/runs/{run_id}/explain")[1]["data"]["reasons"]
    assert reason["code"] == "rate_limit"
    assert reason["message"].startswith("rate limit of the site; it goes on in ")
    (run,) = lease(cell, worker)
    assert run["attempt"] == 2
    assert time.time() * 1000 >= resume
    failed = post(cell, f"/runs/{run_id}/fail", {"lease_token": run["lease_token"], "error_message": "no"})
    assert failed["status"] == "failed", "the task allows no retry"


def test_urgent_runs_are_handed_out_first(cell: cells.Cell) -> None:
    task = cell.create_task("queued", "queueing")
    low = cell.start_run(task, priority=runs_pb2.PRIORITY_LOW)
    critical = cell.start_run(task, priority=runs_pb2.PRIORITY_CRITICAL)
    worker = register(cell, "queueing", heartbeat=20)
    # One call in ten is served the other way round; two in a row never are.
    orders = []
    for _ in range(2):
        (first,), (second,) = lease(cell, worker), lease(cell, worker)
        orders.append((first["run_id"], second["run_id"]))
        for run in (first, second):
            post(cell, f"/runs/{run['run_id']}/complete", {"lease_token": run["lease_token"]})
        if orders[-1] == (critical, low):
            return
        low = cell.start_run(task, priority=runs_pb2.PRIORITY_LOW)
        critical = cell.start_run(task, priority=runs_pb2.PRIORITY_CRITICAL)
    pytest.fail(f"{orders}")


def test_a_worker_that_takes_another_ones_id_takes_its_runs_away(cell: cells.Cell) -> None:
    task = cell.create_task("restarted", "restarting")
    run_id = cell.start_run(task)
    worker = register(cell, "restarting", id="printer-7", heartbeat=20)
    (lost,) = lease(cell, worker)
    assert register(cell, "restarting", id="printer-7", heartbeat=20) == worker
    (run,) = lease(cell, worker)
    assert (run["run_id"], run["attempt"]) == (run_id, 2)
    assert http(cell, "POST", f"/runs/{run_id}/complete", {"lease_token": lost["lease_token"]})[0] == 409
    post(cell, f"/runs/{run_id}/complete", {"lease_token": run["lease_token"]})


def test_a_trawl_worker_can_neither_be_replaced_nor_impersonated(cell: cells.Cell) -> None:
    body = {"id": "worker-001", "hostname": "h", "ip_address": "192.0.2.1", "port": 0, "task_types": ["noop"]}
    assert http(cell, "POST", "/workers", body)[0] == 409
    assert http(cell, "POST", "/workers/worker-001/heartbeat", {})[0] == 409
    assert http(cell, "POST", "/workers/worker-001/lease", {"wait_seconds": 0})[0] == 409


@pytest.mark.timeout(180)
@pytest.mark.parametrize("program", [[sys.executable, "worker.py"], ["node", "worker.mjs"]], ids=["python", "node"])
def test_the_example_worker_does_runs_and_its_death_loses_none(cell: cells.Cell, program: list[str]) -> None:
    """`kill -9` of one example worker that holds a run; another of its kind does the run."""
    kind = f"greetings-{program[0].rpartition('/')[2][:4]}"
    task = cell.create_task(kind, kind, parameters=b'{"n": 1, "who": "you"}')
    environment = {**os.environ, "TRAWL_KEY": cell.api_key, "HEARTBEAT": "1", "SLOTS": "1"}
    command = [program[0], str(EXAMPLES / program[1]), cell.api, kind]
    workers = [subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)]
    try:
        run = cell.await_run(cell.start_run(task))
        assert (run.status, json.loads(run.result_json)) == (COMPLETED, {"greeting": "hello you"})
        assert (run.item_count, cell.logs(run.spec.run_id)) == (1, ["counted 1"])
        run_id = cell.start_run(task, parameters=b'{"n": 5}')
        # Once it has said something it has the run; killed while the answer is on its way, it would never have begun.
        wait_until(lambda: cell.logs(run_id))
        workers[0].kill()
        workers.append(subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL))
        ended = cell.await_run(run_id, seconds=60)
        assert (ended.status, ended.attempt) == (COMPLETED, 2)
        run_id = cell.start_run(task, parameters=b'{"n": 60}')
        cell.await_run(run_id, RUNNING)
        cell.runs.AbortRun(runs_pb2.AbortRunRequest(run_id=run_id), timeout=60)
        assert cell.await_run(run_id).stop.how == "worker"
    finally:
        for worker in workers:
            worker.kill()
            worker.wait(10)


def test_a_frozen_small_worker_loses_its_run_and_its_late_report_is_refused(cell: cells.Cell) -> None:
    task = cell.create_task("small", "smalls", parameters=b'{"seconds": 2}')
    run_id = cell.start_run(task)
    environment = {**os.environ, "TRAWL_KEY": cell.api_key}
    command = [sys.executable, str(EXAMPLES / "small_worker.py"), cell.api, "smalls"]
    with contextlib.ExitStack() as stack:
        workers = []
        for _ in range(2):
            worker = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
            stack.callback(worker.wait, 10)
            stack.callback(worker.kill)
            workers.append(worker)
            if len(workers) == 1:
                cell.await_run(run_id, RUNNING)
                worker.send_signal(signal.SIGSTOP)
        ended = cell.await_run(run_id, seconds=60)
        assert (ended.status, ended.attempt, json.loads(ended.result_json)) == (COMPLETED, 2, {"slept": 2})
        workers[0].send_signal(signal.SIGCONT)
        assert workers[0].stderr is not None
        said = next(line for line in workers[0].stderr if line.startswith(f"{run_id} "))
        assert "409" in said
        stack.callback(workers[0].stderr.close)
        assert workers[1].stderr is not None
        stack.callback(workers[1].stderr.close)
    assert cell.run(run_id).attempt == 2


@pytest.mark.timeout(180)
def test_the_loss_of_all_of_redis_loses_no_leased_run(cell: cells.Cell) -> None:
    """A held run stays with its worker; one whose worker died meanwhile goes to another."""
    task = cell.create_task("survives", "surviving")
    kept, orphaned = cell.start_run(task), cell.start_run(task)
    worker, dead = register(cell, "surviving", slots=1, heartbeat=2), register(cell, "surviving", slots=1, heartbeat=2)
    (mine,), (other,) = lease(cell, worker), lease(cell, dead)
    post(cell, f"/runs/{mine['run_id']}/results", {"lease_token": mine["lease_token"], "items": [{"data": {"n": 1}}]})
    cell.programs["redis"].wipe()  # type: ignore[attr-defined]

    def heard() -> bool:
        status, answer = http(cell, "POST", f"/workers/{worker}/heartbeat", {"current_tasks": [mine["run_id"]]})
        return status == 200 and answer["data"]["abort"] == []

    wait_until(heard)
    post(cell, f"/runs/{mine['run_id']}/results", {"lease_token": mine["lease_token"], "items": [{"data": {"n": 2}}]})
    post(cell, f"/runs/{mine['run_id']}/complete", {"lease_token": mine["lease_token"], "result": "kept"})
    ended = cell.run(mine["run_id"])
    assert (ended.status, ended.attempt, ended.item_count) == (COMPLETED, 1, 2)
    assert len(cell.items(mine["run_id"])) == 2

    def taken_over() -> list[dict[str, Any]]:
        beat(cell, worker)
        return lease(cell, worker, wait=1)

    (run,) = wait_until(taken_over, 60)
    assert (run["run_id"], run["attempt"]) == (other["run_id"], 2)
    assert {kept, orphaned} == {mine["run_id"], other["run_id"]}
    assert http(cell, "POST", f"/runs/{other['run_id']}/complete", {"lease_token": other["lease_token"]})[0] == 409
    post(cell, f"/runs/{run['run_id']}/complete", {"lease_token": run["lease_token"]})


@pytest.mark.timeout(180)
def test_kill_9_of_scheduler_and_gateway_leaves_the_lease_as_it_was(cell: cells.Cell) -> None:
    task = cell.create_task("restarts", "restarts-type")
    run_id = cell.start_run(task)
    worker = register(cell, "restarts-type", heartbeat=20)
    (run,) = lease(cell, worker)
    cell.restart("scheduler")
    cell.restart("gateway")
    wait_until(lambda: http(cell, "POST", f"/workers/{worker}/heartbeat", {"current_tasks": [run_id]})[0] == 200, 40)
    assert post(cell, f"/runs/{run_id}/complete", {"lease_token": run["lease_token"]})["status"] == "completed"
    assert cell.run(run_id).attempt == 1
