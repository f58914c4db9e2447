"""What a command writes, as log lines and as the run's result."""

from dataclasses import dataclass, field

import pytest
from executor_kit import RecordingContext, context_of
from scraper import output
from scraper.command_limits import ProcessLimits
from scraper.executor import ExecutorError, Json
from scraper.executors.shell import result_of
from scraper.output import HELD_LINES, MAX_LINE_BYTES, Allowance, LineLog
from scraper.processes import Finished

RATE = 100
BURST = 400


@dataclass
class Clock:
    now: float = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(output, "monotonic", clock)
    return clock


@dataclass
class Stream:
    """A stream's log, and what it shows."""

    clock: Clock
    context: RecordingContext = field(default_factory=context_of)

    def __post_init__(self) -> None:
        self.allowance = Allowance(RATE)
        self.log = LineLog(self.context, self.allowance, level="info", stream="stdout")

    def say(self, first: int, last: int) -> None:
        self.log.add("".join(f"bolt {number}\n" for number in range(first, last + 1)).encode())

    def shown(self) -> list[str]:
        return self.context.messages("info")

    def left_out(self) -> list[int]:
        return [int(message.split()[0]) for message in self.context.messages("warn")]


@pytest.mark.parametrize("count", [1, BURST - 1, BURST, BURST + 1, BURST + HELD_LINES])
def test_a_flood_that_fits_is_whole(clock: Clock, count: int) -> None:
    stream = Stream(clock)
    stream.say(1, count)
    stream.log.finish()
    assert stream.shown() == [f"bolt {number}" for number in range(1, count + 1)]
    assert stream.left_out() == []


@pytest.mark.parametrize("count", [BURST + HELD_LINES + 1, 5_000, 100_000])
def test_of_a_flood_the_first_and_the_last_lines_stay_and_the_rest_is_counted(clock: Clock, count: int) -> None:
    stream = Stream(clock)
    stream.say(1, count)
    stream.log.finish()
    assert len(stream.shown()) == BURST + HELD_LINES
    assert stream.left_out() == [count - BURST - HELD_LINES]
    assert stream.shown()[:BURST] == [f"bolt {number}" for number in range(1, BURST + 1)]
    assert stream.shown()[-1] == f"bolt {count}"
    # The note stands where the lines are missing.
    assert [level for level, _, _ in stream.context.logs].index("warn") == BURST


def test_the_last_lines_are_shown_once_the_flood_is_over(clock: Clock) -> None:
    stream = Stream(clock)
    stream.say(1, 3_000)
    due = stream.log.due_seconds()
    assert due is not None
    stream.log.show_held()
    assert stream.shown()[-1] == f"bolt {BURST}"
    clock.now += due
    stream.log.show_held()
    assert stream.shown()[-1] == "bolt 3000"
    assert stream.log.due_seconds() is None
    clock.now += 60
    stream.say(3_001, 3_010)
    assert stream.shown()[-10:] == [f"bolt {number}" for number in range(3_001, 3_011)]


def test_a_flood_without_end_keeps_the_rate_and_loses_count_of_nothing(clock: Clock) -> None:
    stream = Stream(clock)
    for second in range(100):
        stream.say(second * 1_000 + 1, (second + 1) * 1_000)
        clock.now += 1
    stream.log.finish()
    assert len(stream.shown()) + sum(stream.left_out()) == 100_000
    assert len(stream.shown()) <= BURST + 100 * RATE + 2 * HELD_LINES
    assert stream.shown()[-1] == "bolt 100000"


def test_both_streams_of_a_command_share_what_there_is(clock: Clock) -> None:
    """Together they fit into what a run may have unreported."""
    stream = Stream(clock)
    errors = LineLog(stream.context, stream.allowance, level="error", stream="stderr")
    stream.say(1, 2_000)
    errors.add(b"oops\n" * 2_000)
    stream.log.finish()
    errors.finish()
    assert len(stream.context.logs) == BURST + 2 * (HELD_LINES + 1)


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"a\0b\nlast\n", ["a\0b", "last"]),
        (b"caf\xe9 \xff\n", ["caf� �"]),
        (b"\xed\xa0\x80!\n", ["���!"]),
        (b"10%\r100%\r\n", ["10%\r100%"]),
        (b"no end", ["no end"]),
        (b"\n\n", ["", ""]),
        (b"x" * 20_000 + b"END\nlast\n",
         ["x" * MAX_LINE_BYTES + f" ... [{20_003 - MAX_LINE_BYTES} bytes more]", "last"]),
        # A cut in the middle of a character.
        ("é".encode() * 100_000, ["é" * (MAX_LINE_BYTES // 2) + f" ... [{200_000 - MAX_LINE_BYTES} bytes more]"]),
    ],
)  # fmt: skip
def test_odd_lines_do_no_harm(clock: Clock, data: bytes, lines: list[str]) -> None:
    stream = Stream(clock)
    stream.log.add(data)
    stream.log.finish()
    assert stream.shown() == lines
    assert all(len(line.encode()) <= 8_192 + 2 for line in lines)


def nested(depth: int) -> str:
    return '{"a":' + "[" * (depth - 1) + "]" * (depth - 1) + "}"


@pytest.mark.parametrize(
    ("line", "result"),
    [
        ('{"a": 1}', {"a": 1}),
        ('{"serial": 271828182845904523536028}', {"serial": 271828182845904523536028}),
        ('{"serial": -271828182845904523536028}', {"serial": -271828182845904523536028}),
        ('{"most": 9223372036854775807, "more": 18446744073709551616}',
         {"most": 2**63 - 1, "more": 2**64}),
        ('{"digits": "1234567890123456789012"}', {"digits": "1234567890123456789012"}),
        ('{"third": 0.3333333333333333333333}', {"third": 1 / 3}),
        ('{"d": ' + "7" * 5_000 + "}", None),
        ('{"mean": NaN}', None),
        ('{"top": Infinity, "n": 1234567890123456789012}', None),
        (r'{"word": "\ud83d"}', None),
        (r'{"word": "\ud83d", "n": 1234567890123456789012}', None),
        ('{"open": ', None),
        ("[1]", None),
        (nested(80), Ellipsis),
        (nested(81), None),
        (nested(600), None),
        (nested(5_000), None),
    ],
)  # fmt: skip
def test_the_last_line_is_the_result_or_text_and_fails_nothing(line: str, result: Json) -> None:
    text = f"hello\n{line}\n"
    found = result_of(Finished(0, text, ""))
    if result is Ellipsis:
        assert isinstance(found, dict)
    else:
        assert found == (text if result is None else result)
        assert not isinstance(result, dict) or [*map(type, found.values())] == [*map(type, result.values())]


LIMITED = ProcessLimits(open_files=50, file_bytes=1_000, address_space_bytes=2**30, processes=10)


@pytest.mark.parametrize(
    ("exit_code", "errors", "limit"),
    [
        (1, "OSError: [Errno 27] File too large: 'x'", "COMMAND_FILE_MB"),
        (153, "", "COMMAND_FILE_MB"),
        (-25, "", "COMMAND_FILE_MB"),
        (0, "File size limit exceeded\n", "COMMAND_FILE_MB"),
        (1, "MemoryError", "COMMAND_ADDRESS_SPACE_MB"),
        (1, "Could not reserve enough space for 9437184KB object heap", "COMMAND_ADDRESS_SPACE_MB"),
        (2, "sh: 3: cannot open x: Too many open files", "COMMAND_OPEN_FILES"),
        (2, "sh: 0: Cannot fork", "COMMAND_PROCESSES"),
        (0, "Too many open files", ""),
        (1, "no such host", ""),
    ],
)
def test_a_limit_that_was_met_is_named(exit_code: int, errors: str, limit: str) -> None:
    assert LIMITED.reached(exit_code, errors) == limit
    assert ProcessLimits().reached(exit_code, errors) == "", "what nobody has set"


@pytest.mark.parametrize(
    ("finished", "message"),
    [
        (Finished(0, "fine\n", "File size limit exceeded", "COMMAND_FILE_MB"),
         "exit code 0 (limit COMMAND_FILE_MB): File size limit exceeded"),
        (Finished(-9, "", "", memory_ran_out=True),
         "killed by SIGKILL (signal 9) (memory ran out meanwhile: the kernel has killed processes for it)"),
        (Finished(3, "", "no\n"), "exit code 3: no"),
    ],
)  # fmt: skip
def test_a_failure_says_why(finished: Finished, message: str) -> None:
    with pytest.raises(ExecutorError) as caught:
        result_of(finished)
    assert caught.value.message == message


def test_no_limit_is_set_unless_asked_for() -> None:
    assert ProcessLimits().to_text() == "core=0"
    assert ProcessLimits(file_bytes=5).to_text() == "core=0,fsize=5"
