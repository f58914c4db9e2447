"""What a scrape run counts as problems, and what a definition may not say."""

from typing import Any

import pytest
from scraper.executor import InvalidParameters
from scraper.problems import FURTHER, MAX_KINDS, VALUE_CUT, VALUE_UNREADABLE, Problems
from scraper.scrape_definition import read_definition

WORKING: dict[str, Any] = {"start_urls": ["http://h/"], "items": {"fields": {"a": {"css": "a"}}}}


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"limit": {"pages": 1}}, "limit: there is no such field; did you mean 'limits'?"),
        ({"nxt": {"css": "a"}}, "nxt: there is no such field; did you mean 'next'?"),
        ({"itemz": {}}, "itemz: there is no such field; did you mean 'items'?"),
        ({"zebra": 1}, "zebra: there is no such field"),
        ({"limits": {"page": 1}}, "limits.page: there is no such field; did you mean 'pages'?"),
        ({"politeness": {"delay": 1}}, "politeness.delay: there is no such field; did you mean 'delay_seconds'?"),
        ({"crawl": {"links": {"cs": "a"}}}, "crawl.links.cs: there is no such field; did you mean 'css'?"),
        (
            {"items": {"fields": {"a": {"css": "a", "typ": "number"}}}},
            "items.fields.a.typ: there is no such field; did you mean 'type'?",
        ),
        (
            {"items": {"select": {"csss": "li"}, "fields": {"a": {"css": "a"}}}},
            "items.select.csss: there is no such field; did you mean 'css'?",
        ),
        (
            {"detail": {"follow": "a", "field": {}, "fields": {"b": {"css": "b"}}}},
            "detail.field: there is no such field; did you mean 'fields'?",
        ),
        ({"items": None, "itemz": WORKING["items"]}, "itemz: there is no such field; did you mean 'items'?"),
        ({"mode": "crwal"}, "mode: must be list or crawl"),
    ],
)
def test_scrape_an_unknown_field_is_refused_with_its_path_and_the_nearest_name(
    change: dict[str, Any], refusal: str
) -> None:
    read_definition(WORKING)
    with pytest.raises(InvalidParameters) as caught:
        read_definition(WORKING | change)
    assert caught.value.message == refusal


def test_problems_of_one_kind_are_counted_with_the_first_example() -> None:
    problems = Problems()
    problems.note(VALUE_UNREADABLE, "items.price", "no number", example="on request")
    problems.note(VALUE_UNREADABLE, "items.price", "no number", example="ask us")
    page = Problems()
    page.note(VALUE_CUT, "items.text", "longer than 10 characters", count=3)
    problems.merge(page.to_json(), url="http://h/1")
    problems.merge(page.to_json(), url="http://h/2")
    assert [(one["what"], one["where"], one["count"], one["example"], one["url"]) for one in problems.to_json()] == [
        (VALUE_UNREADABLE, "items.price", 2, "on request", ""),
        (VALUE_CUT, "items.text", 6, "", "http://h/1"),
    ]
    assert problems.count == 8
    assert Problems.from_json(problems.to_json()).to_json() == problems.to_json()


def test_problems_have_a_bound_and_what_is_beyond_it_is_counted() -> None:
    problems = Problems()
    for number in range(MAX_KINDS + 50):
        problems.note(VALUE_UNREADABLE, f"items.f{number}", "no number")
    kinds = problems.to_json()
    assert len(kinds) == MAX_KINDS + 1
    assert kinds[-1]["what"] == FURTHER
    assert kinds[-1]["count"] == 50
    assert f"items.f{MAX_KINDS}" in kinds[-1]["message"]
