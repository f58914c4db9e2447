"""What a scrape run reads from a page. Owns: a definition, compiled. Must not know how pages are had or stored."""

from dataclasses import dataclass

from scraper.documents import Document
from scraper.executor import Json
from scraper.extract import Compiler, FieldsRead, compile_fields, compile_items, compile_selector, read_fields
from scraper.page_loader import Reading
from scraper.scrape_definition import ScrapeDefinition
from scraper.values import to_url


@dataclass(frozen=True, slots=True)
class ListRead:
    """What a list page has: its items in order, and where it goes on."""

    items: list[FieldsRead]
    next_url: str | None
    title: str


class Plan:
    """Reads list and detail pages. Raises InvalidParameters when a selector doesn't compile."""

    def __init__(self, definition: ScrapeDefinition) -> None:
        compiler = Compiler()
        detail = definition.detail
        self.definition = definition
        self._items = compile_items(definition.items.select, compiler)
        self._fields = compile_fields(definition.items.fields, compiler, "items.fields")
        self._detail = compile_fields(detail.fields, compiler, "detail.fields") if detail else ()
        self._next = compile_selector(definition.next, compiler, "next", as_link=True) if definition.next else None
        self.lists = Reading("list", self._read_list, lambda read: any(item.found for item in read.items))
        self.details = Reading("detail", self._read_detail, lambda read: read.found > 0)

    def _read_list(self, document: Document) -> ListRead:
        nodes = self._items(_root_of(document), document)
        items = [read_fields(self._fields, node, document) for node in nodes]
        title = document.root.findtext(".//title") if document.root is not None else None
        return ListRead(items, self._find_next(document), (title or "").strip()[:200])

    def _read_detail(self, document: Document) -> FieldsRead:
        return read_fields(self._detail, _root_of(document), document)

    def _find_next(self, document: Document) -> str | None:
        if self._next is None:
            return None
        values = self._next.find(_root_of(document), document)
        return next((url for value in values if (url := to_url(value, document.base_url)) is not None), None)

    def tried(self) -> Json:
        """What is looked for on a list page, for the report of one where nothing matched."""
        items = self.definition.items
        fields = {
            name: rule.model_dump(include={"css", "xpath", "jsonpath", "regex"}, exclude_none=True)
            for name, rule in list(items.fields.items())[:20]
        }
        return {"select": items.select.model_dump(exclude_none=True) if items.select else None, "fields": fields}


def _root_of(document: Document) -> Json:
    return document.root if document.root is not None else document.json
