"""The services' own logs, for reading. Owns: what a line is, the port, and its implementation on a shared folder.
Knows no contract.

Services on one machine write JSON lines to `<service>.log`, which is rotated to `.1`, `.2`, `.3`. They are read from
their ends, newest first, and only so far: a question costs at most `MAX_BYTES` of each service.
"""

import heapq
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import orjson

Json = Any
BLOCK = 64 * 1024
MAX_BYTES = 16 * 1024 * 1024
MAX_LINE = 256 * 1024
# Matches beyond this are not counted.
MAX_MATCHES = 10_000
MAX_SECONDS = 3.0
BACKUPS = 3
_NAME = re.compile(r"[a-z][a-z-]{0,40}")
_LEVELS = {"warning": "warn", "critical": "error", "exception": "error", "fatal": "error"}


@dataclass(frozen=True, slots=True)
class LogFilter:
    """What is looked for; empty: anything. Times as UTC text that compares like time."""

    level: str = ""
    service: str = ""
    start: str = ""
    end: str = ""

    def takes(self, line: "LogLine") -> bool:
        """Whether the line is looked for."""
        return (not self.level or line.level == self.level) and (not self.end or line.timestamp <= self.end)


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line. `timestamp` as UTC text with microseconds."""

    timestamp: str
    level: str
    service: str
    message: str
    metadata: dict[str, Json]


@dataclass(frozen=True, slots=True)
class LogPage:
    """Lines, newest first. `total` counts the matches that were looked at; `complete`: those were all."""

    lines: list[LogLine]
    total: int
    complete: bool


class SystemLogs(Protocol):
    """Where the logs of all services can be read."""

    def read(self, wanted: LogFilter, offset: int, limit: int) -> LogPage:
        """A page of them. Blocks: to be called in a thread."""


class LogFolder:
    """`SystemLogs` of services that share a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, wanted: LogFilter, offset: int, limit: int) -> LogPage:
        """A page of them. Blocks: to be called in a thread."""
        until = time.monotonic() + MAX_SECONDS
        readers = [_Reader(self._folder, name, wanted.start, until) for name in self._services(wanted.service)]
        lines: list[LogLine] = []
        total = 0
        merged = heapq.merge(*(reader.lines() for reader in readers), key=lambda line: line.timestamp, reverse=True)
        with closing(merged):
            for line in merged:
                if wanted.takes(line):
                    if offset <= total < offset + limit:
                        lines.append(line)
                    total += 1
                    if total >= MAX_MATCHES:
                        break
        return LogPage(lines, total, total < MAX_MATCHES and all(reader.complete for reader in readers))

    def _services(self, wanted: str) -> list[str]:
        """Names come from the folder, never from outside: a wanted one is only compared."""
        names = {path.name.removesuffix(".log") for path in self._folder.glob("*.log")}
        return sorted(name for name in names if _NAME.fullmatch(name) and wanted in ("", name))


class _Reader:
    """One service's lines, newest first. `complete` says whether the end was reached, and not a limit."""

    def __init__(self, folder: Path, service: str, start: str, until: float) -> None:
        self._paths = [folder / f"{service}.log", *(folder / f"{service}.log.{n}" for n in range(1, BACKUPS + 1))]
        self._service, self._start, self._until = service, start, until
        self._left = MAX_BYTES
        self.complete = True

    def lines(self) -> Iterator[LogLine]:
        for raw in self._raw():
            line = _line(raw, self._service)
            if line is None:
                continue
            if self._start and line.timestamp < self._start:
                return
            yield line

    def _raw(self) -> Iterator[bytes]:
        for path in self._paths:
            for raw in self._backwards(path):
                yield raw
                if self._left <= 0 or time.monotonic() > self._until:
                    self.complete = False
                    return

    def _backwards(self, path: Path) -> Iterable[bytes]:
        """The file's lines from its end. A file that is rotated meanwhile is read to its own end."""
        try:
            file = path.open("rb")
        except OSError:
            return
        with file:
            position = file.seek(0, 2)
            rest = b""
            while position > 0 and self._left > 0:
                size = min(BLOCK, position)
                position -= size
                self._left -= size
                file.seek(position)
                rest, *whole = (file.read(size) + rest).split(b"\n")
                yield from reversed(whole)
                if len(rest) > MAX_LINE:
                    rest = b""
            if position == 0:
                yield rest


def _line(raw: bytes, service: str) -> LogLine | None:
    """The line, if it is one of ours: the stores' own logs are not JSON."""
    if not raw.startswith(b"{"):
        return None
    try:
        fields = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    timestamp, message = fields.pop("timestamp", None), fields.pop("event", None)
    if not isinstance(timestamp, str) or not isinstance(message, str):
        return None
    level = str(fields.pop("level", "info"))
    name = str(fields.pop("service", service))
    metadata = {key: value for key, value in fields.items() if value != ""}
    return LogLine(timestamp, _LEVELS.get(level, level), name, message, metadata)
