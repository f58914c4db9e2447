"""From papers to groups that are one paper each. Pure: owns how pairs become groups. Must not know a pair's rules.

Equal identifiers join, and groups that were found before stay. Then the surest pairs come first, and two groups become
one only when nothing speaks against any pair across them: what may not be one directly does not become one over a third
record. The order in which papers come makes no difference.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import itemgetter

from scraper.paper_candidates import likely_pairs
from scraper.paper_names import Verdict, compare_people
from scraper.paper_rules import Corpus, Paper, Strength, comparable, contradict, match
from scraper.paper_venue import VenuePair, venue_pair, venues_apart
from scraper.paper_vocabulary import HEADINGS

__all__ = ["Paper", "comparable", "describe", "find_groups"]

# A title that papers of so many years or first authors have is a heading.
HEADING_YEARS, HEADING_PEOPLE = 4, 3
# More papers of one heading and year than this are several, unless each is of another source.
CROWD = 2
# Of larger groups only so many are held against each other.
MAX_MEMBERS = 60
# Title, years and people of a `Strength`.
BEYOND_DOUBT = (3, 0, Verdict.SAME)
Edge = tuple[Strength, int, int]


def find_groups(
    papers: Sequence[Paper],
    threshold: float,
    report: Callable[[int, int], None] = lambda _done, _total: None,
    *,
    joined: Sequence[Sequence[int]] = (),
) -> list[list[int]]:
    """Groups of two and more that are the same paper, as indexes, each in order; `joined` are groups already."""
    order = sorted(range(len(papers)), key=lambda index: _content(papers[index]))
    places = {index: place for place, index in enumerate(order)}
    found = _Groups([papers[index] for index in order], threshold * 100)
    found.join_known([places[index] for index in group] for group in joined)
    found.join_matching(report)
    return sorted(sorted(order[place] for place in group) for group in found.groups())


def _content(paper: Paper) -> tuple[object, ...]:
    return paper.title.plain, paper.title.key, paper.year, paper.doi, paper.arxiv_id, paper.names, paper.source


def describe(papers: Sequence[Paper]) -> Corpus:
    """What all papers together say of words and titles."""
    titles = {paper.title.plain: paper.title.words for paper in papers}
    occurrences = Counter(word for words in titles.values() for word in set(words))
    blocks: dict[str, list[Paper]] = defaultdict(list)
    for paper in papers:
        blocks[paper.title.key].append(paper)
    headings = {key for key, block in blocks.items() if len(block) > CROWD and _recurs(block)}
    crowded = {
        (key, paper.year, paper.people)
        for key, block in blocks.items()
        if len(block) > CROWD and (key in headings or HEADINGS.issuperset(key.split()))
        for paper in _crowd(block)
    }
    return Corpus(occurrences, frozenset(headings), frozenset(crowded))


def _recurs(block: Sequence[Paper]) -> bool:
    """Whether the same people use the title in many years, or many people do."""
    years: dict[object, list[int]] = defaultdict(list)
    for paper in block:
        if paper.year:
            years[paper.people[0].readings[0].family if paper.people else ()].append(paper.year)
    return len(years) > HEADING_PEOPLE or any(max(told) - min(told) >= HEADING_YEARS for told in years.values())


def _crowd(block: Sequence[Paper]) -> Iterator[Paper]:
    """Papers of a heading that have more like them, of the same people in the same year, than could be one."""
    years: dict[int, list[Paper]] = defaultdict(list)
    for paper in block:
        years[paper.year].append(paper)
    for papers in years.values():
        for paper in papers:
            alike = [
                other for other in papers[:MAX_MEMBERS] if compare_people(paper.people, other.people) == Verdict.SAME
            ]
            sources = Counter(other.source for other in alike)
            if len(papers) > MAX_MEMBERS or sources.pop("", 0) > CROWD or max(sources.values(), default=0) > 1:
                yield paper


class _Groups:
    """Sets of papers that grow together."""

    def __init__(self, papers: Sequence[Paper], cutoff: float) -> None:
        self._papers, self._cutoff, self._corpus = papers, cutoff, describe(papers)
        self._group_of = list(range(len(papers)))
        self._members = {index: [index] for index in range(len(papers))}
        self._venues_apart: frozenset[VenuePair] = frozenset()
        self._verdicts: dict[tuple[int, int], bool] = {}

    def join_known(self, groups: Iterable[Sequence[int]]) -> None:
        """Join what is known to be one: these groups, and papers with an equal DOI or arXiv id."""
        for first, *others in groups:
            for other in others:
                self._join(first, other)
        for identifier in ("doi", "arxiv_id"):
            holders: dict[str, int] = {}
            for index, paper in enumerate(self._papers):
                if value := getattr(paper, identifier):
                    self._join(holders.setdefault(value, index), index)

    def join_matching(self, report: Callable[[int, int], None]) -> None:
        """Join the pairs that match, the surest first, where nothing speaks against it."""
        edges: list[Edge] = []
        for one, other in likely_pairs(self._papers, self._cutoff, report):
            if self._group_of[one] == self._group_of[other]:
                continue
            if (strength := match(self._papers[one], self._papers[other], self._cutoff, self._corpus)) is not None:
                edges.append((strength, one, other))
        # The surest first, and among equals in the order of the papers.
        edges.sort(key=itemgetter(1, 2))
        edges.sort(key=itemgetter(0), reverse=True)
        self._venues_apart = self._learn_venues(edges)
        doubtful = self._doubtful(edges)
        for strength, one, other in edges:
            if (strength.people != Verdict.UNKNOWN or not doubtful & {one, other}) and self._may_join(one, other):
                self._join(one, other)

    def _learn_venues(self, edges: Sequence[Edge]) -> frozenset[VenuePair]:
        """Which venues are never one, by the pairs that are beyond doubt: equal titles that match nothing else."""
        degrees = Counter(index for _, one, other in edges for index in (one, other))
        sure = (
            (self._papers[one].venue, self._papers[other].venue)
            for strength, one, other in edges
            if (strength.title, strength.years, strength.people) == BEYOND_DOUBT and degrees[one] == degrees[other] == 1
        )
        return venues_apart(sure)

    def _doubtful(self, edges: Iterable[Edge]) -> set[int]:
        """Papers without authors that match several which are not one: nobody can say whose they are."""
        partners: dict[int, list[int]] = defaultdict(list)
        for strength, one, other in edges:
            if strength.people == Verdict.UNKNOWN:
                for paper, partner in ((one, other), (other, one)):
                    if not self._papers[paper].people:
                        partners[paper].append(partner)
        return {
            paper
            for paper, others in partners.items()
            if any(self._contradict(others[0], other) for other in others[1:MAX_MEMBERS])
        }

    def _may_join(self, one: int, other: int) -> bool:
        here, there = self._members[self._group_of[one]], self._members[self._group_of[other]]
        if here is there or self._agree_apart(here, there):
            return False
        if venue_pair(self._papers[one].venue, self._papers[other].venue) in self._venues_apart:
            return False
        pairs = ((left, right) for left in here[:MAX_MEMBERS] for right in there[:MAX_MEMBERS])
        # Nothing speaks against the two that match.
        return not any(self._contradict(left, right) for left, right in pairs if (left, right) != (one, other))

    def _agree_apart(self, here: Sequence[int], there: Sequence[int]) -> bool:
        """Whether records agree in one year or list of authors, and others in another one: then it is no slip of one of
        them, but a paper and its other version. One record stands alone against several, and several stand against each
        other in the number of authors, when each is known to be of another source.
        """
        papers = [self._papers[index] for index in (*here, *there)]
        if len(papers) < 3 or any(paper.preprint for paper in papers):
            return False
        sources = {paper.source for paper in papers}
        all_others = "" not in sources and len(sources) == len(papers)
        twice = min(len(here), len(there)) > 1
        years = [{self._papers[index].year for index in members} for members in (here, there)]
        if _differ(*years):
            return twice or not all_others
        counts = [{len(self._papers[index].names) for index in members} for members in (here, there)]
        return _differ(*counts) and twice and not all_others

    def _contradict(self, one: int, other: int) -> bool:
        pair = (one, other) if one < other else (other, one)
        verdict = self._verdicts.get(pair)
        if verdict is None:
            here, there = self._papers[one], self._papers[other]
            verdict = venue_pair(here.venue, there.venue) in self._venues_apart or contradict(here, there, self._corpus)
            self._verdicts[pair] = verdict
        return verdict

    def _join(self, one: int, other: int) -> None:
        first, second = sorted((self._group_of[one], self._group_of[other]))
        if first == second:
            return
        moved = self._members.pop(second)
        self._members[first] += moved
        for index in moved:
            self._group_of[index] = first

    def groups(self) -> list[list[int]]:
        """The sets with more than one member."""
        return [members for members in self._members.values() if len(members) > 1]


def _differ(here: set[int], there: set[int]) -> bool:
    """Whether all of them say one thing, and all of the others another one; 0 = nothing is said."""
    return len(here) == len(there) == 1 and here != there and 0 not in here | there
