"""Papers as pure data: how they are cleaned, compared, merged, read from the sources, indexed and searched."""

from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import orjson
import pytest
from scraper.executor import InvalidParameters
from scraper.paper import (
    Record,
    clean_arxiv_id,
    clean_doi,
    clean_url,
    clean_year,
    merge,
)
from scraper.paper_catalogue import Listed, make_catalogue
from scraper.paper_dedup_cards import Card, new_groups, read_cards
from scraper.paper_index import apply_changes, digests, finish, query_terms, search
from scraper.paper_keywords import expand
from scraper.paper_matching import comparable, find_groups
from scraper.paper_sources import Arxiv, Crossref, OpenAlex, Query, Rubbish, SemanticScholar, Source, joined
from scraper.paper_text import marked_text
from scraper.pipeline_params import IndexParams, SearchParams, read_params

from simulators.scholar import shapes
from simulators.scholar.corpus import Corpus, made_worse, make_corpus

BASE = "http://127.0.0.1:1"
SOURCES: list[Source] = [SemanticScholar(BASE), Arxiv(BASE), OpenAlex(BASE), Crossref(BASE)]


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return make_corpus(seed=11, works=1_500)


@pytest.mark.parametrize(("seed", "worse", "least"), [(11, False, 0.98), (11, True, 0.95)])
def test_most_duplicates_are_found_and_next_to_nothing_else(seed: int, worse: bool, least: float) -> None:
    """The worse corpus has years that are too far apart for anybody, which is what it misses."""
    corpus = make_corpus(seed, works=1_500)
    if worse:
        corpus = made_worse(corpus, seed)
    papers = [
        comparable(marked_text(one.title, 2_000), one.year, one.authors, one.doi, one.arxiv_id, source=one.source)
        for one in corpus.records
    ]
    groups = find_groups(papers, 0.9)
    found = {pair for group in groups for pair in combinations(group, 2)}
    works: dict[int, list[int]] = {}
    for index, record in enumerate(corpus.records):
        works.setdefault(record.work, []).append(index)
    true = {pair for group in works.values() for pair in combinations(group, 2)}
    assert len(true) > 1_000
    assert len(found & true) / len(found) >= 0.99
    assert len(found & true) / len(true) >= least


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({}, True),
        ({"title": "Deep learnng for protien folding at scale"}, True),
        ({"title": "Deep-Learning for Protein Folding at Scale."}, True),
        ({"title": "Deep learning for protein folding at scale II"}, False),
        ({"title": "Deep learning for protein docking at scale"}, False),
        ({"year": 2021}, True),
        ({"year": 2022}, True),
        ({"year": 2022, "authors": []}, False),
        ({"year": 2023}, False),
        ({"title": "Deep learning fro protein folding at scale"}, True),
        ({"title": "Deep learnnig for portein folding at scale"}, True),
        ({"year": 0}, True),
        ({"authors": ["M. Curie"]}, True),
        ({"authors": ["Lise Meitner"]}, False),
        ({"doi": "10.1000/other"}, False),
        ({"doi": "10.2000/other"}, True),
        ({"title": "Deep learnng for protein folding at scale", "doi": "10.1000/other"}, False),
        ({"arxiv_id": "2001.00002"}, False),
        ({"title": "Something else entirely", "doi": "10.1000/one", "authors": []}, True),
    ],
)
def test_what_makes_two_papers_one(changes: dict[str, Any], same: bool) -> None:
    one: dict[str, Any] = {
        "title": "Deep learning for protein folding at scale", "year": 2020, "authors": ["Marie Curie", "Niels Bohr"],
        "doi": "10.1000/one", "arxiv_id": "2001.00001",
    }  # fmt: skip
    other = one | {"doi": "", "arxiv_id": ""} | changes
    assert bool(find_groups([comparable(**one), comparable(**other)], 0.9)) is same


def test_a_merged_paper_is_the_kept_record_filled_up_from_the_others() -> None:
    one = Record("arxiv", "2001.1", "Title", abstract="Long abstract", year=2020, arxiv_id="2001.1").document()
    two = Record("crossref", "10.1/x", "TITLE", doi="10.1/x", venue="Venue", citations=5).document()
    best = merge([one, two])
    assert (best["paper_id"], best["title"]) == (one["paper_id"], "Title")
    assert (best["abstract"], best["doi"], best["venue"], best["citations"]) == ("Long abstract", "10.1/x", "Venue", 5)
    assert [source["source"] for source in best["sources"]] == ["arxiv", "crossref"]
    # Only what was read is filled up.
    assert merge([{"doi": ""}, {"doi": "10.1/x"}]) == {"doi": "10.1/x"}


def cards_of(*told: tuple[str, str, int]) -> list[Card]:
    """Cards of papers with an id, a DOI and a fullness."""
    # Titles that have nothing in common: the DOI decides.
    cards = [[20 * paper_id, 2020, [], doi, "", filled, 0] for paper_id, doi, filled in told]
    return read_cards([[[paper_id for paper_id, _, _ in told], cards]])


def test_a_card_may_have_a_venue_and_a_source() -> None:
    title = "Nesting of grebes in flooded quarries"
    old = [title, 2020, ["Ida Lindqvist"], "", "", 3, 0]
    cards = [[title, 2020, ["Ida Lindqvist"], "", "", venue, "openalex", 3, 0] for venue in ("Grebes", "Terns")]
    papers = [card.paper for card in read_cards([[["a"], [old]], [["b", "c"], cards]])]
    assert [(paper.venue, paper.source) for paper in papers] == [
        ("", ""),
        ("grebes", "openalex"),
        ("terns", "openalex"),
    ]


def test_the_fullest_paper_is_kept_until_another_has_a_text() -> None:
    cards = cards_of(("a", "10.1/x", 3), ("b", "10.1/x", 5), ("c", "10.1/y", 9))
    assert new_groups(cards, {}, [], 0.9) == [["b", "a"]]
    assert new_groups(cards, {"a": 2}, [], 0.9) == [["a", "b"]]


def test_a_group_is_new_only_when_it_grows_and_keeps_its_paper() -> None:
    cards = cards_of(("a", "10.1/x", 3), ("b", "10.1/x", 5), ("c", "10.1/x", 9))
    assert new_groups(cards, {}, [["a", "b", "c"]], 0.9) == []
    assert new_groups(cards, {}, [["a", "b"]], 0.9) == [["a", "c", "b"]]
    # What was found once stays together, whatever is compared later.
    assert new_groups(cards_of(("a", "10.1/x", 3), ("b", "10.1/y", 5)), {}, [["a", "b"]], 0.9) == []


def test_groups_that_meet_become_one_with_the_kept_paper_of_the_later() -> None:
    catalogue = make_catalogue(
        [Listed("1", 10, ("a", "b", "c")), Listed("2", 20, ("d", "a"))], [["a", "b"], ["c", "d"], ["c", "a"]]
    )
    assert catalogue.groups.of("c") == ["c", "a", "d", "b"]
    assert {catalogue.groups.kept_of(one) for one in "abcd"} == {"c"}
    assert catalogue.active == ("c",)
    assert make_catalogue(catalogue.listed, []).active == ("d", "a", "b", "c")


def test_identifiers_and_texts_from_outside_are_brought_into_one_form() -> None:
    assert clean_doi("https://doi.org/10.1000/ABC.") == clean_doi("doi:10.1000/abc") == "10.1000/abc"
    assert (
        clean_arxiv_id("https://arxiv.org/pdf/2101.00001v3.pdf") == clean_arxiv_id("arXiv:2101.00001") == "2101.00001"
    )
    assert clean_arxiv_id("javascript:alert(1)") == clean_doi(None) == clean_url("file:///etc/passwd") == ""
    assert clean_url("http://[") == ""
    assert marked_text("<jats:p>A &amp;\x00 B</jats:p>\n", 100) == "A & B"
    assert marked_text({"$where": "1"}, 100) == ""
    assert (clean_year("2020-01-02"), clean_year(True), clean_year(99_999), clean_year("2020x")) == (
        2020,
        None,
        None,
        2020,
    )


def answer_of(source: Source, corpus: Corpus, count: int = 30) -> bytes:
    """A page as the service sends it."""
    records = corpus.of(source.name)[:count]
    if source.name == "arxiv":
        return shapes.arxiv(records, base=BASE, total=99, start=0, size=count, query="all:x").encode()
    fields = {"title", "abstract", "year", "authors", "externalIds", "venue", "url", "openAccessPdf", "citationCount"}
    if source.name == "semantic_scholar":
        entries = [shapes.semantic_scholar(record, BASE, fields) for record in records]
        return orjson.dumps({"total": 99, "offset": 0, "next": count, "data": entries})
    if source.name == "openalex":
        entries = [shapes.openalex(record, BASE) for record in records]
        return orjson.dumps({"meta": {"count": 99, "next_cursor": "abc"}, "results": entries})
    message = {
        "total-results": 99,
        "next-cursor": "abc",
        "items": [shapes.crossref(record, BASE) for record in records],
    }
    return orjson.dumps({"status": "ok", "message": message})


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_each_source_is_read_as_it_is_documented(source: Source, corpus: Corpus) -> None:
    page = source.read(answer_of(source, corpus), source.first)
    assert (page.total, page.entries, page.following) == (
        99,
        30,
        {"semantic_scholar": "30", "arxiv": "30"}.get(source.name, "abc"),
    )
    for record, known in zip(page.records, corpus.of(source.name), strict=False):
        assert (record.source_id, record.year, record.abstract) == (known.id, known.year, known.abstract)
        assert record.authors == known.authors
        assert record.title == marked_text(known.title, 2_000)
        assert bool(record.pdf_url) == bool(known.pdf)
        assert record.doi == known.doi
    assert {"arxiv": ""}.get(source.name, page.records[0].venue) == page.records[0].venue


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"{}", b'{"data": 3, "results": {}, "message": []}', b"\xff\xfe", b"<feed/>"]
)
def test_rubbish_is_recognised(source: Source, body: bytes) -> None:
    with pytest.raises(Rubbish):
        source.read(body, source.first)


def test_wrong_entries_are_skipped_and_wrong_members_left_out() -> None:
    wrong = {"paperId": "a", "title": "T", "authors": {"name": 1}, "year": 1e99, "externalIds": [], "openAccessPdf": 3}
    entries = [None, 7, {}, {"paperId": {}, "title": ["x"]}, wrong]
    page = SemanticScholar(BASE).read(orjson.dumps({"total": "many", "next": -5, "data": entries}), "0")
    (record,) = page.records
    assert (record.title, record.year, record.authors, record.pdf_url) == ("T", None, (), "")
    assert (page.total, page.following) == (None, None)


def test_xml_entities_are_not_resolved() -> None:
    bomb = (
        b'<!DOCTYPE f [<!ENTITY a SYSTEM "file:///etc/passwd">]><feed xmlns="http://www.w3.org/2005/Atom">'
        b"<entry><id>http://arxiv.org/abs/2101.00001</id><title>&a;</title></entry></feed>"
    )
    assert Arxiv(BASE).read(bomb, "0").records == ()


def test_queries_are_escaped_and_years_are_passed_on() -> None:
    query = Query('a&b "c d"', 2019, 2021)
    urls = [source.url(query, source.first, 50) for source in SOURCES]
    assert all("a&b" not in url for url in urls)
    assert "year=2019-2021" in urls[0]
    assert "submittedDate%3A%5B201901010000+TO+202112312359%5D" in urls[1]
    assert "from_publication_date%3A2019-01-01" in urls[2]
    assert "until-pub-date%3A2021" in urls[3]
    assert SemanticScholar(BASE).url(query, "990", 100).count("limit=10") == 1  # never beyond the first thousand


def test_a_base_that_has_the_path_already_is_taken_at_its_word() -> None:
    assert joined("http://h/", "api/query") == joined("http://h/api", "api/query") == "http://h/api/query"
    assert joined("http://h/s2/graph/v1", "graph/v1/paper/search") == "http://h/s2/graph/v1/paper/search"


def put(paper_id: str, title: str, abstract: str = "", body: str = "", digest: str = "1") -> dict[str, str]:
    return {"id": paper_id, "digest": digest, "title": title, "abstract": abstract, "authors": "", "body": body}


@pytest.fixture
def index(tmp_path: Path) -> Path:
    path = tmp_path / "index.sqlite"
    apply_changes(
        path,
        [
            put("a", "Folding <b>proteins</b>", "We fold proteins quickly."),
            put("b", "Something else", "Not about it.", body="But here a protein is folded & boiled."),
            put("c", "机器学习在蛋白质折叠中的应用"),
            put("d", "To be dropped"),
        ],
    )
    apply_changes(
        path, [{"id": "d"}, put("b", "Something else", body="But here a protein is folded & boiled.", digest="2")]
    )
    finish(path)
    return path


def test_the_index_ranks_titles_first_finds_stems_and_highlights_safely(index: Path) -> None:
    hits, total = search(index, "protein folding", offset=0, limit=10)
    assert ([hit.paper_id for hit in hits], total) == (["a", "b"], 2)
    assert hits[0].score > hits[1].score > 0
    assert hits[0].highlights["title"] == "<em>Folding</em> &lt;b&gt;<em>proteins</em>&lt;/b&gt;"
    assert hits[1].highlights == {"body": "But here a <em>protein</em> is <em>folded</em> &amp; boiled."}
    assert search(index, "protein folding", offset=1, limit=10)[0] == hits[1:]
    assert digests(index, published=True) == {"a": "1", "b": "2", "c": "1"}


def test_words_without_spaces_between_them_are_found(index: Path) -> None:
    hits, _ = search(index, "机器学习", offset=0, limit=10)
    assert [hit.highlights["title"] for hit in hits] == ["<em>机器学习</em>在蛋白质折叠中的应用"]
    assert search(index, "学机", offset=0, limit=10) == ([], 0)


def test_words_that_stand_in_no_paper_together_are_searched_for_alone(index: Path) -> None:
    assert [hit.paper_id for hit in search(index, "proteins unicorn", offset=0, limit=10)[0]] == ["a", "b"]
    assert search(index, '"protein is folded"', offset=0, limit=10)[1] == 1


@pytest.mark.parametrize(
    "query", ['"', "*", "AND", "title:x", "a NEAR b", "(", "^x", "-x", "{a b}:c", "'; DROP TABLE papers", "\0", "🦊"]
)
def test_nothing_in_a_query_is_an_operator(index: Path, query: str) -> None:
    search(index, query, offset=0, limit=10)
    assert all(term.startswith('"') and term.endswith('"') for term in query_terms(query))


def test_related_terms_come_from_the_papers_that_speak_of_the_asked_ones() -> None:
    texts = ["Graph neural networks predict protein folding with message passing."] * 4
    texts += ["Glacier melt depends on albedo feedback and summer temperature."] * 4
    found = expand(texts, {"keywords": ["protein folding"], "limit": 5}, lambda _done, _total: None)
    words = " ".join(str(entry["keyword"]) for entry in found)
    assert "graph neural networks" in words
    assert "glacier" not in words
    assert all(0 < float(str(entry["score"])) <= 1 for entry in found)
    assert expand(texts, {"keywords": ["unicorns"], "limit": 5}, lambda _done, _total: None) == []


def test_parameters_are_checked_and_the_field_is_named() -> None:
    assert read_params(IndexParams, {"project_id": 1, "paper_ids": None, "unknown": 3}).paper_ids is None
    for wrong in ({"query": 3}, {"query": "x", "sources": ["google"]}, {"query": "x", "limit": "9"}, {}):
        with pytest.raises(InvalidParameters) as caught:
            read_params(SearchParams, {"project_id": 1, **wrong})
        assert caught.value.field.split(".")[0] in ("query", "sources", "limit")


def test_the_same_seed_makes_the_same_corpus() -> None:
    assert make_corpus(3, 50) == make_corpus(3, 50)
    assert make_corpus(3, 50) != make_corpus(4, 50)
    assert replace(make_corpus(3, 50).works[0]) == make_corpus(3, 80).works[0]
