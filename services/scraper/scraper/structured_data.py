"""The structured data of a page: JSON-LD, microdata, RDFa and OpenGraph as objects with a type. Must not know fields.

All come in JSON-LD's form (`@type` without the vocabulary's address), so a definition needn't know which of them a
site has chosen.
"""

import re
from collections.abc import Iterator

from scraper.documents import Document
from scraper.executor import Json
from scraper.problems import DATA_BROKEN

TYPEOF = re.compile(r"\btypeof\s*=", re.IGNORECASE)
OPEN_GRAPH = "opengraph"


def entities_of(document: Document, kind: str) -> list[Json]:
    """The page's objects of that schema.org type, in their order: JSON-LD first, then microdata, then RDFa."""
    wanted = _bare(kind)
    if wanted == OPEN_GRAPH and document.root is not None:
        from scraper.opengraph import object_of

        found = object_of(document.root, document.base_url)
        return [found] if found is not None else []
    if document.entities is None:
        document.entities = list(_all_of(document))
    return [entity for entity in document.entities if wanted in _types(entity)]


def _all_of(document: Document) -> Iterator[Json]:
    if document.root is None:
        yield from _walk(document.json)
        return
    for value in (*document.linked(), *document.data_scripts(), *_microdata(document), *_rdfa(document)):
        yield from _walk(value)


def _walk(value: Json) -> Iterator[Json]:
    """Every typed object in `value`, each once, the outer ones first."""
    waiting = [value]
    seen: set[int] = set()
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            # An item of microdata with several names is in its outer one several times.
            if id(one) in seen:
                continue
            seen.add(id(one))
            if "@type" in one:
                yield one
            members = list(one.values())
        elif isinstance(one, list):
            members = one
        else:
            continue
        waiting.extend(member for member in reversed(members) if isinstance(member, dict | list))


def _types(entity: Json) -> tuple[str, ...]:
    kinds = entity.get("@type")
    return tuple(_bare(kind) for kind in (kinds if isinstance(kinds, list) else [kinds]) if isinstance(kind, str))


def _bare(kind: str) -> str:
    return kind.strip().rstrip("/").rpartition("/")[2].rpartition("#")[2].rpartition(":")[2].lower()


def _microdata(document: Document) -> Iterator[Json]:
    if "itemscope" not in document.text and "itemscope" not in document.text.lower():
        return
    from scraper.microdata import TooManyError, items_of

    try:
        yield from items_of(document.root, document.base_url)
    except TooManyError as error:
        document.problems.note(DATA_BROKEN, "microdata", f"the items of the page were not read to their end: {error}")


def _rdfa(document: Document) -> list[Json]:
    if TYPEOF.search(document.text) is None:
        return []
    from scraper.rdfa import items_of

    return items_of(document.root, document.base_url)
