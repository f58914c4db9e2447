"""Messages that nobody can handle, at every consumer: they are set aside with a reason, and the others go on."""

import asyncio
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import cell as cells
import pytest
import stores
from chassis.errors import Unavailable
from chassis.events import Events, Msg
from trawl.scheduler.v1 import events_pb2, runs_pb2
from trawl.scraper.v1 import events_pb2 as ends_pb
from trawl.workerregistry.v1 import events_pb2 as worker_pb
from wire import subjects

ROOT = Path(__file__).parents[2]
HUGE = 2**63 - 1


async def test_a_message_that_fails_becomes_a_dead_letter_and_the_others_are_handled(nats_url: str) -> None:
    events = Events(nats_url, "test", dead_letter=subjects.dead_letter)
    await events.connect()
    await events.declare_streams(subjects.STREAMS, 1)
    handled: list[bytes] = []
    told: list[tuple[bytes, str]] = []
    away = True

    async def handle(messages: Sequence[Msg]) -> None:
        nonlocal away
        if any(message.data == b"poison" for message in messages):
            raise KeyError("poison")
        if away and messages[0].data == b"3":
            away = False
            raise Unavailable("away")  # costs no try
        handled.extend(message.data for message in messages)

    async def set_aside(message: Msg, reason: str) -> None:
        told.append((message.data, reason))

    consuming = asyncio.create_task(
        events.consume(subjects.EVENTS_STREAM, "test", subjects.TASK_EVENTS, handle, set_aside=set_aside)
    )
    for payload in (b"1", b"poison", b"2", b"3"):
        await events.publish(subjects.TASK_EVENTS, payload)
    async with asyncio.timeout(60):
        while not told or not {b"1", b"2", b"3"} <= set(handled):
            await asyncio.sleep(0.02)
        while (info := await events.js.consumer_info(subjects.EVENTS_STREAM, "test")).num_ack_pending:
            await asyncio.sleep(0.02)
    assert info.num_pending == 0
    await events.publish(subjects.TASK_EVENTS, b"4")
    async with asyncio.timeout(60):
        while b"4" not in handled:
            await asyncio.sleep(0.02)
    assert [payload for payload, _ in told] == [b"poison"]
    letter = await events.js.get_msg(subjects.DEAD_STREAM, 1)
    assert (letter.subject, letter.data) == ("trawl.dead.test", b"poison")
    assert "KeyError" in (letter.headers or {})[subjects.DEAD_REASON]
    consuming.cancel()
    await asyncio.gather(consuming, return_exceptions=True)
    await events.close()


def test_every_loop_of_every_service_is_one_that_goes_on() -> None:
    """What is spawned ends the service with it: only its start, its servers and its connections may."""
    found = {
        name
        for path in ROOT.glob("services/*/*/**/*.py")
        for name in re.findall(r"life\.spawn\((\"[^\"]*\"|\w+)", path.read_text())
    }
    assert found == {'"start"', '"http"', '"events"', '"keys"', '"answers"', '"nats"'}


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cells.Cell]:
    """A system with its gateway."""
    with cells.running_cell(tmp_path_factory.mktemp("cell")) as running:
        running.start("gateway")
        yield running


def poisons() -> list[tuple[str, bytes]]:
    """(subject, payload): what can't be read, and what can be read and fits nothing."""
    odd = events_pb2.RunEvent(
        kind="completed", run_id=HUGE, task_id=-1, status=99, attempt=-(2**31), time_ms=HUGE, collects=True,
        contract="workflow", external_id="x/y/9", task_name="\x00",
    )  # fmt: skip
    worker = worker_pb.WorkerEvent(kind="lost", worker_id="\x00", worker_session="s p a c e *>", time_ms=-HUGE)
    return [
        *((subject, b"\xff\xfe\x00") for subject in
          (subjects.RUN_EVENTS, subjects.TASK_EVENTS, subjects.WORKER_EVENTS, subjects.RUNS_FINISHED)),
        (subjects.RUN_EVENTS, events_pb2.RunEvents(events=[odd]).SerializeToString()),
        (subjects.TASK_EVENTS, events_pb2.TaskEvent(kind="\x00", task_id=HUGE, time_ms=-1).SerializeToString()),
        (subjects.WORKER_EVENTS, worker.SerializeToString()),
    ]  # fmt: skip


def test_no_message_ends_a_service_or_holds_up_what_comes_after_it(cell: cells.Cell) -> None:
    task_id = cell.create_task("after-poison", "noop")
    before = {name: cell.programs[name].process for name in ("scheduler", "registry", "scraper", "gateway")}
    for subject, payload in poisons():
        cell.publish(subject, payload)
    ended = cell.await_run(cell.start_run(task_id))
    assert ended.status == runs_pb2.RUN_STATUS_COMPLETED
    assert {name: cell.programs[name].process for name in before} == before
    assert all(program.running for program in cell.programs.values())


def test_an_end_that_cannot_be_stored_fails_its_run_and_no_other_one(cell: cells.Cell) -> None:
    """One took longer than a number that can be stored; the other came in the same message."""

    def end(run_id: int, started_ms: int) -> ends_pb.RunFinished:
        spec = runs_pb2.RunSpec(run_id=run_id, task_id=1, queue="noop", created_ms=1).SerializeToString()
        return ends_pb.RunFinished(
            run_id=run_id, token=run_id, attempt=1, spec=spec, outcome=ends_pb.OUTCOME_COMPLETED, started_ms=started_ms,
            ended_ms=6, logs=[runs_pb2.LogLine(time_ms=5, level="info", message="m", data_json=b"{}")],
        )  # fmt: skip

    both = ends_pb.RunsFinished(runs=[end(900_000_001, -(2**63)), end(900_000_002, 5)])
    cell.publish(subjects.RUNS_FINISHED, both.SerializeToString())
    bad, good = cell.await_run(900_000_001), cell.await_run(900_000_002)
    assert good.status == runs_pb2.RUN_STATUS_COMPLETED
    assert (bad.status, bad.error_code) == (runs_pb2.RUN_STATUS_FAILED, "INTERNAL")
    assert "OverflowError" in bad.error_message
    stores.wait_until(lambda: cell.programs["scheduler"].running)


def test_data_of_a_log_line_that_is_no_json_is_left_out(cell: cells.Cell) -> None:
    spec = runs_pb2.RunSpec(run_id=900_000_003, task_id=1, queue="noop", created_ms=1).SerializeToString()
    lines = [
        runs_pb2.LogLine(time_ms=time_ms, level="info", message="m", data_json=data)
        for time_ms, data in enumerate((b'{"a": "\xff"}', b"{", b'{"a": 1}'), start=1)
    ]
    end = ends_pb.RunFinished(
        run_id=900_000_003, token=900_000_003, attempt=1, spec=spec, outcome=ends_pb.OUTCOME_COMPLETED, started_ms=5,
        ended_ms=6, logs=lines,
    )  # fmt: skip
    cell.publish(subjects.RUNS_FINISHED, ends_pb.RunsFinished(runs=[end]).SerializeToString())
    assert cell.await_run(900_000_003).status == runs_pb2.RUN_STATUS_COMPLETED
    answer = cell.runs.ListLogs(runs_pb2.ListLogsRequest(run_id=900_000_003, limit=10), timeout=60)
    assert [line.data_json for line in answer.lines] == [b"", b"", b'{"a": 1}']
