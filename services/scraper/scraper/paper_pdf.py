"""What a PDF's pages say. Owns: when a page has a text layer, and how its picture becomes text. Runs in a child.

A PDF comes from anywhere: what it makes the libraries do, crash or hang included, ends with the process.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pypdfium2
import pypdfium2.raw as pdfium

MAX_PAGES = 5_000
MAX_PAGE_CHARACTERS = 200_000
# A page with fewer letters has no text layer that is worth reading; scans often have a stamp of a few words.
MIN_LETTERS = 25
STAMP_LETTERS = 200
PICTURE_SHARE = 0.5
RENDER_DPI = 300
MAX_PIXELS = 25_000_000


def read_text_layer(path: Path, report: Callable[[int, int], None]) -> Iterator[dict[str, Any]]:
    """`{"page", "text", "scanned"}` of each page, from 1. Raises RuntimeError for what can't be opened."""
    try:
        document = pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError as error:
        raise RuntimeError(f"the PDF can't be opened: {error}") from error
    count = min(len(document), MAX_PAGES)
    for number in range(count):
        page = document[number]
        text = page.get_textpage().get_text_range(errors="ignore")
        text = text.replace("\r\n", "\n").replace("\x00", "")[:MAX_PAGE_CHARACTERS]
        letters = sum(map(str.isalnum, text))
        scanned = letters < MIN_LETTERS or (letters < STAMP_LETTERS and _picture_share(page) > PICTURE_SHARE)
        page.close()
        if number % 20 == 0:
            report(number, count)
        yield {"page": number + 1, "text": text.encode("utf-8", "ignore").decode(), "scanned": scanned}


def _picture_share(page: Any) -> float:
    """The part of the page that its largest picture covers."""
    width, height = page.get_size()
    shares = [0.0]
    for picture in page.get_objects(filter=[pdfium.FPDF_PAGEOBJ_IMAGE], max_depth=3):
        left, bottom, right, top = picture.get_bounds()
        shares.append(abs(right - left) * abs(top - bottom) / max(width * height, 1))
    return max(shares)


def read_picture(path: Path, *, page: int, tesseract: str, languages: str, seconds: float) -> dict[str, Any]:
    """`{"page", "text"}` of one page by Tesseract, turned upright if need be. Raises RuntimeError, also for a page
    whose letters can't be made out.
    """
    from scraper.paper_scan import read_upright

    document = pypdfium2.PdfDocument(path)
    shown = document[page - 1]
    width, height = shown.get_size()
    scale = RENDER_DPI / 72
    if (pixels := width * height * scale * scale) > MAX_PIXELS:
        scale *= (MAX_PIXELS / pixels) ** 0.5
    picture = shown.render(scale=scale, grayscale=True).to_pil()
    return {"page": page, "text": read_upright(picture, tesseract, languages, seconds)[:MAX_PAGE_CHARACTERS]}
