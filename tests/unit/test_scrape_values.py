"""Fields of a page: what tells of one another, what is counted, and what a failure costs."""

from typing import Any

import pytest
from reading_kit import list_of
from scraper.documents import parse_document
from scraper.executor import InvalidParameters
from scraper.scrape_reads import ListRead


def read(text: str, fields: dict[str, Any], content_type: str = "text/html", **more: Any) -> ListRead:
    items = {"fields": fields} | ({"select": more.pop("select")} if "select" in more else {})
    return list_of({"items": items} | more, parse_document(text, url="http://h/", content_type=content_type))


def values(read: ListRead) -> list[Any]:
    return [item.data["f"] for item in read.items]


def problems(read: ListRead) -> list[tuple[str, str, int]]:
    return [(one["what"], one["where"], one["count"]) for one in read.problems]


def rows(*texts: str, language: str = "") -> str:
    return f"<html lang='{language}'><body>" + "".join(f"<li>{text}</li>" for text in texts)


FIELD = {"css": "*"}


@pytest.mark.parametrize(
    ("kind", "texts", "language", "expected"),
    [
        ("number", ["1,250", "3,480", "1,234.50"], "", [1250, 3480, 1234.5]),
        ("number", ["1,250", "24,90"], "", [1.25, 24.9]),
        ("number", ["1,250", "24,90", "24.90"], "", [None, 24.9, 24.9]),
        ("number", ["1,250", "24,90", "24.90"], "en", [1250, 24.9, 24.9]),
        ("number", ["1.250", "1.234,50"], "en", [1250, 1234.5]),
        ("date", ["03/04/2023", "25/12/2022"], "", ["2023-04-03", "2022-12-25"]),
        ("date", ["03/04/2023", "12/25/2022"], "en-GB", ["2023-03-04", "2022-12-25"]),
        ("date", ["03/04/2023", "12/25/2022", "25/12/2022"], "", [None, "2022-12-25", "2022-12-25"]),
        ("date", ["03/04/2023"], "en-AU", ["2023-04-03"]),
    ],
)
def test_other_texts_of_the_field_tell_and_then_the_pages_language(
    kind: str, texts: list[str], language: str, expected: list[Any]
) -> None:
    found = read(rows(*texts, language=language), {"f": FIELD | {"type": kind}}, select={"css": "li"})
    assert values(found) == expected
    assert problems(found) == [("value_ambiguous", "items.f", 1)] * expected.count(None)


@pytest.mark.parametrize(
    "head",
    [
        "<html lang=de>",
        "<html xml:lang='de-DE'>",
        "<html><head><meta http-equiv='Content-Language' content='de, en'></head>",
    ],
)
def test_a_page_says_its_language_in_several_ways(head: str) -> None:
    assert values(read(f"{head}<body><li>1,250</li>", {"f": {"css": "li", "type": "number"}})) == [1.25]


def test_what_could_not_be_read_is_null_counted_and_not_the_same_as_what_was_not_there() -> None:
    found = read(
        rows("on request", "5", ""), {"f": FIELD | {"type": "number", "required": True}, "g": {"css": "i"}},
        select={"css": "li"},
    )  # fmt: skip
    assert values(found) == [None, 5, None]
    assert [item.found for item in found.items] == [1, 1, 0]
    assert [item.missing for item in found.items] == [("f",), (), ("f",)]
    assert [item.lacking for item in found.items] == [("g",), ("g",), ("f", "g")]
    assert problems(found) == [("value_unreadable", "items.f", 1)]
    assert found.problems[0]["example"] == "on request"


def test_a_default_and_many_are_as_before() -> None:
    found = read(rows("a", "5", "6"), {"f": {"css": "li", "type": "number", "many": True}})
    assert values(found) == [[5, 6]]
    assert problems(found) == [("value_unreadable", "items.f", 1)]
    assert values(read(rows("a", "5"), {"f": {"css": "li", "type": "number"}})) == [5]
    assert values(read(rows("a"), {"f": {"css": "li", "type": "number", "default": 0}})) == [0]


def test_a_selector_that_fails_on_a_page_costs_its_field() -> None:
    """A JSONPath over more levels than it may go down."""
    deep = '{"a": ' * 400 + "1" + "}" * 400
    found = read(f'{{"name": "x", "deep": {deep}}}', {"f": {"jsonpath": "$.name"}, "g": {"jsonpath": "$.deep..zz"}},
                 "application/json")  # fmt: skip
    assert found.items[0].data == {"f": "x", "g": None}
    assert problems(found) == [("field_failed", "items.g", 1)]


def test_texts_of_json_are_no_documents_for_a_jsonpath() -> None:
    found = read('["a", "[1]"]', {"f": {"jsonpath": "$"}, "g": {"jsonpath": "$[0]"}}, "application/json",
                 select={"jsonpath": "$"})  # fmt: skip
    assert [item.data for item in found.items] == [{"f": "a", "g": None}, {"f": "[1]", "g": None}]


def test_what_the_store_cannot_hold_is_made_storable_or_counted() -> None:
    deep = "[" * 120 + "]" * 120
    text = f'{{"a": {{"n": 48151623424815162342, "half": "\\ud800x", "nul\\u0000l": 1}}, "d": {deep}}}'
    found = read(text, {"f": {"jsonpath": "$.a"}, "g": {"jsonpath": "$.d"}}, "application/json")
    assert found.items[0].data["f"] == {"n": "48151623424815162342", "half": "\ufffdx", "null": 1}
    assert problems(found) == [("value_cut", "items.g", 1)]
    nan = read("<p>x</p>", {"f": {"xpath": "number(//x)"}, "n": {"xpath": "number(//x)", "type": "number"}})
    assert nan.items[0].data == {"f": None, "n": None}
    assert {what for what, _, _ in problems(nan)} == {"value_cut", "value_unreadable"}


def test_an_item_that_is_too_large_for_the_store_loses_its_largest_value() -> None:
    found = read(f"<p>small</p><pre>{'x' * 13_000_000}</pre>", {"f": {"css": "p"}, "g": {"css": "pre"}})
    assert found.items[0].data == {"f": "small", "g": None}
    assert problems(found) == [("value_cut", "items.g", 1)]


def test_nothing_is_cut_below_the_bound_of_a_page_and_what_is_beyond_it_is_counted() -> None:
    many = rows(*map(str, range(15_000)))
    found = read(many, {"f": FIELD}, select={"css": "li"})
    assert len(found.items) == 15_000
    assert len(values(read(many, {"f": {"css": "li", "many": True}}))[0]) == 15_000
    words = "<p>" + " ".join(f"no{number}" for number in range(15_000))
    assert len(values(read(words, {"f": {"css": "p", "regex": r"no(\d+)", "many": True}}))[0]) == 15_000
    assert len(values(read("<p>" + "word " * 300_000, {"f": {"css": "p"}}))[0]) == 1_499_999


@pytest.mark.parametrize(
    ("select", "field", "where", "kept"),
    [
        ({"css": "li"}, {"css": "*"}, "items.select", 10),
        (None, {"css": "li", "many": True}, "items.f", 1),
        (None, {"css": "ul", "regex": r"\d+", "many": True}, "items.f", 1),
        (None, {"jsonpath": "$.n[*]", "many": True}, "items.f", 1),
        ({"jsonpath": "$.n"}, {"jsonpath": "$"}, "items.select", 10),
        ({"structured": "T"}, {"jsonpath": "$.i"}, "items.select", 10),
    ],
)
def test_what_is_beyond_the_bound_is_counted(select: Any, field: dict[str, Any], where: str, kept: int) -> None:
    objects = ", ".join(f'{{"@type": "T", "i": {number}}}' for number in range(12))
    page = f'<ul>{rows(*map(str, range(12)))}</ul><script type=application/json>{{"n": [{objects}]}}</script>'
    more = {"select": select} if select else {}
    found = read(page, {"f": field}, limits={"page_items": 10}, **more)
    assert len(found.items) == kept
    assert kept == 10 or len(values(found)[0]) == 10
    assert problems(found) == [("values_cut", where, 1)]


@pytest.mark.parametrize(("content_type", "levels"), [("text/html", 1500), ("application/xml", 1500)])
def test_deep_pages_are_read(content_type: str, levels: int) -> None:
    page = "<r>" + "<div>" * levels + "<p>deep</p>" + "</div>" * levels + "<q>after</q></r>"
    found = read(page, {"f": {"css": "p"}, "g": {"css": "q"}}, content_type)
    assert found.items[0].data == {"f": "deep", "g": "after"}
    assert not found.problems


def test_a_page_that_is_deeper_than_can_be_read_says_so() -> None:
    found = read("<p>first</p>" + "<div>" * 5000 + "<q>deep", {"f": {"css": "p"}, "g": {"css": "q"}})
    assert found.items[0].data == {"f": "first", "g": None}
    assert problems(found) == [("page_cut", "page", 1)]


def test_rows_that_are_never_closed_are_all_rows() -> None:
    page = "".join(f"<div class=row><span>{number}</span>" for number in range(900))
    assert len(read(page, {"f": {"css": "span"}}, select={"css": ".row"}).items) == 900


def test_an_unknown_zone_is_refused_by_name() -> None:
    with pytest.raises(InvalidParameters, match=r"items\.fields\.f\.timezone: there is no time zone 'Mars/Base'"):
        read("", {"f": {"css": "p", "type": "date", "timezone": "Mars/Base"}})
    dated = read("<p>2023-04-09 10:00", {"f": {"css": "p", "type": "date", "timezone": "Asia/Tokyo"}})
    assert values(dated) == ["2023-04-09T10:00:00+09:00"]
