"""A login as a client sends it. Owns: its fields, and that what may hold a password travels sealed. Pure.

The run's own parameters name only where and as whom; everything a form is filled with is inside `sealed`, which only
scrapers can open. A sealed login holds its address too, so that it can't be replayed against another one.
"""

import hashlib
import uuid
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import orjson
from trawl.scheduler.v1 import runs_pb2

from gateway.checks import Fields, check_text, invalid
from gateway.smartrpa.events import check_events
from gateway.smartrpa.request import BROWSER, CONTRACT, check_row, minutes_of, task_name_of, text_id

Json = Any
MAX_SELECTORS = 50
MAX_SEALED_BYTES = 1024 * 1024
BROWSER_IDS = ("浏览器id", "browserId")


@dataclass(frozen=True, slots=True)
class Login:
    """A checked login. `secret`: the JSON to seal."""

    task_id: str
    task_name: str
    url: str
    browser_id: str
    selectors: tuple[str, ...]
    timeout_ms: int
    secret: bytes

    def start(self, sealed: str) -> runs_pb2.StartRun:
        """The run to start."""
        parameters = {
            "taskId": self.task_id,
            "task_name": self.task_name,
            "browserId": self.browser_id,
            "login": {"url": self.url, "successSelectors": self.selectors, "sealed": sealed},
        }
        return runs_pb2.StartRun(
            inline=runs_pb2.TaskDefinition(name=self.task_name, task_type=BROWSER, executor=BROWSER),
            retry_crashes_only=True,
            parameters_json=orjson.dumps(parameters),
            timeout_ms=self.timeout_ms,
            contract=CONTRACT,
            external_id=self.task_id,
            # Not of what was sealed: a digest of a password can be guessed at. Two logins are never one.
            request_digest=hashlib.sha256(uuid.uuid4().bytes).hexdigest(),
        )


def parse_login(raw: dict[str, Json]) -> Login:
    """The login. Raises `InvalidInput` that names the field."""
    fields = Fields(raw)
    task_name = task_name_of(raw)
    url = _url(fields.require("url"))
    task_id = text_id("taskId", raw.get("taskId")) if raw.get("taskId") not in (None, "") else f"login-{uuid.uuid4()}"
    if (events := raw.get("sortedData")) is not None:
        check_events(events)
    check_row(raw.get("row"))
    selectors = tuple(fields.texts("successSelectors", items=MAX_SELECTORS, limit=2_000))
    secret = orjson.dumps({
        "url": url,
        "username": fields.text("username", 1_000),
        "password": fields.text("password", 10_000),
        "sortedData": events,
        "row": raw.get("row"),
        "browser": fields.mapping("browser"),
    })  # fmt: skip
    if len(secret) > MAX_SEALED_BYTES:
        raise invalid("sortedData", "max_size", f"不能超过{MAX_SEALED_BYTES}字节")
    timeout_ms = int(minutes_of(raw.get("timeout")) * 60_000)
    return Login(task_id, task_name, url, browser_id_of(raw), selectors, timeout_ms, secret)


def browser_id_of(raw: dict[str, Json]) -> str:
    """The browser profile that the body or its (first) row names; empty when none does. Raises `InvalidInput`."""
    row = raw.get("row")
    first = row[0] if isinstance(row, list) and row else row
    for place in (raw, first if isinstance(first, dict) else {}):
        for name in BROWSER_IDS:
            value = place.get(name)
            if value not in (None, ""):
                return check_text(name, str(value) if type(value) is int else value, 200, one_line=True)
    return ""


def _url(value: Json) -> str:
    text = check_text("url", value, 8_192, one_line=True)
    try:
        parts = urlsplit(text)
    except ValueError as error:
        raise invalid("url", "url", "必须是有效的网址") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise invalid("url", "url", "必须是http或https网址")
    return text
