"""JetStream loses messages: what Redis and MongoDB know is queued again, and done once."""

import asyncio
from pathlib import Path

import cell as cells
import nats
import stores
from scheduler.run import fencing_token
from trawl.scheduler.v1 import runs_pb2, work_pb2, work_pb2_grpc
from wire import subjects

COMPLETED = runs_pb2.RUN_STATUS_COMPLETED


def purge(cell: cells.Cell) -> None:
    """Take every message of runs that wait."""

    async def purge() -> None:
        client = await nats.connect(cell.shared["NATS_URL"])
        await client.jetstream().purge_stream(subjects.RUNS_STREAM)
        await client.close()

    asyncio.run(purge())


def reasons(cell: cells.Cell, run_id: int) -> list[str]:
    """What `explain` says."""
    answer = cell.runs.Explain(runs_pb2.ExplainRunRequest(run_id=run_id), timeout=60, wait_for_ready=True)
    return [reason.code for reason in answer.reasons]


def claim_and_give_back(cell: cells.Cell, run_id: int, token: int) -> None:
    """As a worker does that stops at once: only messages with a higher token may claim the run from now on."""
    work = work_pb2_grpc.WorkServiceStub(cell.channel)
    claims = [work_pb2.Claim(run_id=run_id, token=token)]
    who = {"worker_id": "w", "worker_session": "w-1"}
    (result,) = work.ClaimRuns(work_pb2.ClaimRequest(claims=claims, **who), timeout=60).results
    assert result.verdict == work_pb2.CLAIM_VERDICT_GRANTED
    work.ReleaseRuns(work_pb2.ReleaseRequest(claims=claims, **who), timeout=60)


def test_a_lost_volume_and_a_purged_stream_strand_no_run(tmp_path: Path) -> None:
    with cells.running_cell(tmp_path, *(name for name in cells.ALL if name != "scraper")) as cell:
        done = tmp_path / "done"
        task = cell.create_task("notes", "shell", command=f"echo once >> {done}")
        waiting = [cell.start_run(task) for _ in range(4)]
        # Its next message must not look older, although the new stream counts from 1.
        claim_and_give_back(cell, waiting[0], fencing_token(500, 1))
        cell.programs["nats"].wipe()
        stores.wait_until(lambda: "not_handed_out" in reasons(cell, waiting[0]), 60)
        cell.programs["scraper"].start()
        waiting.append(cell.start_run(task))
        assert {cell.await_run(run_id).status for run_id in waiting} == {COMPLETED}
        assert done.read_text().split() == ["once"] * 5

        cell.programs["scraper"].kill()
        waiting = [cell.start_run(task) for _ in range(2)]
        purge(cell)
        cell.programs["scraper"].start()
        assert {cell.await_run(run_id).status for run_id in waiting} == {COMPLETED}
        assert done.read_text().split() == ["once"] * 7
        assert "not_handed_out" not in reasons(cell, waiting[0])
