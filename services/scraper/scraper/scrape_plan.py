"""What a scrape run reads from a page. Owns: a definition, compiled. Must not know how pages are had or stored."""

from dataclasses import asdict, dataclass, replace

from lxml import etree

from scraper.crawl_links import LinkFinder, LinkRules, canonical_of
from scraper.documents import Document
from scraper.executor import Json
from scraper.extract import FieldsRead, compile_fields, compile_items, read_fields, read_items
from scraper.problems import FIELD_FAILED
from scraper.reading import Reading, Worth
from scraper.scrape_definition import ScrapeDefinition
from scraper.selectors import Compiler, compile_selector
from scraper.values import to_url


@dataclass(frozen=True, slots=True)
class ListRead:
    """What a page of items has: them in order, where it goes on, and for a crawl its links and own address.

    `problems`: what of it could not be read (`Problems.to_json`).
    """

    items: list[FieldsRead]
    next_url: str | None
    title: str
    links: tuple[str, ...] = ()
    canonical: str | None = None
    problems: tuple[Json, ...] = ()


class Plan:
    """Reads pages of items and detail pages. Raises InvalidParameters when a selector doesn't compile."""

    def __init__(self, definition: ScrapeDefinition) -> None:
        compiler = Compiler(definition.limits.page_items)
        detail = definition.detail
        self.definition = definition
        self._items = compile_items(definition.items.select, compiler)
        self._fields = compile_fields(definition.items.fields, compiler, "items.fields")
        self._detail = compile_fields(detail.fields, compiler, "detail.fields") if detail else ()
        self._next = compile_selector(definition.next, compiler, "next", as_link=True) if definition.next else None
        self.rules: LinkRules | None = None
        self._links: LinkFinder | None = None
        if definition.crawl is not None:
            self.rules = LinkRules(definition.crawl, definition.first_urls, compiler)
            self._links = LinkFinder(definition.crawl.links, self.rules, compiler, obey=definition.robots)
        quick = compiler.quick
        kind = "page" if definition.crawl else "list"
        self.lists = Reading(kind, self._read_list, _worth_of_list, asdict, _list_of, quick=quick)
        self.details = Reading("detail", self._read_detail, worth_of_fields, asdict, _fields_of, quick=quick)

    def _read_list(self, document: Document) -> ListRead:
        items = read_items(self._fields, self._find_items(document), document)
        title = document.root.findtext(".//title") if document.root is not None else None
        shown = (title or "").strip()[:200]
        if self._links is None:
            read = ListRead(items, self._find_next(document), shown)
        else:
            read = ListRead(items, None, shown, self._links.find(document), canonical_of(document))
        return replace(read, problems=tuple(document.problems.to_json())) if document.problems else read

    def _find_items(self, document: Document) -> list[Json]:
        try:
            return self._items(_root_of(document), document)
        except (etree.LxmlError, RecursionError, ValueError) as error:
            # What a page makes of a selector costs what it looks for, and no more.
            document.problems.note(FIELD_FAILED, "items.select", f"the items could not be looked for: {error}")
            return []

    def _read_detail(self, document: Document) -> FieldsRead:
        read = read_fields(self._detail, _root_of(document), document)
        return replace(read, problems=tuple(document.problems.to_json())) if document.problems else read

    def _find_next(self, document: Document) -> str | None:
        if self._next is None:
            return None
        values = self._next.find(_root_of(document), document)
        return next((url for value in values if (url := to_url(value, document.base_url)) is not None), None)

    def tried(self) -> Json:
        """What is looked for on a list page, for the report of one where nothing matched."""
        items = self.definition.items
        fields = {
            name: rule.model_dump(include={"css", "xpath", "structured", "jsonpath", "regex"}, exclude_none=True)
            for name, rule in list(items.fields.items())[:20]
        }
        return {"select": items.select.model_dump(exclude_none=True) if items.select else None, "fields": fields}


def _fields_of(saved: Json) -> FieldsRead:
    return FieldsRead(
        saved["data"],
        saved["found"],
        tuple(saved["missing"]),
        tuple(saved["lacking"]),
        tuple(saved.get("problems", ())),
    )


def _list_of(saved: Json) -> ListRead:
    items = [_fields_of(item) for item in saved["items"]]
    links, problems = tuple(saved["links"]), tuple(saved.get("problems", ()))
    return ListRead(items, saved["next_url"], saved["title"], links, saved["canonical"], problems)


def worth_of_fields(read: FieldsRead) -> Worth:
    """How much was found."""
    return Worth(1 if read.found else 0, read.found, read.lacking)


def _worth_of_list(read: ListRead) -> Worth:
    found = [item for item in read.items if item.found]
    if not found:
        return Worth(0, 0, ())
    lacking = set(found[0].lacking)
    for item in found[1:]:
        if not lacking:
            break
        lacking.intersection_update(item.lacking)
    return Worth(len(found), sum(item.found for item in found), tuple(sorted(lacking)))


def _root_of(document: Document) -> Json:
    return document.root if document.root is not None else document.json
