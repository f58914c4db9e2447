"""The scholarly APIs. Owns: how each is asked for a page, and how its answer is read. Must not know HTTP clients, runs
or stores.

Nothing in an answer is trusted: a page without the documented shape is `Rubbish`, an entry without it is skipped.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol
from urllib.parse import urlencode, urlsplit

import orjson
from lxml import etree

from scraper.paper import MAX_ABSTRACT as ABSTRACT
from scraper.paper import MAX_NAME as NAME
from scraper.paper import MAX_TITLE as TITLE
from scraper.paper import (
    Record,
    arxiv_id_of_doi,
    clean_arxiv_id,
    clean_count,
    clean_doi,
    clean_names,
    clean_url,
    clean_year,
)
from scraper.paper_text import marked_text, plain_text

Json = Any
PAGE_SIZE = 100
SEMANTIC_SCHOLAR_RANKED = 1_000
ARXIV_RANKED = 30_000
MAX_CURSOR = 4_000
_HEADING = re.compile(r"^\s*<(jats:)?title\b[^>]*>\s*abstract\s*[.:]?\s*</(jats:)?title\s*>", re.IGNORECASE)
_ATOM = {"a": "http://www.w3.org/2005/Atom", "x": "http://arxiv.org/schemas/atom",
         "o": "http://a9.com/-/spec/opensearch/1.1/"}  # fmt: skip


class Rubbish(Exception):
    """The answer is not what the API documents; the message says how."""


@dataclass(frozen=True, slots=True)
class Query:
    """What is searched for."""

    text: str
    year_from: int | None = None
    year_to: int | None = None


@dataclass(frozen=True, slots=True)
class SourcePage:
    """One page. `following`: where the next one begins, None = there is none. `total`: as the source says.
    `capped`: the source shows no more of its results than these.
    """

    records: tuple[Record, ...]
    following: str | None
    total: int | None
    entries: int
    capped: bool = False


class Source(Protocol):
    """One of the APIs."""

    @property
    def name(self) -> str:
        """Its name in parameters and results."""

    @property
    def first(self) -> str:
        """Where the first page begins."""

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """What goes along with each request."""

    def url(self, query: Query, place: str, count: int) -> str:
        """The address of the page at `place` with at most `count` entries."""

    def read(self, body: bytes, place: str) -> SourcePage:
        """The page. Raises `Rubbish`."""


def joined(base: str, path: str) -> str:
    """`base` and `path`, where a base that already ends with the path's beginning is taken at its word."""
    base = base.rstrip("/")
    parts = path.strip("/").split("/")
    own = urlsplit(base).path.strip("/").split("/")
    for count in range(min(len(parts), len(own)), 0, -1):
        if own[-count:] == parts[:count]:
            return "/".join([base, *parts[count:]])
    return "/".join([base, *parts])


def _object(body: bytes) -> Mapping[str, Json]:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Rubbish("the answer is not JSON") from error
    if not isinstance(value, dict):
        raise Rubbish("the answer is not a JSON object")
    return value


def _list(value: Json, name: str) -> list[Json]:
    if not isinstance(value, list):
        raise Rubbish(f"the answer has no list {name}")
    return value


def _mapping(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, dict) else {}


def _records(entries: Iterable[Json], read: Callable[[Mapping[str, Json]], Record | None]) -> tuple[Record, ...]:
    found = (read(entry) for entry in entries if isinstance(entry, dict))
    return tuple(record for record in found if record is not None and record.title and record.source_id)


def _cursor(value: Json) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= MAX_CURSOR else None


def _place(place: str) -> int:
    return int(place) if place.isascii() and place.isdecimal() else 0


@dataclass(frozen=True, slots=True)
class SemanticScholar:
    """`/graph/v1/paper/search`: JSON, by offset, the first 1,000 of the ranking."""

    base: str
    key: str = ""
    name: str = field(default="semantic_scholar", init=False)
    first: str = field(default="0", init=False)

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """The key, when there is one."""
        return (("x-api-key", self.key),) if self.key else ()

    def url(self, query: Query, place: str, count: int) -> str:
        """See `Source`."""
        offset = _place(place)
        fields = "title,abstract,year,authors,externalIds,venue,url,openAccessPdf,citationCount"
        count = max(1, min(count, PAGE_SIZE, SEMANTIC_SCHOLAR_RANKED - offset))
        asked = {"query": query.text, "fields": fields, "offset": str(offset), "limit": str(count)}
        if query.year_from or query.year_to:
            asked["year"] = f"{query.year_from or ''}-{query.year_to or ''}"
        return f"{joined(self.base, 'graph/v1/paper/search')}?{urlencode(asked)}"

    def read(self, body: bytes, place: str) -> SourcePage:
        """See `Source`."""
        answer = _object(body)
        entries = _list(answer.get("data", [] if answer.get("total") == 0 else None), "data")
        following = answer.get("next")
        offset = following if type(following) is int and following > _place(place) else None
        capped = offset is not None and offset >= SEMANTIC_SCHOLAR_RANKED
        place_after = None if offset is None or capped else str(offset)
        records = _records(entries, self._record)
        return SourcePage(records, place_after, clean_count(answer.get("total")), len(entries), capped)

    def _record(self, entry: Mapping[str, Json]) -> Record:
        ids = _mapping(entry.get("externalIds"))
        authors = entry.get("authors")
        names = [_mapping(author).get("name") for author in authors] if isinstance(authors, list) else []
        doi = clean_doi(ids.get("DOI"))
        return Record(
            self.name, plain_text(entry.get("paperId"), NAME), plain_text(entry.get("title"), TITLE),
            abstract=plain_text(entry.get("abstract"), ABSTRACT), year=clean_year(entry.get("year")),
            authors=clean_names(names), doi=doi, arxiv_id=clean_arxiv_id(ids.get("ArXiv")) or arxiv_id_of_doi(doi),
            venue=plain_text(entry.get("venue"), TITLE), url=clean_url(entry.get("url")),
            pdf_url=clean_url(_mapping(entry.get("openAccessPdf")).get("url")),
            citations=clean_count(entry.get("citationCount")),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Arxiv:
    """`/api/query`: Atom, by offset."""

    base: str
    name: str = field(default="arxiv", init=False)
    first: str = field(default="0", init=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), init=False)

    def url(self, query: Query, place: str, count: int) -> str:
        """See `Source`."""
        words = re.findall(r'"[^"]+"|[\w.+-]+', query.text) or [query.text]
        asked = " AND ".join(f"all:{word}" for word in words)
        if query.year_from or query.year_to:
            last = query.year_to or datetime.now(UTC).year + 1
            asked += f" AND submittedDate:[{query.year_from or 1900}01010000 TO {last}12312359]"
        page = {"search_query": asked, "start": str(_place(place)), "max_results": str(min(count, PAGE_SIZE)),
                "sortBy": "relevance", "sortOrder": "descending"}  # fmt: skip
        return f"{joined(self.base, 'api/query')}?{urlencode(page)}"

    def read(self, body: bytes, place: str) -> SourcePage:
        """See `Source`. The parser resolves no entities and opens nothing."""
        parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False)
        try:
            feed = etree.fromstring(body, parser)
        except (etree.XMLSyntaxError, ValueError) as error:
            raise Rubbish("the answer is not XML") from error
        if feed is None or feed.tag != f"{{{_ATOM['a']}}}feed":
            raise Rubbish("the answer is not an Atom feed")
        entries = feed.findall("a:entry", _ATOM)
        for entry in entries:
            if "/api/errors" in (entry.findtext("a:id", "", _ATOM) or ""):
                raise Rubbish(f"arXiv says: {plain_text(entry.findtext('a:summary', '', _ATOM), 200)}")
        total = (feed.findtext("o:totalResults", "", _ATOM) or "").strip()
        total_count = int(total) if total.isascii() and total.isdecimal() and len(total) < 12 else None
        after = _place(place) + len(entries)
        records = tuple(record for record in map(self._record, entries) if record.title and record.source_id)
        # A total that has been passed was wrong: then only an empty page is the end.
        more = bool(entries) and after != total_count
        following = str(after) if more and after < ARXIV_RANKED else None
        return SourcePage(records, following, total_count, len(entries), more and after >= ARXIV_RANKED)

    def _record(self, entry: Any) -> Record:
        def text(path: str, limit: int) -> str:
            return plain_text(entry.findtext(path, "", _ATOM), limit)

        arxiv_id = clean_arxiv_id(text("a:id", NAME))
        links = [
            link.get("href")
            for link in entry.findall("a:link", _ATOM)
            if link.get("title") == "pdf" or link.get("type") == "application/pdf"
        ]
        return Record(
            self.name, arxiv_id, text("a:title", TITLE), abstract=text("a:summary", ABSTRACT),
            year=clean_year(text("a:published", NAME)),
            authors=clean_names([name.text for name in entry.findall("a:author/a:name", _ATOM)]),
            doi=clean_doi(text("x:doi", TITLE)), arxiv_id=arxiv_id, venue=text("x:journal_ref", TITLE),
            url=clean_url(text("a:id", NAME)), pdf_url=clean_url(links[0] if links else ""),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class OpenAlex:
    """`/works`: JSON, by cursor, abstracts as inverted indexes."""

    base: str
    key: str = ""
    mailto: str = ""
    name: str = field(default="openalex", init=False)
    first: str = field(default="*", init=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), init=False)

    def url(self, query: Query, place: str, count: int) -> str:
        """See `Source`."""
        asked = {"search": query.text, "per_page": str(min(count, PAGE_SIZE)), "cursor": place}
        years = [f"from_publication_date:{query.year_from}-01-01"] if query.year_from else []
        years += [f"to_publication_date:{query.year_to}-12-31"] if query.year_to else []
        own = {"filter": ",".join(years), "api_key": self.key, "mailto": self.mailto}
        asked |= {name: value for name, value in own.items() if value}
        return f"{joined(self.base, 'works')}?{urlencode(asked)}"

    def read(self, body: bytes, place: str) -> SourcePage:
        """See `Source`."""
        answer = _object(body)
        entries = _list(answer.get("results"), "results")
        meta = _mapping(answer.get("meta"))
        following = _cursor(meta.get("next_cursor"))
        following = following if entries and following != place else None
        return SourcePage(_records(entries, self._record), following, clean_count(meta.get("count")), len(entries))

    def _record(self, entry: Mapping[str, Json]) -> Record:
        authorships = entry.get("authorships")
        names = [
            _mapping(_mapping(one).get("author")).get("display_name")
            for one in (authorships if isinstance(authorships, list) else [])
        ]
        best, primary = _mapping(entry.get("best_oa_location")), _mapping(entry.get("primary_location"))
        doi = clean_doi(entry.get("doi"))
        arxiv = clean_arxiv_id(primary.get("landing_page_url")) or arxiv_id_of_doi(doi)
        title = entry.get("title") or entry.get("display_name")
        source_id = plain_text(entry.get("id"), NAME)
        return Record(
            self.name, source_id.rpartition("/")[2], marked_text(title, TITLE),
            abstract=plain_text(_abstract(entry.get("abstract_inverted_index")), ABSTRACT),
            year=clean_year(entry.get("publication_year")), authors=clean_names(names), doi=doi, arxiv_id=arxiv,
            venue=plain_text(_mapping(primary.get("source")).get("display_name"), TITLE), url=clean_url(source_id),
            pdf_url=clean_url(best.get("pdf_url")) or clean_url(primary.get("pdf_url")),
            citations=clean_count(entry.get("cited_by_count")),
        )  # fmt: skip


def _abstract(inverted: Json) -> str:
    """The text whose words are told with their positions."""
    if not isinstance(inverted, dict):
        return ""
    placed: dict[int, str] = {}
    for word, positions in inverted.items():
        for position in positions if isinstance(positions, list) else ():
            if type(position) is int and 0 <= position < ABSTRACT:
                placed[position] = word
    return " ".join(placed[position] for position in sorted(placed))


@dataclass(frozen=True, slots=True)
class Crossref:
    """`/works`: JSON, by cursor, abstracts with JATS markup."""

    base: str
    mailto: str = ""
    name: str = field(default="crossref", init=False)
    first: str = field(default="*", init=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), init=False)

    def url(self, query: Query, place: str, count: int) -> str:
        """See `Source`."""
        asked = {"query": query.text, "rows": str(min(count, PAGE_SIZE)), "cursor": place}
        years = [f"from-pub-date:{query.year_from}"] if query.year_from else []
        years += [f"until-pub-date:{query.year_to}"] if query.year_to else []
        own = {"filter": ",".join(years), "mailto": self.mailto}
        asked |= {name: value for name, value in own.items() if value}
        return f"{joined(self.base, 'works')}?{urlencode(asked)}"

    def read(self, body: bytes, place: str) -> SourcePage:  # noqa: ARG002  # the port's signature
        """See `Source`. The cursor may stay the same from page to page; an empty page is the end."""
        message = _mapping(_object(body).get("message"))
        entries = _list(message.get("items"), "message.items")
        following = _cursor(message.get("next-cursor")) if entries else None
        total = clean_count(message.get("total-results"))
        return SourcePage(_records(entries, self._record), following, total, len(entries))

    def _record(self, entry: Mapping[str, Json]) -> Record:
        authors = entry.get("author")
        names = [_person(_mapping(author)) for author in (authors if isinstance(authors, list) else [])]
        links = entry.get("link")
        pdfs = [
            _mapping(link).get("URL")
            for link in (links if isinstance(links, list) else [])
            if _mapping(link).get("content-type") == "application/pdf"
        ]
        doi = clean_doi(entry.get("DOI"))
        return Record(
            self.name, doi, marked_text(_first(entry.get("title")), TITLE),
            abstract=marked_text(_without_heading(entry.get("abstract")), ABSTRACT),
            year=_crossref_year(entry), authors=clean_names(names), doi=doi, arxiv_id=arxiv_id_of_doi(doi),
            venue=marked_text(_first(entry.get("container-title")), TITLE), url=clean_url(entry.get("URL")),
            pdf_url=clean_url(pdfs[0] if pdfs else ""), citations=clean_count(entry.get("is-referenced-by-count")),
        )  # fmt: skip


def _without_heading(abstract: Json) -> Json:
    """The abstract without the title element that only says what it is."""
    return _HEADING.sub("", abstract, count=1) if isinstance(abstract, str) else abstract


def _first(value: Json) -> Json:
    return value[0] if isinstance(value, list) and value else value


def _person(author: Mapping[str, Json]) -> str:
    parts = [marked_text(author.get(part), NAME) for part in ("given", "family", "suffix")]
    return " ".join(filter(None, parts)) if any(parts[:2]) else marked_text(author.get("name"), NAME)


def _crossref_year(entry: Mapping[str, Json]) -> int | None:
    for name in ("published", "issued", "published-print", "published-online", "created"):
        parts = _mapping(entry.get(name)).get("date-parts")
        first = _first(_first(parts))
        if (year := clean_year(first)) is not None:
            return year
    return None
