"""The task management contract through real processes: gateway, scheduler, registry, scraper and the three stores."""

import json
import re
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cell as cells
import grpc
import pytest
import redis
from stores import wait_until
from trawl.scheduler.v1 import lease_pb2, lease_pb2_grpc, queues_pb2, queues_pb2_grpc, runs_pb2
from wire import subjects

COMPLETED, ABORTED, PENDING = (
    runs_pb2.RUN_STATUS_COMPLETED, runs_pb2.RUN_STATUS_ABORTED, runs_pb2.RUN_STATUS_PENDING,
)  # fmt: skip
SCENARIOS = Path(__file__).parent / "management_clients" / "scenarios.mjs"
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
NOBODY = "00000000-0000-4000-8000-00000000002a"


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cells.Cell]:
    """One system for all tests of this module."""
    with cells.running_cell(tmp_path_factory.mktemp("cell"), *cells.ALL, "gateway") as running:
        wait_until(lambda: call(running, "GET", "/workers?status=active")[1])
        yield running


def call(cell: cells.Cell, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    """(status, answer); the headers are in `headers.last`."""
    data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"Content-Type": "application/json"} | {name.replace("_", "-"): text for name, text in headers.items()}
    request = urllib.request.Request(cell.management + path, data, sent, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)
    except urllib.error.URLError:
        return 0, []


def ok(cell: cells.Cell, method: str, path: str, body: Any = None) -> Any:
    """The answer of a call that must succeed."""
    status, answer = call(cell, method, path, body)
    assert status in (200, 201), (path, status, answer)
    return answer


def define(cell: cells.Cell, name: str, command: str, **fields: Any) -> None:
    """A shell task by the contract's own way."""
    body = {"taskName": name, "taskType": "shell", "command": command, "retries": 0, **fields}
    assert call(cell, "POST", "/tasks", body, **key_of(cell))[0] == 201


def key_of(cell: cells.Cell) -> dict[str, str]:
    """The headers of an administrator."""
    return {"Authorization": f"Bearer {cell.api_key}"}


def execute(cell: cells.Cell, name: str, params: Any = None) -> str:
    """An execution's id."""
    return str(ok(cell, "POST", f"/tasks/{name}/execute/api", {"params": params or {}})["executionId"])


def state(cell: cells.Cell, execution: str, **query: Any) -> Any:
    """What is shown of an execution."""
    return ok(cell, "GET", f"/tasks/running/execution/{execution}?{urllib.parse.urlencode(query)}")


def await_status(cell: cells.Cell, execution: str, *statuses: str) -> Any:
    """The execution once it has one of these."""
    return wait_until(lambda: (seen := state(cell, execution))["status"] in statuses and seen)


def node(cell: cells.Cell, *words: str) -> Any:
    """What a client program printed."""
    done = subprocess.run(
        ["node", str(SCENARIOS), cell.management, *words], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# --- the document


@pytest.mark.parametrize("how", ["manual", "api"])
def test_execute_answers_what_the_contract_says(cell: cells.Cell, how: str) -> None:
    define(cell, f"shape-{how}", "true")
    status, answer = call(cell, "POST", f"/tasks/shape-{how}/execute/{how}", {"params": {"a": 1}})
    assert status == 200
    assert list(answer) == ["executionId", "taskName", "status", "startedAt"]
    assert (answer["taskName"], answer["status"]) == (f"shape-{how}", "running")
    assert UUID.fullmatch(answer["executionId"])
    assert TIME.fullmatch(answer["startedAt"])


def test_an_execution_shows_exactly_the_documented_members_and_starts_with_its_time_limit(cell: cells.Cell) -> None:
    define(cell, "shown", "echo one; echo two", timeoutMs=30_000)
    execution = execute(cell, "shown")
    seen = await_status(cell, execution, "completed")
    assert list(seen) == ["executionId", "taskName", "status", "startedAt", "logs"]
    assert [line["message"] for line in seen["logs"]] == ["开始执行任务 (超时限制: 30000ms)", "one", "two"]
    assert list(seen["logs"][0]) == ["timestamp", "level", "message"]
    assert [line["data"] for line in seen["logs"][1:]] == [{"stream": "stdout"}] * 2
    assert seen["logs"][0]["timestamp"] == seen["startedAt"]
    (listed,) = ok(cell, "GET", "/tasks/running/shown")
    assert list(listed) == ["executionId", "status", "startedAt", "logs"]
    assert {**listed, "taskName": "shown"} == seen


def test_statuses_are_the_four_words_whatever_the_end(cell: cells.Cell) -> None:
    define(cell, "good", "true")
    define(cell, "bad", "echo no >&2; exit 3")
    define(cell, "long", "sleep 60")
    good, bad, long = execute(cell, "good"), execute(cell, "bad"), execute(cell, "long")
    await_status(cell, good, "completed")
    await_status(cell, bad, "failed")
    assert "exit code 3" in state(cell, bad, detail="true")["error"]
    assert state(cell, long)["status"] == "running"
    ok(cell, "DELETE", "/tasks/executions/cancel/by-ids", {"executionIds": [long]})
    await_status(cell, long, "cancelled")


def test_a_log_is_paged_and_ends_with_its_last_thousand_lines_otherwise(cell: cells.Cell) -> None:
    execution = logged_by_hand(cell, "chatty", [f"line {number}" for number in range(1, 1501)])
    lines = [line["message"] for line in state(cell, execution)["logs"]]
    assert (len(lines), lines[0], lines[-1]) == (1000, "line 501", "line 1500")
    whole: list[str] = []
    while page := state(cell, execution, logOffset=len(whole), logLimit=700)["logs"]:
        assert len(page) <= 700
        whole += [line["message"] for line in page]
    assert whole[0].startswith("开始执行任务")
    assert whole[1:] == [f"line {number}" for number in range(1, 1501)]
    first = state(cell, execution, logOffset=0, logLimit=1)["logs"]
    assert [line["message"] for line in first] == whole[:1]
    assert call(cell, "GET", f"/tasks/running/execution/{execution}?logLimit=0")[0] == 400
    assert call(cell, "GET", f"/tasks/running/execution/{execution}?logOffset=x")[0] == 400


def logged_by_hand(cell: cells.Cell, name: str, lines: list[str]) -> str:
    """A completed execution with just these lines in its log, whatever limits an executor has."""
    ok(cell, "POST", "/tasks", {"taskName": name, "taskType": f"{name}-type"})
    execution = execute(cell, name)
    with grpc.insecure_channel(cell.shared["SCHEDULER_TARGET"]) as channel:
        stub = lease_pb2_grpc.LeaseServiceStub(channel)
        wanted = lease_pb2.LeaseRequest(
            worker_id="by-hand", worker_session="outside-by-hand", task_types=[f"{name}-type"], slots=1, max_runs=1,
            wait_ms=20_000,
        )  # fmt: skip
        (leased,) = stub.Lease(wanted, timeout=30).runs
        run = {"run_id": leased.spec.run_id, "token": leased.token}
        entries = [runs_pb2.LogLine(time_ms=leased.spec.created_ms, level="info", message=line) for line in lines]
        for start in range(0, len(entries), 500):
            stub.Report(lease_pb2.LeaseReport(**run, logs=entries[start : start + 500]), timeout=60)
        stub.Finish(lease_pb2.LeaseEnd(**run, outcome=lease_pb2.LeaseEnd.OUTCOME_COMPLETED), timeout=60)
    await_status(cell, execution, "completed")
    return execution


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/tasks/nobody/execute/manual", {"params": {}}, 404),
        ("POST", "/tasks/nobody/execute/api", {"params": []}, 400),
        ("POST", "/tasks/nobody/execute/api", b"{", 400),
        ("POST", "/tasks/%00/execute/api", {}, 400),
        ("GET", "/tasks/running/nobody", None, 404),
        ("GET", f"/tasks/running/execution/{NOBODY}", None, 404),
        ("GET", "/tasks/running/execution/$where", None, 404),
        ("DELETE", "/tasks/executions/cancel/by-ids", {}, 400),
        ("DELETE", "/tasks/executions/cancel/by-ids", {"executionIds": "x"}, 400),
        ("DELETE", "/tasks/executions/cancel/by-ids", {"executionIds": [1]}, 400),
        ("DELETE", "/tasks/executions/cancel/by-ids", {"executionIds": ["x"] * 10_001}, 400),
        ("DELETE", "/tasks/executions/cancel/by-task-names", {"taskNames": None}, 400),
        ("POST", "/tasks", {"taskName": "x"}, 400),
        ("POST", "/tasks", {"taskName": "x", "taskType": "a.b"}, 400),
        ("POST", "/tasks", {"taskName": "x", "taskType": "shell"}, 400),
        ("POST", "/tasks", {"taskName": "x", "taskType": "rpa", "schedule": "every day"}, 400),
        ("PUT", "/tasks/nobody/schedule", {"enabled": True}, 404),
        ("GET", "/queues/nobody", None, 404),
        ("GET", "/queues/no.body", None, 404),
        ("POST", f"/queues/dead-letters/{NOBODY}/requeue", {}, 404),
    ],
)
def test_bad_requests_get_a_clear_error_in_the_contracts_shape(
    cell: cells.Cell, method: str, path: str, body: Any, status: int
) -> None:
    got, answer = call(cell, method, path, body)
    assert got == status, answer
    assert answer["status"] == "error"
    assert answer["message"]
    assert answer["error"]


def test_cancel_by_ids_tells_those_that_lived_from_those_that_did_not(cell: cells.Cell) -> None:
    define(cell, "sleeper", "sleep 60")
    define(cell, "quick", "true")
    ended = execute(cell, "quick")
    await_status(cell, ended, "completed")
    one, two = execute(cell, "sleeper"), execute(cell, "sleeper")
    wanted = [one, ended, NOBODY, "nonsense", two, one]
    answer = ok(cell, "DELETE", "/tasks/executions/cancel/by-ids", {"executionIds": wanted})
    assert answer == {"cancelled": [one, two], "notFound": [ended, NOBODY, "nonsense"]}
    for execution in (one, two):
        await_status(cell, execution, "cancelled")
    again = ok(cell, "DELETE", "/tasks/executions/cancel/by-ids", {"executionIds": [one]})
    assert again == {"cancelled": [], "notFound": [one]}


def test_ids_and_names_may_come_in_the_query_where_a_proxy_drops_bodies(cell: cells.Cell) -> None:
    define(cell, "proxied", "sleep 60")
    one, two, three = (execute(cell, "proxied") for _ in range(3))
    answer = ok(cell, "DELETE", f"/tasks/executions/cancel/by-ids?executionIds={one},{two}")
    assert answer == {"cancelled": [one, two], "notFound": []}
    answer = ok(cell, "DELETE", "/tasks/executions/cancel/by-task-names?taskNames=proxied&taskNames=nobody")
    assert answer == {"cancelled": [three], "taskNotFound": ["nobody"]}
    await_status(cell, three, "cancelled")


def test_cancel_all_ends_every_execution_and_counts_them(cell: cells.Cell) -> None:
    define(cell, "everybody", "sleep 60")
    task = cell.create_task("elsewhere", "nobody-offers-this")
    waiting = cell.start_run(task)
    executions = [execute(cell, "everybody") for _ in range(3)]
    count = ok(cell, "DELETE", "/tasks/executions/cancel/all")["count"]
    assert count >= 4
    for execution in executions:
        await_status(cell, execution, "cancelled")
    assert cell.await_run(waiting).stop.how == "before_start"
    assert ok(cell, "DELETE", "/tasks/executions/cancel/all") == {"count": 0}


def test_runs_of_other_contracts_are_executions_too(cell: cells.Cell) -> None:
    run_id = cell.start_run(cell.create_task("foreign", "noop"))
    cell.await_run(run_id)
    (listed,) = wait_until(lambda: ok(cell, "GET", "/tasks/running/foreign"))
    assert state(cell, listed["executionId"], detail="true")["runId"] == run_id


def test_a_program_starts_a_task_and_polls_until_it_has_ended(cell: cells.Cell) -> None:
    define(cell, "polled", "sleep 0.5")
    answer = node(cell, "poll", "polled")
    assert answer["status"] == "completed"
    assert state(cell, answer["id"])["status"] == "completed"


def test_a_program_cancels_all_that_it_finds_of_a_task(cell: cells.Cell) -> None:
    define(cell, "many", "sleep 60")
    executions = {execute(cell, "many") for _ in range(4)}
    answer = node(cell, "cancel", "many")
    assert (set(answer["ids"]), set(answer["cancelled"]), answer["notFound"]) == (executions, executions, [])


def test_a_program_prints_a_log_with_its_data(cell: cells.Cell) -> None:
    define(cell, "logged", "echo hello")
    execution = execute(cell, "logged")
    await_status(cell, execution, "completed")
    first, second, data = node(cell, "logs", execution)
    assert re.fullmatch(r"\[info\] \S+Z: 开始执行任务 \(超时限制: 3600000ms\)", first)
    assert re.fullmatch(r"\[info\] \S+Z: hello", second)
    assert json.loads(data) == {"stream": "stdout"}


def test_the_same_idempotency_key_starts_one_execution(cell: cells.Cell) -> None:
    define(cell, "once", "true")
    answers = [call(cell, "POST", "/tasks/once/execute/api", {"params": {}}, Idempotency_Key="k1") for _ in range(2)]
    assert answers[0] == answers[1]
    assert len(ok(cell, "GET", "/tasks/running/once")) == 1
    assert call(cell, "POST", "/tasks/once/execute/api", {"params": {"b": 1}}, Idempotency_Key="k1")[0] == 409


# --- scheduling


def test_a_schedule_is_shown_and_changed_by_the_tasks_name(cell: cells.Cell) -> None:
    ok(cell, "POST", "/tasks", {"taskName": "planned", "taskType": "noop", "params": {"a": 1}})
    assert ok(cell, "GET", "/tasks/planned/schedule")["nextRunAt"] is None
    wanted = {"schedule": "0 6 * * *", "misfire": "all", "overlap": "queue"}
    answer = ok(cell, "PUT", "/tasks/planned/schedule", wanted)
    assert {name: answer[name] for name in wanted} == wanted
    assert answer == ok(cell, "GET", "/tasks/planned/schedule")
    assert answer["nextRunAt"].endswith("T06:00:00Z")
    assert answer["upcoming"][0] == answer["nextRunAt"]
    stopped = ok(cell, "PUT", "/tasks/planned/schedule", {"enabled": False})
    assert (stopped["enabled"], stopped["nextRunAt"], stopped["misfire"]) == (False, None, "all")
    assert call(cell, "PUT", "/tasks/planned/schedule", {"schedule": "nonsense"})[0] == 400
    assert call(cell, "PUT", "/tasks/planned/schedule", {})[0] == 400
    cleared = ok(cell, "PUT", "/tasks/planned/schedule", {"schedule": None, "enabled": True})
    assert cleared["schedule"] is None


def test_workers_are_listed_with_what_they_do(cell: cells.Cell) -> None:
    define(cell, "busy", "sleep 60")
    execution = execute(cell, "busy")

    def mine() -> Any:
        (worker,) = ok(cell, "GET", "/workers?status=active&taskType=shell")
        return execution in worker["currentExecutions"] and worker

    worker = wait_until(mine)
    assert (worker["workerId"], worker["status"]) == ("worker-001", "active")
    assert "shell" in worker["taskTypes"]
    ok(cell, "DELETE", f"/tasks/executions/cancel/by-ids?executionIds={execution}")


# --- queues


def queue(cell: cells.Cell, name: str) -> Any:
    """A queue as it is shown."""
    return ok(cell, "GET", f"/queues/{name}")


def test_a_queue_says_what_waits_and_what_is_under_way(cell: cells.Cell) -> None:
    task = cell.create_task("unserved", "unserved-type")
    for _ in range(3):
        cell.start_run(task)
    seen = wait_until(lambda: (seen := queue(cell, "unserved-type"))["waiting"] == 3 and seen)
    assert (seen["inFlight"], seen["paused"], seen["workers"]) == (0, False, 0)
    assert seen["oldestWaitSeconds"] >= 0
    define(cell, "under-way", "sleep 60")
    execution = execute(cell, "under-way")
    wait_until(lambda: queue(cell, "shell")["inFlight"] >= 1)
    names = [entry["name"] for entry in ok(cell, "GET", "/queues")]
    assert {"unserved-type", *subjects.BUILT_IN_EXECUTORS} <= set(names)
    ok(cell, "DELETE", f"/tasks/executions/cancel/by-ids?executionIds={execution}")
    wait_until(lambda: queue(cell, "shell")["ratePerMinute"] >= 1)
    ok(cell, "POST", "/queues/unserved-type/purge", {})


def test_a_paused_queue_gives_out_nothing_until_it_is_resumed_whatever_restarts(cell: cells.Cell) -> None:
    """Also after Redis has lost everything, and for schedulers and workers that were not there when it was paused."""
    task = cell.create_task("held-back", "noop")
    cell.await_run(cell.start_run(task))
    assert ok(cell, "POST", "/queues/noop/pause", {})["paused"] is True
    waiting = [cell.start_run(task) for _ in range(20)]
    other = cell.start_run(cell.create_task("goes-on", "shell", command="true"))
    assert cell.await_run(other).status == COMPLETED
    assert all(cell.run(run_id).status == PENDING for run_id in waiting)
    for name in ("redis", "scheduler", "scraper"):
        cell.restart(name)
    cell.programs["redis"].wait_ready()
    flush_redis(cell)
    for name in ("scheduler", "scraper"):
        cell.programs[name].wait_ready()
    waiting.append(start_again(cell, task))
    # What a worker that has just come does at once is done for the queue that is not paused.
    other = start_again(cell, cell.create_task("goes-on-too", "shell", command="true"))
    assert cell.await_run(other, seconds=60).status == COMPLETED
    assert all(wait_until(lambda run_id=run_id: cell.run(run_id).status == PENDING) for run_id in waiting)
    assert all(cell.run(run_id).attempt == 0 for run_id in waiting)
    assert "paused" in explained(cell, waiting[0])
    assert wait_until(lambda: queue(cell, "noop")["paused"])
    assert ok(cell, "POST", "/queues/noop/resume", {})["paused"] is False
    for run_id in waiting:
        run = cell.await_run(run_id, seconds=60)
        assert (run.status, run.attempt) == (COMPLETED, 1)


def test_a_worker_that_leases_gets_nothing_of_a_paused_queue_until_it_is_resumed(cell: cells.Cell) -> None:
    """Neither when it asks, nor when it was waiting already."""
    ok(cell, "POST", "/tasks", {"taskName": "leased", "taskType": "leased-type"})
    with grpc.insecure_channel(cell.shared["SCHEDULER_TARGET"]) as channel:
        stub = lease_pb2_grpc.LeaseServiceStub(channel)

        def lease(wait_ms: int) -> list[int]:
            wanted = lease_pb2.LeaseRequest(worker_id="patient", worker_session="outside-patient", slots=5, max_runs=5,
                                            task_types=["leased-type"], wait_ms=wait_ms)  # fmt: skip
            return [run.spec.run_id for run in stub.Lease(wanted, timeout=60).runs]

        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(lease, 30_000)
            assert ok(cell, "POST", "/queues/leased-type/pause", {})["paused"] is True
            execution = execute(cell, "leased")
            assert lease(1_000) == []
            if waiting.done():
                assert waiting.result() == []
                waiting = pool.submit(lease, 30_000)
            ok(cell, "POST", "/queues/leased-type/resume", {})
            found = waiting.result(60) or wait_until(lambda: lease(5_000))
    assert found == [state(cell, execution, detail="true")["runId"]]
    ok(cell, "DELETE", f"/tasks/executions/cancel/by-ids?executionIds={execution}")


def flush_redis(cell: cells.Cell) -> None:
    """Lose everything that Redis knows."""
    with redis.Redis.from_url(cell.shared["REDIS_URL"]) as client:
        client.flushall()


def start_again(cell: cells.Cell, task: int) -> int:
    """An accepted run, once the scheduler accepts again."""

    def start() -> int:
        try:
            return cell.start_run(task)
        except AssertionError:
            return 0

    return int(wait_until(start))


def explained(cell: cells.Cell, run_id: int) -> str:
    """Why a run waits."""
    return str(cell.runs.Explain(runs_pb2.ExplainRunRequest(run_id=run_id), timeout=60, wait_for_ready=True).summary)


def test_a_purge_ends_what_waits_with_a_receipt_and_leaves_what_runs(cell: cells.Cell) -> None:
    ok(cell, "POST", "/queues/shell/resume", {})
    define(cell, "goes-on-running", "sleep 60")
    running = execute(cell, "goes-on-running")
    wait_until(lambda: state(cell, running)["logs"])
    ok(cell, "POST", "/queues/shell/pause", {})
    waiting = {execute(cell, "goes-on-running") for _ in range(5)}
    answer = ok(cell, "POST", "/queues/shell/purge", {})
    assert (answer["name"], answer["purged"], set(answer["executionIds"])) == ("shell", 5, waiting)
    for execution in waiting:
        seen = state(cell, execution, detail="true")
        assert (seen["status"], seen["error"]) == ("cancelled", "queue shell was purged before it started")
        assert cell.run(seen["runId"]).stop.how == "before_start"
    assert state(cell, running)["status"] == "running"
    ok(cell, "POST", "/queues/shell/resume", {})
    ok(cell, "DELETE", "/tasks/executions/cancel/by-ids", {"executionIds": [running]})
    await_status(cell, running, "cancelled")


def test_what_failed_for_good_is_a_dead_letter_until_it_is_started_again(cell: cells.Cell, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    define(cell, "mortal", f'test -e {flag} && echo "$PARAM_WORD"')
    dead = execute(cell, "mortal", {"word": "alive"})
    await_status(cell, dead, "failed")
    (letter,) = wait_until(lambda: ok(cell, "GET", "/queues/dead-letters?taskName=mortal"))
    assert (letter["executionId"], letter["queue"], letter["attempts"]) == (dead, "shell", 1)
    assert "exit code 1" in letter["reason"]
    flag.touch()
    answer = ok(cell, "POST", f"/queues/dead-letters/{dead}/requeue", {})
    assert answer["requeuedFrom"] == dead
    done = await_status(cell, answer["executionId"], "completed")
    assert state(cell, done["executionId"], detail="true")["result"].strip() == "alive"
    assert ok(cell, "GET", "/queues/dead-letters?taskName=mortal") == []
    again = ok(cell, "POST", f"/queues/dead-letters/{dead}/requeue", {})
    assert again["executionId"] == answer["executionId"]
    assert call(cell, "POST", f"/queues/dead-letters/{answer['executionId']}/requeue", {})[0] == 409


def test_a_message_that_nobody_can_read_is_listed_with_the_reason(cell: cells.Cell) -> None:
    cell.publish(subjects.ready_subject("noop", "normal"), b"\xff\xff not a run")

    def unreadable() -> Any:
        letters = ok(cell, "GET", "/queues/dead-letters?limit=1000")
        return [letter for letter in letters if letter["kind"] == "message"]

    (letter,) = wait_until(unreadable)
    assert (letter["origin"], letter["bytes"], letter["executionId"]) == ("ready", 12, None)
    assert "DecodeError" in letter["reason"]
    assert TIME.fullmatch(letter["failedAt"])


def test_thousands_of_waiting_runs_are_ended_in_one_call(cell: cells.Cell) -> None:
    task = cell.create_task("crowd", "crowd-type")
    starts = [runs_pb2.StartRun(task_id=task, contract="scheduler")] * 1_000
    for _ in range(2):
        cell.runs.StartRuns(runs_pb2.StartRunsRequest(runs=starts), timeout=60)
    assert wait_until(lambda: queue(cell, "crowd-type")["waiting"] == 2_000)
    answer = ok(cell, "POST", "/queues/crowd-type/purge", {})
    assert answer["purged"] == 2_000
    wait_until(lambda: queue(cell, "crowd-type")["waiting"] == 0)
    left = runs_pb2.ListRunsRequest(task_id=task, limit=1, status=ABORTED)
    wait_until(lambda: cell.runs.ListRuns(left, timeout=60).total == 2_000)


def test_the_names_of_paused_queues_are_told_to_workers(cell: cells.Cell) -> None:
    ok(cell, "POST", "/queues/rpa/pause", {})
    with grpc.insecure_channel(cell.shared["SCHEDULER_TARGET"]) as channel:
        stub = queues_pb2_grpc.QueueServiceStub(channel)
        assert "rpa" in stub.PausedQueues(queues_pb2.PausedQueuesRequest(), timeout=60).names
    ok(cell, "POST", "/queues/rpa/resume", {})


# --- endpoints


def test_endpoints_are_watched_and_shown_beside_the_workers(cell: cells.Cell) -> None:
    wanted = {"name": "the API itself", "url": f"{cell.management}/healthz", "intervalSeconds": 1}
    added = ok(cell, "POST", "/endpoints", wanted)
    assert {name: added[name] for name in wanted} == wanted
    assert ok(cell, "GET", "/endpoints")[0]["id"] == added["id"]

    def health() -> Any:
        found = ok(cell, "GET", "/endpoints/health?history=true")
        return next((entry for entry in found if entry["id"] == added["id"] and entry["status"] == "healthy"), None)

    seen = wait_until(health)
    assert (seen["kind"], seen["httpStatus"], seen["uptime"], seen["lastError"]) == ("http", 200, 1, None)
    assert seen["latencyMs"] > 0
    assert seen["history"][0]["healthy"] is True

    def workers() -> list[tuple[str, str]]:
        shown = ok(cell, "GET", "/endpoints/health")
        return [(entry["id"], entry["status"]) for entry in shown if entry["kind"] == "worker"]

    wait_until(lambda: ("worker-001", "healthy") in workers())
    assert ok(cell, "DELETE", f"/endpoints/{added['id']}") == {"id": added["id"], "deleted": True}
    assert call(cell, "DELETE", f"/endpoints/{added['id']}")[0] == 404
    for bad in ({}, {"url": "ftp://x"}, {"url": "http://x", "intervalSeconds": 0}, {"url": "http://x", "name": 1}):
        assert call(cell, "POST", "/endpoints", bad)[0] == 400


def test_the_contract_is_the_same_below_the_schedulers_port_with_a_key(cell: cells.Cell) -> None:
    base = cell.api.removesuffix("/api") + "/management"
    request = urllib.request.Request(f"{base}/queues")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=30)
    with caught.value as refused:
        assert (refused.code, json.load(refused)["status"]) == (401, "error")
    request.add_header("Authorization", f"Bearer {cell.api_key}")
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert "shell" in [entry["name"] for entry in json.load(answer)]


# --- keys


def test_what_decides_about_programs_takes_a_key_and_what_exists_runs_without_one(cell: cells.Cell) -> None:
    define(cell, "fixed", "echo {{word}} > {{word}}; echo done")
    define(cell, "chosen", "{{word}}", arguments=["--version"])
    shell = {"taskType": "shell", "command": "id"}
    noop, named = {"id": "a", "taskType": "noop"}, {"id": "b", "task": "fixed", "params": {"word": "w"}}
    inline = {"id": "c", "taskType": "shell", "params": {"command": "{{params.program}} --version"}}
    assert call(cell, "POST", "/workflows", {"name": "flow", "steps": [inline]}, **key_of(cell))[0] == 201
    ok(cell, "POST", "/workflows", {"name": "harmless", "steps": [noop]})
    refused: list[tuple[str, str, Any]] = [
        ("POST", "/tasks", {"taskName": "x", **shell}),
        ("POST", "/tasks", {"taskName": "x", "taskType": "my-type", "executor": "shell", "params": {"command": "id"}}),
        ("POST", "/tasks", {"taskName": "x", "taskType": "python", "command": "a.py"}),
        ("PUT", "/tasks/fixed/schedule", {"schedule": "* * * * *"}),
        ("POST", "/workflows", {"name": "x", "steps": [noop, named]}),
        ("POST", "/workflows", {"name": "x", "steps": [{**inline, "forEach": ["id"]}]}),
        ("PUT", "/workflows/harmless", {"steps": [inline]}),
        ("POST", "/workflows/flow/execute", {"params": {"program": "id"}}),
        ("POST", "/tasks/chosen/execute/api", {"params": {"word": "id"}}),
    ]
    for method, path, body in refused:
        for headers in ({}, {"Authorization": "Bearer wrong"}):
            status, answer = call(cell, method, path, body, **headers)
            assert (status, answer["status"]) == (401, "error"), (path, body, answer)
            assert "Authorization: Bearer <key>" in answer["message"]
    seen = await_status(cell, execute(cell, "fixed", {"word": "said; id"}), "completed")
    assert seen["logs"][-1]["message"] == "done"
    assert call(cell, "POST", "/tasks/chosen/execute/api", {"params": {"word": "ls"}}, **key_of(cell))[0] == 200


def test_without_a_key_secrets_are_hidden_and_cannot_be_sent_elsewhere(cell: cells.Cell) -> None:
    header = {"command": "https://api.example/x", "arguments": ["-H", "Authorization: Bearer Wq7-teapot"]}
    steps = [{"id": "get", "taskType": "http", "params": header}]
    flow = {"name": "secretive", "params": {"token": "Wq7-teapot"}, "steps": steps}
    ok(cell, "POST", "/workflows", flow)
    shown = ok(cell, "GET", "/workflows/secretive")
    assert "Wq7-teapot" not in json.dumps([shown, ok(cell, "GET", "/workflows")])
    assert shown["params"] == {"token": "***"}
    moved = json.loads(json.dumps(shown).replace("api.example", "evil.example"))
    assert call(cell, "PUT", "/workflows/secretive", moved)[0] == 401
    status, changed = call(cell, "PUT", "/workflows/secretive", {**shown, "description": "new"}, **key_of(cell))
    assert (status, changed["params"], changed["description"]) == (200, {"token": "Wq7-teapot"}, "new")
    assert changed["steps"][0]["params"] == header
    define(cell, "leaky", "echo it is $PARAM_DB_PASSWORD; echo no $PARAM_DB_PASSWORD >&2; exit 3")
    execution = execute(cell, "leaky", {"db_password": "Wq7-teapot"})
    seen = json.dumps(await_status(cell, execution, "failed"))
    seen += json.dumps([state(cell, execution, detail="true"), ok(cell, "GET", "/tasks/running/leaky")])
    letters = wait_until(lambda: ok(cell, "GET", "/queues/dead-letters?taskName=leaky"))
    assert "it is ***" in seen
    assert "Wq7-teapot" not in seen + json.dumps(letters)
    status, plain = call(cell, "GET", f"/tasks/running/execution/{execution}", **key_of(cell))
    assert "it is Wq7-teapot" in json.dumps(plain)
