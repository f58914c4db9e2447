"""Structured logs: one JSON object a line, with the trace it belongs to and no secrets in it."""

import contextlib
import logging
import logging.handlers
import re
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any, TextIO

import orjson
import structlog
from opentelemetry import trace

_SECRET_KEY = re.compile(r"passw|secret|token(?!s?_)|authorization|api_?key|cookie", re.IGNORECASE)
_SECRET_TEXT = re.compile(r"(?i)(api_key=|Bearer\s+|://[^/\s:@]*:)[^\s&@\"']+")
LOG_FILE_BYTES = 20 * 1024 * 1024

Event = MutableMapping[str, Any]


def redact(text: str) -> str:
    """The text without keys and passwords that stand in URLs or headers."""
    return _SECRET_TEXT.sub(r"\1***", text)


def _hide_secrets(_logger: Any, _method: str, event: Event) -> Event:
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = "***" if key != "event" and _SECRET_KEY.search(key) else redact(value)
    return event


def _add_trace(_logger: Any, _method: str, event: Event) -> Event:
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = f"{context.trace_id:032x}"
    return event


class _Lines:
    """Writes each line to standard output and, when there is one, to a file that is rotated."""

    def __init__(self, out: TextIO, handler: logging.Handler | None) -> None:
        self._out, self._handler = out, handler

    def msg(self, message: str) -> None:
        with contextlib.suppress(OSError):  # a full disk costs the line, and nothing else
            self._out.write(message + "\n")
            self._out.flush()
        if self._handler is not None:
            self._handler.emit(logging.LogRecord("", 0, "", 0, message, None, None))

    debug = info = warning = error = critical = exception = log = msg


def configure_logs(service: str, level: str, log_dir: Path | None) -> None:
    """Send this process's logs, the libraries' included, to standard output (and `log_dir`) as JSON lines."""
    handler = None
    if log_dir is not None:
        log_dir.mkdir(parents=True, exist_ok=True)
        handler = logging.handlers.RotatingFileHandler(
            log_dir / f"{service}.log", maxBytes=LOG_FILE_BYTES, backupCount=3, encoding="utf-8"
        )
        handler.setFormatter(logging.Formatter("%(message)s"))
    lines = _Lines(sys.stdout, handler)
    processors: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="timestamp"),
        _add_trace,
        structlog.processors.format_exc_info,
        _hide_secrets,
    ]

    def render(_logger: Any, _method: str, event: Event) -> str:
        event["service"] = service
        event["logger"] = event.pop("logger_name", "")
        try:
            return orjson.dumps(event, default=str).decode()
        except TypeError:  # a number or text that JSON can't carry
            return orjson.dumps({key: ascii(value) for key, value in event.items()}).decode()

    structlog.configure(
        processors=[*processors, render],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=lambda *_: lines,
        cache_logger_on_first_use=True,
    )
    library = logging.StreamHandler()
    library.emit = lambda record: lines.msg(  # type: ignore[method-assign]
        orjson.dumps(
            {
                "timestamp": structlog.processors.TimeStamper(fmt="iso", utc=True)(None, "", {})["timestamp"],
                "level": record.levelname.lower(),
                "event": redact(library.format(record)),
                "logger": record.name,
                "service": service,
            }
        ).decode()
    )
    logging.basicConfig(handlers=[library], level=logging.WARNING, force=True)


def get_logger(name: str) -> Any:
    """A logger whose lines carry `logger=name`."""
    return structlog.get_logger(logger_name=name)  # `logger` itself is an argument of structlog's
