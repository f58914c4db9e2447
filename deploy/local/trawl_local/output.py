"""Log lines for people. Owns: how a line looks, and that a slow terminal never slows the stack.

Must not know which programs there are. Every line stands in the log files as well: dropping one here loses nothing.
"""

import json
import logging
import logging.handlers
import queue
import re
import sys
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

WAITING_LINES = 5_000
STORE_LOG_BYTES = 5 * 1024 * 1024
_COLOURS = ("36", "35", "34", "32", "96", "95", "94")
_LEVEL_COLOURS = {"warning": "33", "error": "31", "critical": "31"}
_SEVERITY = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
# What NATS ("[INF]") and Redis ("1:M 1 Jan 2026 00:00:00.000 * …") say about a line's weight.
_NATS = re.compile(r"\[(DBG|TRC|INF|WRN|ERR|FTL)\] (.*)")
_REDIS = re.compile(r"^\d+:[A-Z] .*?\d{2}:\d{2}:\d{2}\.\d+ ([.\-*#]) (.*)")
_WEIGHTS = {"DBG": "debug", "TRC": "debug", "INF": "info", "WRN": "warning", "ERR": "error", "FTL": "critical"}
_REDIS_WEIGHTS = {".": "debug", "-": "debug", "*": "info", "#": "warning"}


@dataclass(frozen=True, slots=True)
class Line:
    """A log line taken apart. `raw` is what the program wrote."""

    program: str
    raw: str
    time: str
    level: str
    text: str
    data: dict[str, Any] = field(default_factory=dict)

    @property
    def severity(self) -> int:
        """10 debug … 50 critical."""
        return _SEVERITY.get(self.level, 20)


def parse(program: str, raw: str) -> Line:
    """A service's JSON line, a store's own format, or plain text."""
    now = datetime.now(UTC)
    if raw.startswith("{"):
        try:
            event = json.loads(raw)
        except (ValueError, RecursionError):
            event = None
        if isinstance(event, dict) and "event" in event:
            time = str(event.pop("timestamp", ""))[11:19] or now.strftime("%H:%M:%S")
            level, text = str(event.pop("level", "info")), str(event.pop("event"))
            return Line(program, raw, time, level, text, event)
    level, text = "info", raw
    if found := _NATS.search(raw):
        level, text = _WEIGHTS[found[1]], found[2]
    elif found := _REDIS.match(raw):
        level, text = _REDIS_WEIGHTS[found[1]], found[2]
    return Line(program, raw, now.strftime("%H:%M:%S"), level, text)


def as_json(line: Line) -> str:
    """The line as a service would have written it."""
    if line.raw.startswith("{") and line.data:
        return line.raw
    stamp = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    return json.dumps(
        {"timestamp": stamp, "level": line.level, "event": line.text, "service": line.program, **line.data},
        ensure_ascii=False,
        default=str,
    )


def as_text(line: Line, *, colour: str | None, width: int) -> str:
    """One line for people (an exception keeps its lines); `colour` is an ANSI code or None."""
    name = f"{line.program:<{width}}"
    level = f"{line.level:<7}"
    if colour is not None:
        name = f"\x1b[{colour}m{name}\x1b[0m"
        level = f"\x1b[{_LEVEL_COLOURS.get(line.level, '2')}m{level}\x1b[0m"
    pairs = " ".join(
        f"{key}={_short(value)}" for key, value in line.data.items() if key not in {"service", "logger", "exception"}
    )
    text = " ".join(part for part in (clean(line.text), pairs) if part)
    trace = "".join(f"\n    {clean(row)}" for row in str(line.data.get("exception", "")).splitlines())
    return f"{line.time} {name} {level} {text}{trace}"


def clean(text: str) -> str:
    """Without control characters: what a site sent must not drive the terminal."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text.replace("\n", "\\n"))


def _short(value: object) -> str:
    text = clean(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))
    text = text if len(text) <= 200 else f"{text[:199]}…"
    return f'"{text}"' if " " in text or not text else text


class Output:
    """Where lines go: a thread writes them, so that a terminal that stands still drops lines and holds up nothing."""

    def __init__(
        self, out: TextIO, *, json_lines: bool = False, colour: bool = False, width: int = 15, lowest: int = 20
    ) -> None:
        self._out, self._json, self._colour, self._width = out, json_lines, colour, width
        # Lines below this severity are not shown; demo raises it for as long as it draws.
        self.lowest = lowest
        self._names: list[str] = []
        self._lines: queue.Queue[str | None] = queue.Queue(WAITING_LINES)
        self._dropped, self._gone = 0, False
        self._thread = threading.Thread(target=self._write, name="output", daemon=True)
        self._thread.start()

    def show(self, line: Line) -> None:
        """Show a log line."""
        if line.severity < self.lowest:
            return
        if self._json:
            self._put(as_json(line))
            return
        if line.program not in self._names:
            self._names.append(line.program)
        colour = _COLOURS[self._names.index(line.program) % len(_COLOURS)] if self._colour else None
        self._put(as_text(line, colour=colour, width=self._width))

    def say(self, text: str) -> None:
        """Show the command's own words."""
        self._put(text)

    def close(self, seconds: float = 2.0) -> None:
        """Write what waits, for at most `seconds`."""
        try:
            self._lines.put(None, timeout=seconds)
        except queue.Full:
            return
        self._thread.join(seconds)

    def _put(self, text: str) -> None:
        try:
            self._lines.put_nowait(text)
        except queue.Full:
            self._dropped += 1

    def _write(self) -> None:
        while (text := self._lines.get()) is not None:
            if self._dropped and self._lines.qsize() < WAITING_LINES // 2:
                text, self._dropped = f"{text}\n({self._dropped} lines were not shown)", 0
            if self._gone:
                continue
            try:
                self._out.write(text + "\n")
                if self._lines.empty():
                    self._out.flush()
            except (OSError, ValueError):
                # Whoever read this has gone; the log files go on.
                self._gone = True


class StoreLogs:
    """Files for the programs that don't write one themselves: `<folder>/<program>.log`, rotated."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._handlers: dict[str, logging.handlers.RotatingFileHandler] = {}

    def write(self, program: str, raw: str) -> None:
        """Append a line."""
        handler = self._handlers.get(program)
        if handler is None:
            handler = logging.handlers.RotatingFileHandler(
                self._folder / f"{program}.log", maxBytes=STORE_LOG_BYTES, backupCount=2, encoding="utf-8"
            )
            handler.setFormatter(logging.Formatter("%(message)s"))
            self._handlers[program] = handler
        handler.emit(logging.LogRecord("", 0, "", 0, raw, None, None))

    def close(self) -> None:
        """Close the files."""
        for handler in self._handlers.values():
            handler.close()


def terminal(*, json_lines: bool, width: int, quiet: bool = False, no_colour: bool = False) -> Output:
    """Output on standard output, coloured when a person looks at it."""
    colour = sys.stdout.isatty() and not no_colour
    return Output(sys.stdout, json_lines=json_lines, colour=colour, width=width, lowest=100 if quiet else 20)
