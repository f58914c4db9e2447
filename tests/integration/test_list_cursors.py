"""Lists that grow while they are walked by cursor, through real processes: each row from before comes once."""

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import cell as cells
import pytest
from stores import free_port, wait_until
from trawl.scraper.v1 import results_pb2

Answer = tuple[int, dict[str, str], Any]


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cells.Cell]:
    """One system for all tests of this module."""
    with cells.running_cell(tmp_path_factory.mktemp("cell"), *cells.ALL, "gateway") as running:
        yield running


def call(cell: cells.Cell, method: str, url: str, body: Any = None) -> Answer:
    """(status, headers by small names, answer)."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {cell.api_key}"}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers, method=method), timeout=60) as answer:
            return answer.status, {name.lower(): text for name, text in answer.headers.items()}, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, {}, json.load(error)


def walk(cell: cells.Cell, url: str, size: str, row_id: str, grow: Callable[[], None]) -> list[Any]:
    """What stands under `row_id` in the rows of all pages; the list grows after the first three."""
    found: list[Any] = []
    cursor = ""
    for number in range(100):
        status, headers, answer = call(cell, "GET", f"{url}{size}&cursor={cursor}")
        assert status == 200, answer
        rows = answer["data"]["items"] if isinstance(answer, dict) else answer
        found += [row[row_id] for row in rows]
        cursor = answer["data"]["next_cursor"] if isinstance(answer, dict) else headers.get("x-next-cursor")
        if not cursor:
            assert len(found) == len(set(found))
            return found
        if number < 3:
            grow()
    raise AssertionError("the walk has no end")


@pytest.mark.parametrize(
    ("kind", "new", "start", "list_url"),
    [
        ("tasks", {"taskName": "walked", "taskType": "noop"}, "/tasks/walked/execute/api", "/tasks/running/walked?"),
        ("workflows", {"name": "walked", "steps": [{"id": "only", "taskType": "noop"}]}, "/workflows/walked/execute",
         "/workflows/executions?workflow=walked&"),
    ],
)  # fmt: skip
def test_executions(cell: cells.Cell, kind: str, new: Any, start: str, list_url: str) -> None:
    assert call(cell, "POST", f"{cell.management}/{kind}", new)[0] == 201
    started: list[str] = []

    def grow() -> None:
        started.append(call(cell, "POST", cell.management + start, {})[2]["executionId"])

    for _ in range(9):
        grow()
    before = started[::-1]
    assert walk(cell, f"{cell.management}{list_url}limit=", "2", "executionId", grow) == before


def test_log_lines_and_items(cell: cells.Cell) -> None:
    run_id = cell.await_run(cell.start_run(cell.create_task("writes", "shell", command="seq 1 23"))).spec.run_id
    lines = walk(cell, f"{cell.api}/runs/{run_id}/logs?size=", "4", "message", lambda: None)
    assert lines == cell.logs(run_id)
    stored = 0

    def add() -> None:
        nonlocal stored
        items = [results_pb2.NewItem(position=stored + place, data_type="n", data_json=b"{}") for place in range(3)]
        cell.results.AddItems(results_pb2.AddItemsRequest(run_id=run_id, task_id=1, attempt=1, items=items), timeout=60)
        stored += len(items)

    add()
    add()
    seen = walk(cell, f"{cell.api}/runs/{run_id}/results?size=", "2", "id", add)
    assert seen == [item.id for item in cell.items(run_id)]


def test_deliveries(cell: cells.Cell) -> None:
    hook = {"url": f"http://127.0.0.1:{free_port()}/", "events": ["task.completed"]}
    url = f"{cell.api}/webhooks/{call(cell, 'POST', f'{cell.api}/webhooks', hook)[2]['data']['id']}"

    def send() -> None:
        assert call(cell, "POST", f"{url}/test", {})[0] == 200

    for _ in range(7):
        send()
    before = [row["id"] for row in call(cell, "GET", f"{url}/deliveries")[2]["data"]["items"]]
    assert len(before) == 7
    assert walk(cell, f"{url}/deliveries?size=", "2", "id", send) == before


def test_a_cursor_that_does_not_fit_is_422_in_each_contract(cell: cells.Cell) -> None:
    task = cell.create_task("fits", "noop")
    for _ in range(2):
        cell.start_run(task)

    def first() -> Any:
        return call(cell, "GET", f"{cell.api}/runs?task_id={task}&size=1&sort=id")[2]["data"]["next_cursor"]

    cursor = wait_until(first)
    fits = f"{cell.api}/runs?size=5&task_id={task}&sort=id&order=desc&cursor={cursor}"
    assert len(call(cell, "GET", fits)[2]["data"]["items"]) == 1
    for other in ("sort=created_at", "sort=id&order=asc", "sort=id&status=completed"):
        status, _, answer = call(cell, "GET", f"{cell.api}/runs?task_id={task}&{other}&cursor={cursor}")
        assert (status, answer["error"]["details"]["field"]) == (422, "cursor")
    for text in ("x", cursor[:-1], cursor + "A", "\x00", "é", "9" * 5_000):
        wrong = f"cursor={urllib.parse.quote(text)}"
        status, _, answer = call(cell, "GET", f"{cell.api}/runs?{wrong}")
        assert (status, answer["error"]["details"]["field"]) == (422, "cursor")
        status, _, answer = call(cell, "GET", f"{cell.management}/workflows/executions?{wrong}")
        assert (status, answer["field"]) == (422, "cursor")
        assert call(cell, "GET", f"{cell.pipeline}/tasks?{wrong}")[0] == 422
