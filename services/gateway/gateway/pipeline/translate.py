"""Between the services' messages and the pipeline contract's JSON. Owns: its envelope, words and shapes. Pure."""

from typing import Any

import orjson
from chassis.errors import Conflict, TrawlError
from trawl.scheduler.v1 import runs_pb2
from trawl.scraper.v1 import papers_pb2
from wire.subjects import PIPELINE_QUEUES

from gateway.exchange import Answer
from gateway.failures import ErrorShape, Malformed
from gateway.times import iso_seconds

Json = Any
STATUSES = {
    "pending": runs_pb2.RUN_STATUS_PENDING,
    "running": runs_pb2.RUN_STATUS_RUNNING,
    "completed": runs_pb2.RUN_STATUS_COMPLETED,
    "failed": runs_pb2.RUN_STATUS_FAILED,
    "cancelled": runs_pb2.RUN_STATUS_ABORTED,
}
_WORDS = {number: word for word, number in STATUSES.items()}
_TYPES = {queue: name for name, queue in PIPELINE_QUEUES.items()}


class CannotCancel(Conflict):
    """The task has ended."""

    def __init__(self) -> None:
        super().__init__("无法取消任务(已处于 completed/failed/cancelled 状态)")


def _error_body(error: TrawlError, status: int, _request_id: str) -> Json:
    return {"code": status, "message": error.message, "data": None}


SHAPE = ErrorShape(_error_body, {Malformed: 422, CannotCancel: 400})


def envelope(
    data: Json, *, status: int = 200, message: str = "success", headers: tuple[tuple[bytes, bytes], ...] = ()
) -> Answer:
    """A success."""
    return Answer(orjson.dumps({"code": status, "message": message, "data": data}), status, headers)


def time_text(ms: int) -> str | None:
    """`2025-03-12T10:00:00`, UTC without saying so; None for 0 = not set."""
    text = iso_seconds(ms)
    return text[:-1] if text else None


def task_type_of(run: runs_pb2.Run) -> str | None:
    """The contract's task type, or None for a run that is none of its tasks."""
    return _TYPES.get(run.spec.queue)


def project_of(run: runs_pb2.Run) -> int:
    """The project of a run; 0 for one that names none."""
    return int(run.spec.scope.partition(":")[2] or 0)


def task_json(run: runs_pb2.Run) -> dict[str, Json]:
    """A task as a list shows it."""
    return {
        "id": run.spec.run_id,
        "project_id": project_of(run),
        "task_type": task_type_of(run),
        "status": _WORDS.get(run.status, "pending"),
        "progress": run.progress_done,
        "total": run.progress_total,
        "created_at": time_text(run.spec.created_ms),
    }


def new_task_json(run: runs_pb2.Run, project_id: int, task_type: str, params: Json) -> dict[str, Json]:
    """A task that was just accepted, in full."""
    shown = task_json(run) | {"project_id": project_id, "task_type": task_type}
    return _in_order(shown, run, params)


def task_detail(run: runs_pb2.Run, params: Json) -> dict[str, Json]:
    """A task in full."""
    return _in_order(task_json(run), run, params)


def _in_order(shown: dict[str, Json], run: runs_pb2.Run, params: Json) -> dict[str, Json]:
    created_at = shown.pop("created_at")
    completed = run.status == runs_pb2.RUN_STATUS_COMPLETED
    return shown | {
        "params": params,
        "result": orjson.Fragment(run.result_json) if completed and run.result_json else None,
        "error_message": run.error_message if run.status == runs_pb2.RUN_STATUS_FAILED else "",
        "created_at": created_at,
        "started_at": time_text(run.started_ms),
        "completed_at": time_text(run.completed_ms),
    }


def paper_json(paper: papers_pb2.Paper) -> dict[str, Json]:
    """A paper; what is not known is null."""
    return {
        "id": paper.id,
        "project_id": paper.project_id,
        "title": paper.title,
        "abstract": paper.abstract or None,
        "authors": list(paper.authors),
        "year": paper.year or None,
        "doi": paper.doi or None,
        "arxiv_id": paper.arxiv_id or None,
        "venue": paper.venue or None,
        "url": paper.url or None,
        "pdf_url": paper.pdf_url or None,
        "citations": None if paper.citations < 0 else paper.citations,
        "sources": [{"source": one.source, "id": one.id, "url": one.url or None} for one in paper.sources],
        "pdf": {"status": paper.pdf_state or None, "bytes": paper.pdf_bytes, "error": paper.pdf_error or None},
        "text": {
            "status": paper.text_state or None,
            "pages": paper.pages,
            "ocr_pages": paper.ocr_pages,
            "error": paper.text_error or None,
        },
        "created_at": time_text(paper.created_ms),
        "updated_at": time_text(paper.updated_ms),
    }


def hit_json(hit: papers_pb2.PaperHit) -> dict[str, Json]:
    """A paper that was found."""
    return paper_json(hit.paper) | {"score": hit.score, "highlights": dict(hit.highlights)}
