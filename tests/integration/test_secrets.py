"""What definitions hold in secret, through real processes: who sees it, and what comes back of it."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import cell as cells
import pytest
from stores import wait_until

SECRET = "Wq7-teapot"  # what must not be seen
DEFINING = ("command", "arguments", "metadata")


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cells.Cell]:
    """One system for all tests of this module."""
    with cells.running_cell(tmp_path_factory.mktemp("cell"), *cells.ALL, "gateway") as running:
        wait_until(lambda: call(running, "GET", "/workers?status=active")["data"]["items"])
        yield running


def text_of(cell: cells.Cell, path: str, key: str) -> str:
    """The answer as it is, or why there is none."""
    request = urllib.request.Request(cell.api + path, headers={"Authorization": f"Bearer {key}"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return error.read().decode()


def call(cell: cells.Cell, method: str, path: str, body: Any = None, key: str = "") -> Any:
    """The answer; the administrator's unless it is somebody else's key."""
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key or cell.api_key}"}
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(cell.api + path, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            raise AssertionError((path, error.code, error.read())) from error


def definitions(cell: cells.Cell) -> list[dict[str, Any]]:
    """One for each kind of place."""
    here = cell.api.removesuffix("/api")
    start = f"{here}/healthz?api_key={SECRET}"
    return [
        {"executor": "http", "command": f"{here}/nothing?token={SECRET}",
         "arguments": ["-H", f"Authorization: Bearer {SECRET}", "-b", f"sid={SECRET}"]},
        {"executor": "scrape", "command": "-", "metadata": {"params": {
            "start_urls": [start], "headers": {"Authorization": SECRET}, "items": {"fields": {"x": {"css": "body"}}}}}},
        {"executor": "rpa_base", "command": "-", "metadata": {"params": {"row": {"password": SECRET}, "steps": [
            {"type": "navigate", "url": f"{start}&user={{{{row.password}}}}"}]}}},
        {"executor": "shell", "command": f"echo 'password={SECRET}'; echo {{{{db_password}}}} >&2; exit 3",
         "metadata": {"params": {"db_password": SECRET}}},
    ]  # fmt: skip


def test_a_viewer_sees_no_secret_anywhere_and_what_he_saw_can_be_sent_back(cell: cells.Cell) -> None:
    viewer = call(cell, "POST", "/auth/keys", {"name": "v", "role": "viewer"})["data"]["key"]
    for number, definition in enumerate(definitions(cell)):
        new = {"name": f"holds-{number}", "task_type": definition["executor"], "retry_count": 0, **definition}
        task = call(cell, "POST", "/tasks", new)["data"]["id"]
        run = call(cell, "POST", f"/tasks/{task}/trigger", {})["data"]["run_id"]
        wait_until(lambda run=run: call(cell, "GET", f"/runs/{run}")["data"]["completed_at"])
        assert SECRET in text_of(cell, f"/tasks/{task}", cell.api_key)
        for path in (
            f"/tasks/{task}", f"/runs/{run}", f"/runs/{run}/results", f"/runs/{run}/logs", f"/runs/{run}/explain",
            f"/runs/{run}/logs?follow=true", f"/runs/{run}/trace", f"/runs?task_id={task}", "/system/logs?size=500",
        ):  # fmt: skip
            assert SECRET not in text_of(cell, path, viewer), path
        before = call(cell, "GET", f"/tasks/{task}")["data"]
        shown = call(cell, "GET", f"/tasks/{task}", key=viewer)["data"]
        sent = {name: shown[name] for name in DEFINING} | {"description": "changed"}
        after = call(cell, "PUT", f"/tasks/{task}", sent)["data"]
        assert {name: after[name] for name in DEFINING} == {name: before[name] for name in DEFINING}
        # A shell line is still one: arguments that were never given don't become an empty list.
        run = call(cell, "POST", f"/tasks/{task}/trigger", {})["data"]["run_id"]
        again = wait_until(lambda run=run: (seen := call(cell, "GET", f"/runs/{run}")["data"])["completed_at"] and seen)
        if definition["executor"] == "shell":
            assert again["error_message"].startswith("exit code 3")
