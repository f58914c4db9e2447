"""What clients report about tasks themselves. Owns: the progress report's fields. Must not know how runs are kept."""

from typing import Any

import orjson
from trawl.scheduler.v1 import runs_pb2

from gateway.checks import Fields, check_text, invalid

Json = Any
MAX_MESSAGE = 4_000
STATUSES = {
    "running": runs_pb2.RUN_STATUS_RUNNING,
    "completed": runs_pb2.RUN_STATUS_COMPLETED,
    "error": runs_pb2.RUN_STATUS_FAILED,
}
NOT_SAID = -1


def parse_report(raw: dict[str, Json]) -> runs_pb2.OutsideReport:
    """The report, still without its run. Raises `InvalidInput` that names the field."""
    fields = Fields(raw)
    percent = _percent(raw.get("progress"))
    status = fields.choice("status", STATUSES, "")
    if percent == NOT_SAID and not status:
        raise invalid("progress", "required", "progress和status至少需要一个")
    result = raw.get("result")
    return runs_pb2.OutsideReport(
        percent=percent,
        status=STATUSES.get(status, runs_pb2.RUN_STATUS_UNSPECIFIED),
        result_json=b"" if result is None else orjson.dumps(result),
        error_message=_message(raw),
    )


def _percent(value: Json) -> int:
    if value is None:
        return NOT_SAID
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise invalid("progress", "number", "必须是数字", value)
    if not 0 <= value <= 100:
        raise invalid("progress", "range", "必须在0到100之间", value)
    return int(value)


def _message(raw: dict[str, Json]) -> str:
    for name in ("error", "message"):
        if raw.get(name) is not None:
            return check_text(name, raw[name], MAX_MESSAGE)
    return ""
