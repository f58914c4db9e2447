"""What a command writes. Owns: lines for the log and the tail for the result. Must not know processes."""

from time import monotonic

from scraper.executor import RunContext

MAX_LINE_BYTES = 8 * 1024
BURST_SECONDS = 5


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


class LineLog:
    """Turns a stream into log lines: long ones are cut, floods are thinned with a note of how many were left out."""

    def __init__(self, context: RunContext, *, level: str, stream: str, lines_per_second: int) -> None:
        self._context, self._level, self._stream = context, level, stream
        self._rate = lines_per_second
        self._credit: float = lines_per_second * BURST_SECONDS
        self._counted_at = monotonic()
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
        self._report_left_out()

    def _extend(self, piece: bytes) -> None:
        room = MAX_LINE_BYTES - len(self._line)
        self._line += piece[:room]
        self._cut += max(0, len(piece) - room)

    def _end_line(self) -> None:
        text = self._line.decode(errors="replace").rstrip("\r")
        cut, self._cut = self._cut, 0
        self._line.clear()
        if not self._may_log():
            self._left_out += 1
            return
        self._report_left_out()
        note = f" ... [{cut} bytes more]" if cut else ""
        self._context.log(self._level, text + note, stream=self._stream)

    def _may_log(self) -> bool:
        now = monotonic()
        self._credit = min(self._rate * BURST_SECONDS, self._credit + (now - self._counted_at) * self._rate)
        self._counted_at = now
        # After a flood a second's worth of credit is awaited, so that the notes don't become a flood themselves.
        if self._credit < (self._rate if self._left_out else 1):
            return False
        self._credit -= 1
        return True

    def _report_left_out(self) -> None:
        if self._left_out:
            left_out, self._left_out = self._left_out, 0
            self._context.log("warn", f"{left_out} lines were left out here: too many at once", stream=self._stream)
