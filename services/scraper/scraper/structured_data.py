"""The structured data of a page: its JSON-LD and microdata as objects with a type. Must not know fields or runs.

Both come in JSON-LD's form (`@type` without the vocabulary's address), so a definition needn't know which of them a
site has chosen.
"""

from collections.abc import Iterator
from typing import Any

from scraper.documents import Document
from scraper.executor import Json

MAX_ENTITIES = 10_000
MAX_DEPTH = 50


def entities_of(document: Document, kind: str) -> list[Json]:
    """The page's objects of that schema.org type, in their order; JSON-LD first."""
    if document.entities is None:
        document.entities = list(_all_of(document))
    wanted = _bare(kind)
    return [entity for entity in document.entities if wanted in _types(entity)]


def _all_of(document: Document) -> Iterator[Json]:
    if document.root is None:
        yield from _walk(document.json)
        return
    count = 0
    for value in (*document.embedded(), *_microdata(document)):
        for entity in _walk(value):
            yield entity
            count += 1
            if count >= MAX_ENTITIES:
                return


def _walk(value: Json, depth: int = 0) -> Iterator[Json]:
    """Every typed object in `value`, the outer ones first; a @graph is met where `embedded` lists its members."""
    if depth > MAX_DEPTH:
        return
    if isinstance(value, dict):
        if "@type" in value:
            yield value
        for name, member in value.items():
            if name != "@graph" and isinstance(member, dict | list):
                yield from _walk(member, depth + 1)
    elif isinstance(value, list):
        for member in value:
            yield from _walk(member, depth + 1)


def _types(entity: Json) -> tuple[str, ...]:
    kinds = entity.get("@type")
    return tuple(_bare(kind) for kind in (kinds if isinstance(kinds, list) else [kinds]) if isinstance(kind, str))


def _bare(kind: str) -> str:
    return kind.rstrip("/").rpartition("/")[2].rpartition("#")[2].rpartition(":")[2].lower()


def _microdata(document: Document) -> list[Json]:
    if "itemscope" not in document.text:
        return []
    # A second to import, and few definitions ask for it.
    from extruct.w3cmicrodata import MicrodataExtractor

    found = MicrodataExtractor().extract_items(document.root, document.base_url)
    return [_as_linked(item) for item in found]


def _as_linked(value: Any, depth: int = 0) -> Json:
    """Microdata's {type, properties} in the form that JSON-LD has."""
    if isinstance(value, list) and depth <= MAX_DEPTH:
        return [_as_linked(member, depth + 1) for member in value]
    if not isinstance(value, dict) or depth > MAX_DEPTH:
        return value if isinstance(value, str) else None
    linked: dict[str, Json] = {}
    if kinds := value.get("type"):
        bare = [str(kind).rstrip("/").rpartition("/")[2] for kind in (kinds if isinstance(kinds, list) else [kinds])]
        linked["@type"] = bare[0] if len(bare) == 1 else bare
    if "id" in value:
        linked["@id"] = value["id"]
    for name, member in (value.get("properties") or {}).items():
        linked[str(name)] = _as_linked(member, depth + 1)
    return linked
