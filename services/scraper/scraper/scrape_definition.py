"""The definition of a `scrape` run, as its owner writes it. Owns: its shape and limits. Must not know pages.

An unknown field is refused with its place and the nearest known name; a wrong one with its place.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from scraper.executor import ExecutorError, InvalidParameters, Json
from scraper.unknown_fields import path_of, unknown_field

Expression = Annotated[str, StringConstraints(min_length=1, max_length=2000)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
FieldType = Literal["text", "number", "integer", "boolean", "date", "url", "html"]
RenderMode = Literal["http", "browser", "auto"]


def _selector_text(value: object) -> object:
    return value["css"] if isinstance(value, dict) and value.keys() == {"css"} else value


def _known_zone(name: str) -> str:
    from scraper.values.clock import is_zone

    if not is_zone(name):
        raise ValueError(f"there is no time zone {name!r}; they have names like Europe/Berlin")
    return name


class Model(BaseModel):
    """Strict about types and names."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Selector(Model):
    """What to look for: an element by css or xpath, then by jsonpath and regex within what was found."""

    css: Expression | None = None
    xpath: Expression | None = None
    # A schema.org type: the page's JSON-LD and microdata of that type.
    structured: Name | None = None
    jsonpath: Expression | None = None
    regex: Expression | None = None
    attribute: Name | None = None

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if sum(value is not None for value in (self.css, self.xpath, self.structured)) > 1:
            raise ValueError("css, xpath and structured exclude each other")
        if not any((self.css, self.xpath, self.structured, self.jsonpath, self.regex, self.attribute)):
            raise ValueError("needs one of css, xpath, structured, jsonpath, regex")
        return self


class FieldRule(Selector):
    """One field of an item."""

    many: bool = False
    type: FieldType = "text"
    default: Json = None
    required: bool = False
    # What settles a number or date that has several meanings: its decimal mark, the order of day, month and year, the
    # language (BCP 47, `de` or `pt-BR`), and the zone (IANA, `Europe/Berlin`) of a time that names none.
    decimal: Literal[".", ","] | None = None
    order: Literal["dmy", "mdy", "ymd"] | None = None
    language: Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*$")] | None = None
    timezone: Annotated[str, StringConstraints(min_length=1, max_length=100), AfterValidator(_known_zone)] | None = None
    # The text must be nothing but the value: "from 12.50 €" is then no number.
    strict: bool = False


class ItemSelector(Model):
    """Where the items of a page are."""

    css: Expression | None = None
    xpath: Expression | None = None
    structured: Name | None = None
    jsonpath: Expression | None = None

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        if sum(value is not None for value in (self.css, self.xpath, self.structured, self.jsonpath)) != 1:
            raise ValueError("needs exactly one of css, xpath, structured, jsonpath")
        return self


class Items(Model):
    """The items of a page; without `select` the page itself is one item."""

    select: ItemSelector | None = None
    fields: dict[Name, FieldRule] = Field(min_length=1, max_length=200)


class Detail(Model):
    """Each item's own page: `follow` names the field with its URL."""

    follow: Name
    fields: dict[Name, FieldRule] = Field(min_length=1, max_length=200)


class Links(Model):
    """Which links of a page a crawl follows: all that lead to the start URLs' sites, unless it says otherwise."""

    css: Expression | None = None
    xpath: Expression | None = None
    regex: Expression | None = None
    attribute: Name | None = None
    same_site: bool = True

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.css is not None and self.xpath is not None:
            raise ValueError("css and xpath exclude each other")
        return self


def _as_crawl(value: object) -> object:
    return {} if value is True else None if value is False else value


class Crawl(Model):
    """Follow links from page to page. `include` and `exclude` are regular expressions that search in whole URLs.

    `sitemap`: true reads those that robots.txt names (or else /sitemap.xml), a list names them.
    """

    links: Links = Links()
    depth: int | None = Field(default=None, ge=0, le=100)
    include: list[Expression] = Field(default=[], max_length=100)
    exclude: list[Expression] = Field(default=[], max_length=100)
    sitemap: bool | Annotated[list[str], Field(min_length=1, max_length=1000)] = False
    # Sitemap entries that didn't change since then (ISO date) are left out; entries without a date are kept.
    modified_since: Annotated[str, StringConstraints(pattern=r"^\d{4}-\d{2}-\d{2}")] | None = None
    # A page that names another one as its canonical address is read there, and once.
    canonical: bool = True
    # Parameters that are taken out of every address before it is asked for; a `*` at the end stands for any rest.
    strip_parameters: list[Name] = Field(default=[], max_length=100)


class Limits(Model):
    """When to stop. `pages` counts every page loaded, `depth` links away from a start URL (a next page adds none)."""

    pages: int = Field(default=1000, ge=1, le=1_000_000)
    items: int = Field(default=10_000, ge=1, le=1_000_000)
    depth: int = Field(default=3, ge=0, le=100)
    seconds: float = Field(default=3600, gt=0, le=7 * 86400, strict=False)
    # Of one page: what is longer or has more is cut, and counted as a problem.
    page_bytes: int = Field(default=50 * 1024 * 1024, ge=1024, le=500 * 1024 * 1024)
    page_items: int = Field(default=1_000_000, ge=1, le=1_000_000)


class Manners(Model):
    """Bounds on what is sent to one host at once, and how soon after one another."""

    concurrency: int = Field(default=4, ge=1, le=32)
    delay_seconds: float = Field(default=0, ge=0, le=300, strict=False)


class Scroll(Model):
    """How a page is scrolled before it is read: its own window and the boxes in it that scroll, step by step."""

    # Pixels of a step; the default is most of the window's height.
    step: int | None = Field(default=None, ge=10, le=10_000)
    # Seconds that more has to appear at the end; what the page is still asking for is waited for in any case.
    wait: float = Field(default=3.0, ge=0, le=60, strict=False)
    # Done as soon as this selector matches (CSS), or when so many steps were made; the latter is counted as a problem.
    until: Annotated[Expression, BeforeValidator(_selector_text)] | None = None
    steps: int = Field(default=1000, ge=1, le=100_000)


class Viewport(Model):
    """The browser's window, in CSS pixels."""

    width: int = Field(ge=100, le=4000)
    height: int = Field(ge=100, le=10_000)


class DialogText(Model):
    """What is typed into a prompt, which is then accepted."""

    text: Annotated[str, StringConstraints(max_length=2000)]


def _as_scroll(value: object) -> object:
    return {} if value is True else None if value is False else value


class ScrapeDefinition(Model):
    """A run's whole definition."""

    start_urls: list[str] = Field(default=[], max_length=10_000)
    render: RenderMode = "auto"
    items: Items
    detail: Detail | None = None
    next: Selector | None = None
    crawl: Annotated[Crawl | None, BeforeValidator(_as_crawl)] = None
    limits: Limits = Limits()
    unique_by: list[Name] = Field(default=[], max_length=20)
    # Compare with what earlier runs of the task found.
    changes: bool = False
    # Ask for pages that an earlier run of the task had only if they have changed since.
    conditional: bool = True
    data_type: Annotated[str, StringConstraints(min_length=1, max_length=100)] = "item"
    robots: bool = True
    politeness: Manners = Manners()
    user_agent: Annotated[str, StringConstraints(min_length=1, max_length=500)] | None = None
    headers: dict[Name, Annotated[str, StringConstraints(max_length=8000)]] = Field(default={}, max_length=50)
    proxy_id: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    page_seconds: float = Field(default=30, gt=0, le=600, strict=False)
    # A CSS selector, plain or as {"css": …}.
    wait_for: Annotated[Expression, BeforeValidator(_selector_text)] | None = None
    scroll: Annotated[Scroll | None, BeforeValidator(_as_scroll)] = None
    dialogs: Literal["accept", "dismiss"] | DialogText = "dismiss"
    viewport: Viewport | None = None
    # The pages' encoding (a WHATWG label), whatever they say themselves.
    charset: Annotated[str, StringConstraints(min_length=1, max_length=100)] | None = None
    # A run that finds no item at all fails.
    fail_if_empty: bool = False
    steps: list[dict[str, Any]] = Field(default=[], max_length=500)

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        fields = dict(self.items.fields)
        if self.detail is not None:
            followed = fields.get(self.detail.follow)
            if followed is None:
                raise ValueError(f"detail.follow: {self.detail.follow!r} is not among items.fields")
            if followed.many:
                raise ValueError(f"detail.follow: {self.detail.follow!r} has many values, one is needed")
            fields |= self.detail.fields
        for name in self.unique_by:
            if name not in fields:
                raise ValueError(f"unique_by: {name!r} is not among the fields")
        if self.changes and not self.unique_by:
            raise ValueError("changes: needs unique_by, which tells the items apart")
        if self.crawl is not None and self.next is not None:
            raise ValueError("next: a crawl follows it as a link like any other")
        return self

    @property
    def first_urls(self) -> list[str]:
        """Every URL that the definition itself names: its sites are the run's own."""
        sitemaps = self.crawl.sitemap if self.crawl is not None and isinstance(self.crawl.sitemap, list) else []
        return [*self.start_urls, *sitemaps]

    @property
    def depth(self) -> int:
        """How many links away from a start URL a page may be."""
        own = self.crawl.depth if self.crawl is not None else None
        return self.limits.depth if own is None else own


def read_definition(parameters: Mapping[str, Json]) -> ScrapeDefinition:
    """The definition in a run's parameters. Raises InvalidParameters that names the first wrong field."""
    try:
        definition = ScrapeDefinition.model_validate(_with_mode(parameters))
    except ValidationError as error:
        raise _refused(error) from error
    if not definition.first_urls:
        raise InvalidParameters("needs one at least, or a crawl whose sitemap lists some", field="start_urls")
    _check_urls(definition.start_urls, "start_urls")
    _check_urls(definition.first_urls[len(definition.start_urls) :], "crawl.sitemap")
    return definition


def _refused(error: ValidationError) -> InvalidParameters:
    errors = error.errors(include_url=False, include_context=False)
    # A slip of the pen is named before what is missing because of it.
    first = next((one for one in errors if one["type"] == "extra_forbidden"), errors[0])
    place = first["loc"]
    message = first["msg"].removeprefix("Value error, ")
    field = path_of(place)
    if first["type"] == "extra_forbidden":
        message = unknown_field(ScrapeDefinition, place)
    elif not field:
        # What concerns several members names the one to change, by itself.
        field, _, message = message.partition(": ")
    return InvalidParameters(message, field=field)


def _with_mode(parameters: Mapping[str, Json]) -> dict[str, Json]:
    whole = dict(parameters)
    mode = whole.pop("mode", None)
    if mode not in (None, "list", "crawl"):
        raise InvalidParameters("must be list or crawl", field="mode")
    if mode == "crawl" and not whole.get("crawl"):
        whole["crawl"] = {}
    return whole


def _check_urls(urls: Sequence[str], field: str) -> None:
    # It brings an HTTP client along, which a process that only reads pages does without.
    from scraper.addresses import check_url

    for index, url in enumerate(urls):
        try:
            check_url(url)
        except ExecutorError as error:
            raise InvalidParameters(error.message, field=f"{field}[{index}]") from error
