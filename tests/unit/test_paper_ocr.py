"""What one page without text means for its paper, and how large a page's picture may be."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
from executor_kit import context_of
from scraper.mongo_papers import PageText, Papers
from scraper.paper_files import PaperFiles
from scraper.paper_ocr import OcrRun, Reading
from scraper.paper_pdf import MAX_PIXELS, picture_scale
from scraper.paper_workshop import Bench
from scraper.pipeline_params import PapersParams

READ = {"page": 1, "text": "Grebes nest late in flooded quarries", "scanned": False}
EXPLODED = {"page": 2, "text": "", "scanned": False, "reason": "it takes more than 4.5 s of processor time"}
PAPER_ID = "5eed" * 6
PAPER = {
    "paper_id": PAPER_ID, "project_id": 1, "title": "Grebes", "pdf_state": "stored", "pdf_file": "grebes.pdf",
    "pdf_sha": "1", "text_state": "", "text_sha": "", "pages": 0, "ocr_pages": 0,
}  # fmt: skip


@dataclass
class OnePaper:
    paper: dict[str, Any] = field(default_factory=lambda: dict(PAPER))
    stored: list[PageText] = field(default_factory=list)

    async def get(self, _project_id: int, _ids: Any, _fields: Any) -> dict[str, Any]:
        return {PAPER_ID: self.paper}

    async def pages(self, _project_id: int, _paper_id: str) -> list[PageText]:
        return self.stored

    async def save_pages(self, _project_id: int, _paper_id: str, pages: list[PageText]) -> None:
        self.stored += pages

    async def change(self, _project_id: int, _paper_id: str, changes: dict[str, Any]) -> None:
        self.paper |= changes


@dataclass
class Told:
    """A bench whose text layer is this."""

    entries: list[dict[str, Any]]
    folder: Path = Path()

    async def work(self, *_arguments: str, **_options: Any) -> None:
        """Done already."""

    def read(self, _path: Path) -> list[dict[str, Any]]:
        return self.entries


class Everywhere:
    def path(self, name: str) -> Path:
        return Path(name)


async def read(*entries: dict[str, Any]) -> tuple[OnePaper, dict[str, Any]]:
    papers = OnePaper()
    run = OcrRun(
        context_of("pipeline_ocr"), PapersParams(project_id=1, paper_ids=[PAPER_ID]), papers=cast(Papers, papers),
        files=cast(PaperFiles, Everywhere()), bench=cast(Bench, Told(list(entries))), reading=Reading("", "eng", 60),
    )  # fmt: skip
    return papers, await run.run()


async def test_a_page_that_can_not_be_read_within_its_bounds_is_named_and_its_paper_is_done() -> None:
    papers, result = await read(READ, EXPLODED)
    assert (papers.paper["text_state"], papers.paper["pages"], result["failed"]) == ("done", 2, 0)
    assert papers.paper["text_error"] == f"1 of 2 pages could not be read (2): {EXPLODED['reason']}"
    assert papers.stored[1] == PageText(2, "", "unreadable", str(EXPLODED["reason"]))


async def test_a_paper_of_which_no_page_can_be_read_has_failed() -> None:
    papers, result = await read(EXPLODED)
    assert (papers.paper["text_state"], result["failed"]) == ("failed", 1)


@pytest.mark.parametrize("size", [(600, 800), (14_400, 14_400), (1e9, 1e-3), (1e-9, 1e9), (25e6, 1), (1e-4, 1e-4)])
def test_a_page_of_any_size_has_a_picture_of_bounded_size(size: tuple[float, float]) -> None:
    scale = picture_scale(*size)
    assert 0 < math.ceil(size[0] * scale) * math.ceil(size[1] * scale) <= MAX_PIXELS
