"""Answers of JSON, by their type and by what they are."""

from typing import Any

import pytest
from reading_kit import list_of
from scraper.documents import parse_document
from scraper.executor import ExecutorError
from scraper.scrape_reads import ListRead

BODY = '{"rows": [{"n": "elm"}, {"n": "oak"}]}'
NAMES = ["elm", "oak"]


def read(text: str, content_type: str, select: str = "$.rows[*]", path: str = "$.n") -> ListRead:
    items = {"select": {"jsonpath": select}, "fields": {"f": {"jsonpath": path}}}
    return list_of({"items": items}, parse_document(text, url="http://h/", content_type=content_type))


def found(text: str, content_type: str, select: str = "$.rows[*]", path: str = "$.n") -> list[Any]:
    return [item.data["f"] for item in read(text, content_type, select, path).items]


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "text/json", "application/vnd.x+json", "application/problem+json", "text/plain",
     "text/html", "",
     "text/javascript", "application/octet-stream"],
)  # fmt: skip
@pytest.mark.parametrize(
    "text",
    [BODY, f"\ufeff{BODY}", f"\n  {BODY}\n", f")]}}',\n{BODY}", f")]}}'\n{BODY}", f"while(1);{BODY}",
     f"for (;;);{BODY}",
     f"{{}}&&{BODY}", f"callback({BODY});", f"/**/ a.b_1({BODY})"],
)  # fmt: skip
def test_json_is_told_by_its_type_or_by_itself(text: str, content_type: str) -> None:
    assert found(text, content_type) == NAMES


@pytest.mark.parametrize(
    "content_type",
    ["application/x-ndjson", "application/jsonl", "application/json", "text/plain", "application/json-seq"],
)
@pytest.mark.parametrize("text", ['{"n": "elm"}\n{"n": "oak"}\n', '{"n": "elm"}\r\n\r\n{"n":\r\n"oak"}'])
def test_several_values_are_a_list(text: str, content_type: str) -> None:
    assert found(text, content_type, "$") == NAMES


def test_a_sequence_of_json_has_marks_between_its_records() -> None:
    assert found('\x1e{"n": "elm"}\n\x1e{"n": "oak"}\n', "application/json-seq", "$") == NAMES


def test_one_line_of_json_is_a_list_of_one() -> None:
    assert found('{"n": "elm"}', "application/x-ndjson", "$") == ["elm"]
    assert found('{"n": "elm"}', "application/x-ndjson", "$[*]") == ["elm"]


def test_a_broken_line_costs_itself() -> None:
    got = read('{"n": "elm"}\n{"n": \n{"n": "oak"}\n', "application/x-ndjson", "$")
    assert [item.data["f"] for item in got.items] == NAMES
    assert [(one["what"], one["where"], one["count"]) for one in got.problems] == [("data_broken", "JSON", 1)]


@pytest.mark.parametrize(
    ("value", "is_found"),
    [("NaN", None), ("-Infinity", None), ("1e999", None), ("18446744073709551615", "18446744073709551615"),
     ("9" * 5000, "9" * 5000),
     ("9007199254740993", 9007199254740993), ("-9223372036854775809", "-9223372036854775809"), ("1.5", 1.5),
     ("true", True)],
)  # fmt: skip
def test_a_value_that_json_or_the_store_does_not_have_costs_itself(value: str, is_found: object) -> None:
    got = read(f'{{"rows": [{{"n": 1}}, {{"n": {value}}}, {{"n": 3}}]}}', "application/json")
    assert [item.data["f"] for item in got.items] == [1, is_found, 3]
    assert bool(got.problems) is (is_found is None)


@pytest.mark.parametrize("text", ["<html>", "", "nothing", "{broken", "[1, 2", "[" * 3000 + "]" * 3000])
def test_what_claims_to_be_json_and_is_not_fails_with_a_reason(text: str) -> None:
    with pytest.raises(ExecutorError, match="says that it is JSON, but it isn't"):
        parse_document(text, url="http://h/", content_type="application/json")


@pytest.mark.parametrize(
    "text",
    [
        "[1] a note",
        "{template} <p>x</p>",
        '{"a": 1} <p>x</p>',
        "(function(){})",
        "if ({}) <p>",
        "[]<p>",
        "5",
        '"text"',
        "{",
        "[",
        "a({)",
    ],
)
def test_what_only_looks_like_json_is_a_page(text: str) -> None:
    document = parse_document(text, url="http://h/", content_type="text/html")
    assert document.root is not None
    assert not document.problems
