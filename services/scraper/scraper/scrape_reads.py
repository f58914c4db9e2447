"""What a scrape run reads from its pages, as its own process knows it. Must not know selectors or documents."""

from dataclasses import dataclass

from scraper.crawl_links import LinkRules
from scraper.executor import Json
from scraper.extract import FieldsRead
from scraper.reading import Reading, Worth
from scraper.scrape_definition import ScrapeDefinition
from scraper.selectors import Compiler

# What of a definition decides what is read from a page. The rest is about having it.
READ_PARTS = frozenset({"items", "detail", "next", "crawl", "robots", "limits"})


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


def worth_of_list(read: ListRead) -> Worth:
    """How much was found in all items."""
    found = [item for item in read.items if item.found]
    if not found:
        return Worth(0, 0, ())
    lacking = set(found[0].lacking)
    for item in found[1:]:
        if not lacking:
            break
        lacking.intersection_update(item.lacking)
    return Worth(len(found), sum(item.found for item in found), tuple(sorted(lacking)))


LISTS = Reading("list", worth_of_list, _list_of)
# A page of a crawl: a list that has links as well.
PAGES = Reading("page", worth_of_list, _list_of)
DETAILS = Reading("detail", worth_of_fields, _fields_of)


class Plan:
    """What is read from the pages of a definition. Raises InvalidParameters for a pattern that doesn't compile."""

    def __init__(self, definition: ScrapeDefinition, user_agent: str = "") -> None:
        """`user_agent`: the crawler, as pages may name it, unless the definition has one of its own."""
        self.definition, self._user_agent = definition, definition.user_agent or user_agent
        crawl = definition.crawl
        self.rules = LinkRules(crawl, definition.first_urls, Compiler()) if crawl is not None else None
        self.lists = LISTS if crawl is None else PAGES
        self.details = DETAILS

    def parts(self) -> dict[str, Json]:
        """The definition as far as reading a page needs it."""
        # Its sites are those whose links are followed.
        parts = READ_PARTS if self.definition.crawl is None else READ_PARTS | {"start_urls"}
        whole = self.definition.model_dump(mode="json", include=set(parts), exclude_unset=True)
        return {**whole, "user_agent": self._user_agent} if self._user_agent else whole

    def tried(self) -> Json:
        """What is looked for on a list page, for the report of one where nothing matched."""
        items = self.definition.items
        fields = {
            name: rule.model_dump(include={"css", "xpath", "structured", "jsonpath", "regex"}, exclude_none=True)
            for name, rule in list(items.fields.items())[:20]
        }
        return {"select": items.select.model_dump(exclude_none=True) if items.select else None, "fields": fields}
