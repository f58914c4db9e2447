"""Titles as they are compared: what makes no difference, and words that look alike."""

from collections import Counter

import pytest
from scraper.paper_doi import is_preprint, without_version
from scraper.paper_spelling import american, may_be_one, same_word
from scraper.paper_title import read_title
from scraper.paper_venue import CONFERENCE, JOURNAL, PREPRINT, UNKNOWN, read_venue, venues_apart


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Waves – a survey.", "WAVES: A Survey"),
        ("Theory of weirs. Part IV", "A theory of weirs, part four"),
        ("On the 3rd edition of weirs", "On the third edition of weirs"),
        ("Sums over $\\alpha$ and $\\varepsilon$-nets", "Sums over α and ε-nets"),
        ("Uptake of CO$_2$ and H_2O$", "Uptake of CO2 and H2O"),
        ("Counting $10^{9}$ grains", "Counting 10⁹ grains"),
        ("M\\\"{u}nster's caf\\'e", "Munsters cafe"),
        ("Editor's notes on 10,000 reeds", "Editors notes on 10000 reeds"),
        ("Modelling the colour of fibres in the centre", "Modeling the color of fibers in the center"),
        ("Haemoglobin and oestrogen in foetal leukaemia", "Hemoglobin and estrogen in fetal leukemia"),
        ("Analysing programmes for ploughs", "Analyzing programs for plows"),
        ("Weirs in practice (extended abstract)", "Weirs in practice"),
        ("Panel: weirs in practice", "Weirs in practice [Panel Session]"),
    ],
)
def test_titles_that_are_one(one: str, other: str) -> None:
    first, second = read_title(one), read_title(other)
    assert (first.key, first.numbers) == (second.key, second.numbers)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Theory of weirs I", "Theory of weirs II"),
        ("Theory of weirs, part A", "Theory of weirs, part B"),
        ("Programs in C", "Programs in C++"),
        ("Programs in C", "Programs in C#"),
        ("The R-tree", "The R*-tree"),
        ("HfO2 films", "HfO films"),
        ("Weirs (1994)", "Weirs (1995)"),
    ],
)
def test_titles_that_differ(one: str, other: str) -> None:
    first, second = read_title(one), read_title(other)
    assert (first.key, first.numbers) != (second.key, second.numbers)


@pytest.mark.parametrize(
    ("title", "main"),
    [
        ("Reed beds of the old estuary: a long record", "reed beds old estuary"),
        ("Reed beds of the old estuary - ten years on", "reed beds old estuary"),
        ("Reed beds: a long record", ""),
        ("Reed beds of the old estuary: part two", ""),
        ("Reed beds of the old estuary. II", ""),
        ("Reed beds of the old estuary: II. Results", ""),
        ("Reed beds of the old estuary: 1994 to 2003", ""),
        ("Reed beds of the old estuary: reply", ""),
        ("Reed beds of the old estuary: erratum", ""),
        ("Reed beds of the old estuary, 2nd edition", ""),
    ],
)
def test_a_subtitle_is_no_part_and_no_correction(title: str, main: str) -> None:
    assert read_title(title).main == main


def rarely(_word: str) -> int:
    return 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("wave", "waves"), ("theory", "theories"), ("measuremnts", "measurements"), ("learnnig", "learning"),
        ("environmnet", "environment"), ("recognitoin", "recognition"), ("occurence", "occurrence"),
        ("bewgung", "bewegung"), ("aging", "ageing"), ("ueber", "uber"), ("independant", "independent"),
        ("zorbanett", "zorbanet"),
    ],
)  # fmt: skip
def test_forms_of_one_word(one: str, other: str) -> None:
    assert same_word(american(one), american(other), rarely)
    assert same_word(american(other), american(one), rarely)
    assert may_be_one(one, other, rarely)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("hyperthermia", "hypothermia"), ("interstate", "intrastate"), ("intraspecific", "interspecific"),
        ("nitrate", "nitrite"), ("butanol", "butanal"), ("ethanol", "methanol"), ("carbon", "carbonyl"),
        ("slovenia", "slovakia"), ("niger", "nigeria"), ("causal", "casual"), ("marital", "martial"),
        ("cation", "caution"), ("absorption", "adsorption"), ("symmetric", "asymmetric"),
        ("prenatal", "perinatal"), ("insulin", "inulin"),
        ("afferent", "efferent"), ("poets", "pots"), ("gps", "gis"), ("机器学习", "机器学会"), ("zorbanet", "zorbinet"),
    ],
)  # fmt: skip
def test_words_that_only_look_alike(one: str, other: str) -> None:
    assert not same_word(american(one), american(other), rarely)
    assert not same_word(american(other), american(one), rarely)


def test_a_form_of_many_titles_is_a_word_unless_another_is_far_more_usual() -> None:
    words = Counter({"zorbament": 4, "zorbanent": 6, "zorbanet": 90, "zorbaneet": 3})
    assert not same_word("zorbament", "zorbanent", words.__getitem__)
    assert same_word("zorbanet", "zorbaneet", words.__getitem__)


@pytest.mark.parametrize(
    ("doi", "preprint"),
    [
        ("10.48550/arxiv.2999.00001", True), ("10.1101/2999.01.02.345678", True), ("10.1101/123456", True),
        ("10.1101/gr.123456.107", False), ("10.2139/ssrn.99", True), ("10.31219/osf.io/ab", True),
        ("10.1149/osf.io/ab", True), ("10.26434/chemrxiv-2999-x", True), ("10.21203/rs.3.rs-1/v1", True),
        ("10.1590/scielopreprints.1", True), ("10.1590/s0100-1", False), ("10.5194/acp-2999-1-discuss", True),
        ("10.5281/zenodo.1", True), ("10.98765/a", False),
    ],
)  # fmt: skip
def test_whose_doi_it_is(doi: str, preprint: bool) -> None:
    assert is_preprint(doi) is preprint


def test_versions_have_one_doi() -> None:
    assert without_version("10.98765/a.v2") == without_version("10.98765/a/v1") == "10.98765/a"
    assert without_version("10.7554/elife.12345.2") == without_version("10.7554/elife.12345")
    assert without_version("10.1101/2999.01.02.345678v3") == "10.1101/2999.01.02.345678"
    assert without_version("10.98765/rev2") == "10.98765/rev2"
    assert without_version("10.98765/a.2") != without_version("10.98765/a.1")


@pytest.mark.parametrize(
    ("venue", "kind"),
    [
        ("Journal of Reeds", JOURNAL), ("REED J.", JOURNAL), ("Trans. Reed Syst.", JOURNAL),
        ("Reed Conference", CONFERENCE), ("Proceedings of the 3rd Workshop on Reeds", CONFERENCE),
        ("arXiv.org", PREPRINT), ("bioRxiv", PREPRINT), ("Reeds", UNKNOWN), ("", UNKNOWN),
        ("Journal of Reeds: Conference Series", UNKNOWN),
    ],
)  # fmt: skip
def test_kinds_of_venues(venue: str, kind: str) -> None:
    assert read_venue(venue)[1] == kind


def test_venues_that_never_go_together_are_learned() -> None:
    pairs = [("reeds", "acta calami")] * 20 + [("marsh", "large wet lands")] * 20 + [("rare", "marsh")]
    assert venues_apart(pairs) == {
        ("acta calami", "large wet lands"), ("acta calami", "marsh"), ("large wet lands", "reeds"), ("marsh", "reeds"),
    }  # fmt: skip
