"""Which papers are one: pairs, chains, rules that hold for any records, and catalogues in which it is known."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scraper.paper_matching import Paper, comparable, describe, find_groups
from scraper.paper_rules import contradict

from simulators.scholar.catalogues import Entry, make_catalogues

TITLE = "Nesting of grebes in flooded quarries"
WHOLE: dict[str, Any] = {
    "title": TITLE,
    "year": 2020,
    "authors": ["Ida Lindqvist", "Jo Berg"],
    "doi": "",
    "arxiv_id": "",
}


def paper(**changes: Any) -> Paper:
    return comparable(**(WHOLE | changes))


def are_one(one: Paper, other: Paper) -> bool:
    found = bool(find_groups([one, other], 0.9))
    assert bool(find_groups([other, one], 0.9)) is found
    return found


@pytest.mark.parametrize(
    "changes",
    [
        {"title": "NESTING OF GREBES IN FLOODED QUARRIES."},
        {"title": "The nesting of grebes in the flooded quarries"},
        {"title": "Nesting of grebes in floodde quarries"},
        {"title": f"{TITLE} (extended abstract)"},
        {"title": f"{TITLE}: a survey of the last ten winters"},
        {"authors": ["I. Lindqvist", "J. Berg"]},
        {"authors": ["Lindqvist, Ida", "Berg, Jo"]},
        {"authors": ["Ida Lindqvist et al."]},
        {"authors": []},
        {"year": 0},
        {"year": 2021},
        {"doi": "10.98765/a", "venue": "Journal of Grebes"},
        {"doi": "10.2139/ssrn.9", "year": 2018},
        {"arxiv_id": "1801.00001", "year": 2018},
    ],
)
def test_another_form_of_the_same_paper(changes: dict[str, Any]) -> None:
    assert are_one(paper(), paper(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"title": "Nesting of terns in flooded quarries"},
        {"title": f"{TITLE}, part II"},
        {"title": f"{TITLE} revisited"},
        {"title": f"{TITLE}: a reply"},
        {"title": f"Erratum to: {TITLE}"},
        {"title": f"Comment on “{TITLE}”"},
        {"title": f"Retraction: {TITLE}"},
        {"authors": ["Olaf Lindqvist", "Kai Berg"]},
        {"authors": ["Ida Lindqvist", "Ali Ng"]},
        {"year": 2022},
        {"year": 2021, "authors": ["Eva Falk"]},
    ],
)
def test_something_that_speaks_against(changes: dict[str, Any]) -> None:
    assert not are_one(paper(), paper(**changes))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"doi": "10.98765/a"}, {"doi": "10.98765/b"}, False),
        ({"doi": "10.98765/a.v1"}, {"doi": "10.98765/a.v2"}, True),
        ({"doi": "10.98765/a"}, {"doi": "10.87654/b"}, True),
        ({"doi": "10.98765/a"}, {"doi": "10.87654/b", "year": 2021}, False),
        ({"doi": "10.98765/a"}, {"doi": "10.26434/chemrxiv-1", "year": 2019}, True),
        ({"doi": "10.21203/rs.3.rs-1/v1"}, {"doi": "10.21203/rs.3.rs-1/v2"}, True),
        ({"doi": "10.21203/rs.3.rs-1/v1"}, {"doi": "10.21203/rs.3.rs-1/v2", "title": "Of grebes", "year": 2024}, True),
        ({"arxiv_id": "2001.00001"}, {"arxiv_id": "2001.00002"}, False),
        ({"doi": "10.48550/arxiv.2001.00001"}, {"arxiv_id": "2001.00002"}, False),
        ({"doi": "10.98765/a", "title": "Etwas anderes"}, {"doi": "10.98765/a", "authors": []}, True),
        ({"venue": "Grebe Conference"}, {"venue": "Journal of Grebes"}, False),
        ({"source": "arxiv"}, {"source": "arxiv", "year": 2021}, False),
        ({"source": "openalex", "venue": "Grebes"}, {"source": "openalex", "venue": "Terns"}, False),
        ({"title": "Editorial"}, {"title": "Editorial"}, True),
        ({"title": "Editorial"}, {"title": "Editorial", "year": 2021}, False),
        ({"title": "Preface", "authors": []}, {"title": "Preface", "authors": []}, False),
        ({"title": "Grebes", "authors": ["Ida Berg"]}, {"title": "Grebes", "authors": ["Jo Berg"]}, False),
        ({"title": "在淹没的采石场筑巢的䴙䴘"}, {"title": "在淹没的采石场筑巢的燕鸥"}, False),
    ],
)
def test_identifiers_venues_and_headings(one: dict[str, Any], other: dict[str, Any], same: bool) -> None:
    assert are_one(paper(**one), paper(**other)) is same


def groups_of(*changes: dict[str, Any]) -> list[list[int]]:
    return find_groups([paper(**one) for one in changes], 0.9)


def test_what_two_contradict_no_third_one_joins() -> None:
    years = groups_of({"year": 2019, "arxiv_id": "1901.00001"}, {"year": 2021}, {"year": 2023, "doi": "10.98765/a"})
    assert [0, 2] not in [sorted(pair) for group in years for pair in map(list, combinations(group, 2))]
    # Nobody can say whose the one without authors is.
    assert groups_of({}, {"authors": []}, {"authors": ["Ali Ng"]}) == []
    ids = groups_of({"arxiv_id": "2001.00001"}, {"doi": "10.98765/a"}, {"arxiv_id": "2001.00002"})
    assert len(ids) == 1
    assert len(ids[0]) == 2
    assert {0, 2} != set(ids[0])


def test_what_nothing_speaks_against_is_joined_by_a_third_one() -> None:
    longer = {"title": f"{TITLE}: a record of many years", "doi": "10.98765/a", "year": 2021}
    assert groups_of(longer, {"doi": "10.98765/a"}, {}) == [[0, 1, 2]]


def test_a_translation_with_the_same_doi_is_no_contradiction() -> None:
    german = {"title": "Vom Nisten der Taucher in gefluteten Steinbrüchen", "doi": "10.98765/a"}
    assert groups_of(german, {"doi": "10.98765/a"}, {}) == [[0, 1, 2]]


def test_a_paper_and_its_later_version_stay_two_when_each_is_told_twice() -> None:
    assert groups_of({}, {}, {"year": 2021}, {"year": 2021}) == [[0, 1], [2, 3]]
    assert groups_of({"source": "a"}, {"source": "b"}, {"year": 2021, "source": "c"}) == [[0, 1, 2]]


def test_issues_of_a_column_are_not_told_apart_by_guessing() -> None:
    column = {"title": "Editor's notes", "authors": ["Ida Lindqvist"]}
    assert groups_of(column, column) == [[0, 1]]
    assert groups_of(column, column, column, column) == []
    guests = [column | {"authors": ["Ida Lindqvist", guest]} for guest in ("Jo Berg", "Jo Berg", "Ali Ng", "Eva Falk")]
    assert groups_of(*guests) == [[0, 1]]


TITLES = (
    TITLE, "Nesting of grebes in flooded quarrries", "Nesting of terns in flooded quarries", f"{TITLE}: a survey",
    f"{TITLE}, part II", "Editorial", "Notes on the marsh", "Notes on the march",
)  # fmt: skip
PAPERS = st.builds(
    comparable,
    st.sampled_from(TITLES), st.sampled_from((0, 2018, 2019, 2020, 2021)),
    st.sampled_from(((), ("Ida Lindqvist",), ("I. Lindqvist", "Jo Berg"), ("Olaf Lindqvist",), ("Ali Ng",))),
    st.sampled_from(("", "10.98765/a", "10.98765/b", "10.2139/ssrn.1")),
    st.sampled_from(("", "", "2001.00001", "2001.00002")),
    st.sampled_from(("", "Grebe Conference", "Journal of Grebes")), st.sampled_from(("", "a", "b")),
)  # fmt: skip


def linked_by_identifiers(papers: Sequence[Paper]) -> list[int]:
    """The same number for papers that equal identifiers join, be it over others."""
    linked = list(range(len(papers)))
    for _ in papers:
        for one, other in combinations(range(len(papers)), 2):
            ids = ({papers[index].doi, papers[index].arxiv_id} - {""} for index in (one, other))
            if set.intersection(*ids):
                linked[one] = linked[other] = min(linked[one], linked[other])
    return linked


@settings(deadline=None, derandomize=True, max_examples=120)
@given(st.lists(PAPERS, max_size=7), st.randoms(use_true_random=False))
def test_no_group_holds_what_speaks_against_each_other_in_whatever_order(papers: list[Paper], random: Any) -> None:
    groups = find_groups(papers, 0.9)
    corpus = describe(papers)
    linked = linked_by_identifiers(papers)
    for group in groups:
        for one, other in combinations(group, 2):
            speaks_against = contradict(papers[one], papers[other], corpus)
            assert not speaks_against or linked[one] == linked[other]
            assert contradict(papers[other], papers[one], corpus) == speaks_against
    order = list(range(len(papers)))
    random.shuffle(order)
    again = find_groups([papers[index] for index in order], 0.9)
    contents = [sorted(repr(papers[order[index]]) for index in group) for group in again]
    assert sorted(contents) == sorted(sorted(repr(papers[index]) for index in group) for group in groups)


def found_and_true(entries: Sequence[Entry], *, venues: bool) -> tuple[set[tuple[int, int]], set[tuple[int, int]]]:
    """Pairs of entries in different catalogues, as found and as they are."""
    papers = [comparable(one.title, one.year, one.authors, "", "", one.venue if venues else "") for one in entries]
    found = {pair for group in find_groups(papers, 0.9) for pair in combinations(group, 2)}
    publications: dict[int, list[int]] = {}
    for index, one in enumerate(entries):
        publications.setdefault(one.publication, []).append(index)
    true = {pair for group in publications.values() for pair in combinations(group, 2)}
    return {(a, b) for a, b in found if entries[a].catalogue != entries[b].catalogue}, true


@pytest.mark.parametrize(("venues", "precision"), [(False, 0.97), (True, 0.99)])
def test_two_catalogues_of_one_field_are_brought_together(venues: bool, precision: float) -> None:
    """Without venues a paper and a version of it in the same year can't be told apart."""
    found, true = found_and_true(make_catalogues(seed=5), venues=venues)
    assert len(true) > 1_000
    assert len(found & true) / len(found) >= precision
    assert len(found & true) / len(true) >= 0.96
