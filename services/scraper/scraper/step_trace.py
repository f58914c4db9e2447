"""The trace of one attempt: each step with its duration, what matched, where the page was. Owns: its form and bounds.

It is kept as a file of the run (`trace.json`), whatever becomes of the run, and holds nothing that is to stay hidden.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import orjson
from chassis.clock import now_ms

from scraper.executor import Json
from scraper.step_templates import Redactor

MAX_ENTRIES = 5_000
MAX_TROUBLES = 200
MAX_TEXT = 2_000
FILE_NAME = "trace.json"

Outcome = Literal["running", "done", "failed", "continued", "left_out", "stopped"]


@dataclass(slots=True, eq=False)
class Entry:
    """One step that was done. `matched`: the last target that was found, as (by, selector)."""

    path: str
    type: str
    source: str | None
    started_ms: int
    outcome: Outcome = "running"
    duration_ms: int = 0
    attempts: int = 1
    matched: tuple[str, str] | None = None
    url: str | None = None
    screenshot: str | None = None
    code: str | None = None
    error: str | None = None

    def as_json(self) -> dict[str, Json]:
        """Without what isn't there."""
        shown = {
            "step": self.path,
            "type": self.type,
            "source": self.source,
            "startedMs": self.started_ms,
            "durationMs": self.duration_ms,
            "outcome": self.outcome,
            "attempts": self.attempts if self.attempts > 1 else None,
            "matched": {"by": self.matched[0], "selector": self.matched[1]} if self.matched else None,
            "url": self.url,
            "screenshot": self.screenshot,
            "code": self.code,
            "error": self.error,
        }
        return {name: value for name, value in shown.items() if value is not None}


@dataclass(slots=True)
class Trace:
    """Filled by the engine and the page; `attempt` is the run's."""

    run_id: int
    attempt: int
    redactor: Redactor
    started_ms: int = field(default_factory=now_ms)
    facts: dict[str, Json] = field(default_factory=dict)
    _entries: list[Entry] = field(default_factory=list)
    _troubles: list[dict[str, Json]] = field(default_factory=list)
    _left_out: int = 0
    _open: list[Entry] = field(default_factory=list)

    def begin(self, path: str, kind: str, source: str | None) -> Entry:
        """A step starts, inside of those that have not ended."""
        entry = Entry(path, kind, source, now_ms())
        if len(self._entries) < MAX_ENTRIES:
            self._entries.append(entry)
        else:
            self._left_out += 1
        self._open.append(entry)
        return entry

    def end(self, entry: Entry, outcome: Outcome, url: str | None) -> None:
        """The step has ended."""
        entry.outcome, entry.url = outcome, url
        entry.duration_ms = max(0, now_ms() - entry.started_ms)
        self._open.remove(entry)

    @property
    def current(self) -> Entry | None:
        """The innermost step under way."""
        return self._open[-1] if self._open else None

    def matched(self, by: str, selector: str) -> None:
        """The step under way has found its target."""
        if self._open:
            self._open[-1].matched = (by, selector[:MAX_TEXT])

    def trouble(self, kind: str, text: str, url: str) -> None:
        """The page complained: `console` error or uncaught `exception`."""
        if len(self._troubles) >= MAX_TROUBLES:
            return
        step = self._open[-1].path if self._open else None
        self._troubles.append(
            {"kind": kind, "text": text[:MAX_TEXT], "url": url[:MAX_TEXT], "step": step, "timeMs": now_ms()}
        )

    def as_json(self) -> dict[str, Json]:
        """All of it, secrets taken out."""
        now = now_ms()
        entries = []
        for entry in self._entries:
            if entry.outcome == "running":
                entry.outcome, entry.duration_ms = "stopped", max(0, now - entry.started_ms)
            entries.append(entry.as_json())
        shown: Mapping[str, Json] = {
            "runId": self.run_id,
            "attempt": self.attempt,
            "startedMs": self.started_ms,
            "durationMs": max(0, now - self.started_ms),
            **self.facts,
            "steps": entries,
            "stepsLeftOut": self._left_out,
            "console": self._troubles,
        }
        cleaned: dict[str, Json] = self.redactor.json(shown)
        return cleaned

    def dump(self) -> bytes:
        """The file."""
        return orjson.dumps(self.as_json())
