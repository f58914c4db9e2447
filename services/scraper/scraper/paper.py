"""What a paper is. Pure: owns its fields, their limits, the normal forms of its identifiers, and how two records merge.

Everything here came from outside: it is cut, cleaned and checked before it is a paper.
"""

import hashlib
import html
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from scraper.paper_text import INVISIBLE, plain_text

Json = Any
Document = dict[str, Json]
MAX_TITLE, MAX_ABSTRACT, MAX_NAME, MAX_AUTHORS, MAX_URL = 2_000, 20_000, 300, 10_000, 2_000
FIRST_YEAR, LAST_YEAR = 1500, 2200
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b\u2028\u2029\ufeff]+")
# A prefix may have subdivisions; a second DOI after a comma is not part of the first.
_DOI = re.compile(r"10\.\d{4,9}(?:\.\d+)*/\S+?(?=$|\s|[,;]+(?:doi:)?10\.\d{4,9}/)", re.IGNORECASE)
_RESOLVER = re.compile(r"https?://", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:lt|gt|amp|#\d+|#x[0-9a-f]+);", re.IGNORECASE)
_BRACKETS = {")": "(", "]": "[", "}": "{", ">": "<"}
_ENDS = frozenset(".,;:!?\"'\u2019\u201d\u00bb")
_ARXIV = re.compile(r"(?:\d{4}\.\d{4,5}|[a-z][a-z.-]+/\d{7})(?:v\d+)?$", re.IGNORECASE)
_FILLED = ("abstract", "year", "authors", "doi", "arxiv_id", "venue", "url", "pdf_url", "citations")
# How a document says that something is not known.
_NOTHING: tuple[Json, ...] = ("", 0, [], -1)


@dataclass(frozen=True, slots=True)
class Record:
    """A paper as one source tells it; texts are clean, identifiers in normal form, "" or None = not told."""

    source: str
    source_id: str
    title: str
    abstract: str = ""
    year: int | None = None
    authors: tuple[str, ...] = ()
    doi: str = ""
    arxiv_id: str = ""
    venue: str = ""
    url: str = ""
    pdf_url: str = ""
    citations: int | None = None

    @property
    def paper_id(self) -> str:
        """The same for the same record of the same source, in every project."""
        return hashlib.blake2b(f"{self.source}:{self.source_id}".encode(), digest_size=12).hexdigest()

    def document(self) -> Document:
        """The stored fields."""
        return {
            "paper_id": self.paper_id, "title": self.title, "abstract": self.abstract, "year": self.year or 0,
            "authors": list(self.authors), "doi": self.doi, "arxiv_id": self.arxiv_id, "venue": self.venue,
            "url": self.url, "pdf_url": self.pdf_url, "citations": -1 if self.citations is None else self.citations,
            "sources": [{"source": self.source, "id": self.source_id, "url": self.url}],
        }  # fmt: skip


def clean_names(values: Iterable[Json]) -> tuple[str, ...]:
    """Names in order, without empty ones. Two people may have the same name."""
    names = (plain_text(value, MAX_NAME) for value in values)
    return tuple(name for name in names if name)[:MAX_AUTHORS]


def clean_url(value: Json) -> str:
    """An http(s) URL with a host, or empty."""
    if not isinstance(value, str) or len(value) > MAX_URL or _CONTROL.search(value):
        return ""
    try:
        parts = urlsplit(value.strip())
        has_host = bool(parts.hostname)
    except ValueError:
        return ""
    return value.strip() if parts.scheme.lower() in ("http", "https") and has_host else ""


def clean_year(value: Json) -> int | None:
    """A year that can be one, given as a number or at the start of a date."""
    if isinstance(value, str) and re.match(r"\d{4}(?!\d)", value):
        value = int(value[:4])
    return value if type(value) is int and FIRST_YEAR <= value <= LAST_YEAR else None


def clean_count(value: Json) -> int | None:
    """A count, or None."""
    return value if type(value) is int and 0 <= value <= 2**40 else None


def clean_doi(value: Json) -> str:
    """`10.1234/abc` in lower case, out of a DOI, `doi:…` or a resolver's URL; empty when there is none.

    Every printable character may be part of a DOI (DOI Handbook, 2.2), `<` and `>` in those made of a SICI are; it ends
    where a blank is, and before punctuation of the text around it.
    """
    if not isinstance(value, str) or len(value) > MAX_URL:
        return ""
    text = INVISIBLE.sub("", value).strip()
    if _ENTITY.search(text):
        text = html.unescape(text)
    if _RESOLVER.match(text):
        path, _, query = text.partition("?")
        path, mark, fragment = path.partition("#")
        # Not a fragment, but the last sign of a SICI that nobody has encoded.
        text = path + (mark if mark and not fragment and not query else "")
    found = _DOI.search(unquote(text))
    return _without_end(found.group()).lower() if found else ""


def _without_end(doi: str) -> str:
    """Without the punctuation of a text around it: a closing bracket is the DOI's own when the DOI opens it."""
    while doi:
        last = doi[-1]
        opening = _BRACKETS.get(last)
        if last not in _ENDS and (opening is None or doi.count(last) <= doi.count(opening)):
            return doi
        doi = doi[:-1]
    return doi


def clean_arxiv_id(value: Json) -> str:
    """`2101.00001` or `cs/0101001`, without version, out of an id or an arXiv URL; empty when there is none."""
    if not isinstance(value, str) or len(value) > MAX_URL:
        return ""
    text = value.strip().removesuffix(".pdf")
    text = re.sub(r"^(https?://(\w+\.)?arxiv\.org/(abs|pdf)/|arxiv:)", "", text, flags=re.IGNORECASE)
    return re.sub(r"v\d+$", "", text.lower()) if _ARXIV.fullmatch(text) else ""


def arxiv_id_of_doi(doi: str) -> str:
    """arXiv gives its papers DOIs of its own, `10.48550/arxiv.<id>`."""
    return clean_arxiv_id(doi.removeprefix("10.48550/arxiv.")) if doi.startswith("10.48550/arxiv.") else ""


def fullness(paper: Mapping[str, Json]) -> tuple[int, int]:
    """How much a record tells: filled fields, then letters of the abstract."""
    return sum(1 for name in _FILLED if paper[name] not in _NOTHING), len(paper["abstract"])


def merge(papers: Sequence[Document]) -> Document:
    """The first of them, what it does not tell filled up from the others in their order, with every source."""
    best = dict(papers[0])
    for other in papers[1:]:
        for name in (*_FILLED, "title"):
            if name in best and best[name] in _NOTHING:
                best[name] = other[name]
        if "citations" in best:
            best["citations"] = max(best["citations"], other["citations"])
    if len(papers) > 1 and "sources" in best:
        told = {(one["source"], one["id"]): one for paper in papers for one in paper["sources"]}
        best["sources"] = [told[key] for key in sorted(told)]
    return best
