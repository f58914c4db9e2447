"""What fields take from documents."""

import time
from typing import Any

import pytest
from reading_kit import list_of
from scraper.documents import parse_document
from scraper.executor import InvalidParameters
from scraper.scrape_definition import read_definition
from scraper.scrape_reads import ListRead
from scraper.selectors import is_plain
from scraper.values import Unread, convert

PAGE = """
<html><head><title>T</title><base href="/deep/"></head><body>
<script type="application/ld+json">{broken</script>
<script type="application/ld+json">{"@graph": [{"@type": "Product", "offers": {"price": "9.90"}}]}</script>
<script type="application/json" id="data">{"rows": [{"n": 1}, {"n": 2}]}</script>
<div class="p"><h2>One<!-- c --> and <b>half</b></h2><a href="x?a=1&amp;b=2">go</a><img src="i.png">
<p class="d" data-n="5">Tax: 19% of € 1.299,00</p></div></body></html>
"""


def read(fields: dict[str, Any], *, text: str = PAGE, content_type: str = "text/html", **more: Any) -> ListRead:
    parameters = {"start_urls": ["http://h/"], "items": {"fields": fields} | more.pop("items", {})} | more
    return list_of(parameters, parse_document(text, url="http://h/list", content_type=content_type))


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        ({"css": "h2"}, "One and half"),
        ({"css": "h2::text"}, "One"),
        ({"css": "h2 b", "type": "html"}, "<b>half</b>"),
        ({"xpath": "//h2/b/text()"}, "half"),
        ({"xpath": "count(//p)", "type": "integer"}, 1),
        ({"css": "a", "type": "url"}, "http://h/deep/x?a=1&b=2"),
        ({"css": "a::attr(href)", "type": "url"}, "http://h/deep/x?a=1&b=2"),
        ({"css": "img", "attribute": "src", "type": "url"}, "http://h/deep/i.png"),
        ({"css": "p", "attribute": "data-n", "type": "integer"}, 5),
        ({"css": "p", "regex": r"of (.*)$", "type": "number"}, 1299),
        ({"css": "p", "regex": r"\d+", "many": True}, ["19", "1", "299", "00"]),
        ({"regex": r'data-n="(\d)"'}, "5"),
        ({"jsonpath": "$.offers.price", "type": "number"}, 9.9),
        ({"css": "#data", "jsonpath": "$.rows[*].n", "many": True}, [1, 2]),
        ({"jsonpath": "$.rows[1].n"}, 2),
        ({"jsonpath": "$.rows[?@.n > 1].n"}, 2),
        ({"css": ".none"}, None),
        ({"css": ".none", "default": "d"}, "d"),
        ({"css": ".none", "many": True}, []),
        ({"css": "h2", "type": "number"}, None),
    ],
)
def test_scrape_field_of_html(rule: dict[str, Any], value: object) -> None:
    assert read({"f": rule}).items[0].data == {"f": value}


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("€ 1.299,00", "number", 1299.0),
        ("1,299.50 USD", "number", 1299.5),
        ("-3.5", "number", -3.5),
        ("-€ 12", "number", -12),
        ("1e400", "number", None),
        ("nan", "number", None),
        ("7", "number", 7),
        ("no", "number", None),
        ("12 pieces", "integer", 12),
        ("1.5", "integer", None),
        ("https://schema.org/InStock", "boolean", True),
        ("No", "boolean", False),
        ("perhaps", "boolean", None),
        ("12. März 2024", "date", "2024-03-12"),
        ("2024-01-15T10:30:00Z", "date", "2024-01-15T10:30:00+00:00"),
        ("Jan 5, 2024 3:04 PM", "date", "2024-01-05T15:04:00"),
        ("soon", "date", None),
        ("  a \n b ", "text", "a b"),
        ("../x", "url", "http://h/x"),
        ("javascript:alert(1)", "url", None),
        ("http://[bad", "url", None),
    ],
)
def test_scrape_field_types(text: str, kind: str, value: object) -> None:
    found = convert(text, kind, "http://h/a/b")
    assert (None if isinstance(found, Unread) else found) == value


def test_scrape_xml_keeps_its_names_and_reads_no_entities() -> None:
    text = (
        '<?xml version="1.0"?><!DOCTYPE r [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
        "<rss><channel><item><pubDate>2024-01-02</pubDate><title>&e;x</title></item></channel></rss>"
    )
    fields = {"d": {"css": "pubDate", "type": "date"}, "t": {"xpath": "title"}}
    found = read(fields, text=text, content_type="application/rss+xml", items={"select": {"css": "item"}})
    assert found.items[0].data["d"] == "2024-01-02"
    assert "root:" not in str(found.items[0].data["t"])


def test_scrape_next_is_a_link_wherever_it_is_said() -> None:
    html = '<a class="n" href="/p2">2</a><li>a</li>'
    for following in ({"css": "a.n"}, {"css": "a.n::attr(href)"}, {"xpath": "//a/@href"}, {"regex": 'href="(.*?)"'}):
        assert read({"f": {"css": "li"}}, text=html, next=following).next_url == "http://h/p2"


def test_scrape_hostile_patterns_stay_linear() -> None:
    """Patterns that take a backtracking engine years: in regex, and in JSONPath's functions."""
    evil = "a" * 5000 + "!"
    started = time.monotonic()
    assert read({"f": {"css": "p", "regex": "^(a+)+$"}}, text=f"<p>{evil}</p>").items[0].data == {"f": None}
    fields = {"f": {"jsonpath": "$.rows[?match(@.n, '(a+)+')].n"}, "g": {"jsonpath": "$.rows[?search(@.n, 'a!')].n"}}
    found = read(fields, text=f'{{"rows": [{{"n": "{evil}"}}]}}', content_type="application/json")
    assert found.items[0].data == {"f": None, "g": evil}
    assert time.monotonic() - started < 30


@pytest.mark.parametrize(
    "text", ["", "\0", "<", "<html", "<p>" * 5000, "<a href='http://[x'>y</a>", "plain", "<base href='http://['>"]
)
def test_scrape_broken_pages_are_only_empty(text: str) -> None:
    found = read({"f": {"css": ".x"}, "u": {"css": "a", "type": "url"}}, text=text, next={"css": "a"})
    assert found.items[0].found == 0


def test_scrape_deep_json_is_refused_or_read_but_never_crashes() -> None:
    deep = "[" * 500 + "]" * 500
    assert read({"f": {"jsonpath": "$..zz"}}, text=deep, content_type="application/json").items[0].found == 0


def test_scrape_wrong_types_are_not_coerced() -> None:
    with pytest.raises(InvalidParameters, match=r"limits\.items"):
        read_definition(
            {"start_urls": ["http://h/"], "items": {"fields": {"a": {"css": "a"}}}, "limits": {"items": "5"}}
        )


STRUCTURED = """
<script type="application/ld+json">/*<![CDATA[*/
{"@context": "https://schema.org", "@graph": [{"@type": "ItemList", "itemListElement": [
 {"@type": "ListItem", "item": {"@type": ["Product", "Thing"], "name": "Line
 break", "offers": {"@type": "Offer", "price": "9.90"}}}]}]}
/*]]>*/</script>
<div itemscope itemtype="https://schema.org/Product"><b itemprop="name">Micro</b>
<div itemprop="offers" itemscope itemtype="http://schema.org/Offer"><meta itemprop="price" content="5"></div></div>
"""


def test_scrape_structured_data_is_found_by_its_type_however_a_page_writes_it() -> None:
    fields = {"name": {"jsonpath": "$.name"}, "price": {"jsonpath": "$.offers.price", "type": "number"}}
    found = read(fields, text=STRUCTURED, items={"select": {"structured": "Product"}})
    assert [item.data for item in found.items] == [
        {"name": "Line break", "price": 9.9},
        {"name": "Micro", "price": 5},
    ]
    rule = {"structured": "https://schema.org/Offer", "jsonpath": "$.price", "many": True}
    assert read({"prices": rule}, text=STRUCTURED).items[0].data == {"prices": ["9.90", "5"]}
    assert read({"f": {"structured": "Recipe", "jsonpath": "$.name"}}, text=STRUCTURED).items[0].data == {"f": None}


def test_scrape_structured_data_of_a_hostile_page_is_bounded() -> None:
    deep = "<div itemscope itemtype='t:Product'><b itemprop='child'>" * 200
    looped = '<script type="application/ld+json">' + '{"@type": "Product", "a": [' * 400 + "</script>"
    read({"f": {"structured": "Product", "jsonpath": "$.name"}}, text=deep + looped)


@pytest.mark.parametrize(
    ("css", "plain"),
    [("a.b > i[data-x='a:b'] #c", True), ("a::attr(href)", True), ("p::text", True), ("li:nth-child(2)", False),
     ("a ~ b", False), ("a + b", False), ("a:not(.x)", False), ("a:has(b)", False)],
)  # fmt: skip
def test_scrape_only_selectors_that_cost_one_walk_are_plain(css: str, plain: bool) -> None:
    assert is_plain(css) is plain
