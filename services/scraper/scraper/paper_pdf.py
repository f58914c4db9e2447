"""What a PDF's pages say. Owns: when a page has a text layer, and how its picture becomes text. Runs in a child.

A PDF comes from anywhere: what it makes the library do, crash or hang included, ends a process with bounds, and costs
the page that it was at.
"""

import math
import mmap
import signal
import struct
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pypdfium2
import pypdfium2.raw as pdfium

from scraper.paper_bounds import Bounds, begin_step, bounded

MAX_PAGES = 5_000
MAX_PAGE_CHARACTERS = 200_000
MAX_DOCUMENT_CHARACTERS = 20_000_000
# A page with fewer letters has no text layer that is worth reading; scans often have a stamp of a few words.
MIN_LETTERS = 25
STAMP_LETTERS = 200
PICTURE_SHARE = 0.5
RENDER_DPI = 300
MAX_PIXELS = 25_000_000
# A picture of which so much has one colour may be without what should be in it.
EMPTY_SHARE = 0.99
# Pixels that fit into the memory there is, if they are grey or coloured; eight of a fax's take as much as one.
MAX_UNPACKED = 100_000_000
BILEVEL = frozenset({"JBIG2Decode", "CCITTFaxDecode"})
# With the processes around it this stays below 512 MB, 30 s for a document and 5 s for a page.
MEMORY_MB, DOCUMENT_SECONDS, PAGE_SECONDS = 440, 25.0, 4.5
PICTURE_BOUNDS = Bounds(MEMORY_MB, 2 * PAGE_SECONDS, PAGE_SECONDS)
# A document whose pages end their process again and again is given up.
MAX_ENDS = 50
PROGRESS_PAGES = 20
Report = Callable[[int, int], None]


class _Place:
    """How far the reading is: memory that is shared with its processes, and outlives them."""

    _form = struct.Struct("QQQQ")

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, self._form.size)

    def set(self, count: int, number: int, size: int, characters: int) -> None:
        """`count` pages, of which those before `number` (from 0) are in the first `size` bytes of the result."""
        self._form.pack_into(self._memory, 0, count, number, size, characters)

    def get(self) -> tuple[int, int, int, int]:
        """See `set`; all 0 before the document is open."""
        count, number, size, characters = self._form.unpack_from(self._memory)
        return count, number, size, characters


def read_text_layer(source: Path, target: Path, report: Report) -> None:
    """Write a line of JSON for each page, from 1: `{"page", "text", "scanned"}`, and `reason` for one that could not be
    read. Raises RuntimeError for what can't be opened.
    """
    place, left, reason = _Place(), DOCUMENT_SECONDS, f"{MAX_ENDS} pages before it could not be read"
    with target.open("w+b", buffering=0) as out:
        for _ in range(MAX_ENDS):
            bounds = Bounds(MEMORY_MB, left, PAGE_SECONDS)
            first = place.get()[1]
            ended = bounded(partial(_read_pages, source, out, place, bounds, report), bounds)
            if not ended.reason:
                return
            count, number, size, characters = place.get()
            if not count:
                raise RuntimeError(f"the PDF can't be opened: {ended.reason}")
            left -= ended.seconds
            out.truncate(size)
            out.seek(size)
            if ended.signal == signal.SIGXCPU or left < 1:
                reason = f"the document takes more than {DOCUMENT_SECONDS:g} s of processor time"
                break
            # What the pages before it left behind may have been too much together.
            if number == first or ended.signal == signal.SIGPROF:
                size += out.write(_unread(number, ended.reason))
                place.set(count, number + 1, size, characters)
        count, number, _, _ = place.get()
        out.write(b"".join(_unread(later, reason) for later in range(number, count)))


def _unread(number: int, reason: str) -> bytes:
    page = {"page": number + 1, "text": "", "scanned": False, "reason": reason}
    return orjson.dumps(page, option=orjson.OPT_APPEND_NEWLINE)


def _read_pages(source: Path, out: Any, place: _Place, bounds: Bounds, report: Report) -> None:
    """Go on at the place with what is left of it."""
    document = _open(source)
    count = min(len(document), MAX_PAGES)
    _, first, size, characters = place.get()
    for number in range(first, count):
        place.set(count, number, size, characters)
        begin_step(bounds)
        if number % PROGRESS_PAGES == 0:
            report(number, count)
        try:
            page = _read_page(document, number)
            characters += len(page["text"])
        except pypdfium2.PdfiumError as error:
            page = {"page": number + 1, "text": "", "scanned": False, "reason": str(error)}
        if characters > MAX_DOCUMENT_CHARACTERS:
            reason = f"the document has more than {MAX_DOCUMENT_CHARACTERS:,} characters"
            page |= {"text": "", "scanned": False, "reason": reason}
        size += out.write(orjson.dumps(page, option=orjson.OPT_APPEND_NEWLINE))
    place.set(count, count, size, characters)


def _open(source: Path) -> Any:
    try:
        return pypdfium2.PdfDocument(source)
    except pypdfium2.PdfiumError as error:
        raise RuntimeError(str(error)) from error


def _read_page(document: Any, number: int) -> dict[str, Any]:
    page = document[number]
    text = page.get_textpage().get_text_range(errors="ignore")
    text = text.replace("\r\n", "\n").replace("\x00", "")[:MAX_PAGE_CHARACTERS]
    letters = sum(map(str.isalnum, text))
    scanned = letters < MIN_LETTERS or (letters < STAMP_LETTERS and _picture_share(page) > PICTURE_SHARE)
    page.close()
    return {"page": number + 1, "text": text.encode("utf-8", "ignore").decode(), "scanned": scanned}


def _picture_share(page: Any) -> float:
    """The part of the page that its largest picture covers."""
    return max((share for share, _ in _pictures(page)), default=0.0)


def _pictures(page: Any) -> Iterator[tuple[float, Any]]:
    """Each picture, and the part of the page that it covers."""
    width, height = page.get_size()
    for picture in page.get_objects(filter=[pdfium.FPDF_PAGEOBJ_IMAGE], max_depth=3):
        left, bottom, right, top = picture.get_bounds()
        yield abs(right - left) * abs(top - bottom) / max(width * height, 1), picture


def read_picture(
    source: Path, picture: Path, *, page: int, tesseract: str, languages: str, seconds: float
) -> dict[str, Any]:
    """`{"page", "text"}` of one page by Tesseract, turned upright if need be; `picture` is where its picture may be
    put. Raises RuntimeError, also for a page whose letters can't be made out.
    """
    ended = bounded(partial(_render, source, page, picture), PICTURE_BOUNDS)
    if ended.reason:
        raise RuntimeError(f"its picture can't be made: {ended.reason}")
    from PIL import Image

    from scraper.paper_scan import read_upright

    with Image.open(picture, formats=["PPM"]) as shown:
        text = read_upright(shown, tesseract, languages, seconds)
    return {"page": page, "text": text[:MAX_PAGE_CHARACTERS]}


def _render(source: Path, page: int, picture: Path) -> None:
    shown = _open(source)[page - 1]
    rendered = shown.render(scale=picture_scale(*shown.get_size()), grayscale=True).to_pil()
    rendered.save(picture, "PPM")
    commonest = max(rendered.histogram()) / (rendered.width * rendered.height)
    if commonest > EMPTY_SHARE:
        _check_pictures(shown, most=MAX_UNPACKED if commonest == 1 else None)


def _check_pictures(page: Any, *, most: int | None) -> None:
    """Raises RuntimeError when the library has left one out, as it does without a word for want of memory: such a page
    is not empty.

    Asked only of pages that have nearly one colour, since looking costs as much as rendering. `most`: pixels of a
    picture that would have been unpacked.
    """
    for share, picture in _pictures(page):
        if share < PICTURE_SHARE:
            continue
        width, height = picture.get_px_size()
        small = most is None or width * height <= most or not BILEVEL.isdisjoint(picture.get_filters())
        try:
            unpacked = small and picture.get_bitmap() is not None
        except pypdfium2.PdfiumError:
            unpacked = False
        if not unpacked:
            raise RuntimeError(f"a picture of {width:,} x {height:,} pixels can't be unpacked")


def picture_scale(width: float, height: float) -> float:
    """Pixels for each point of a page so that its picture has at most `MAX_PIXELS`, however long and narrow it is."""
    scale = RENDER_DPI / 72
    if math.ceil(width * scale) * math.ceil(height * scale) <= MAX_PIXELS:
        return scale
    # A side is rounded up to whole pixels, one at least.
    long, short = max(width, height), max(min(width, height), 1e-6)
    return min(scale, math.sqrt(MAX_PIXELS * 0.99 / (long * short)), MAX_PIXELS * 0.99 / long)
