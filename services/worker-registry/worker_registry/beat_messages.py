"""Heartbeats as messages. Owns: their way into the registry's own words, and its answers as messages.
Must not know what becomes of them.
"""

from trawl.workerregistry.v1 import workers_pb2 as pb

from worker_registry import worker as domain

MAX_RUNS = 10_000
MAX_INT64 = 2**63 - 1


def whose(request: pb.HeartbeatRequest) -> tuple[str, str]:
    """Id and session that a heartbeat names; an empty session stands for whatever session is there."""
    session = domain.checked_session(request.session) if request.session else ""
    return domain.checked_id(request.id), session


def read(request: pb.HeartbeatRequest, worker_id: str, session: str) -> domain.Beat:
    """What a heartbeat says. Raises `InvalidInput`, which names the field."""
    beat = domain.Beat(
        worker_id,
        session,
        domain.checked_number(request.current_task_count, 0, MAX_RUNS, "current_task_count"),
        domain.checked_share(request.load_average, "load_average"),
        domain.checked_number(request.memory_usage, 0, MAX_INT64, "memory_usage"),
        domain.checked_share(request.cpu_usage, "cpu_usage"),
        tuple(request.current_runs),
    )
    domain.checked_number(len(beat.current_runs), 0, MAX_RUNS, "current_runs")
    return beat


def answer(status: domain.Status | None) -> pb.HeartbeatResponse:
    """None: the session is not known."""
    return pb.HeartbeatResponse(status=status or domain.Status.OFFLINE, unknown=status is None)
