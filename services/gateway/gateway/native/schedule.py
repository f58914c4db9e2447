"""Schedules and explanations of the scheduler contract. Owns: their endpoints and JSON. Must not know how they work."""

from typing import Any

from trawl.scheduler.v1 import runs_pb2, tasks_pb2

from gateway.access import Role
from gateway.backend import Backend
from gateway.checks import QueryFields, invalid, path_id
from gateway.exchange import Answer, Call
from gateway.native import examples
from gateway.native.envelope import ok, query_of
from gateway.native.seen import seen_run
from gateway.native.translate import RUN_STATUS_WORDS, stop_json
from gateway.routing import Doc, Endpoint
from gateway.times import iso_seconds, moment_ms

Json = Any
MAX_FIRES = 1_000
DEFAULT_FIRES = 10


class ScheduleRoutes:
    """Handlers of `/tasks/{id}/schedule/preview` and `/runs/{id}/explain`."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def preview(self, call: Call) -> Answer:
        """Show when a task fires next, and what an outage would make of its schedule."""
        query = query_of(call)
        request = tasks_pb2.SchedulePreviewRequest(
            task_id=path_id("id", call.path_params["task_id"]),
            n=query.integer("n", 1, MAX_FIRES, DEFAULT_FIRES),
            from_ms=_moment(query, "from"),
            down_from_ms=_moment(query, "down_from"),
            down_to_ms=_moment(query, "down_to"),
        )
        return ok(call, _preview_json(await self._backend.task(self._backend.tasks.GetSchedulePreview, request)))

    async def explain(self, call: Call) -> Answer:
        """Say why a run has not started, or how it ended."""
        run_id = path_id("id", call.path_params["run_id"])
        answer = await self._backend.run(self._backend.runs.Explain, runs_pb2.ExplainRunRequest(run_id=run_id))
        veil = await seen_run(call, self._backend, run_id)
        return ok(call, veil.data(_explanation_json(answer)))

    def endpoints(self) -> list[Endpoint]:
        """Both of them."""
        return [
            Endpoint("GET", "/tasks/{task_id}/schedule/preview", self.preview,
                     Doc("预览任务调度", "tasks", answer=examples.SCHEDULE_PREVIEW, query=examples.PREVIEW_QUERY,
                         errors=(401, 404, 422),
                         description="`down_from` and `down_to` ask what an outage between them would make run."),
                     Role.VIEWER),
            Endpoint("GET", "/runs/{run_id}/explain", self.explain,
                     Doc("解释任务运行状态", "runs", answer=examples.RUN_EXPLAINED, errors=(401, 404)), Role.VIEWER),
        ]  # fmt: skip


def _moment(query: QueryFields, name: str) -> int:
    text = query.text(name, 64)
    if not text:
        return 0
    try:
        # A plus sign that was not escaped in the URL arrives as a space.
        moment = moment_ms(text.replace(" ", "+"))
    except (ValueError, OverflowError) as error:
        raise invalid(name, "datetime", "必须是ISO 8601格式的时间", text) from error
    if moment <= 0:
        raise invalid(name, "range", "超出范围", text)
    return moment


def _planned(fire: tasks_pb2.PlannedFire) -> dict[str, Json]:
    return {"fire_at": iso_seconds(fire.fire_ms), "action": fire.action, "note": fire.note or None}


def _recorded(fire: tasks_pb2.Fire) -> dict[str, Json]:
    return {
        "fire_at": iso_seconds(fire.fire_ms),
        "until": iso_seconds(fire.until_ms),
        "action": fire.action,
        "reason": fire.reason or None,
        "run_id": fire.run_id or None,
    }


def _preview_json(preview: tasks_pb2.SchedulePreview) -> dict[str, Json]:
    return {
        "task_id": preview.task_id,
        "schedule": preview.schedule,
        "time_zone": preview.time_zone,
        "paused": preview.paused,
        "misfire": preview.misfire,
        "misfire_window_seconds": preview.misfire_window_seconds,
        "overlap": preview.overlap,
        "fires": [_planned(fire) for fire in preview.fires],
        "outage": [_planned(fire) for fire in preview.outage],
        "outage_truncated": preview.outage_truncated,
        "recent": [_recorded(fire) for fire in preview.recent],
    }


def _explanation_json(answer: runs_pb2.RunExplanation) -> dict[str, Json]:
    return {
        "run_id": answer.run_id,
        "status": RUN_STATUS_WORDS.get(answer.status, "pending"),
        "summary": answer.summary,
        "reasons": [_reason_json(reason) for reason in answer.reasons],
        "attempts": answer.attempts,
        "error_code": answer.error_code or None,
        "error_message": answer.error_message or None,
        "stop": stop_json(answer.stop) if answer.HasField("stop") else None,
    }


def _reason_json(reason: runs_pb2.RunReason) -> dict[str, Json]:
    counted = reason.code in ("queue_position", "overlap")
    return {
        "code": reason.code,
        "message": reason.message,
        "task_id": reason.task_id or None,
        "run_id": reason.run_id or None,
        "queue": reason.queue or None,
        "until": iso_seconds(reason.until_ms),
        "ahead": reason.ahead if counted else None,
        "exact": reason.exact if counted else None,
    }
