"""How a definition reads a page. Owns: its compiled selectors. Must not know how pages are had or stored."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from lxml import etree

from scraper.crawl_links import LinkFinder, LinkRules, canonical_of
from scraper.documents import Document
from scraper.executor import Json
from scraper.extract import FieldsRead, compile_fields, compile_items, read_fields, read_items
from scraper.problems import FIELD_FAILED
from scraper.reading import Worth
from scraper.scrape_definition import ScrapeDefinition
from scraper.scrape_reads import ListRead, worth_of_fields, worth_of_list
from scraper.selectors import Compiler, compile_selector
from scraper.urls import to_url


class PagePlan:
    """Reads pages of items and detail pages. Raises InvalidParameters when a selector doesn't compile."""

    def __init__(self, definition: ScrapeDefinition) -> None:
        compiler = Compiler(definition.limits.page_items)
        detail = definition.detail
        self._items = compile_items(definition.items.select, compiler)
        self._fields = compile_fields(definition.items.fields, compiler, "items.fields")
        self._detail = compile_fields(detail.fields, compiler, "detail.fields") if detail else ()
        self._next = compile_selector(definition.next, compiler, "next", as_link=True) if definition.next else None
        self._links: LinkFinder | None = None
        if definition.crawl is not None:
            rules = LinkRules(definition.crawl, definition.first_urls, compiler)
            crawler = definition.user_agent or ""
            self._links = LinkFinder(
                definition.crawl.links, rules, compiler, obey=definition.robots, user_agent=crawler
            )
        self._by_kind: Mapping[str, Callable[[Document], tuple[ListRead | FieldsRead, Worth]]] = {
            "list": self._read_list,
            "page": self._read_list,
            "detail": self._read_detail,
        }

    def read(self, kind: str, document: Document) -> tuple[ListRead | FieldsRead, Worth]:
        """What a page of that kind has, with the problems of the whole document, and how much it is."""
        read, worth = self._by_kind[kind](document)
        return (replace(read, problems=tuple(document.problems.to_json())) if document.problems else read), worth

    def _read_list(self, document: Document) -> tuple[ListRead, Worth]:
        items = read_items(self._fields, self._find_items(document), document)
        document.look_for("next" if self._links is None else "crawl.links")
        title = document.root.findtext(".//title") if document.root is not None else None
        shown = (title or "").strip()[:200]
        if self._links is None:
            read = ListRead(items, self._find_next(document), shown)
        else:
            read = ListRead(items, None, shown, self._links.find(document), canonical_of(document))
        return read, worth_of_list(read)

    def _find_items(self, document: Document) -> list[Json]:
        document.look_for("items.select")
        try:
            return self._items(_root_of(document), document)
        except (etree.LxmlError, RecursionError, ValueError) as error:
            # What a page makes of a selector costs what it looks for, and no more.
            document.problems.note(FIELD_FAILED, "items.select", f"the items could not be looked for: {error}")
            return []

    def _read_detail(self, document: Document) -> tuple[FieldsRead, Worth]:
        read = read_fields(self._detail, _root_of(document), document)
        return read, worth_of_fields(read)

    def _find_next(self, document: Document) -> str | None:
        if self._next is None:
            return None
        values = self._next.find(_root_of(document), document)
        urls = (to_url(value, document.base_url, document.encoding) for value in values)
        return next((url for url in urls if url is not None), None)


def _root_of(document: Document) -> Json:
    return document.root if document.root is not None else document.json
