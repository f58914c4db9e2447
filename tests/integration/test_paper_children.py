"""Child processes of the pipeline's executors: what they read, and what is left of them."""

import io
import shutil
import zlib
from pathlib import Path
from typing import Any

import orjson
import pytest
from executor_kit import RecordingContext, context_of
from fpdf import FPDF
from PIL import Image, ImageDraw, ImageFont
from scraper.paper_workshop import ChildFailed, Workshop
from scraper.process_group import marked_processes
from scraper.processes import CommandRunner


@pytest.fixture
def context() -> RecordingContext:
    return context_of("pipeline_ocr")


@pytest.fixture
def runner(tmp_path: Path) -> CommandRunner:
    return CommandRunner(worker_id="children", work_dir=tmp_path)


@pytest.fixture
def pdf(tmp_path: Path) -> Path:
    document = FPDF()
    document.set_font("helvetica", size=12)
    for number in range(2):
        document.add_page()
        document.multi_cell(0, 8, f"Page {number + 1} has a text layer of more than a few letters.")
    document.add_page()
    path = tmp_path / "paper.pdf"
    path.write_bytes(document.output())
    return path


async def test_a_text_layer_is_read_page_by_page_and_an_empty_page_is_told(
    runner: CommandRunner, context: RecordingContext, pdf: Path, tmp_path: Path
) -> None:
    async with Workshop(runner, tmp_path / "papers").bench(context) as bench:
        await bench.work("text", str(pdf), str(bench.folder / "out"))
        pages = bench.read(bench.folder / "out")
        folder = bench.folder
    assert [page["scanned"] for page in pages] == [False, False, True]
    assert "Page 2 has a text layer" in pages[1]["text"]
    assert not folder.exists()


SCANNED = "Grebes nest late in flooded quarries\nwhen the winter was long and cold.\nThe words are amber and maple."


def scan(path: Path, picture: Image.Image) -> Path:
    """A PDF that is only a picture."""
    data = io.BytesIO()
    picture.save(data, "PNG")
    document = FPDF(unit="pt", format=(picture.width / 2, picture.height / 2))
    document.add_page()
    document.image(data, x=0, y=0, w=document.w, h=document.h)
    path.write_bytes(document.output())
    return path


def written(angle: int) -> Image.Image:
    """A page with three lines, turned counter-clockwise."""
    picture = Image.new("L", (1240, 1000), 250)
    ImageDraw.Draw(picture).multiline_text((110, 140), SCANNED, font=ImageFont.load_default(40), fill=20, spacing=24)
    return picture.rotate(angle, expand=True)


async def read_scan(runner: CommandRunner, context: RecordingContext, folder: Path, picture: Image.Image) -> Any:
    tesseract = shutil.which("tesseract")
    assert tesseract, "tesseract is needed for the tests: install tesseract-ocr"
    asked = {"page": 1, "tesseract": tesseract, "languages": "eng", "seconds": 300}
    path = scan(folder / "scan.pdf", picture)
    async with Workshop(runner, folder / "papers").bench(context) as bench:
        await bench.work("ocr", str(path), str(bench.folder / "out"), orjson.dumps(asked).decode())
        (page,) = bench.read(bench.folder / "out")
    return page["text"]


@pytest.mark.parametrize("angle", [0, 90, 180, 270])
async def test_a_scan_is_read_however_it_is_turned(
    angle: int, runner: CommandRunner, context: RecordingContext, tmp_path: Path
) -> None:
    assert await read_scan(runner, context, tmp_path, written(angle)) == SCANNED


async def test_a_page_without_letters_has_no_text(
    runner: CommandRunner, context: RecordingContext, tmp_path: Path
) -> None:
    assert await read_scan(runner, context, tmp_path, Image.new("L", (1240, 1000), 250)) == ""


async def test_many_children_leave_one_guard_and_no_folders(
    runner: CommandRunner, context: RecordingContext, pdf: Path, tmp_path: Path
) -> None:
    async with Workshop(runner, tmp_path / "papers").bench(context) as bench:
        for _ in range(3):
            await bench.work("text", str(pdf), str(bench.folder / "out"))
    assert len(context.guarded) == 1
    assert not context.guarded[0].alive()
    assert list((tmp_path / "commands" / runner.marker).iterdir()) == []


async def test_a_file_that_is_no_pdf_fails_with_one_sentence(
    runner: CommandRunner, context: RecordingContext, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.pdf"
    broken.write_bytes(b"%PDF-1.7 and then nothing that makes sense")
    async with Workshop(runner, tmp_path / "papers").bench(context) as bench:
        with pytest.raises(ChildFailed, match="can't be opened"):
            await bench.work("text", str(broken), str(bench.folder / "out"))


async def test_a_child_that_takes_too_long_is_killed_at_once(
    runner: CommandRunner, context: RecordingContext, pdf: Path, tmp_path: Path
) -> None:
    stubborn = tmp_path / "tesseract"
    stubborn.write_text("#!/bin/sh\ntrap '' TERM\nsleep 600 & wait\n")
    stubborn.chmod(0o755)
    asked = {"page": 3, "tesseract": str(stubborn), "languages": "eng", "seconds": 600}
    async with Workshop(runner, tmp_path / "papers").bench(context) as bench:
        with pytest.raises(TimeoutError):
            await bench.work("ocr", str(pdf), str(bench.folder / "out"), orjson.dumps(asked).decode(), seconds=2)
        mark = f"{runner.marker}:{context.job.run_id}:{context.job.attempt}"
        assert marked_processes(mark.encode()) == []


def packed(*objects: bytes) -> bytes:
    """A PDF of these objects, from 1; the first is its catalogue."""
    out, places = b"%PDF-1.6\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    rows = b"".join(b"%010d 00000 n \n" % place for place in places)
    table = b"xref\n0 %d\n0000000000 65535 f \n%s" % (len(places) + 1, rows)
    return out + table + b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(places) + 1, len(out))


def stream(piece: bytes, more: bytes = b"", *, times: int = 1) -> bytes:
    packer = zlib.compressobj(1)
    data = b"".join([*(packer.compress(piece) for _ in range(times)), packer.flush()])
    return b"<< %s /Filter /FlateDecode /Length %d >>\nstream\n%s\nendstream" % (more, len(data), data)


def paged(contents: list[bytes], resources: bytes, *objects: bytes) -> bytes:
    """A PDF of a page for each of the streams; `objects` are 3 and the following."""
    first = 3 + len(objects)
    kids = b" ".join(b"%d 0 R" % (first + 2 * number) for number in range(len(contents)))
    pages = b"<< /Type /Pages /Count %d /Kids [ %s ] >>" % (len(contents), kids)
    body: list[bytes] = []
    for number, content in enumerate(contents):
        head = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Resources << %s >> /Contents %d 0 R >>"
        body += [head % (resources, first + 2 * number + 1), stream(content)]
    return packed(b"<< /Type /Catalog /Pages 2 0 R >>", pages, *objects, *body)


FONT = b"<< /Type /Font /Subtype /Type1 /BaseFont /Courier >>"
FORM = b"/Type /XObject /Subtype /Form /BBox [0 0 600 800] /Resources << /XObject << /X 4 0 R >> >>"
RESOURCES = b"/Font << /F 3 0 R >> /XObject << /X 4 0 R >>"
READABLE = b"BT /F 12 Tf 50 700 Td (A page with a text layer of many letters) Tj ET"
TEXT_BOMB = b"BT /F 9 Tf " + b"(abcdefghij) Tj " * (20 << 16) + b"ET"


async def test_pages_that_explode_are_pages_without_text_and_the_others_are_read(
    runner: CommandRunner, context: RecordingContext, tmp_path: Path
) -> None:
    bomb = tmp_path / "bomb.pdf"
    # A text of 14 million letters, and a form that draws itself 10 times.
    bomb.write_bytes(paged([READABLE, TEXT_BOMB, b"/X Do", READABLE], RESOURCES, FONT, stream(b"/X Do " * 10, FORM)))
    async with Workshop(runner, tmp_path / "papers").bench(context) as bench:
        await bench.work("text", str(bomb), str(bench.folder / "out"))
        pages = bench.read(bench.folder / "out")
    assert [page["page"] for page in pages] == [1, 2, 3, 4]
    assert ["many letters" in page["text"] for page in pages] == [True, False, False, True]
    assert all(page["reason"].startswith("it takes more than") for page in pages[1:3]), pages[1:3]
    assert not any("reason" in page or page["scanned"] for page in (pages[0], pages[3]))


IMAGE = b"/Type /XObject /Subtype /Image /Width 25000 /Height 25000 /ColorSpace /DeviceGray /BitsPerComponent 8"


@pytest.mark.parametrize(
    ("drawing", "reason"),
    [
        (stream(b"/X Do " * 10, FORM), "it takes more than"),
        (stream(bytes(25_000), IMAGE, times=25_000), "25,000 x 25,000 pixels can't be unpacked"),
    ],
    ids=["form", "picture"],
)
async def test_a_picture_that_can_not_be_made_within_the_bounds_is_no_empty_page(
    drawing: bytes, reason: str, runner: CommandRunner, context: RecordingContext, tmp_path: Path
) -> None:
    bomb = tmp_path / "bomb.pdf"
    bomb.write_bytes(paged([b"600 0 0 800 0 0 cm /X Do"], RESOURCES, FONT, drawing))
    asked = {"page": 1, "tesseract": "tesseract", "languages": "eng", "seconds": 60}
    async with Workshop(runner, tmp_path / "papers").bench(context) as bench:
        with pytest.raises(ChildFailed, match=f"its picture can't be made: .*{reason}"):
            await bench.work("ocr", str(bomb), str(bench.folder / "out"), orjson.dumps(asked).decode())
