"""A run as small pictures, one after the other. Owns: which are kept, and the file they make: an animated WebP. Pure.

Must not know browsers. The file is put together from pictures that are compressed already, so that a run which is
stopped has it within milliseconds; Pillow would compress all of them again.
"""

import io
import struct
from dataclasses import dataclass, field

from PIL import Image

FILE_NAME = "filmstrip.webp"
WIDTH = 640
QUALITY = 50
# Above this every second picture goes, and later ones come half as often: memory stays below some 10 MB.
MAX_FRAMES = 300
# How long a picture is shown: as long as it was true, within these.
SHORTEST_MS, LONGEST_MS, LAST_MS = 150, 2_000, 2_000
_MAX_SIZE = 1 << 24


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture; `chunk` is its compressed part of a WebP file."""

    at_ms: int
    step: str
    width: int
    height: int
    chunk: bytes


@dataclass(slots=True)
class Film:
    """Pictures in order of time."""

    frames: list[Frame] = field(default_factory=list)
    # One of so many is kept.
    _stride: int = 1
    _seen: int = 0

    def add(self, frame: Frame) -> None:
        """Take it, unless it shows what the last one shows, or there are too many."""
        if self.frames and self.frames[-1].chunk == frame.chunk:
            return
        self._seen += 1
        if (self._seen - 1) % self._stride:
            return
        if len(self.frames) >= MAX_FRAMES:
            del self.frames[1::2]
            self._stride *= 2
        self.frames.append(frame)

    def times(self) -> list[int]:
        """How long each is shown, in ms."""
        gaps = [after.at_ms - one.at_ms for one, after in zip(self.frames, self.frames[1:], strict=False)]
        return [*(min(max(gap, SHORTEST_MS), LONGEST_MS) for gap in gaps), LAST_MS][: len(self.frames)]


def make_frame(picture: bytes, at_ms: int, step: str) -> Frame:
    """A frame of a picture in any usual format. Takes some 10 ms."""
    with Image.open(io.BytesIO(picture)) as opened:
        image = opened.convert("RGB")
    if image.width > WIDTH:
        image = image.resize((WIDTH, max(1, round(image.height * WIDTH / image.width))), Image.Resampling.BILINEAR)
    packed = io.BytesIO()
    # Method 0 is the fastest; without a colour profile the file is the one chunk behind its header.
    image.save(packed, "WEBP", quality=QUALITY, method=0, icc_profile=b"", exif=b"")
    return Frame(at_ms, step, image.width, image.height, packed.getvalue()[12:])


def put_together(film: Film) -> bytes:
    """The file (RFC 9649, section 2.7.1.1). Without frames: nothing."""
    if not film.frames:
        return b""
    width, height = max(one.width for one in film.frames), max(one.height for one in film.frames)
    animated = 0x02
    parts = [
        _chunk(b"VP8X", bytes([animated, 0, 0, 0]) + _int24(width - 1) + _int24(height - 1)),
        # White behind, shown for ever.
        _chunk(b"ANIM", b"\xff\xff\xff\xff" + struct.pack("<H", 0)),
    ]
    not_blended = 0x02
    for frame, shown_ms in zip(film.frames, film.times(), strict=True):
        place = bytes(6) + _int24(frame.width - 1) + _int24(frame.height - 1) + _int24(shown_ms)
        parts.append(_chunk(b"ANMF", place + bytes([not_blended]) + frame.chunk))
    body = b"WEBP" + b"".join(parts)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)


def _int24(value: int) -> bytes:
    return struct.pack("<I", min(value, _MAX_SIZE - 1))[:3]
