"""The canonical step list: what is accepted, and how what is wrong is named."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scraper.executor import InvalidParameters
from scraper.steps import MAX_DEPTH, MAX_STEPS, check_steps, dump_steps, parse_steps, step_schema

CLICK = {"type": "click", "target": {"css": "#a"}}


@pytest.mark.parametrize(
    ("steps", "path", "words"),
    [
        ("x", "steps", "must be a list"),
        ({"type": "click"}, "steps", "must be a list"),
        ([CLICK, {"type": "klick"}], "steps[1].type", "unknown step type 'klick'"),
        ([{}], "steps[0].type", "is missing"),
        ([7], "steps[0]", ""),
        ([{"type": "click", "target": {}}], "steps[0].target", "needs one of css"),
        ([{"type": "click", "target": {"pierce": False}}], "steps[0].target", "needs one of"),
        ([{"type": "click", "target": {"css": "a", "within": [{}]}}], "steps[0].target.within[0]", "needs one of"),
        ([{**CLICK, "device": "touch", "button": "right"}], "steps[0]", "touch has no buttons"),
        ([{**CLICK, "modifiers": ["Ctrl"]}], "steps[0].modifiers[0]", "'Control'"),
        ([{"type": "scroll", "to": {"y": 5}, "distance": 5}], "steps[0]", "either to"),
        ([{"type": "wait_for", "timeMs": 5, "count": 2}], "steps[0]", "need target"),
        ([{"type": "set_viewport", "width": 0, "height": 9}], "steps[0].width", "greater"),
        ([{"type": "click", "target": {"css": 5}}], "steps[0].target.css", "string"),
        ([{"type": "click", "target": [{"id": "a"}, {"css": ""}]}], "steps[0].target[1].css", "at least 1"),
        ([{"type": "navigate"}], "steps[0].url", "required"),
        ([{**CLICK, "timeoutMs": 0}], "steps[0].timeoutMs", "greater"),
        ([{**CLICK, "onError": "ignore"}], "steps[0].onError", "'fail'"),
        ([{"type": "wait_for", "timeMs": 5, "url": "x"}], "steps[0]", "exactly one"),
        ([{"type": "loop", "steps": [CLICK]}], "steps[0]", "exactly one of count"),
        ([{"type": "loop", "count": "many", "steps": []}], "steps[0].count", ""),
        ([{"type": "loop", "count": 2, "steps": [CLICK, {"type": "press"}]}], "steps[0].steps[1].key", "required"),
        ([{"type": "if", "when": {}, "then": []}], "steps[0].when", "needs one of"),
        ([{"type": "if", "when": {"url": "x"}, "else": [{"type": "no"}]}], "steps[0].else[0].type", "unknown"),
        ([{"type": "extract", "name": "x", "fields": {"a": {"type": "pdf"}}}], "steps[0].fields.a.type", "'text'"),
    ],
)
def test_a_problem_is_named_by_its_path(steps, path, words):
    with pytest.raises(InvalidParameters) as caught:
        parse_steps(steps)
    assert caught.value.field == path
    assert words in caught.value.message


def test_lists_that_are_too_long_or_too_deep_are_refused_without_recursion():
    deep = [CLICK]
    for _ in range(100_000):
        deep = [{"type": "loop", "count": 1, "steps": deep}]
    _, problems = check_steps(deep)
    assert f"deeper than {MAX_DEPTH}" in problems[0].message
    _, problems = check_steps([CLICK] * (MAX_STEPS + 1))
    assert f"more than {MAX_STEPS}" in problems[0].message
    while deep:  # taken apart by hand: freeing it in one go is itself a deep recursion
        deep = deep[0].get("steps")


def test_steps_survive_being_written_and_read():
    raw = [
        CLICK,
        {"type": "loop", "until": {"target": {"id": "end"}, "not": True}, "steps": [{"type": "press", "key": "Tab"}]},
        {"type": "extract", "name": "x", "list": True, "target": {"css": "li"}, "fields": {"a": {"css": "b"}}},
    ]
    steps = parse_steps(raw)
    assert parse_steps(dump_steps(steps)) == steps


@pytest.mark.parametrize(
    ("step", "path", "words"),
    [
        ({**CLICK, "colour": "red"}, "steps[0].colour", "unknown field"),
        ({**CLICK, "timeoutms": 5}, "steps[0].timeoutms", "did you mean 'timeoutMs'?"),
        ({"type": "clik"}, "steps[0].type", "did you mean 'click'?"),
        ({"type": "Wait-For"}, "steps[0].type", "did you mean 'wait_for'?"),
        ({"type": "click", "target": [{"css": "a", "hasTxt": "b"}]}, "steps[0].target[0].hasTxt", "'hasText'?"),
        ({"type": "if", "when": {"urls": "x"}}, "steps[0].when.urls", "did you mean 'url'?"),
        ({"type": "loop", "count": 1, "steps": [{**CLICK, "retry": 1}]}, "steps[0].steps[0].retry", "'retries'?"),
        ({"type": "extract", "name": "x", "fields": {"css": {"xpaht": "b"}}}, "steps[0].fields.css.xpaht", "'xpath'?"),
        ({**CLICK, "position": {"x": 1, "why": 2}}, "steps[0].position.why", "unknown field"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_known_one(step, path, words):
    with pytest.raises(InvalidParameters) as caught:
        parse_steps([step])
    assert caught.value.field == path
    assert words in caught.value.message


def test_the_schema_names_every_type_and_admits_nothing_else():
    assert step_schema()["$defs"]["Click"]["additionalProperties"] is False
    text = str(step_schema())
    for kind in [
        "navigate",
        "double_click",
        "type_keys",
        "wait_for",
        "switch_tab",
        "set_variable",
        "custom",
        "timeoutMs",
    ]:
        assert kind in text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "target", "steps", "css", "when", "count", "x"]), inner, max_size=4)
    ),
    max_leaves=10,
)


@given(JSON)
def test_no_json_breaks_the_check(raw):
    steps, problems = check_steps(raw)
    assert problems or len(steps) == len(raw)


def test_checking_and_importing_need_no_browser_library():
    code = "import sys, scraper.steps, scraper.recorded_steps, scraper.step_templates, scraper.browser_options;"
    code += "sys.exit('playwright' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
