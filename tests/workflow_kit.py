"""Workflows as their users see them, for tests: a cell whose gateway serves the management port, and calls to it."""

import contextlib
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cell as cells
import stores
from gateway.management.execution_id import run_id_of

ENDED = ("completed", "failed", "cancelled")


class Management:
    """The management port of a cell. `effects` is a folder that commands of tasks write to."""

    def __init__(self, cell: cells.Cell, port: int) -> None:
        self.cell, self.base = cell, f"http://127.0.0.1:{port}"
        self.effects = cell.directory / "effects"
        self.effects.mkdir()

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """(status, the JSON body) of the answer; with a key, as what runs commands takes one."""
        named = {"Authorization": f"Bearer {self.cell.api_key}"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(
            self.base + path, data, {"Content-Type": "application/json"} | named, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def create(self, name: str, *steps: dict[str, Any], **fields: Any) -> dict[str, Any]:
        """A new workflow. Raises AssertionError when it is refused."""
        status, body = self.call("POST", "/workflows", {"name": name, "steps": steps, **fields})
        assert status == 201, body
        return body

    def execute(self, name: str, **params: Any) -> str:
        """The id of a new execution."""
        status, body = self.call("POST", f"/workflows/{name}/execute", {"params": params})
        assert status == 200, body
        assert list(body) == ["executionId", "workflow", "status", "startedAt"]
        return body["executionId"]

    def execution(self, execution_id: str) -> dict[str, Any]:
        """The execution now."""
        status, body = self.call("GET", f"/workflows/executions/{execution_id}")
        assert status == 200, body
        return body

    def await_end(self, execution_id: str, seconds: float = 60) -> dict[str, Any]:
        """The execution once it has ended; answers that fail meanwhile are tried again."""
        until = time.monotonic() + seconds
        shown: Any = None
        while time.monotonic() < until:
            with contextlib.suppress(OSError, AssertionError, json.JSONDecodeError):
                shown = self.execution(execution_id)
                if shown["status"] in ENDED:
                    return shown
            time.sleep(0.05)
        raise AssertionError(f"not ended after {seconds} s: {str(shown)[:3000]}")

    def run(self, name: str, **params: Any) -> dict[str, Any]:
        """A whole execution."""
        return self.await_end(self.execute(name, **params))

    def made(self) -> list[str]:
        """The effects so far."""
        return sorted(file.name for file in self.effects.iterdir())


def steps_of(execution: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The steps by id."""
    return {step["id"]: step for step in execution["steps"]}


def runs_of(step: dict[str, Any]) -> list[int]:
    """The runs that the step's ids stand for."""
    runs = [run_id_of(text) for text in step["runIds"]]
    assert None not in runs, step["runIds"]
    return runs  # type: ignore[return-value]  # none of them is None


def statuses(execution: dict[str, Any]) -> dict[str, str]:
    """The steps' states by id."""
    return {step_id: step["status"] for step_id, step in steps_of(execution).items()}


@contextlib.contextmanager
def running_management(directory: Path, **environment: str) -> Iterator[Management]:
    """A started system, ended afterwards."""
    port = stores.free_port()
    with cells.running_cell(directory, PORT_MANAGEMENT=str(port), **environment) as cell:
        cell.start("gateway")
        stores.wait_until(lambda: stores.listens(port), 60)
        yield Management(cell, port)
