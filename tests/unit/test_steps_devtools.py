"""Chrome DevTools recordings as canonical steps, and the dry run of step lists."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scraper.devtools_steps import import_devtools
from scraper.executor import InvalidParameters
from scraper.step_check import check_definition
from scraper.steps import dump_steps


def imported(*steps):
    dumped = dump_steps(import_devtools({"title": "t", "steps": list(steps)}))
    for step in dumped:
        step.pop("source", None)
    return dumped


def test_every_kind_of_selector_becomes_an_alternative_in_the_recordings_order():
    (step,) = imported(
        {
            "type": "click",
            "selectors": [
                ['aria/Buy[role="button"]'], ["#buy"], ["xpath///*[@id='buy']"], ["pierce/.x"], ["text/Buy"], ".y",
                ["#frame", "#inner"],
            ],
        }
    )  # fmt: skip
    assert step == {
        "type": "click",
        "target": [
            {"role": "button", "name": "Buy"}, {"css": "#buy"}, {"xpath": "//*[@id='buy']"}, {"css": ".x"},
            {"text": "Buy"}, {"css": ".y"}, {"css": "#inner"},
        ],
    }  # fmt: skip


def test_a_name_without_a_role_is_looked_for_as_what_the_step_needs():
    (step,) = imported({"type": "change", "value": "x", "selectors": [["aria/Search"]], "frame": [0, 2]})
    assert step["target"][0] == {
        "role": "textbox", "name": "Search",
        "frame": ":nth-match(:is(iframe, frame), 1) >> :nth-match(:is(iframe, frame), 3)",
    }  # fmt: skip
    assert {"label": "Search"}.items() <= step["target"][-3].items()


def test_keys_that_are_held_make_a_chord_and_what_sets_the_scene_is_left_out():
    steps = imported(
        {"type": "setViewport", "width": 1, "height": 1},
        {"type": "keyDown", "key": "Control"},
        {"type": "keyDown", "key": "a"},
        {"type": "keyUp", "key": "a"},
        {"type": "keyUp", "key": "Control"},
        {"type": "keyDown", "key": "Enter"},
        {"type": "close"},
    )
    assert [step["key"] for step in steps] == ["Control+a", "Enter"]


def test_scrolls_are_told_by_where_the_page_was_and_tabs_by_their_address():
    steps = imported(
        {"type": "scroll", "y": 500},
        {"type": "scroll", "y": 200},
        {"type": "click", "selectors": [["#a"]], "target": "https://example.com/pop"},
        {"type": "hover", "selectors": [["#b"]], "target": "main", "timeout": 5000},
        {"type": "waitForElement", "selectors": [["#gone"]], "visible": False},
    )
    assert steps == [
        {"type": "scroll", "distance": 500.0},
        {"type": "scroll", "direction": "up", "distance": 300.0},
        {"type": "switch_tab", "url": "https://example.com/pop"},
        {"type": "click", "target": [{"css": "#a"}]},
        {"type": "switch_tab", "index": 0},
        {"type": "hover", "target": [{"css": "#b"}], "timeoutMs": 5000},
        {"type": "assert", "when": {"target": [{"css": "#gone"}], "visible": False}},
    ]


@pytest.mark.parametrize(
    ("step", "field"),
    [
        ({"type": "waitForExpression", "expression": "1"}, "type"),
        ({"type": "teleport"}, "type"),
        ({"type": "click"}, "selectors"),
        ({"type": "click", "selectors": [[""]]}, "selectors[0]"),
        ({"type": "click", "selectors": ["#a"], "frame": ["x"]}, "frame"),
        ({"type": "change", "selectors": ["#a"], "value": []}, "value"),
        ({"type": "keyDown", "key": 5}, "key"),
        ({"type": "navigate"}, "url"),
        ({"type": "scroll", "y": "far"}, "y"),
        ({"type": "hover", "selectors": ["#a"], "timeout": 0}, "timeout"),
    ],
)
def test_a_wrong_step_is_named(step, field):
    with pytest.raises(InvalidParameters) as caught:
        import_devtools({"title": "t", "steps": [{"type": "navigate", "url": "x"}, step]})
    assert caught.value.field == f"sortedData.steps[1].{field}"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "target", "steps", "selectors", "frame", "sortedData", "row", "title", "element"]),
            inner | st.sampled_from(["click", "navigation", "loop", "scroll", "change"]), max_size=5,
        )
    ),
    max_leaves=12,
)  # fmt: skip


@given(JSON)
def test_no_json_breaks_importer_or_dry_run(raw):
    with contextlib.suppress(InvalidParameters):
        import_devtools({"title": "t", "steps": raw})
    checked = check_definition(raw)
    assert checked.steps or checked.findings


def codes(definition, level="warning"):
    return [(one.code, one.path) for one in check_definition(definition).findings if one.level == level]


CLICK = {"type": "click", "target": {"css": "#a"}}
READ = {"type": "extract", "name": "x", "target": {"css": "#b"}}


def test_the_format_is_told_by_what_is_in_the_list():
    for definition, expected in (
        ([CLICK, READ], "canonical"),
        ({"steps": [CLICK]}, "canonical"),
        ({"sortedData": [{"type": "scroll", "distance": 5}, READ]}, "canonical"),
        ([{"type": "click", "element": {"id": "a"}}], "recorded"),
        ([{"type": "navigation", "url": "/x"}], "recorded"),
        ({"title": "t", "steps": [{"type": "navigate", "url": "/x"}]}, "devtools"),
        ({"sortedData": {"steps": [{"type": "keyDown", "key": "a"}]}}, "devtools"),
    ):
        checked = check_definition(definition)
        assert (checked.format, bool(checked.steps)) == (expected, True), definition


def test_doubts_are_named_with_their_place():
    assert codes([CLICK, READ]) == [("no_wait", "sortedData[1]")]
    assert codes([CLICK, {"type": "wait_for", "timeMs": 1}, READ]) == []
    until = {"type": "loop", "until": {"text": "end"}, "steps": [READ]}
    assert codes([until]) == [("endless_loop", "sortedData[0]")]
    assert codes([until | {"steps": [READ, CLICK]}]) == []
    assert codes([{"type": "loop", "rows": True, "steps": [CLICK]}]) == [("no_rows", "sortedData[0]")]
    rows = {"steps": [{"type": "output", "value": "{{row.a}}"}], "row": [{"a": 1, "b": 2, "浏览器id": "x"}]}
    assert codes(rows) == [("unused_row_key", "row.b")]
    assert codes(rows | {"row": {}}) == [("missing_row_key", "steps[0]")]
    typed = {"type": "input", "target": {"css": "[name=password]"}, "value": "hunter2"}
    assert codes([typed]) == [("literal_secret", "sortedData[0]")]
    assert codes([typed | {"value": "{{secret:PW}}"}]) == []


def test_every_error_of_a_canonical_list_is_told_at_once():
    found = codes({"steps": [{"type": "klick"}, CLICK, {"type": "navigate"}]}, "error")
    assert [path for _, path in found] == ["steps[0].type", "steps[2].url"]
    assert codes([], "error") == [("empty", "steps")]
    assert codes("x", "error") == [("invalid", "")]
