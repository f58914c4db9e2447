"""From papers to groups that are one paper each. Pure: owns how pairs become groups. Must not know a pair's rules.

Equal identifiers join, and groups that were found before stay. Then the surest pairs come first, and two groups become
one only when nothing speaks against any pair across them: what may not be one directly does not become one over a third
record. The order in which papers come makes no difference.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence

from scraper.paper_candidates import likely_pairs
from scraper.paper_names import Verdict
from scraper.paper_rules import Corpus, Paper, Strength, comparable, contradict, match
from scraper.paper_vocabulary import HEADINGS

__all__ = ["Paper", "comparable", "describe", "find_groups"]

# A title that papers of so many years or first authors have is a heading.
HEADING_YEARS, HEADING_PEOPLE = 4, 3
# More papers of one heading and year than this are several, unless each is of another source.
CROWD = 2
# Of larger groups only so many are held against each other.
MAX_MEMBERS = 60
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
    return paper.title.plain, paper.title.key, paper.year, paper.doi, paper.arxiv_id, paper.people, paper.source


def describe(papers: Sequence[Paper]) -> Corpus:
    """What all papers together say of words and titles."""
    titles = {paper.title.plain: paper.title.words for paper in papers}
    occurrences = Counter(word for words in titles.values() for word in set(words))
    blocks: dict[str, list[Paper]] = defaultdict(list)
    for paper in papers:
        blocks[paper.title.key].append(paper)
    headings = {key for key, block in blocks.items() if len(block) > CROWD and _recurs(block)}
    crowded: set[tuple[str, int]] = set()
    for key, block in blocks.items():
        if len(block) > CROWD and (key in headings or HEADINGS.issuperset(key.split())):
            crowded |= {(key, year) for year in _crowded_years(block)}
    return Corpus(occurrences, frozenset(headings), frozenset(crowded))


def _recurs(block: Sequence[Paper]) -> bool:
    """Whether the same people use the title in many years, or many people do."""
    years: dict[object, list[int]] = defaultdict(list)
    for paper in block:
        if paper.year:
            years[paper.people[0][0].family if paper.people else ()].append(paper.year)
    return len(years) > HEADING_PEOPLE or any(max(told) - min(told) >= HEADING_YEARS for told in years.values())


def _crowded_years(block: Sequence[Paper]) -> set[int]:
    """Years in which the heading has more papers by the same people than could be one."""
    told = Counter((paper.year, paper.people[:1], paper.source) for paper in block)
    counts: Counter[tuple[int, object]] = Counter()
    for (year, people, source), count in told.items():
        counts[year, people] += count if not source else 0
        if source and count > 1:
            counts[year, people] += CROWD + 1
    return {year for (year, _), count in counts.items() if count > CROWD}


class _Groups:
    """Sets of papers that grow together."""

    def __init__(self, papers: Sequence[Paper], cutoff: float) -> None:
        self._papers, self._cutoff, self._corpus = papers, cutoff, describe(papers)
        self._group_of = list(range(len(papers)))
        self._members = {index: [index] for index in range(len(papers))}
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
        edges.sort(key=lambda edge: (-edge[0].title, -edge[0].years, -edge[0].people, edge[1], edge[2]))
        doubtful = self._doubtful(edges)
        for strength, one, other in edges:
            if (strength.people != Verdict.UNKNOWN or not doubtful & {one, other}) and self._may_join(one, other):
                self._join(one, other)

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
        first, second = self._group_of[one], self._group_of[other]
        if first == second:
            return False
        here, there = self._members[first], self._members[second]
        if self._told_twice(here) and self._told_twice(there) and self._years(here).isdisjoint(self._years(there)):
            return False
        return not any(self._contradict(left, right) for left in here[:MAX_MEMBERS] for right in there[:MAX_MEMBERS])

    def _told_twice(self, members: Sequence[int]) -> bool:
        """Whether several records agree in the year of what is no preprint: then it is no slip of one of them."""
        papers = [self._papers[index] for index in members]
        years = {paper.year for paper in papers}
        return len(papers) > 1 and len(years) == 1 and 0 not in years and not any(paper.preprint for paper in papers)

    def _years(self, members: Sequence[int]) -> set[int]:
        return {self._papers[index].year for index in members}

    def _contradict(self, one: int, other: int) -> bool:
        pair = (one, other) if one < other else (other, one)
        verdict = self._verdicts.get(pair)
        if verdict is None:
            verdict = contradict(self._papers[one], self._papers[other], self._corpus)
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
