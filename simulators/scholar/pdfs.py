"""PDFs of the corpus. Owns: pages with a text layer, and pages that are only a picture of text."""

import io
import textwrap
from datetime import UTC, datetime

from fpdf import FPDF
from PIL import Image, ImageDraw, ImageFont

from simulators.scholar.corpus import Work

# A4 at 150 dots per inch.
PAGE_PIXELS = (1240, 1754)
FONT_PIXELS = 34
COLUMNS = 62


def make_pdf(work: Work) -> bytes:
    """The work's PDF: two pages, as its `pdf` says; the second has the secret words."""
    pdf = FPDF(unit="pt", format="A4")
    pdf.set_creation_date(datetime(2024, 1, 1, tzinfo=UTC))
    first = f"{work.title}\n\n{', '.join(work.authors)} ({work.year})\n\n{work.abstract}"
    second = f"Appendix. The control experiment of this paper used the code words {work.secret}. Nothing else is here."
    for text, scanned in ((first, work.pdf == "scanned"), (second, work.pdf in ("scanned", "mixed"))):
        pdf.add_page()
        if scanned:
            pdf.image(_picture(text), x=0, y=0, w=pdf.w, h=pdf.h)
        else:
            pdf.set_font("helvetica", size=11)
            pdf.multi_cell(0, 16, text.encode("latin-1", "replace").decode("latin-1"))
    return bytes(pdf.output())


def _picture(text: str) -> io.BytesIO:
    """A scan of a page with that text."""
    image = Image.new("L", PAGE_PIXELS, 248)
    font = ImageFont.load_default(FONT_PIXELS)
    lines = [line for part in text.split("\n") for line in textwrap.wrap(part, COLUMNS) or [""]]
    ImageDraw.Draw(image).multiline_text((110, 140), "\n".join(lines), font=font, fill=30, spacing=16)
    data = io.BytesIO()
    image.save(data, "PNG")
    data.seek(0)
    return data
