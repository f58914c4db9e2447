"""Child processes of the pipeline's executors: what they read, and what is left of them."""

import io
import shutil
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
