"""JSON from outside is taken as it was written, or refused."""

from typing import Any

import orjson
import pytest
from chassis.errors import InvalidInput
from gateway.bodies import decode_json
from gateway.failures import Malformed
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("18446744073709551616", "body"),
        ("-9223372036854775809", "body"),
        ('{"a": 99999999999999999999999}', "a"),
        ('{"a": {"b": [1, {"c": 18446744073709551616}]}}', "a.b[1].c"),
        ('{"a": ' + "7" * 300 + "}", "a"),
    ],
)
def test_an_integer_of_more_than_64_bits_is_refused_by_its_path(text: str, path: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        decode_json(text.encode())
    assert (refused.value.field, type(refused.value)) == (path, InvalidInput)


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "a": 2}', '{"a": 1, "b": {"c": 1, "c" : 1}}', '[{"x":1,"x":1}]', '{"a":1,"\\u0061":2}',
        '{"":1,"" \n:2}', '{"a": "\\":", "a": 1}',
    ],
)  # fmt: skip
def test_a_key_that_is_there_twice_is_refused(text: str) -> None:
    with pytest.raises(Malformed, match="重复"):
        decode_json(text.encode())


@pytest.mark.parametrize(
    "text",
    ["NaN", "Infinity", '{"a": 1e400}', '{"a": "\\ud800"}', '"\\udc00x"', '{"a": 01}', "[" * 200 + "]" * 200,
     "7" * 5_000, '{"n": ' + "[" * 101 + "]" * 101 + "}", '{"a": \x00}', b'{"a": "\xff"}'.decode("latin-1")],
)  # fmt: skip
def test_what_no_store_holds_is_refused_in_words_of_our_own(text: str) -> None:
    with pytest.raises(Malformed) as refused:
        decode_json(text.encode("latin-1"))
    assert refused.value.message.isascii() is False
    assert "char" not in refused.value.message


@pytest.mark.parametrize(
    "text",
    [
        "18446744073709551615", "-9223372036854775808", '{"a": "18446744073709551616"}', '{"a": "b\\": 1, \\"b"}',
        '{"n": 1.7976931348623157e308, "m": 1e-400}', '{"n": 0.1234567890123456789012345}', '{"a\\u0000b": "\\u0000"}',
        '{"a": {"a": {"a": 1}}}', '[{"a": 1}, {"a": 1}]', '{"text": "\\": \\": \\":"}', '{"n": 12345678901234567890.5}',
    ],
)  # fmt: skip
def test_what_only_looks_like_it_is_taken(text: str) -> None:
    assert decode_json(text.encode()) == orjson.loads(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text() | st.floats(-1e308, 1e308),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@settings(max_examples=300, deadline=None, derandomize=True)
@given(JSON)
def test_whatever_json_can_carry_is_taken_unchanged(value: Any) -> None:
    assert decode_json(orjson.dumps(value)) == value
