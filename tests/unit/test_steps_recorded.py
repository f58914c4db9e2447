"""Recorded SmartRPA events as canonical steps."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scraper.executor import InvalidParameters
from scraper.recorded_steps import Recording, import_recording, rows_of
from scraper.steps import dump_steps

BUTTON = {
    "tagName": "BUTTON",
    "id": "go",
    "className": "btn big",
    "name": "",
    "innerText": " Find \n it's",
    "placeholder": "",
}
FIELD = {"tagName": "INPUT", "id": "q", "className": "f", "name": "kw", "label": "Search", "placeholder": "Type"}


def imported(events, **recording):
    steps = dump_steps(import_recording(events, Recording(**recording)))
    for step in steps:
        step.pop("source", None)
    return steps


def test_click_targets_are_id_then_tag_with_text_then_class():
    (step,) = imported([{"type": "click", "element": BUTTON}])
    assert step["target"] == [
        {"id": "go"},
        {"xpath": "//button[normalize-space(.)='Find']"},
        {"css": "button", "hasText": "Find"},
        {"css": 'button[class~="btn"][class~="big"]'},
    ]


def test_input_targets_are_label_id_class_tag_text_placeholder():
    (step,) = imported([{"type": "input", "element": FIELD, "value": "lamp"}])
    assert step["target"] == [
        {"label": "Search"},
        {"id": "q"},
        {"css": 'input[class~="f"]'},
        {"css": "input"},
        {"placeholder": "Type"},
        {"css": 'input[name="kw"]'},
    ]
    assert (step["type"], step["value"]) == ("input", "lamp")


def test_values_equal_to_a_key_of_row_take_the_rows_value():
    events = [
        {"type": "navigation", "url": "网址"},
        {"type": "input", "element": FIELD, "value": "keyword"},
        {"type": "input", "element": FIELD, "value": "keywords"},
        {"type": "click", "element": BUTTON, "label": "city"},
        {"type": "loop", "loopCount": "n", "loopEvents": [{"type": "keydown", "key": "Tab"}]},
    ]
    url, one, other, click, loop = imported(events, rows=[{"网址": "http://x", "keyword": "y", "city": "Bonn", "n": 2}])
    assert url["url"] == "{{row.网址}}"
    assert (one["value"], other["value"]) == ("{{row.keyword}}", "keywords")
    assert click["target"] == [{"css": "button", "hasText": "{{row.city}}"}, {"text": "{{row.city}}"}]
    assert (loop["count"], loop["steps"][0]["key"]) == ("{{row.n}}", "Tab")


def test_events_are_sorted_by_time_only_when_every_one_has_a_time():
    def scroll(distance, time):
        return {"type": "scroll", "distance": distance, "direction": "up", **({"time": time} if time else {})}

    late, early, same = "2024-01-01T00:00:05Z", "2024-01-01T08:00:01+08:00", "2024-01-01T00:00:05.000Z"
    order = lambda *events: [step["distance"] for step in imported(list(events))]  # noqa: E731
    assert order(scroll(1, late), scroll(2, early), scroll(3, same)) == [2, 1, 3]
    assert order(scroll(1, late), scroll(2, early), scroll(3, None)) == [1, 2, 3]
    assert order(scroll(1, late), scroll(2, "noon")) == [1, 2]


def test_the_events_of_a_loop_keep_the_order_of_their_list():
    inner = [{"type": "scroll", "distance": at, "time": f"2024-01-01T00:00:0{at}Z"} for at in (3, 1, 2)]
    first = {"type": "scroll", "distance": 9, "time": "2024-01-01T00:00:00Z"}
    loop = {"type": "loop", "loopCount": 1, "loopEvents": inner, "time": "2024-01-01T00:00:01Z"}
    steps = imported([loop, first])
    assert [step["type"] for step in steps] == ["scroll", "loop"]
    assert [step["distance"] for step in steps[1]["steps"]] == [3, 1, 2]


def test_canonical_steps_stand_among_events_and_hold_events():
    events = [
        {"type": "navigation", "url": "http://x/", "time": "2024-01-01T00:00:09Z"},
        {"type": "wait_for", "target": {"css": "#a"}},
        {"type": "keydown", "key": "Tab", "time": "2024-01-01T00:00:01Z"},
        {"type": "if", "when": {"url": "x"}, "then": [{"type": "click", "target": {"css": "b"}}, {"type": "scroll"}],
         "else": [{"type": "click", "element": BUTTON}]},
        {"type": "loop", "loopCount": 2, "loopEvents": [{"type": "extract", "name": "n", "target": {"css": "c"}}]},
        {"type": "output", "name": "shown", "value": "kept as it is"},
    ]  # fmt: skip
    steps = imported(events, rows=[{"kept as it is": 1}])
    kinds = ["navigate", "wait_for", "press", "if", "loop", "output"]
    assert [step["type"] for step in steps] == kinds
    assert (steps[3]["else"][0]["target"][0], steps[3]["then"][1]["type"]) == ({"id": "go"}, "scroll")
    assert steps[4]["steps"][0]["name"] == "n"
    assert (steps[5]["name"], steps[5]["value"]) == ("shown", "kept as it is")


def test_canonical_steps_with_times_are_sorted_with_the_events():
    timed = {"type": "wait_for", "timeMs": 1, "time": "2024-01-01T00:00:02Z"}
    events = [timed, *({"type": "keydown", "key": key, "time": f"2024-01-01T00:00:0{at}Z"} for key, at in ("b3", "a1"))]
    assert [step.get("key") for step in imported(events)] == ["a", None, "b"]


@pytest.mark.parametrize(
    ("event", "field", "words"),
    [
        ({"type": "extract", "name": "x", "target": {"css": "a"}, "feilds": {}}, "feilds", "did you mean 'fields'?"),
        ({"type": "loop", "count": 1, "steps": [{"type": "press"}]}, "steps[0].key", "required"),
        ({"type": "waitfor", "timeMs": 1}, "type", "unknown event type 'waitfor': did you mean 'wait_for'?"),
        ({"type": "if", "when": {"url": "x"}, "then": {}}, "then", "must be a list"),
    ],
)
def test_a_wrong_canonical_step_among_events_is_named(event, field, words):
    with pytest.raises(InvalidParameters) as caught:
        import_recording([{"type": "keydown", "key": "Tab"}, event], Recording())
    assert caught.value.field == f"sortedData[1].{field}"
    assert words in caught.value.message


def test_a_raw_export_is_put_in_order_by_time():
    at = "2024-01-01T00:00:0{}Z".format
    export = {
        "clicks": [{"element": BUTTON, "time": at(5)}], "recordedBy": "somebody", "gestures": [],
        "navigations": [{"url": "http://x/", "time": at(1)}, {"url": "http://x/2", "time": at(7)}],
        "inputs": [{"element": FIELD, "value": "lamp", "time": at(3)}], "keydowns": [],
        "scrolls": [{"type": "scroll", "action": "scroll", "distance": 5, "direction": "up", "time": at(6)}],
    }  # fmt: skip
    assert [step["type"] for step in imported(export)] == ["navigate", "input", "click", "scroll", "navigate"]
    alone = {"clicks": [{"element": BUTTON}, {"element": FIELD}]}
    assert len(imported(alone)) == 2, "one list alone needs no times"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"gestures": [{"kind": "pinch"}]}, "gestures"),
        ({"meta": {"version": 2}}, "meta"),
        ({"inputs": [{"element": FIELD, "value": "x"}]}, "inputs[0].time"),
        ({"inputs": [{"element": FIELD, "value": "x", "time": "noon"}]}, "inputs[0].time"),
        ({"inputs": [{"type": "click", "element": FIELD, "time": "2024-01-01"}]}, "inputs[0].type"),
        ({"inputs": [5]}, "inputs[0]"),
        ({"scrolls": [{"distance": "far", "time": "2024-01-01"}]}, "scrolls[0].distance"),
    ],
)
def test_what_is_wrong_in_a_raw_export_is_named(change, field):
    with pytest.raises(InvalidParameters) as caught:
        import_recording({"clicks": [{"element": BUTTON, "time": "2024-01-01"}], **change}, Recording())
    assert caught.value.field == f"sortedData.{field}"


@pytest.mark.parametrize(
    ("keys", "pressed"),
    [
        (["Meta", "c"], ["Meta+c"]),
        (["Control", "Control", "a", "c", "Tab", "x"], ["Control+a", "Control+c", "Control+Tab", "x"]),
        (["Control", "Shift", "Z"], ["Control+Shift+Z"]),
        (["Control"], ["Control"]),
        (["Shift", "A"], ["Shift", "A"]),
        (["Control", "AltGraph", "@"], ["@"]),
        (["a", "Enter"], ["a", "Enter"]),
    ],
)
def test_a_letter_after_control_or_meta_is_a_chord(keys, pressed):
    assert [step["key"] for step in imported([{"type": "keydown", "key": key} for key in keys])] == pressed


def test_a_chord_ends_with_any_other_event_and_is_told_by_its_marks_as_well():
    click, key = {"type": "click", "element": BUTTON}, {"type": "keydown", "key": "c"}
    steps = imported([{"type": "keydown", "key": "Control"}, click, key, {**key, "ctrlKey": True}])
    assert [step.get("key") for step in steps] == ["Control", None, "c", "Control+c"]
    (written,) = imported([{**key, "ctrlKey": True, "altKey": True}])
    assert written["key"] == "c"


def test_only_the_navigation_after_enter_may_be_left_out():
    enter, nav = {"type": "keydown", "key": "Enter"}, {"type": "navigation", "url": "http://x/"}
    scroll, click = {"type": "scroll", "distance": 1}, {"type": "click", "element": BUTTON}
    steps = imported([nav, enter, scroll, nav, nav, enter, click, nav])
    flags = [step.get("unlessNavigated", False) for step in steps if step["type"] == "navigate"]
    assert flags == [False, True, False, False]


def test_loops_over_rows_come_after_all_other_steps():
    inner = [{"type": "input", "element": FIELD, "value": "keyword"}]
    steps = imported(
        [{"type": "loop_new", "loopEvents": inner}, {"type": "keydown", "key": "A"}], rows=[{"a": 1}, {"keyword": 2}]
    )
    assert [step["type"] for step in steps] == ["press", "loop"]
    assert steps[1]["rows"] is True
    assert steps[1]["steps"][0]["value"] == "{{row.keyword}}"


@pytest.mark.parametrize("leixing", ["自定义2.1", "自定义2-1", " 自定义７ ", "自定义3a", "自定义", "自定义 8"])
def test_an_action_of_ones_own_is_never_a_click(leixing):
    (step,) = imported([{"type": "click", "element": {**BUTTON, "leixing": leixing}}], task_name="shop")
    assert step["type"] == "custom"
    assert step["name"].startswith("shop:自定义")


def test_an_output_may_be_called_anything():
    (step,) = imported([{"type": "output", "element": {"leixing": "自定义字段", "id": "t"}}])
    assert (step["type"], step["name"]) == ("output", "自定义字段")


def test_custom_actions_are_named_by_task_and_leixing():
    (step,) = imported([{"type": "click", "element": {"leixing": "自定义12"}, "value": "v"}], task_name="OZON_data")
    assert step == {"type": "custom", "name": "OZON_data:自定义12", "value": "v"}


def test_an_output_takes_the_elements_text_and_falls_back_to_its_value():
    (step,) = imported([{"type": "output", "element": {"leixing": "标题", "id": "t"}, "value": "old"}])
    assert step == {"type": "output", "name": "标题", "target": [{"id": "t"}], "value": "old"}


def test_pauses_are_replayed_only_when_asked_for():
    events = [
        {"type": "keydown", "key": "A", "time": f"2024-01-01T00:{at}Z"} for at in ("00:00", "00:01", "00:06", "09:00")
    ]
    pauses = lambda pacing: [step.get("pauseMs", 0) for step in imported(events, pacing=pacing)]  # noqa: E731
    assert pauses("none") == [0, 0, 0, 0]
    assert pauses("recorded") == [0, 0, 5000, 120_000]
    assert all(200 <= pause <= 1200 for pause in pauses("human"))


@pytest.mark.parametrize(
    ("events", "field"),
    [
        ("x", "sortedData"),
        ([{"type": "keydown", "key": "A"}, {"type": "drag"}], "sortedData[1].type"),
        ([{"type": "keydown"}], "sortedData[0].key"),
        ([7], "sortedData[0]"),
        ([{}], "sortedData[0].type"),
        ([{"type": "navigation", "url": 5}], "sortedData[0].url"),
        ([{"type": "click"}], "sortedData[0].element"),
        ([{"type": "click", "element": []}], "sortedData[0].element"),
        ([{"type": "scroll", "distance": "far"}], "sortedData[0].distance"),
        ([{"type": "scroll", "distance": float("nan")}], "sortedData[0].distance"),
        ([{"type": "loop", "loopCount": 2}], "sortedData[0].loopEvents"),
        ([{"type": "loop", "loopCount": "x", "loopEvents": []}], "sortedData[0].loopCount"),
        ([{"type": "loop", "loopCount": 1, "loopEvents": [{"type": "?"}]}], "sortedData[0].loopEvents[0].type"),
    ],
)
def test_a_wrong_event_is_named_by_its_index(events, field):
    with pytest.raises(InvalidParameters) as caught:
        import_recording(events, Recording())
    assert caught.value.field == field


def test_indexes_in_errors_are_those_of_the_array_that_was_sent():
    events = [{"type": "drag", "time": "2024-01-02T00:00:00Z"}, {"type": "scroll", "time": "2024-01-01T00:00:00Z"}]
    with pytest.raises(InvalidParameters) as caught:
        import_recording(events, Recording())
    assert caught.value.field == "sortedData[0].type"


def test_recorded_page_text_that_looks_like_a_template_is_never_filled_in():
    element = {"tagName": "A", "id": "{{secret:X}}", "innerText": "{{row.y}}", "className": "c"}
    (step,) = imported([{"type": "click", "element": element}])
    assert step["target"] == [{"css": 'a[class~="c"]'}]


def test_row_is_an_object_a_list_or_nothing():
    assert (rows_of(None), rows_of({"a": 1}), rows_of([{"a": 1}])) == ((), ({"a": 1},), ({"a": 1},))
    with pytest.raises(InvalidParameters) as caught:
        rows_of([{}, 5])
    assert caught.value.field == "row[1]"


VALUE = st.none() | st.integers() | st.floats() | st.text(max_size=8) | st.lists(st.none(), max_size=1)
KIND = st.sampled_from(["navigation", "click", "input", "keydown", "scroll", "output", "loop", "loop_new", "other"])
ELEMENT = st.dictionaries(
    st.sampled_from(["tagName", "id", "className", "name", "innerText", "leixing", "label", "value"]), VALUE
)
EVENT = st.fixed_dictionaries(
    {"type": KIND | VALUE},
    optional=dict.fromkeys(
        ["url", "value", "key", "distance", "direction", "loopCount", "loopEvents", "time", "label"], VALUE
    )
    | {"element": ELEMENT | VALUE},
)


@given(st.lists(EVENT, max_size=3), VALUE | st.dictionaries(st.text(max_size=4), VALUE, max_size=2))
def test_no_recording_breaks_the_import(events, row):
    with contextlib.suppress(InvalidParameters):
        assert isinstance(import_recording(events, Recording(rows=rows_of(row))), tuple)
