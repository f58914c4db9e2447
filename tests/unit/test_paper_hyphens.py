"""Words that a PDF hyphenates, and letters that only look different: found, and shown without invisible signs."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scraper.paper_hyphens import GAP, with_whole_words
from scraper.paper_index import apply_changes, finish, search


def index_of(folder: Path, body: str, title: str = "T") -> Path:
    path = folder / "index.sqlite"
    apply_changes(path, [{"id": "a", "digest": "1", "title": title, "abstract": "", "authors": "", "body": body}])
    finish(path)
    return path


@pytest.mark.parametrize(
    ("body", "queries"),
    [
        ("Grebes re\ufffeturn when the qua\ufffe\r\nrry floods.", ("return", '"quarry floods"')),
        ("The obser\u00ad\nvation of qua\u00adrries", ("observation", "quarries", '"observation of quarries"')),
        ("Every obser-\nvation counts", ('"observation counts"', '"obser vation"')),
        ("Every obser\u2010  \n  vation counts", ('"observation counts"',)),
        ("A ten-\nyear study, a ten-year record", ('"a ten year study"', '"tenyear study"', "ten-year")),
        ("A well\ufffe\nknown bird and a well\ufffeknown lake", ('"well known bird"', '"wellknown lake"')),
        ("From COVID-\n19 on", ('"covid 19"',)),
        ("non-\nlin-\near waves", ("nonlin", '"linear waves"')),
        ("The ﬂow of eﬃcient oﬀers, ﬁnally", ("flow", "efficient", "offers", "finally", '"flow of efficient"')),
        ("Ｆｕｌｌ ｗｉｄｔｈ １９９９", ('"full width"', "1999")),
        ("HfO₂ and 10⁹ Foo™", ("HfO2", "109", "foo")),
        ("ﾊﾝｶｸ カタカナ", ("ハンカク",)),
    ],
)
def test_what_people_search_for_is_found(body: str, queries: tuple[str, ...], tmp_path: Path) -> None:
    index = index_of(tmp_path, body)
    assert [query for query in queries if not search(index, query, offset=0, limit=5)[1]] == []


def test_queries_may_have_the_same_letters_as_texts(tmp_path: Path) -> None:
    index = index_of(tmp_path, "The flow of 1999", title="HfO2 films")
    for query in ("ﬂow", "１９９９", "HfO₂", "fl\u00adow"):
        assert search(index, query, offset=0, limit=5)[1] == 1, query


def test_hits_are_shown_without_invisible_signs(tmp_path: Path) -> None:
    index = index_of(tmp_path, "They were com\ufffepelled to take the ﬁrst ten-\nyear record.")
    for query, shown in (
        ("compelled", "<em>compelled</em>"),
        ("first", "<em>first</em>"),
        ("tenyear", "<em>tenyear</em>"),
    ):
        (hit,), _ = search(index, query, offset=0, limit=5)
        assert shown in hit.highlights["body"]
        assert not set(hit.highlights["body"]) & {"\ufffe", "\u00ad", GAP}


def test_no_phrase_reaches_from_one_place_into_the_next(tmp_path: Path) -> None:
    index = index_of(tmp_path, "alpha be-\nta gamma\nlast word")
    assert search(index, '"word alpha"', offset=0, limit=5)[1] == 0
    assert search(index, f'"{GAP}"', offset=0, limit=5)[1] == 0


@settings(deadline=None, derandomize=True, max_examples=150)
@given(st.text(st.sampled_from("ab1 -\n\r\ufffe\u00ad\u2010."), max_size=60))
def test_every_word_of_a_text_is_kept(text: str) -> None:
    """What stands before the places that are told again is the text, but for its hyphens and lines' ends."""
    whole = with_whole_words(text).partition(GAP)[0]
    assert _letters(whole) == _letters(text)


def _letters(text: str) -> str:
    return "".join(letter for letter in text if letter.isalnum())
