"""What no store can hold is changed, and told."""

from typing import Any

import bson
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scraper.storable import MAX_DEPTH, storable


def changed(value: Any) -> tuple[Any, list[str]]:
    notes: list[str] = []
    return storable(value, lambda path, _: notes.append(path)), notes


@pytest.mark.parametrize(
    ("value", "kept", "where"),
    [
        ({"a": 2**63 - 1, "b": -(2**63)}, {"a": 2**63 - 1, "b": -(2**63)}, []),
        ({"a": {"serial": 48151623424815162342481516}}, {"a": {"serial": "48151623424815162342481516"}}, ["a.serial"]),
        ({"a": [1, 2**64]}, {"a": [1, "18446744073709551616"]}, ["a"]),
        ({"a": float("nan"), "b": [float("-inf"), 1.5]}, {"a": None, "b": [None, 1.5]}, ["a", "b"]),
        ({"a": "x\ud800y", "é": "ü"}, {"a": "x?y", "é": "ü"}, ["a"]),
        ({"a\0b": 1}, {"ab": 1}, [""]),
        ({2: "two", None: 2, True: 3}, {"2": "two", "null": 2, "true": 3}, []),
    ],
)
def test_storable_changes_what_can_not_be_held_and_says_where(value: Any, kept: Any, where: list[str]) -> None:
    assert changed(value) == (kept, where)


def test_storable_gives_back_what_needs_no_change() -> None:
    value = {"name": "Lamp", "tags": ["a", "b"], "price": 12.5, "deep": {"n": None, "yes": True}}
    kept, notes = changed(value)
    assert kept is value
    assert notes == []


def test_storable_leaves_out_what_is_too_deep() -> None:
    value: Any = "bottom"
    for _ in range(5000):
        value = {"in": value}
    kept, notes = changed(value)
    assert len(notes) == 1
    levels = 0
    while kept is not None:
        kept, levels = kept["in"], levels + 1
    assert levels == MAX_DEPTH


TEXT = st.text(st.characters(), max_size=5)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.dictionaries(TEXT, JSON, max_size=4))
def test_storable_makes_every_value_one_that_bson_and_json_hold(value: dict[str, Any]) -> None:
    kept, notes = changed(value)
    assert orjson.loads(orjson.dumps(kept)) == kept
    bson.encode({"data": kept})
    assert notes or kept == value
