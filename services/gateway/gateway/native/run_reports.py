"""What outside workers report of the runs they have leased. Owns: these endpoints and the checks of their bodies. Must
not know what a lease token means: the scheduler refuses one that has lost its right.
"""

from datetime import UTC, datetime
from typing import Any

import orjson
from chassis.clock import now_ms
from trawl.scheduler.v1 import lease_pb2, runs_pb2
from trawl.scraper.v1 import results_pb2

from gateway.access import Role
from gateway.backend import Backend
from gateway.bodies import read_object
from gateway.checks import MAX_ID, Fields, check_text, invalid, path_id
from gateway.exchange import Answer, Call
from gateway.native import worker_examples as examples
from gateway.native.envelope import ok
from gateway.native.translate import RUN_STATUS_WORDS
from gateway.routing import Doc, Endpoint
from gateway.times import iso_seconds

Json = Any
LEVELS = {"debug": "debug", "info": "info", "warn": "warn", "warning": "warn", "error": "error"}
MAX_LINES = 1_000
MAX_LINE_CHARACTERS = 16_384
# Room for the note of how much was cut.
NOTE_CHARACTERS = 64
MAX_ITEMS = 1_000
MAX_ERROR_CHARACTERS = 10_000
# The scheduler waits this long for the end to be applied before it answers.
APPLY_SECONDS = 5.0
ITEMS_NOTE = (
    "An item with a `key` is stored once whatever happens. Others are told apart by their position, which is counted "
    "unless `position` names the first one's."
)
TAG = "workers"


class RunReportRoutes:
    """Handlers of the reports on `/runs/{id}`. Each asks for the run's `lease_token`, and renews the lease."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def logs(self, call: Call) -> Answer:
        """Add lines to the run's log."""
        run_id, fields, token = await _read(call)
        lines = [_line(f"logs[{index}]", entry) for index, entry in enumerate(_entries(fields, "logs", MAX_LINES))]
        return await self._report(call, lease_pb2.LeaseReport(run_id=run_id, token=token, logs=lines))

    async def progress(self, call: Call) -> Answer:
        """Say how far the run is."""
        run_id, fields, token = await _read(call)
        report = lease_pb2.LeaseReport(
            run_id=run_id, token=token, has_progress=True,
            progress_done=fields.integer("done", 0, MAX_ID, 0),
            progress_total=fields.integer("total", 0, MAX_ID, 0),
            step=fields.text("step", 200, one_line=True),
        )  # fmt: skip
        return await self._report(call, report)

    async def results(self, call: Call) -> Answer:
        """Store result items: each key once, and each position of those without one."""
        run_id, fields, token = await _read(call)
        entries = _entries(fields, "items", MAX_ITEMS)
        items = [_item(f"items[{index}]", entry) for index, entry in enumerate(entries)]
        position = fields.integer("position", 0, MAX_ID // 2, -1)
        report = lease_pb2.LeaseReport(run_id=run_id, token=token, item_count=len(items))
        state: lease_pb2.LeaseState = await self._backend.run(self._backend.leases.Report, report)
        first = state.first_position if position < 0 else position
        for offset, item in enumerate(items):
            item.position = first + offset
        request = results_pb2.AddItemsRequest(
            run_id=run_id, task_id=state.task_id, attempt=state.attempt, items=items, collects=state.collects
        )
        await self._backend.result(self._backend.results.AddItems, request)
        return ok(call, _state_json(run_id, state) | {"accepted": len(items), "position": first})

    async def _report(self, call: Call, report: lease_pb2.LeaseReport) -> Answer:
        state = await self._backend.run(self._backend.leases.Report, report)
        return ok(call, _state_json(report.run_id, state))

    async def complete(self, call: Call) -> Answer:
        """End the run with its result."""
        run_id, fields, token = await _read(call)
        result = fields.raw.get("result")
        report = lease_pb2.LeaseReport(run_id=run_id, token=token)
        state: lease_pb2.LeaseState = await self._backend.run(self._backend.leases.Report, report)
        if state.attempt > 1:
            # Items that only an earlier attempt has found are not this run's.
            last = results_pb2.AddItemsRequest(run_id=run_id, task_id=state.task_id, attempt=state.attempt, last=True)
            await self._backend.result(self._backend.results.AddItems, last)
        end = lease_pb2.LeaseEnd(
            run_id=run_id, token=token, outcome=lease_pb2.LeaseEnd.OUTCOME_COMPLETED,
            result_json=b"" if result is None else orjson.dumps(result),
        )  # fmt: skip
        return await self._end(call, end, "任务运行已完成")

    async def fail(self, call: Call) -> Answer:
        """End the attempt with an error, or the run because its abort was asked for."""
        run_id, fields, token = await _read(call)
        aborted = fields.flag("aborted")
        if not aborted:
            fields.require("error_message")
        end = lease_pb2.LeaseEnd(
            run_id=run_id, token=token,
            outcome=lease_pb2.LeaseEnd.OUTCOME_ABORTED if aborted else lease_pb2.LeaseEnd.OUTCOME_FAILED,
            error_message=fields.text("error_message", MAX_ERROR_CHARACTERS),
            error_code=fields.text("error_code", 64, "" if aborted else "EXECUTION_FAILED", one_line=True),
            retryable=fields.flag("retryable") if fields.given("retryable") else True,
        )  # fmt: skip
        return await self._end(call, end, "任务运行已中止" if aborted else "任务运行失败已记录")

    async def _end(self, call: Call, end: lease_pb2.LeaseEnd, message: str) -> Answer:
        run: runs_pb2.Run = await self._backend.run(self._backend.leases.Finish, end, extra_seconds=APPLY_SECONDS)
        data = {
            "run_id": end.run_id,
            "status": RUN_STATUS_WORDS.get(run.status, "running"),
            "attempt": run.attempt,
            "completed_at": iso_seconds(run.completed_ms),
            # When the next attempt may start, should one follow.
            "retry_at": iso_seconds(run.not_before_ms),
            "message": message,
        }
        return ok(call, data)

    def endpoints(self) -> list[Endpoint]:
        """All of them."""
        table = (
            ("logs", self.logs, "上报任务运行日志", examples.LOGS, examples.REPORTED, ""),
            ("progress", self.progress, "上报任务运行进度", examples.PROGRESS, examples.REPORTED, ""),
            ("results", self.results, "上报任务运行结果项", examples.ITEMS, examples.ITEMS_STORED,
             ITEMS_NOTE),
            ("complete", self.complete, "完成任务运行", examples.COMPLETE, examples.COMPLETED, ""),
            ("fail", self.fail, "任务运行失败", examples.FAIL, examples.FAILED,
             "`aborted: true` instead of an error message confirms an abort that was asked for."),
        )  # fmt: skip
        return [
            Endpoint("POST", f"/runs/{{run_id}}/{name}", handler,
                     Doc(summary, TAG, body=body, answer=answer, errors=(400, 401, 403, 404, 409, 422),
                         description=f"A lease that was lost: 409. {more}".strip()),
                     Role.OPERATOR, starts_work=name in ("results", "complete", "fail"))
            for name, handler, summary, body, answer, more in table
        ]  # fmt: skip


async def _read(call: Call) -> tuple[int, Fields, int]:
    """(run id, body, token)"""
    run_id = path_id("id", call.path_params["run_id"])
    fields = Fields(await read_object(call))
    text = check_text("lease_token", fields.require("lease_token"), 64, one_line=True)
    # What is no number was never a token: no lease has the number 0.
    known = text.isascii() and text.isdigit() and int(text) <= MAX_ID
    return run_id, fields, int(text) if known else 0


def _entries(fields: Fields, name: str, most: int) -> list[Json]:
    value = fields.require(name)
    if not isinstance(value, list):
        raise invalid(name, "array", "必须是数组", value)
    if not 1 <= len(value) <= most:
        raise invalid(name, "items", f"必须有1到{most}项", len(value))
    return value


def _line(name: str, entry: Json) -> runs_pb2.LogLine:
    if isinstance(entry, str):
        entry = {"message": entry}
    if not isinstance(entry, dict):
        raise invalid(name, "object", "必须是对象或字符串", entry)
    message = entry.get("message")
    if message is None:
        raise invalid(f"{name}.message", "required", "是必填项")
    level = entry.get("level", "info")
    if not isinstance(level, str) or level.lower() not in LEVELS:
        raise invalid(f"{name}.level", "enum", f"必须是以下之一: {', '.join(LEVELS)}", level)
    data = entry.get("data")
    if data is not None and not isinstance(data, dict):
        raise invalid(f"{name}.data", "object", "必须是对象", data)
    return runs_pb2.LogLine(
        time_ms=_time_ms(f"{name}.timestamp", entry.get("timestamp")),
        level=LEVELS[level.lower()],
        message=_message(f"{name}.message", message),
        data_json=orjson.dumps(data) if data else b"",
    )


def _message(name: str, value: Json) -> str:
    """The text of a line. One that is too long is cut, and says so: its batch would be lost with it."""
    if not isinstance(value, str):
        raise invalid(name, "string", "必须是字符串", value)
    text = value.replace("\0", "\ufffd")
    if len(text) <= MAX_LINE_CHARACTERS:
        return text
    kept = MAX_LINE_CHARACTERS - NOTE_CHARACTERS
    return f"{text[:kept]} ... [{len(text) - kept} characters more]"


def _time_ms(name: str, value: Json) -> int:
    if value is None:
        return now_ms()
    try:
        moment = datetime.fromisoformat(check_text(name, value, 64))
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return int(moment.timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise invalid(name, "datetime", "必须是ISO 8601时间", value) from error


def _item(name: str, entry: Json) -> results_pb2.NewItem:
    if not isinstance(entry, dict):
        raise invalid(name, "object", "必须是对象", entry)
    data, metadata = entry.get("data"), entry.get("metadata")
    if not isinstance(data, dict):
        raise invalid(f"{name}.data", "object", "必须是对象", data)
    if metadata is not None and not isinstance(metadata, dict):
        raise invalid(f"{name}.metadata", "object", "必须是对象", metadata)
    key, data_type = entry.get("key"), entry.get("data_type")
    return results_pb2.NewItem(
        key="" if key is None else check_text(f"{name}.key", key, 500),
        data_type="item" if data_type is None else check_text(f"{name}.data_type", data_type, 64, one_line=True),
        data_json=orjson.dumps(data),
        metadata_json=orjson.dumps(metadata or {}),
    )


def _state_json(run_id: int, state: lease_pb2.LeaseState) -> dict[str, Json]:
    return {"run_id": run_id, "lease_expires_at": iso_seconds(state.expires_ms), "abort": state.abort}
