"""Which pairs of papers may be one. Pure: owns how they are found without comparing all. Must not know the rules.

Papers with an equal title, or a title that is another's without its subtitle, are compared at once. Others are
candidates when they share a rare word of the title, or are neighbours in the order of titles read forwards and
backwards, so that a misspelling hides nobody; the fuzzy-matching library then scores all of them at once.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray
from rapidfuzz import fuzz, process

from scraper.paper_rules import PREPRINT_YEARS, Paper

RARE_WORDS = 4
# All pairs of a block up to this size are candidates; in a larger one, or in all papers, the next so many in order.
FULL_BLOCK = 64
WINDOW = 12
# Scored at once, which bounds the memory.
PAIRS_AT_ONCE = 500_000
THREADS = 2
Pairs = NDArray[np.int64]


def likely_pairs(
    papers: Sequence[Paper], cutoff: float, report: Callable[[int, int], None] = lambda _done, _total: None
) -> Iterator[tuple[int, int]]:  # fmt: skip
    """Pairs with equal titles, and with titles at least so much alike (per cent); smaller index first, each once."""
    equal = _deduplicated(papers, _equal_titles(papers))
    yield from map(tuple, equal.tolist())
    known = equal[:, 0] * len(papers) + equal[:, 1]
    pairs = _deduplicated(papers, _blocks(papers), without=known)
    for start in range(0, len(pairs), PAIRS_AT_ONCE):
        report(start, len(pairs))
        part = pairs[start : start + PAIRS_AT_ONCE]
        left, right = ([papers[index].title.plain for index in column] for column in part.T.tolist())
        scores = process.cpdist(left, right, scorer=fuzz.ratio, score_cutoff=cutoff, workers=THREADS)
        yield from map(tuple, part[scores > 0].tolist())
    report(len(pairs), len(pairs))


def _equal_titles(papers: Sequence[Paper]) -> Iterator[Pairs]:
    """Papers with the same key, and those whose key is another's before its subtitle."""
    blocks: dict[str, list[int]] = defaultdict(list)
    mains: dict[str, list[int]] = defaultdict(list)
    for index, paper in enumerate(papers):
        if paper.title.key:
            blocks[paper.title.key].append(index)
        if paper.title.main:
            mains[paper.title.main].append(index)
    for block in blocks.values():
        if len(block) > FULL_BLOCK:
            yield _neighbours(sorted(block, key=lambda index: papers[index].year))
    small = (pair for block in blocks.values() if len(block) <= FULL_BLOCK for pair in combinations(block, 2))
    shortened = (
        pair for main, longer in mains.items() for pair in product(blocks.get(main, ())[:WINDOW], longer[:FULL_BLOCK])
    )
    yield np.array([*small, *shortened], dtype=np.int64).reshape(-1, 2)


def _deduplicated(papers: Sequence[Paper], blocks: Iterator[Pairs], without: NDArray[np.int64] | None = None) -> Pairs:
    """Pairs (smaller index first, each once) whose year and length allow a match."""
    years = np.array([paper.year for paper in papers], dtype=np.int64)
    lengths = np.array([len(paper.title.plain) for paper in papers], dtype=np.int64)
    # Pairs as one number each: those are sorted many times faster than rows.
    kept = [np.empty(0, dtype=np.int64)]
    for found in _collected(blocks):
        one, other = found.min(axis=1), found.max(axis=1)
        near = (np.abs(years[one] - years[other]) <= PREPRINT_YEARS) | (years[one] == 0) | (years[other] == 0)
        shorter, longer = np.minimum(lengths[one], lengths[other]), np.maximum(lengths[one], lengths[other])
        # Half as long can't be half alike, which is the lowest threshold; equal titles differ in small words alone.
        likely = near & (one != other) & ((shorter * 3 >= longer) | (without is None)) & (shorter > 0)
        kept.append(one[likely] * len(papers) + other[likely])
    pairs = np.sort(np.concatenate(kept))
    pairs = pairs[np.diff(pairs, prepend=-1) != 0]
    if without is not None:
        pairs = np.setdiff1d(pairs, without, assume_unique=True)
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
    titles = [paper.title.plain for paper in papers]
    yield _neighbours(sorted(range(len(papers)), key=titles.__getitem__))
    yield _neighbours(sorted(range(len(papers)), key=lambda index: titles[index][::-1]))
    frequency = Counter(word for paper in papers for word in set(paper.title.words))
    blocks: dict[str, list[int]] = defaultdict(list)
    for index, paper in enumerate(papers):
        # A word that occurs once finds nobody.
        shared = sorted((frequency[word], word) for word in set(paper.title.words) if frequency[word] > 1)
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
