"""One trace from the caller through gRPC and JetStream into the executor."""

import json
import time
from pathlib import Path

import cell as cells

TRACE = "0af7651916cd43dd8448eb211c80319c"


def spans(directory: Path) -> list[dict[str, object]]:
    """What all services have exported."""
    lines = [line for file in directory.glob("*.jsonl") for line in file.read_text().splitlines()]
    return [json.loads(line) for line in lines if line.strip()]


def test_a_trace_goes_from_the_request_through_jetstream_into_the_executor(tmp_path: Path) -> None:
    traces = tmp_path / "traces"
    with cells.running_cell(tmp_path, TRACE_EXPORTER="file", TRACE_DIR=str(traces)) as cell:
        task = cell.create_task("traced", "noop")
        cell.await_run(cell.start_run(task, traceparent=f"00-{TRACE}-b7ad6b7169203331-01"))
        until = time.monotonic() + 60
        found: dict[str, dict[str, object]] = {}
        while {"accept run", "run noop"} - found.keys() and time.monotonic() < until:
            found = {str(s["name"]): s for s in spans(traces) if TRACE in json.dumps(s["context"])}
            time.sleep(0.05)
    accept, run = found["accept run"], found["run noop"]
    assert accept["parent_id"] == "0xb7ad6b7169203331"
    assert run["parent_id"] == accept["context"]["span_id"]  # type: ignore[index]
