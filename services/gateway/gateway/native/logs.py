"""The services' logs in the scheduler contract. Owns: their endpoint. Must not know where logs are."""

import asyncio
from datetime import UTC, datetime
from typing import Any

from chassis.errors import Unavailable

from gateway.access import Role
from gateway.checks import QueryFields, invalid
from gateway.exchange import Answer, Call
from gateway.masking import veil_of
from gateway.native import stream_examples as examples
from gateway.native.envelope import Page, ok, query_of
from gateway.routing import Doc, Endpoint
from gateway.system_logs import LogFilter, LogLine, SystemLogs

Json = Any
LEVELS = ("debug", "info", "warn", "error")
DEFAULT_SIZE = 50
# One after the other: each reads many megabytes.
AT_ONCE = 2
TAG = "system"


class LogRoutes:
    """`logs` None: this installation's logs are elsewhere."""

    def __init__(self, logs: SystemLogs | None) -> None:
        self._logs = logs
        self._places = asyncio.Semaphore(AT_ONCE)

    async def list_logs(self, call: Call) -> Answer:
        """Page through the logs of all services, newest first."""
        query = query_of(call)
        page = Page(query, DEFAULT_SIZE)
        wanted = LogFilter(
            level=query.choice("level", LEVELS),
            service=query.text("service", 64),
            start=_moment(query, "start_time"),
            end=_moment(query, "end_time"),
        )
        if self._logs is None:
            raise Unavailable("未配置LOG_DIR: 日志由集群的日志系统收集", dependency="logs")
        async with self._places:
            found = await asyncio.to_thread(self._logs.read, wanted, page.offset, page.size)
        data = {
            "items": veil_of(call).data([_line_json(line) for line in found.lines]),
            "total": found.total,
            "page": page.number,
            "size": page.size,
            "total_pages": -(-found.total // page.size),
            "complete": found.complete,
        }
        return ok(call, data)

    def endpoints(self) -> list[Endpoint]:
        """The one."""
        return [
            Endpoint("GET", "/system/logs", self.list_logs,
                     Doc("系统日志", TAG, answer=examples.SYSTEM_LOGS, query=examples.LOG_QUERY, errors=(401, 422, 503),
                         description="Newest first. `total` counts at most 10,000 matches within the newest 16 MB of "
                         "each service; `complete` says whether that was all."), Role.VIEWER),
        ]  # fmt: skip


def _moment(query: QueryFields, name: str) -> str:
    """An ISO 8601 time as UTC text in the logs' own notation; without a zone it is UTC, a date is its midnight."""
    text = query.text(name, 64)
    if not text:
        return ""
    try:
        # A plus sign that was not escaped arrives as a space.
        moment = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise invalid(name, "datetime", "必须是ISO 8601格式的时间", text) from error
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _line_json(line: LogLine) -> dict[str, Json]:
    return {
        "timestamp": f"{line.timestamp[:19]}Z",
        "level": line.level,
        "service": line.service,
        "message": line.message,
        "metadata": line.metadata,
    }
