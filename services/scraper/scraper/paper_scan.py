"""A page's picture as text. Owns: which way up it is, and when what Tesseract says is no text. Runs in a child.

Tesseract reads a page that lies on its head letter for letter as something else, and says itself how little it trusts
that. Only then the page is turned: pages that are upright cost nothing more.
"""

from dataclasses import dataclass
from time import monotonic
from typing import Any

import pytesseract

# Mean confidence over letters, 0 to 100. Upright pages have 80 to 97, poor copies 50 and more, turned ones 20 to 35.
READABLE = 45.0
# With fewer letters a page is a picture with some marks in it, not a text that could not be read.
MIN_LETTERS = 25
TEXT_CELL = 11


@dataclass(frozen=True, slots=True)
class Recognised:
    """What was read, and how sure it is (0 to 100)."""

    text: str
    confidence: float
    letters: int

    @property
    def sure(self) -> bool:
        """Whether it is a text."""
        return self.confidence >= READABLE


def read_upright(picture: Any, tesseract: str, languages: str, seconds: float) -> str:
    """The text of a PIL image; empty when there is none. Raises RuntimeError when there is one that can't be read, when
    Tesseract fails, and when all of it takes longer than `seconds`.
    """
    pytesseract.pytesseract.tesseract_cmd = tesseract
    until = monotonic() + seconds
    try:
        best = _read(picture, languages, until)
        for angle in () if best.sure else _angles(picture, until):
            turned = _read(picture.rotate(-angle, expand=True), languages, until)
            best = max(best, turned, key=lambda one: one.confidence)
            if best.sure:
                break
    except pytesseract.TesseractError as error:
        raise RuntimeError(f"Tesseract: {error.message}") from error
    if best.sure:
        return best.text
    if best.letters < MIN_LETTERS:
        return ""
    raise RuntimeError(f"its letters can't be made out in any direction (confidence {best.confidence:.0f} of 100)")


def _left(until: float) -> float:
    """Seconds that are left. Raises RuntimeError when none are."""
    left = until - monotonic()
    if left <= 0:
        raise RuntimeError("Tesseract process timeout")
    return left


def _angles(picture: Any, until: float) -> list[int]:
    """By how many degrees, clockwise, it may have to be turned: as Tesseract's own detection of orientation says, else
    in every way.
    """
    try:
        found = pytesseract.image_to_osd(picture, output_type=pytesseract.Output.DICT, timeout=_left(until))
    except pytesseract.TesseractError:  # too few letters, or its data (tesseract-ocr-osd) is missing
        return [180, 90, 270]
    angle = int(found["rotate"])
    return [angle] if angle else [180, 90, 270]


def _read(picture: Any, languages: str, until: float) -> Recognised:
    """The words of each line, with an empty line between paragraphs.

    Tesseract's TSV has a row for each word: level, page, block, paragraph, line and word number, four for its place,
    confidence, text. It is asked for directly, since `image_to_data` starts Tesseract once more for its version.
    """
    told = pytesseract.run_and_get_output(
        picture, extension="tsv", lang=languages, config="-c tessedit_create_tsv=1", timeout=_left(until)
    )  # fmt: skip
    lines: dict[tuple[str, ...], list[str]] = {}
    sureness, letters = 0.0, 0
    for row in told.splitlines()[1:]:
        cells = row.split("\t", TEXT_CELL)
        if len(cells) > TEXT_CELL and (word := cells[TEXT_CELL].strip()):
            lines.setdefault(tuple(cells[2:5]), []).append(word)
            sureness += float(cells[TEXT_CELL - 1]) * len(word)
            letters += len(word)
    paragraphs: dict[tuple[str, ...], list[str]] = {}
    for place, words in lines.items():
        paragraphs.setdefault(place[:2], []).append(" ".join(words))
    text = "\n\n".join("\n".join(parts) for parts in paragraphs.values())
    return Recognised(text, sureness / max(letters, 1), letters)
