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
                ['aria/Buy[role="button"]'], ["aria/Buy now"], ["#buy"], ["xpath///*[@id='buy']"], ["pierce/.x"],
                ["text/Buy"], ".y", ["#card", "aria/Side", "#inner"],
            ],
        }
    )  # fmt: skip
    assert step == {
        "type": "click",
        "newTab": "stay",
        "target": [
            {"role": "button", "name": "Buy", "exact": True}, {"name": "Buy now"}, {"css": "#buy", "pierce": False},
            {"xpath": "//*[@id='buy']"}, {"css": ".x"}, {"text": "Buy"}, {"css": ".y", "pierce": False},
            {"css": "#inner", "pierce": False, "within": [{"css": "#card", "pierce": False}, {"name": "Side"}]},
        ],
    }  # fmt: skip


def test_all_that_a_click_says_is_kept():
    (step,) = imported(
        {
            "type": "doubleClick", "selectors": ["#a"], "offsetX": 3.5, "offsetY": 7, "button": "auxiliary",
            "deviceType": "pen", "duration": 120, "timeout": 900, "frame": [0, 2],
            "assertedEvents": [{"type": "navigation", "url": "http://x/", "title": ""}, {"type": "navigation"}],
        }
    )  # fmt: skip
    frame = ":nth-match(:is(iframe, frame), 1) >> :nth-match(:is(iframe, frame), 3)"
    assert step == {
        "type": "double_click", "target": [{"css": "#a", "pierce": False, "frame": frame}], "newTab": "stay",
        "position": {"x": 3.5, "y": 7.0}, "button": "middle", "device": "pen", "holdMs": 120, "timeoutMs": 900,
        "expectNavigation": [{"url": "http://x/"}, {}],
    }  # fmt: skip


def test_keys_are_held_as_they_were_and_each_step_is_in_its_tab():
    steps = imported(
        {"type": "keyDown", "key": "Control", "target": "main"},
        {"type": "keyUp", "key": "Control", "target": "https://example.com/pop"},
        {"type": "close", "target": "https://example.com/pop"},
        {"type": "scroll", "y": 200},
        {"type": "scroll", "frame": [1], "x": 5},
    )
    inner = {"css": ":root", "frame": ":nth-match(:is(iframe, frame), 2)"}
    assert steps == [
        {"type": "key_down", "key": "Control"},
        {"type": "switch_tab", "url": "https://example.com/pop", "frames": True},
        {"type": "key_up", "key": "Control"},
        {"type": "close_tab"},
        {"type": "switch_tab", "index": 0},
        {"type": "scroll", "to": {"y": 200.0}},
        {"type": "scroll", "to": {"x": 5.0}, "target": [inner]},
    ]


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ({}, {"state": "attached"}),
        ({"visible": False}, {"state": "hidden"}),
        ({"count": 0}, {"state": "attached", "count": 0, "operator": "=="}),
        ({"count": 2, "operator": "<="}, {"state": "attached", "count": 2, "operator": "<="}),
        ({"attributes": {"a": "b"}, "properties": {"x": {"y": 1}}},
         {"state": "attached", "attributes": {"a": "b"}, "properties": {"x": {"y": 1}}}),
    ],
)  # fmt: skip
def test_what_is_waited_for_is_told_whole(step, expected):
    (made,) = imported({"type": "waitForElement", "selectors": ["#a"], **step})
    assert made == {"type": "wait_for", "target": [{"css": "#a", "pierce": False}], **expected}


def test_screens_and_networks_are_told_whole():
    screen = {"width": 390, "height": 844, "deviceScaleFactor": 3, "isMobile": True, "hasTouch": True}
    steps = imported(
        {"type": "setViewport"},
        {"type": "setViewport", **screen, "isLandscape": False},
        {"type": "emulateNetworkConditions", "download": 500, "upload": -1, "latency": 20},
        {"type": "emulateNetworkConditions", "download": 0, "upload": 0, "latency": 0},
    )
    assert steps == [
        {"type": "set_viewport", **screen},
        {"type": "emulate_network", "latencyMs": 20.0, "downloadBytesPerSecond": 500.0},
        {"type": "emulate_network", "offline": True},
    ]


def test_a_recordings_time_limit_is_that_of_steps_without_one():
    recording = {"timeout": 700, "steps": [{"type": "keyUp", "key": "a"}, {"type": "keyUp", "key": "b", "timeout": 9}]}
    assert [step.timeout_ms for step in import_devtools(recording)] == [700, 9]
    with pytest.raises(InvalidParameters) as caught:
        import_devtools({**recording, "timeout": 0})
    assert caught.value.field == "sortedData.timeout"


def test_a_page_that_was_recorded_for_another_row_is_only_waited_for():
    told = [{"type": "navigation", "url": "http://x/lamps", "title": "Lamps"}]
    (step,) = imported({"type": "navigate", "url": "http://x/{{row.what}}", "assertedEvents": told})
    assert step["expectNavigation"] == [{}]


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
        ({"type": "click", "selectors": ["#a"], "force": 1}, "force"),
        ({"type": "click", "selectors": ["#a"], "offsetx": 1}, "offsetx"),
        ({"type": "click", "selectors": ["#a"], "offsetX": "left", "offsetY": 1}, "offsetX"),
        ({"type": "click", "selectors": ["#a"], "offsetX": 1}, "offsetY"),
        ({"type": "click", "selectors": ["#a"], "button": "left"}, "button"),
        ({"type": "click", "selectors": ["#a"], "button": "secondary", "deviceType": "touch"}, "button"),
        ({"type": "click", "selectors": ["#a"], "deviceType": "finger"}, "deviceType"),
        ({"type": "doubleClick", "selectors": ["#a"], "deviceType": "touch"}, "deviceType"),
        ({"type": "click", "selectors": ["#a"], "duration": -1}, "duration"),
        ({"type": "click", "selectors": ["a >>> b"]}, "selectors[0]"),
        ({"type": "click", "selectors": [["#a", "::-p-text(x)"]]}, "selectors[0]"),
        ({"type": "click", "selectors": ["#a"] * 21}, "selectors"),
        ({"type": "click", "selectors": ["aria/"]}, "selectors[0]"),
        ({"type": "click", "selectors": ["#a"], "target": 5}, "target"),
        ({"type": "change", "selectors": ["#a"]}, "value"),
        ({"type": "waitForElement", "selectors": ["#a"], "operator": "!="}, "operator"),
        ({"type": "waitForElement", "selectors": ["#a"], "count": 1.5}, "count"),
        ({"type": "waitForElement", "selectors": ["#a"], "visible": "no"}, "visible"),
        ({"type": "waitForElement", "selectors": ["#a"], "attributes": {"busy": None}}, "attributes.busy"),
        ({"type": "waitForElement", "selectors": ["#a"], "properties": []}, "properties"),
        ({"type": "keyUp", "key": "a", "assertedEvents": {}}, "assertedEvents"),
        ({"type": "keyUp", "key": "a", "assertedEvents": [{"type": "load"}]}, "assertedEvents[0].type"),
        (
            {"type": "keyUp", "key": "a", "assertedEvents": [{"type": "navigation", "uri": "x"}]},
            "assertedEvents[0].uri",
        ),
        ({"type": "setViewport", "width": 5}, "height"),
        ({"type": "setViewport", "width": 5, "height": 5, "isMobile": 1}, "isMobile"),
        ({"type": "emulateNetworkConditions", "download": 0, "upload": 9}, "download"),
        ({"type": "customStep", "name": "x", "frame": [0]}, "frame"),
    ],
)
def test_a_wrong_step_is_named(step, field):
    with pytest.raises(InvalidParameters) as caught:
        import_devtools({"title": "t", "steps": [{"type": "navigate", "url": "x"}, step]})
    assert caught.value.field == f"sortedData.steps[1].{field}"


def test_a_wrong_member_of_the_recording_is_named_with_the_nearest_known_one():
    with pytest.raises(InvalidParameters) as caught:
        import_devtools({"title": "t", "timeuot": 5, "steps": []})
    assert caught.value.field == "sortedData.timeuot"
    assert caught.value.message.endswith("unknown field: did you mean 'timeout'?")


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
