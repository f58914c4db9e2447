"""People in lists of authors: one person in many forms, and several of one name."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scraper.paper_names import Verdict, compare_people, read_people, read_person, same_person

NAMES = (
    "Ida Lindqvist", "I. Lindqvist", "Lindqvist, Ida", "Lindqvist I", "Olaf Lindqvist", "Jan van der Berg",
    "de Wit, Ann", "Ann DeWit", "Kim Min-Jun", "Min Jun Kim", "José Ruiz Prado", "J. Ruiz", "Łucja Żak",
    "Ida", "The Reed Group", "Ng",
)  # fmt: skip


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("I. K. Lindqvist", "Ida K. Lindqvist"),
        ("Lindqvist, Ida", "Ida Lindqvist"),
        ("Lindqvist Ida", "Ida Lindqvist"),
        ("Lindqvist IK", "Ida K. Lindqvist"),
        ("Lindqvist I", "Ida Lindqvist"),
        ("Jan van der Berg", "van der Berg, Jan"),
        ("Jan van der Berg", "Berg, J. v. d."),
        ("de Wit, Ann", "Ann DeWit"),
        ("Karl Otto Jr.", "K. Otto"),
        ("Otto, Karl L., III", "Karl L. Otto"),
        ("José Ruiz Prado", "J. Ruiz"),
        ("Ruiz-Prado, José", "Jose Ruiz Prado"),
        ("Kim Min-Jun", "M.-J. Kim"),
        ("Jürgen Größe", "Juergen Groesse"),
        ("Łucja Øster", "Lucja Oster"),
        ("Bill Tanner", "William Tanner"),
        ("Bill Tanner", "B. Tanner"),
        ("Bill Tanner", "W. Tanner"),
        ("Pat O'Hara", "P. O’Hara"),
        ("Yi Chen 0012", "Yi Chen"),
        ("Dr. Ida Lindqvist", "Ida Lindqvist, PhD"),
        ("Lindqvist", "Ida Lindqvist"),
        ("Ida Lindqvst", "Ida Lindqvist"),
    ],
)
def test_one_person_in_two_forms(one: str, other: str) -> None:
    first, second = read_person(one), read_person(other)
    assert first is not None
    assert second is not None
    assert same_person(first, second)
    assert same_person(second, first)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ida Lindqvist", "Olaf Lindqvist"),
        ("I. Lindqvist", "O. Lindqvist"),
        ("Ida Lindqvist", "Ida Berg"),
        ("Ida Berg", "Ida Burg"),
        ("Carl Alma", "Alma Corvin"),
        ("Yi Chen", "Yu Zhao"),
        ("Wen Li", "Wen Lu"),
    ],
)
def test_two_people_with_similar_names(one: str, other: str) -> None:
    first, second = read_person(one), read_person(other)
    assert first is not None
    assert second is not None
    assert not same_person(first, second)


@pytest.mark.parametrize(
    ("one", "other", "verdict"),
    [
        (["Ida Lindqvist", "Jo Berg"], ["J. Berg", "I. Lindqvist"], Verdict.SAME),
        (["Ida Lindqvist et al."], ["Ida Lindqvist", "Jo Berg", "Ali Ng"], Verdict.SAME),
        (["Ida Lindqvist", "Jo Berg"], ["Ida Lindqvist", "Ali Ng"], Verdict.DIFFERENT),
        (["Ida Lindqvist", "Jo Berg", "Ali Ng"], ["Ida Lindqvist", "Jo Berg", "Eva Falk"], Verdict.MOSTLY),
        (["Ida Lindqvist"], [], Verdict.UNKNOWN),
        (["The Reed Collaboration"], ["Ida Lindqvist"], Verdict.UNKNOWN),
    ],
)
def test_lists_of_people(one: list[str], other: list[str], verdict: Verdict) -> None:
    assert compare_people(read_people(tuple(one)), read_people(tuple(other))) == verdict


@settings(deadline=None, derandomize=True, max_examples=150)
@given(st.lists(st.sampled_from(NAMES), max_size=4), st.lists(st.sampled_from(NAMES), max_size=4))
def test_lists_are_compared_alike_from_both_sides(one: list[str], other: list[str]) -> None:
    first, second = read_people(tuple(one)), read_people(tuple(other))
    assert compare_people(first, first) == (Verdict.SAME if first else Verdict.UNKNOWN)
    assert compare_people(first, second) == compare_people(second, first)
