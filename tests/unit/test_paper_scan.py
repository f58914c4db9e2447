"""Which way up a page lies, and when what is read of it is no text."""

from typing import Any

import pytesseract
import pytest
from PIL import Image
from scraper.paper_scan import read_upright

PAGE = Image.new("L", (30, 40), 255)
TEXT = "Grebes nest late in flooded quarries"


class Tesseract:
    """Reads `TEXT`, as sure of it as told for each way up; `upright`: by how much its own detection says to turn."""

    def __init__(self, sureness: dict[int, float], upright: int | None, words: str = TEXT) -> None:
        self.sureness, self.upright, self.words = sureness, upright, words
        self.read: list[int] = []

    def run_and_get_output(self, picture: Any, **_: Any) -> str:
        angle = getattr(picture, "turned", 0)
        self.read.append(angle)
        place = "5\t1\t1\t1\t1\t1\t0\t0\t9\t9"
        rows = [f"{place}\t{self.sureness[angle]}\t{word}" for word in self.words.split()]
        return "\n".join(["level\tpage_num\t…", "1\t1\t0\t0\t0\t0\t0\t0\t9\t9\t-1\t", *rows])

    def image_to_osd(self, _picture: Any, **_: Any) -> dict[str, int]:
        if self.upright is None:
            raise pytesseract.TesseractError(1, "Too few characters")
        return {"rotate": self.upright}


def turn(picture: Any, angle: float, **_: Any) -> Any:
    turned = picture.copy()
    turned.turned = -angle
    return turned


def read(tesseract: Tesseract, monkeypatch: pytest.MonkeyPatch) -> str:
    for name in ("run_and_get_output", "image_to_osd"):
        monkeypatch.setattr(pytesseract, name, getattr(tesseract, name))
    monkeypatch.setattr(Image.Image, "rotate", turn)
    return read_upright(PAGE, "tesseract", "eng", 60)


@pytest.mark.parametrize(
    ("sureness", "upright", "tried"),
    [
        ({0: 90.0}, None, [0]),
        ({0: 25.0, 90: 93.0}, 90, [0, 90]),
        ({0: 25.0, 180: 20.0, 90: 30.0, 270: 93.0}, None, [0, 180, 90, 270]),
    ],
)
def test_a_page_is_turned_only_when_it_can_hardly_be_read(
    sureness: dict[int, float], upright: int | None, tried: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    tesseract = Tesseract(sureness, upright)
    assert read(tesseract, monkeypatch) == TEXT
    assert tesseract.read == tried


def test_a_page_that_can_be_read_in_no_way_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuntimeError, match=r"in any direction \(confidence 31 of 100\)"):
        read(Tesseract({0: 20.0, 180: 31.0}, 180), monkeypatch)


def test_some_marks_in_a_picture_are_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(Tesseract({0: 20.0, 180: 20.0}, 180, words="x )( ."), monkeypatch) == ""


def test_a_failure_of_tesseract_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Tesseract):
        def run_and_get_output(self, picture: Any, **_: Any) -> str:  # the library's
            raise pytesseract.TesseractError(1, "no such language")

    with pytest.raises(RuntimeError, match="Tesseract: no such language"):
        read(Broken({}, None), monkeypatch)
