"""Values that JSON or UTF-8 don't have, on their way out of a function."""

import math
from typing import Any

import orjson
import pytest
from sdk_kit import Said, end_of
from trawl import Context, task
from trawl_sdk import values

DEEP: Any = 0
for _ in range(300):
    DEEP = [DEEP]
ODD = [
    ({"mean": math.nan}, ".mean is NaN"),
    ({"a": [1, {"b": -math.inf}]}, ".a.1.b is infinite"),
    ({"serial": 2**70}, ".serial is an integer of more than 64 bits"),
    ({"low": -(2**63) - 1}, ".low is an integer of more than 64 bits"),
    ({"word": "half \ud83d"}, ".word holds half a character"),
    ({"half \ud83d": 1}, " has a name with half a character"),
    ({"a": DEEP}, "nested more than"),
    ({"a": None, "b": [math.nan]}, ".b.0 is NaN"),
]


@pytest.mark.parametrize(("value", "named"), ODD)
def test_what_json_can_not_hold_is_refused_by_name(value: Any, named: str) -> None:
    @task
    def odd() -> Any:
        return value

    end = end_of(odd)
    assert (end["outcome"], end["code"], end["retryable"]) == ("failed", "INVALID_RESULT", False)
    assert named in end["error"]
    assert end["error"].startswith("result")


@pytest.mark.parametrize("value", [None, {"a": None}, [True, "nullé"], 2**63 - 1, -(2**63), 1.5, {1: "a"}, "😀"])
def test_what_json_can_hold_stays(value: Any) -> None:
    assert orjson.loads(values.encoded(value, "result")) == orjson.loads(orjson.dumps(value, option=4))


@pytest.mark.parametrize(("value", "named"), ODD)
def test_an_item_that_can_not_be_stored_fails_the_run_naming_it(value: Any, named: str) -> None:
    said = Said()

    @task
    def emits(ctx: Context) -> None:
        ctx.emit(value, key="only")

    end = end_of(emits, said)
    assert end["outcome"] == "failed"
    assert "item 'only'" in end["error"] or "nested" in end["error"]
    assert named in end["error"]
    assert [message for message in said.messages if message["say"] == "item"] == []


@pytest.mark.parametrize(("value", "named"), ODD)
def test_a_checkpoint_as_well(value: Any, named: str) -> None:
    @task
    def keeps(ctx: Context) -> None:
        ctx.checkpoint(value)

    assert named in end_of(keeps)["error"]


def test_a_log_line_fails_nothing() -> None:
    said = Said()

    @task
    def logs(ctx: Context) -> str:
        ctx.log(
            "half \ud83d pair", mean=math.nan, deep=DEEP, thing=object, word="\ud83d", n=1, list=[2**70, None, True]
        )
        ctx.progress(2**70, step="half \ud83d")
        return "fine"

    assert end_of(logs, said)["outcome"] == "completed"
    line, progress = said.messages
    assert line["message"] == "half � pair"
    data = orjson.loads(orjson.dumps(line["data"], option=orjson.OPT_NON_STR_KEYS))
    assert (data["mean"], data["word"], data["n"]) == ("nan", "�", 1)
    assert data["list"] == [str(2**70), None, True]
    assert progress == {"say": "progress", "done": 2**63 - 1, "total": 0, "step": "half �"}


def test_an_error_with_half_a_character_is_told() -> None:
    @task
    def raises() -> None:
        raise ValueError("half \ud83d")

    assert end_of(raises)["error"] == "ValueError: half �"
