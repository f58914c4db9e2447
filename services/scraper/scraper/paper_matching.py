"""Which papers are the same. Pure: owns the rules, and how all pairs that may match are found without comparing all.

Papers with the same DOI or arXiv id are one. Otherwise two are one when their titles are nearly the same, their years
at most one apart (two, if the same people wrote them), and nothing speaks against it: no different numbers ("Part 1",
"Part 2"), no word replaced by another, no different authors, no different identifiers.

Candidates are papers that share a rare word of the title, and neighbours in the order of titles read forwards and
backwards, so that a misspelling hides nobody. The fuzzy-matching library then scores all of them at once.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rapidfuzz import fuzz, process
from rapidfuzz.distance import OSA

from scraper.paper import arxiv_id_of_doi, plain_title, surname

RARE_WORDS = 4
# All pairs of a block up to this size are candidates; in a larger one, or in all papers, the next so many in order.
FULL_BLOCK = 64
WINDOW = 12
# Scored at once, which bounds the memory.
PAIRS_AT_ONCE = 500_000
THREADS = 2
WORD_LIKENESS = 75.0
LETTERS_LIKENESS = 85.0
SLIPS_FROM = 5
YEARS = 2
NAME_LIKENESS = 88.0
SHORT_TITLE = 20
TELLING_WORDS = 6
PREPRINT_DOI = "10.48550/"
ROMAN = re.compile(r"[ivx]{1,5}")
# Their presence or absence makes no other paper.
FILLERS = frozenset({"a", "an", "the", "of", "in", "on", "for", "and", "to", "with", "by", "from", "at"})


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


def comparable(title: str, year: int, authors: Sequence[str], doi: str, arxiv_id: str) -> Paper:
    """A paper as it is compared. `year` 0, "" = not known."""
    plain = plain_title(title)
    words = tuple(plain.split())
    numbers = tuple(word for word in words if any(map(str.isdigit, word)) or ROMAN.fullmatch(word))
    surnames = frozenset(filter(None, map(surname, authors)))
    return Paper(plain, words, numbers, year, surnames, doi, arxiv_id or arxiv_id_of_doi(doi))


def find_groups(
    papers: Sequence[Paper],
    threshold: float,
    report: Callable[[int, int], None] = lambda _done, _total: None,
    *,
    joined: Sequence[Sequence[int]] = (),
) -> list[list[int]]:
    """Groups of two and more that are the same paper, as indexes, each in order; `joined` are groups already."""
    union = _Union(len(papers))
    for group in joined:
        for other in group[1:]:
            union.join(group[0], other)
    for identifier in ("doi", "arxiv_id"):
        first: dict[str, int] = {}
        for index, paper in enumerate(papers):
            value = getattr(paper, identifier)
            if value:
                union.join(first.setdefault(value, index), index)
    pairs = _candidates(papers)
    for start in range(0, len(pairs), PAIRS_AT_ONCE):
        report(start, len(pairs))
        part = pairs[start : start + PAIRS_AT_ONCE]
        left, right = ([papers[index].title for index in column] for column in part.T.tolist())
        scores = process.cpdist(left, right, scorer=fuzz.ratio, score_cutoff=threshold * 100, workers=THREADS)
        for one, other in part[scores > 0].tolist():
            if not union.joined(one, other) and are_the_same(papers[one], papers[other], threshold * 100):
                union.join(one, other)
    report(len(pairs), len(pairs))
    return union.groups()


Pairs = NDArray[np.int64]


def _candidates(papers: Sequence[Paper]) -> Pairs:
    """Pairs of papers (smaller index first, each once) whose year and length allow a match."""
    years = np.array([paper.year for paper in papers], dtype=np.int64)
    lengths = np.array([len(paper.title) for paper in papers], dtype=np.int64)
    # Pairs as one number each: those are sorted many times faster than rows.
    kept = [np.empty(0, dtype=np.int64)]
    for found in _collected(_blocks(papers)):
        one, other = found.min(axis=1), found.max(axis=1)
        near = (np.abs(years[one] - years[other]) <= YEARS) | (years[one] == 0) | (years[other] == 0)
        shorter, longer = np.minimum(lengths[one], lengths[other]), np.maximum(lengths[one], lengths[other])
        # Half as long can't be half alike, which is the lowest threshold.
        likely = near & (one != other) & (shorter * 3 >= longer) & (shorter > 0)
        kept.append(one[likely] * len(papers) + other[likely])
    pairs = np.sort(np.concatenate(kept))
    pairs = pairs[np.diff(pairs, prepend=-1) != 0]
    return np.column_stack(np.divmod(pairs, max(1, len(papers))))


def _collected(blocks: Iterator[Pairs]) -> Iterator[Pairs]:
    """The same pairs in large arrays."""
    waiting: list[Pairs] = []
    count = 0
    for pairs in blocks:
        waiting.append(pairs)
        count += len(pairs)
        if count >= PAIRS_AT_ONCE:
            yield np.concatenate(waiting)
            waiting, count = [], 0
    if waiting:
        yield np.concatenate(waiting)


def _blocks(papers: Sequence[Paper]) -> Iterator[Pairs]:
    """Pairs of papers that have something in common."""
    titles = [paper.title for paper in papers]
    yield _neighbours(sorted(range(len(papers)), key=titles.__getitem__))
    yield _neighbours(sorted(range(len(papers)), key=lambda index: titles[index][::-1]))
    frequency = Counter(word for paper in papers for word in set(paper.words))
    blocks: dict[str, list[int]] = defaultdict(list)
    for index, paper in enumerate(papers):
        # A word that occurs once finds nobody.
        shared = sorted((frequency[word], word) for word in set(paper.words) if frequency[word] > 1)
        for _, word in shared[:RARE_WORDS]:
            blocks[word].append(index)
    for block in blocks.values():
        if len(block) > FULL_BLOCK:
            yield _neighbours(sorted(block, key=titles.__getitem__))
        elif len(block) > 1:
            members = np.array(block, dtype=np.int64)
            rows, columns = np.triu_indices(len(block), 1)
            yield np.column_stack((members[rows], members[columns]))


def _neighbours(ordered: Sequence[int]) -> Pairs:
    """Each with the next ones in that order."""
    members = np.array(ordered, dtype=np.int64)
    steps = range(1, min(WINDOW, len(members) - 1) + 1)
    pairs = [np.column_stack((members[:-step], members[step:])) for step in steps]
    return np.concatenate(pairs) if pairs else np.empty((0, 2), dtype=np.int64)


def are_the_same(one: Paper, other: Paper, cutoff: float) -> bool:
    """Whether two papers are one, by title, year, authors and identifiers; `cutoff` is a percentage."""
    if (
        _contradict(one, other)
        or max(fuzz.ratio(one.title, other.title), fuzz.token_sort_ratio(one.title, other.title)) < cutoff
    ):
        return False
    if _published_later(one, other) and not (one.surnames & other.surnames and len(one.words) >= TELLING_WORDS):
        return False
    exact = one.title == other.title
    if not exact and (_published_apart(one, other) or not _words_agree(one, other)):
        return False
    return _authors_agree(one, other)


def _contradict(one: Paper, other: Paper) -> bool:
    """Whether year, arXiv id or numbers of the title say that they are two."""
    if one.year and other.year and abs(one.year - other.year) > YEARS:
        return True
    return one.numbers != other.numbers or bool(one.arxiv_id and other.arxiv_id and one.arxiv_id != other.arxiv_id)


def _published_later(one: Paper, other: Paper) -> bool:
    """Years as far apart as a preprint and its paper may be: then the same people must have written both."""
    return bool(one.year and other.year) and abs(one.year - other.year) == YEARS


def _published_apart(one: Paper, other: Paper) -> bool:
    """Two publishers' DOIs that differ; a preprint's DOI says nothing."""
    dois = [paper.doi for paper in (one, other) if paper.doi and not paper.doi.startswith(PREPRINT_DOI)]
    return len(dois) == 2 and dois[0] != dois[1]


def _words_agree(one: Paper, other: Paper) -> bool:
    """Whether the words that differ are spellings of one another, not other words."""
    left = list((Counter(one.words) - Counter(other.words)).elements())
    right = list((Counter(other.words) - Counter(one.words)).elements())
    # Spaces and hyphens that moved make other words of the same letters.
    if fuzz.ratio("".join(left), "".join(right)) >= LETTERS_LIKENESS:
        return True
    for word in left:
        score, best = max(((fuzz.ratio(word, candidate), candidate) for candidate in right), default=(0.0, ""))
        if score >= WORD_LIKENESS or _misspelt(word, best):
            right.remove(best)
        elif word not in FILLERS:
            return False
    return all(word in FILLERS for word in right)


def _misspelt(word: str, other: str) -> bool:
    """Two slips of the same word, or one in a word so short that it is much of it: "hmna" for "human", "adn" for "and".

    A single letter may name a part, and is not taken for a slip.
    """
    if max(len(word), len(other)) >= SLIPS_FROM and word[:1] == other[:1]:
        return bool(OSA.distance(word, other, score_cutoff=2) <= 2)
    near = OSA.distance(word, other, score_cutoff=1) <= 1
    return near and any(len(one) > 1 and one in FILLERS for one in (word, other))


def _authors_agree(one: Paper, other: Paper) -> bool:
    if len(one.title) < SHORT_TITLE:
        # Many papers are called "Editorial": only the same people in the same year are sure.
        return bool(one.surnames & other.surnames) and one.year == other.year
    if one.surnames and other.surnames:
        if one.surnames & other.surnames:
            return True
        return any(fuzz.ratio(a, b) >= NAME_LIKENESS for a in one.surnames for b in other.surnames)
    # Nothing is known of somebody's authors: then the title must say more, or the year.
    return len(one.words) >= TELLING_WORDS or bool(one.year and one.year == other.year)


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
