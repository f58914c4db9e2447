"""What a command writes. Owns: lines for the log and the tail for the result. Must not know processes."""

from collections import deque
from time import monotonic

from scraper.executor import RunContext

# With the note of what was cut, within what a log line may have.
MAX_LINE_BYTES = 8 * 1024 - 64
# The first lines of both streams, and the last of each, fit into what a run may have unreported (2,000 lines).
BURST_SECONDS = 4
HELD_LINES = 550


class Tail:
    """The last `size` bytes of a stream."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._data = bytearray()

    def add(self, data: bytes) -> None:
        """Take more of the stream."""
        self._data += data
        if len(self._data) > 2 * self._size:
            del self._data[: -self._size]

    def text(self) -> str:
        """The tail as text; a character cut at its start is left out."""
        kept = bytes(self._data[-self._size :])
        if len(self._data) > self._size:
            start = next((index for index, byte in enumerate(kept[:4]) if byte & 0xC0 != 0x80), 0)
            kept = kept[start:]
        return kept.decode(errors="replace")


class Allowance:
    """How many lines the streams of one command may log: a burst, and so many a second after it."""

    def __init__(self, lines_per_second: int) -> None:
        self.rate = lines_per_second
        self._credit: float = lines_per_second * BURST_SECONDS
        self._counted_at = monotonic()

    def credit(self) -> float:
        """What there is by now; below 0 after a loan."""
        now = monotonic()
        self._credit = min(self.rate * BURST_SECONDS, self._credit + (now - self._counted_at) * self.rate)
        self._counted_at = now
        return self._credit

    def take(self, lines: int) -> None:
        """Use it up."""
        self._credit -= lines


class LineLog:
    """Turns a stream into log lines. Long ones are cut. Of a flood the first and the last HELD_LINES are shown, and
    between them one line says how many were left out; no line is left out without being counted.
    """

    def __init__(self, context: RunContext, allowance: Allowance, *, level: str, stream: str) -> None:
        self._context, self._allowance, self._level, self._stream = context, allowance, level, stream
        # The last lines of a flood that is not over.
        self._held: deque[str] = deque()
        self._left_out = 0
        self._line = bytearray()
        self._cut = 0

    def add(self, data: bytes) -> None:
        """Take more of the stream."""
        *complete, rest = data.split(b"\n")
        for piece in complete:
            self._extend(piece)
            self._end_line()
        self._extend(rest)

    def finish(self) -> None:
        """The stream has ended."""
        if self._line:
            self._end_line()
        self._show()

    def due_seconds(self) -> float | None:
        """When `show_held` will have something to do; None: never, unless more comes."""
        if not self._held:
            return None
        return max(0.0, (self._allowance.rate - self._allowance.credit()) / self._allowance.rate)

    def show_held(self) -> None:
        """Show the last lines of a flood, when a second's worth of credit has come together since."""
        if self._held and self._allowance.credit() >= self._allowance.rate:
            self._show()

    def _extend(self, piece: bytes) -> None:
        room = MAX_LINE_BYTES - len(self._line)
        self._line += piece[:room]
        self._cut += max(0, len(piece) - room)

    def _end_line(self) -> None:
        text = self._line.decode(errors="replace").rstrip("\r")
        if self._cut:
            text += f" ... [{self._cut} bytes more]"
        self._cut = 0
        self._line.clear()
        self.show_held()
        if self._held or self._allowance.credit() < 1:
            self._hold(text)
        else:
            self._log(text)

    def _hold(self, text: str) -> None:
        self._held.append(text)
        if len(self._held) > HELD_LINES:
            self._held.popleft()
            self._left_out += 1

    def _show(self) -> None:
        if self._left_out:
            note = f"{self._left_out} lines were left out here: too many at once"
            self._left_out = 0
            self._context.log("warn", note, stream=self._stream)
        while self._held:
            self._log(self._held.popleft())

    def _log(self, text: str) -> None:
        self._allowance.take(1)
        self._context.log(self._level, text, stream=self._stream)
