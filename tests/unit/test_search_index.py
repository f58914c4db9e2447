"""The search index as a file: what it keeps, what it loses, who may open it."""

from pathlib import Path

import pytest
from scraper.search_index import Entry, SearchIndex
from scraper.search_words import token, tokens_of


def entry(key: str, text: str, *, task_id: int = 1, created_ms: int = 0) -> Entry:
    return Entry(key, task_id, "tweet", created_ms, tokens_of({"text": text}))


def found(index: SearchIndex, word: str, **more: object) -> list[str]:
    wanted = {"data_type": "", "offset": 0, "limit": 10} | more
    return index.search([[token("text", word)]], **wanted)[0]  # type: ignore[arg-type]


def test_what_is_committed_is_there_after_opening_again_and_the_rest_is_not(tmp_path: Path) -> None:
    index = SearchIndex(tmp_path)
    index.put([entry("a", "one"), entry("b", "one two", created_ms=5)])
    index.commit("000000000000005:b")
    index.put([entry("c", "one")])
    del index
    again = SearchIndex(tmp_path)
    assert again.mark == "000000000000005:b"
    assert found(again, "one") == ["b", "a"]


def test_an_item_is_found_by_its_newest_words_only(tmp_path: Path) -> None:
    index = SearchIndex(tmp_path)
    index.put([entry("a", "old")])
    index.commit("1:a")
    index.put([entry("a", "new")])
    index.put([entry("a", "newest")])
    index.commit("2:a")
    assert (found(index, "old"), found(index, "new"), found(index, "newest")) == ([], [], ["a"])
    index.remove(tasks=[1])
    index.commit("3:a")
    assert (found(index, "newest"), len(index)) == ([], 0)


def test_a_page_far_behind_the_last_match_is_empty_and_still_counts(tmp_path: Path) -> None:
    index = SearchIndex(tmp_path)
    index.put([entry(str(number), "word", created_ms=number) for number in range(5)])
    index.commit("1:a")
    assert index.search([[token("text", "word")]], data_type="", offset=100_000_000, limit=1_000) == ([], 5)
    assert found(index, "word", offset=1, limit=2) == ["3", "2"]


def test_an_index_without_a_mark_begins_anew(tmp_path: Path) -> None:
    """How far it is complete is not known then."""
    index = SearchIndex(tmp_path)
    index.put([entry("a", "one")])
    index.commit("1:a")
    del index
    (tmp_path / "mark.json").write_text('{"version": 0, "mark": "1:a"}')
    assert (SearchIndex(tmp_path).mark, len(SearchIndex(tmp_path / "other"))) == ("", 0)


def test_an_index_that_is_open_elsewhere_is_left_alone(tmp_path: Path) -> None:
    index = SearchIndex(tmp_path)
    index.put([entry("a", "one")])
    index.commit("1:a")
    with pytest.raises(ValueError, match=r"(?i)lock"):
        SearchIndex(tmp_path)
    assert found(index, "one") == ["a"]
