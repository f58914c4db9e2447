"""Log lines of the one-machine stack, as people see them."""

import io
import json
import threading
from pathlib import Path

import pytest
from trawl_local.output import WAITING_LINES, Output, StoreLogs, as_json, as_text, parse

SERVICE_LINE = json.dumps(
    {
        "timestamp": "2026-01-02T03:04:05.678Z",
        "level": "warning",
        "event": "slow answer",
        "service": "gateway",
        "logger": "http",
        "path": "/api/tasks",
        "seconds": 1.5,
    }
)


def test_a_service_line_becomes_time_name_level_words_and_its_data() -> None:
    text = as_text(parse("gateway", SERVICE_LINE), colour=None, width=10)
    assert text == "03:04:05 gateway    warning slow answer path=/api/tasks seconds=1.5"


def test_json_mode_passes_a_service_line_through_unchanged_and_wraps_others() -> None:
    assert as_json(parse("gateway", SERVICE_LINE)) == SERVICE_LINE
    wrapped = json.loads(as_json(parse("nats", "[7] 2026/01/02 03:04:05.000001 [WRN] disk is slow")))
    assert (wrapped["service"], wrapped["level"], wrapped["event"]) == ("nats", "warning", "disk is slow")


@pytest.mark.parametrize(
    ("raw", "level", "text"),
    [
        ("[7] 2026/01/02 03:04:05.000001 [ERR] no disk", "error", "no disk"),
        ("7:M 02 Jan 2026 03:04:05.000 # Warning: low memory", "warning", "Warning: low memory"),
        ("7:M 02 Jan 2026 03:04:05.000 * Ready", "info", "Ready"),
        ("Traceback (most recent call last):", "info", "Traceback (most recent call last):"),
        ("{not json", "info", "{not json"),
        ('{"no": "event"}', "info", '{"no": "event"}'),
        ("{" * 100_000, "info", "{" * 100_000),
        ("[" * 100_000, "info", "[" * 100_000),
    ],
)
def test_any_line_has_a_level_and_keeps_its_words(raw: str, level: str, text: str) -> None:
    line = parse("x", raw)
    assert (line.level, line.text) == (level, text)


def test_control_characters_from_outside_never_reach_the_terminal() -> None:
    hostile = json.dumps(
        {"event": "title \x1b]0;owned\x07", "level": "info", "title": "a\x1b[2Jb\nc", "exception": "\x9bx"}
    )
    text = as_text(parse("scraper", hostile), colour=None, width=7)
    assert not any((ord(character) < 32 and character != "\n") or 0x7F <= ord(character) < 0xA0 for character in text)
    assert "\\x1b[2Jb\\nc" in text


def test_an_exception_keeps_its_lines() -> None:
    text = as_text(
        parse("x", json.dumps({"event": "failed", "exception": "Traceback\n  File x\nBoom"})), colour=None, width=1
    )
    assert text.splitlines()[1:] == ["    Traceback", "      File x", "    Boom"]


class Standstill(io.StringIO):
    """A terminal that takes nothing until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()

    def write(self, text: str) -> int:
        self.go.wait(10)
        return super().write(text)


def test_a_terminal_that_stands_still_holds_up_nobody_and_says_what_it_missed() -> None:
    terminal = Standstill()
    output = Output(terminal)
    for number in range(WAITING_LINES + 100):
        output.say(str(number))
    terminal.go.set()
    output.close()
    output = None
    lines = terminal.getvalue().splitlines()
    assert lines[0] == "0"
    assert any("lines were not shown" in line for line in lines)
    assert len(lines) <= WAITING_LINES + 3


def test_a_reader_that_has_gone_is_no_error() -> None:
    class Gone(io.StringIO):
        def write(self, _text: str) -> int:
            raise BrokenPipeError

    output = Output(Gone())
    output.say("one")
    output.say("two")
    output.close()


def test_store_logs_are_files_by_program(tmp_path: Path) -> None:
    logs = StoreLogs(tmp_path)
    logs.write("nats", "one")
    logs.write("nats", "two")
    logs.write("redis", "three")
    logs.close()
    assert (tmp_path / "nats.log").read_text() == "one\ntwo\n"
    assert (tmp_path / "redis.log").read_text() == "three\n"
