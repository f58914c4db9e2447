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
