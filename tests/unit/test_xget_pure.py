"""The XGet contract's pure parts: the search's notation, ids, words, rows of a table."""

import io
from pathlib import Path

import orjson
import pytest
from gateway.xget.errors import Unprocessable
from gateway.xget.ids import task_number
from gateway.xget.models import ALIASES, canonical_type, check_parameters
from gateway.xget.search_query import parse_query
from gateway.xget.translate import execution_json
from hypothesis import given
from hypothesis import strategies as st
from scraper.executor import Item
from scraper.export_files import Table, csv_chunks, write_parquet
from scraper.export_rows import MAX_COLUMNS, REST, Columns, as_kind, flatten, neutral
from scraper.mongo_collections import collected_key, public_id, type_key
from scraper.search_words import GAP, token, tokens_of, words_of
from trawl.scheduler.v1 import runs_pb2


def pairs(text: str) -> list[tuple[str, str]]:
    return [(condition.key, condition.value) for condition in parse_query(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("username:elonmusk,text:tesla", [("username", "elonmusk"), ("text", "tesla")]),
        (" a : b , c : d ", [("a", "b"), ("c", "d")]),
        (r"text:a\,b", [("text", "a,b")]),
        (r"a\:b:c", [("a:b", "c")]),
        (r"path:c\\d", [("path", "c\\d")]),
        (r"path:c\d", [("path", "c\\d")]),
        ("url:https://x/y", [("url", "https://x/y")]),
        ("a:b\\", [("a", "b\\")]),
    ],
)
def test_a_query_is_pairs_with_escapes(text: str, expected: list[tuple[str, str]]) -> None:
    assert pairs(text) == expected


@pytest.mark.parametrize("text", ["", "a", "a,b", ":b", "a:", "a:b,", "a:!!!", "a: ", r"a\:b", ",".join(["a:b"] * 21)])
def test_a_query_without_a_key_or_a_word_is_refused(text: str) -> None:
    with pytest.raises(Unprocessable):
        parse_query(text)


@given(st.text(min_size=1, max_size=20), st.text(max_size=20))
def test_every_key_and_value_can_be_escaped(key: str, value: str) -> None:
    def escaped(text: str) -> str:
        return "".join(f"\\{c}" if c in ",:\\" else c for c in text)

    if not key.strip():
        return
    assert pairs(f"{escaped(key)}:{escaped(value)}x") == [(key.strip(), f"{value}x".strip())]


@given(st.integers(1, 10**15))
def test_an_id_leads_back_to_its_number_and_nothing_else_does(number: int) -> None:
    assert task_number(f"task-{number}") == number
    assert task_number(f"task-0{number}") == task_number(f"exec-{number}") == task_number(str(number)) == 0


def test_aliases_have_the_parameters_of_the_types_they_stand_for() -> None:
    assert {canonical_type(alias) for alias in ALIASES} == set(ALIASES.values())
    assert check_parameters("FOLLOWERS", {"uid": "a", "limit": 3, "x": 1}) == {"username": "a", "limit": 3}
    assert check_parameters("USER_INFO", {"uid": "a", "username": "b"}) == {"username": "b"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Tesla's FUTURE!", ["tesla", "s", "future"]),
        ("elon_musk @x #y", ["elon_musk", "x", "y"]),
        ("特斯拉 Model3", ["特", "斯", "拉", "model3"]),
        ("ＡＢＣ straße", ["abc", "strasse"]),
        ("😀 — …", []),
    ],
)
def test_words_have_no_case_and_no_width(text: str, words: list[str]) -> None:
    assert words_of(text) == words


def test_a_value_belongs_to_its_nearest_key_and_phrases_end_with_it() -> None:
    data = {"a": "x y", "b": {"a": ["y", {"c": 7}], "d": True, "e": None}}
    expected = [
        token("a", "x"), token("a", "y"), GAP, token("a", "y"), GAP, token("c", "7"), GAP, token("d", "true"), GAP,
        token("e", "null"), GAP,
    ]  # fmt: skip
    assert tokens_of(data).split() == expected


def test_a_deep_item_is_no_problem() -> None:
    data: dict[str, object] = {"v": "deep"}
    for _ in range(5_000):
        data = {"k": data}
    assert tokens_of(data).split() == [token("v", "deep"), GAP]
    assert [value for _, value in flatten(data)] == ["deep"]


def test_a_key_is_an_item_once_for_each_type_and_task() -> None:
    """Without a natural key an item is the run's own."""
    tweet, user = Item({}, "tweet", "1"), Item({}, "user", "1")
    keys = {collected_key(task, run, item, 0) for task in (1, 2) for run in (1, 2) for item in (tweet, user)}
    assert len(keys) == 4
    assert len({collected_key(1, run, Item({}), place) for run in (1, 2) for place in (0, 1)}) == 4
    assert public_id(collected_key(7, 1, tweet, 0)).startswith("result-7-k")
    assert ":" not in type_key(1, "a:b;c").partition(":")[2]


def test_a_table_has_the_union_of_all_columns_in_the_order_of_their_coming() -> None:
    columns = Columns()
    rows = [columns.take(data) for data in ({"a": 1, "b": {"c": True}}, {"d": [1, {"e": 2}], "a": 2.5, "n": None})]
    assert columns.names == ["data.a", "data.b.c", "data.d", "data.n"]
    assert rows[1] == {"data.d": '[1,{"e":2}]', "data.a": 2.5}
    assert [columns.kind(name) for name in columns.names] == ["float", "bool", "str", "str"]


def test_a_column_of_mixed_kinds_has_texts() -> None:
    columns = Columns()
    for value in (1, "x", {"y": 1}, None, 2**70, True):
        columns.take({"v": value} if not isinstance(value, dict) else {"v": [value]})
    assert columns.kind("data.v") == "str"
    assert [as_kind(value, "str") for value in (1, "x", True, None)] == ["1", "x", "true", None]
    assert as_kind(3, "float") == 3.0


def test_more_columns_than_a_table_can_have_share_the_last() -> None:
    columns = Columns()
    columns.take({f"k{number}": number for number in range(MAX_COLUMNS)})
    row = columns.take({"k1": 5, "late": "=x"})
    assert row == {"data.k1": 5, REST: '{"data.late":"=x"}'}
    assert len(columns.names) == MAX_COLUMNS + 1


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@x", "\t=1", "\r=1"])
def test_what_looks_like_a_formula_gets_an_apostrophe(text: str) -> None:
    assert neutral(text) == f"'{text}"
    assert (neutral(-1), neutral(True), neutral("a=1"), neutral("")) == (-1, True, "a=1", "")


def table_of(folder: Path, *items: dict[str, object]) -> Table:
    columns = Columns()
    lines = [orjson.dumps((f"r{number}", "t", columns.take(data))) for number, data in enumerate(items)]
    (folder / "rows").write_bytes(b"".join(line + b"\n" for line in lines))
    (folder / "columns").write_bytes(orjson.dumps(columns.kinds))
    return Table.load(folder)


def test_rows_read_back_from_their_files(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    table = table_of(tmp_path, {"a": 1}, {"a": 2.5, "b": "=x"}, {"b": None})
    text = b"".join(csv_chunks(table)).decode()
    assert text == "id,data.a,data.b,created_at\nr0,1,,t\nr1,2.5,'=x,t\nr2,,,t\n"
    write_parquet(table, tmp_path / "table")
    found = pq.read_table(io.BytesIO((tmp_path / "table").read_bytes())).to_pylist()
    assert found[1] == {"id": "r1", "data.a": 2.5, "data.b": "=x", "created_at": "t"}


def test_an_execution_that_waits_says_why_and_until_when() -> None:
    run = runs_pb2.Run(status=runs_pb2.RUN_STATUS_PENDING, waiting_reason="every account has used up its rate limit")
    run.spec.run_id, run.spec.task_id, run.spec.parameters_json = 7, 3, b"{}"
    assert execution_json(run)["error_message"] == "every account has used up its rate limit"
    run.not_before_ms = 1_705_314_600_000
    shown = execution_json(run)
    assert shown["error_message"] == "every account has used up its rate limit; it goes on at 2024-01-15T10:30:00Z"
    assert (shown["status"], shown["result_count"]) == ("PENDING", None)
    run.waiting_reason = ""
    assert execution_json(run)["error_message"] is None
