"""Which papers are the same. Pure: owns the rules, and how all pairs that may match are found without comparing all.

Papers with the same DOI or arXiv id are one. Otherwise two are one when their titles are nearly the same, their years
at most one apart, and nothing speaks against it: no different numbers ("Part 1", "Part 2"), no word replaced by
another, no different authors, no different identifiers. Candidates are papers that share a rare word of the title, or
its first or last letters; the comparison of each block is the fuzzy-matching library's.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rapidfuzz import fuzz, process

from scraper.paper import arxiv_id_of_doi, plain_title, surname

RARE_WORDS = 4
EDGE_CHARACTERS = 10
MAX_BLOCK = 500
# A block that is too large is sorted, and each paper compared with so many after it.
WINDOW = 40
WORD_LIKENESS = 75.0
SHORT_TITLE = 20
PREPRINT_DOI = "10.48550/"
ROMAN = re.compile(r"[ivx]{1,5}")
# Their presence or absence makes no other paper.
FILLERS = frozenset({"a", "an", "the", "of", "in", "on", "for", "and", "to", "with", "by", "from", "at"})
REPORT_EVERY = 2_000


@dataclass(frozen=True, slots=True)
class Paper:
    """A paper as it is compared. `year` 0 = unknown."""

    title: str
    words: tuple[str, ...]
    numbers: tuple[str, ...]
    year: int
    surnames: frozenset[str]
    doi: str
    arxiv_id: str


def paper_of(raw: Mapping[str, Any]) -> Paper:
    """The comparable form of a stored paper."""
    title = plain_title(raw["title"])
    words = tuple(title.split())
    numbers = tuple(word for word in words if any(map(str.isdigit, word)) or ROMAN.fullmatch(word))
    doi = raw["doi"]
    return Paper(
        title, words, numbers, raw["year"] or 0, frozenset(filter(None, map(surname, raw["authors"]))),
        doi, raw["arxiv_id"] or arxiv_id_of_doi(doi),
    )  # fmt: skip


def find_groups(
    papers: Sequence[Paper], threshold: float, report: Callable[[int, int], None] = lambda _done, _total: None
) -> list[list[int]]:
    """Groups of two and more that are the same paper, as indexes, each in order."""
    union = _Union(len(papers))
    for identifier in ("doi", "arxiv_id"):
        first: dict[str, int] = {}
        for index, paper in enumerate(papers):
            value = getattr(paper, identifier)
            if value:
                union.join(first.setdefault(value, index), index)
    blocks = _blocks(papers)
    for number, block in enumerate(blocks):
        if number % REPORT_EVERY == 0:
            report(number, len(blocks))
        _match(block, papers, threshold * 100, union)
    report(len(blocks), len(blocks))
    return union.groups()


def _blocks(papers: Sequence[Paper]) -> list[list[int]]:
    """Sets of papers within which all may match. Rare words find titles in any order, edges find misspelt words."""
    frequency = Counter(word for paper in papers for word in set(paper.words))
    blocks: dict[tuple[str, str], list[int]] = defaultdict(list)
    for index, paper in enumerate(papers):
        if not paper.title:
            continue
        # A word that occurs once finds nobody.
        shared = sorted((frequency[word], word) for word in set(paper.words) if frequency[word] > 1)
        for _, word in shared[:RARE_WORDS]:
            blocks["word", word].append(index)
        letters = paper.title.replace(" ", "")
        blocks["start", letters[:EDGE_CHARACTERS]].append(index)
        blocks["end", letters[-EDGE_CHARACTERS:]].append(index)
    return [block for block in blocks.values() if len(block) > 1]


def _match(block: Sequence[int], papers: Sequence[Paper], cutoff: float, union: "_Union") -> None:
    if len(block) > MAX_BLOCK:
        ordered = sorted(block, key=lambda index: papers[index].title)
        for start, index in enumerate(ordered):
            for other in ordered[start + 1 : start + 1 + WINDOW]:
                if not union.joined(index, other) and (
                    fuzz.ratio(papers[index].title, papers[other].title, score_cutoff=cutoff)
                    and are_the_same(papers[index], papers[other], cutoff)
                ):
                    union.join(index, other)
        return
    if len(block) == 2:
        pairs = [(0, 1)]
    else:
        titles = [papers[index].title for index in block]
        scores = process.cdist(titles, titles, scorer=fuzz.token_sort_ratio, score_cutoff=cutoff, dtype=np.uint8)
        rows, columns = np.nonzero(np.triu(scores, 1))
        pairs = list(zip(rows.tolist(), columns.tolist(), strict=True))
    for row, column in pairs:
        one, other = block[row], block[column]
        if not union.joined(one, other) and are_the_same(papers[one], papers[other], cutoff):
            union.join(one, other)


def are_the_same(one: Paper, other: Paper, cutoff: float) -> bool:
    """Whether two papers are one, by title, year, authors and identifiers; `cutoff` is a percentage."""
    if (
        _contradict(one, other)
        or max(fuzz.ratio(one.title, other.title), fuzz.token_sort_ratio(one.title, other.title)) < cutoff
    ):
        return False
    exact = one.title == other.title
    if not exact and (_published_apart(one, other) or not _words_agree(one, other)):
        return False
    return _authors_agree(one, other)


def _contradict(one: Paper, other: Paper) -> bool:
    """Whether year, arXiv id or numbers of the title say that they are two."""
    if one.year and other.year and abs(one.year - other.year) > 1:
        return True
    return one.numbers != other.numbers or bool(one.arxiv_id and other.arxiv_id and one.arxiv_id != other.arxiv_id)


def _published_apart(one: Paper, other: Paper) -> bool:
    """Two publishers' DOIs that differ; a preprint's DOI says nothing."""
    dois = [paper.doi for paper in (one, other) if paper.doi and not paper.doi.startswith(PREPRINT_DOI)]
    return len(dois) == 2 and dois[0] != dois[1]


def _words_agree(one: Paper, other: Paper) -> bool:
    """Whether the words that differ are spellings of one another, not other words."""
    left = list((Counter(one.words) - Counter(other.words)).elements())
    right = list((Counter(other.words) - Counter(one.words)).elements())
    if "".join(one.words) == "".join(other.words):
        return True  # only spaces and hyphens differ
    for word in left:
        alike = [(fuzz.ratio(word, candidate), candidate) for candidate in right]
        score, best = max(alike, default=(0.0, ""))
        if score >= WORD_LIKENESS:
            right.remove(best)
        elif word not in FILLERS:
            return "".join(left) == "".join(right)
    return all(word in FILLERS for word in right)


def _authors_agree(one: Paper, other: Paper) -> bool:
    if one.surnames and other.surnames:
        if one.surnames & other.surnames:
            return True
        return any(fuzz.ratio(a, b) >= 80 for a in one.surnames for b in other.surnames)
    # Nothing is known of somebody: a short title ("Editorial") or an unknown year is then not enough.
    return len(one.title) >= SHORT_TITLE and bool(one.year and one.year == other.year)


class _Union:
    """Sets that grow together."""

    def __init__(self, size: int) -> None:
        self._parents = list(range(size))

    def _root(self, index: int) -> int:
        parents = self._parents
        while parents[index] != index:
            parents[index] = parents[parents[index]]
            index = parents[index]
        return index

    def joined(self, one: int, other: int) -> bool:
        """Whether both are in one set."""
        return self._root(one) == self._root(other)

    def join(self, one: int, other: int) -> None:
        """Make one set of both."""
        first, second = sorted((self._root(one), self._root(other)))
        self._parents[second] = first

    def groups(self) -> list[list[int]]:
        """The sets with more than one member."""
        members: dict[int, list[int]] = defaultdict(list)
        for index in range(len(self._parents)):
            members[self._root(index)].append(index)
        return [group for group in members.values() if len(group) > 1]
