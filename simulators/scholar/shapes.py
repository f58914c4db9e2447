"""Each API's own form of a record and of a page. Pure. Owns: field names and nesting as the real services have them."""

from typing import Any
from xml.sax.saxutils import escape
from zlib import crc32

from simulators.scholar.corpus import Record

Json = Any


def pdf_url(base: str, record: Record) -> str | None:
    """Where the record says that its PDF is."""
    if not record.pdf:
        return None
    folder = {"private": "private", "html": "landing", "missing": "gone"}.get(record.pdf, "files")
    return f"{base}/{folder}/{record.work:06d}.pdf"


def semantic_scholar(record: Record, base: str, fields: set[str]) -> Json:
    """An entry of `/graph/v1/paper/search`, with the fields that were asked for."""
    ids = {"CorpusId": record.work, "DOI": record.doi, "ArXiv": record.arxiv_id}
    url = pdf_url(base, record)
    whole = {
        "title": record.title, "abstract": record.abstract or None, "year": record.year, "venue": record.venue,
        "url": f"https://www.semanticscholar.org/paper/{record.id}", "citationCount": record.citations,
        "authors": [{"authorId": str(crc32(name.encode()) % 10**7), "name": name} for name in record.authors],
        "externalIds": {name: value for name, value in ids.items() if value},
        "openAccessPdf": {"url": url, "status": "GREEN"} if url else None,
    }  # fmt: skip
    return {"paperId": record.id} | {name: value for name, value in whole.items() if name in fields}


def arxiv(records: list[Record], *, base: str, total: int, start: int, size: int, query: str) -> str:
    """The Atom feed of `/api/query`."""
    entries = "".join(_arxiv_entry(record, base) for record in records)
    return (
        "<?xml version='1.0' encoding='UTF-8'?>\n"
        '<feed xmlns:opensearch="http://a9.com/-/spec/opensearch/1.1/" xmlns:arxiv="http://arxiv.org/schemas/atom" '
        'xmlns="http://www.w3.org/2005/Atom">\n'
        f"  <title>arXiv Query: search_query={escape(query)}</title>\n  <updated>2025-01-01T00:00:00Z</updated>\n"
        f"  <opensearch:itemsPerPage>{size}</opensearch:itemsPerPage>\n"
        f"  <opensearch:totalResults>{total}</opensearch:totalResults>\n"
        f"  <opensearch:startIndex>{start}</opensearch:startIndex>\n{entries}</feed>\n"
    )


def _arxiv_entry(record: Record, base: str) -> str:
    authors = "".join(f"    <author><name>{escape(name)}</name></author>\n" for name in record.authors)
    doi = f"    <arxiv:doi>{escape(record.doi)}</arxiv:doi>\n" if record.doi else ""
    url = pdf_url(base, record)
    pdf = f'    <link href="{escape(url)}" rel="related" type="application/pdf" title="pdf"/>\n' if url else ""
    return (
        f"  <entry>\n    <id>http://arxiv.org/abs/{record.id}v1</id>\n    <title>{escape(record.title)}</title>\n"
        f"    <updated>{record.year}-03-01T12:00:00Z</updated>\n"
        f"    <published>{record.year}-03-01T12:00:00Z</published>\n"
        f'    <link href="https://arxiv.org/abs/{record.id}v1" rel="alternate" type="text/html"/>\n{pdf}'
        f"    <summary>{escape(record.abstract)}</summary>\n"
        f'    <category term="cs.LG" scheme="http://arxiv.org/schemas/atom"/>\n{authors}{doi}  </entry>\n'
    )


def openalex(record: Record, base: str) -> Json:
    """An entry of OpenAlex's `/works`."""
    inverted: dict[str, list[int]] = {}
    for place, word in enumerate(record.abstract.split()):
        inverted.setdefault(word, []).append(place)
    location = {
        "is_oa": bool(record.pdf), "landing_page_url": f"https://doi.org/{record.doi}" if record.doi else None,
        "pdf_url": pdf_url(base, record), "source": {"display_name": record.venue, "type": "journal"},
    }  # fmt: skip
    if record.arxiv_id:
        location["landing_page_url"] = f"https://arxiv.org/abs/{record.arxiv_id}"
    return {
        "id": f"https://openalex.org/{record.id}",
        "doi": f"https://doi.org/{record.doi}" if record.doi else None,
        "title": record.title, "display_name": record.title, "publication_year": record.year,
        "publication_date": f"{record.year}-03-01", "type": "article", "cited_by_count": record.citations,
        "authorships": [
            {"author_position": "middle", "author": {"id": None, "display_name": name}} for name in record.authors
        ],
        "primary_location": location, "best_oa_location": location if record.pdf else None,
        "open_access": {"is_oa": bool(record.pdf)}, "abstract_inverted_index": inverted or None,
    }  # fmt: skip


def crossref(record: Record, base: str) -> Json:
    """An entry of Crossref's `/works`."""
    url = pdf_url(base, record)
    people = [name.rpartition(" ") for name in record.authors]
    entry: dict[str, Json] = {
        "DOI": record.doi, "URL": f"https://doi.org/{record.doi}", "title": [record.title], "type": "journal-article",
        "container-title": [record.venue], "issued": {"date-parts": [[record.year, 3]]}, "publisher": "Simulated Press",
        "author": [{"given": given, "family": family, "sequence": "additional"} for given, _, family in people],
        "is-referenced-by-count": record.citations, "score": 10.0,
    }  # fmt: skip
    if record.abstract:
        entry["abstract"] = f"<jats:title>Abstract</jats:title><jats:p>{escape(record.abstract)}</jats:p>"
    if url:
        entry["link"] = [{"URL": url, "content-type": "application/pdf", "intended-application": "text-mining"}]
    return entry
