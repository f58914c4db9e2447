"""Child processes of the pipeline's executors: what is left of them."""

from pathlib import Path

import orjson
import pytest
from executor_kit import RecordingContext, context_of
from fpdf import FPDF
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
