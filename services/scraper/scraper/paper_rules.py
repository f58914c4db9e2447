"""When two papers are one. Pure: owns the rules for a pair. Must not know how pairs are found or become groups.

Two things are asked of a pair: whether something speaks against it (`contradict`), which also holds apart what a third
record would join, and whether enough speaks for it (`match`). Identifiers that are equal are beyond both.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rapidfuzz import fuzz

from scraper.paper import arxiv_id_of_doi
from scraper.paper_doi import is_preprint, without_version
from scraper.paper_names import Person, Verdict, compare_people, read_people
from scraper.paper_spelling import is_slip_of_filler, may_be_one, same_word
from scraper.paper_title import Title, read_title
from scraper.paper_venue import CONFERENCE, JOURNAL, PREPRINT, read_venue
from scraper.paper_vocabulary import FILLERS, HEADINGS

# Years that a publication may be apart in two sources (online and in print), and a preprint and its paper.
YEARS, PREPRINT_YEARS = 1, 2
# Titles with fewer letters, or with a wording that many papers have, are no evidence without their authors and year.
SHORT_TITLE = 20
TELLING_WORDS = 6
# Below, two titles are different texts (a translation, a heading that was lost), and say nothing of one another.
ALIKE = 60.0
Agree = Callable[[str, str, Callable[[str], int]], bool]


@dataclass(frozen=True, slots=True)
class Paper:
    """A paper as it is compared. `year` 0, other texts "" = not known. `doi`: of a preprint, that of all its versions.
    `publisher_doi`: without a version, and "" when it is none of a publisher.
    """

    title: Title
    year: int
    names: tuple[str, ...]
    doi: str
    arxiv_id: str
    publisher_doi: str
    preprint: bool
    venue: str
    venue_kind: str
    source: str

    @property
    def people(self) -> tuple[Person, ...]:
        """Its authors; read when they are asked for, since most papers are like no other one."""
        return read_people(self.names)


@dataclass(frozen=True, slots=True)
class Corpus:
    """What all papers together say of words and titles. `occurrences`: in how many different titles a word stands;
    `headings`: keys of titles that papers of other years and people have, too; `crowded`: (key, year, people) of
    papers with a heading of which there are more by the same people than sources could tell of one.
    """

    occurrences: Counter[str] = field(default_factory=Counter)
    headings: frozenset[str] = frozenset()
    crowded: frozenset[tuple[str, int, tuple[Person, ...]]] = frozenset()


@dataclass(frozen=True, slots=True, order=True)
class Strength:
    """How sure a match is: `title` 3 = equal, 2 = but for spelling, 1 = but for a subtitle; then years and people, and
    whether both name as many.
    """

    title: int
    years: int
    people: int
    as_many: bool = True


def comparable(  # noqa: PLR0917  # the fields of a card, in their order
    title: str, year: int, authors: Sequence[str], doi: str, arxiv_id: str, venue: str = "", source: str = ""
) -> Paper:
    """A paper as it is compared. `year` 0, "" = not known."""
    arxiv_id = arxiv_id or arxiv_id_of_doi(doi)
    from_server = bool(doi) and is_preprint(doi)
    whole = without_version(doi)
    venue, kind = read_venue(venue)
    return Paper(
        read_title(title), year, tuple(authors), whole if from_server else doi, arxiv_id, "" if from_server else whole,
        from_server or bool(arxiv_id) or kind == PREPRINT, venue, kind, source,
    )  # fmt: skip


def contradict(one: Paper, other: Paper, corpus: Corpus) -> bool:
    """Whether something says that they are two papers, whatever others say."""
    return (
        _identified_apart(one, other)
        or _published_apart(one, other)
        or compare_people(one.people, other.people) == Verdict.DIFFERENT
        or _entitled_apart(one, other, corpus)
    )


def _identified_apart(one: Paper, other: Paper) -> bool:
    """Two arXiv ids, or two DOIs of one publisher."""
    if one.arxiv_id and other.arxiv_id and one.arxiv_id != other.arxiv_id:
        return True
    first, second = one.publisher_doi, other.publisher_doi
    return bool(first and second) and first != second and first.partition("/")[0] == second.partition("/")[0]


def _published_apart(one: Paper, other: Paper) -> bool:
    """Years too far apart, or in a journal and at a conference."""
    gap = _gap(one, other)
    if one.preprint or other.preprint:
        return gap > PREPRINT_YEARS
    if gap > YEARS or {one.venue_kind, other.venue_kind} == {JOURNAL, CONFERENCE}:
        return True
    # A source that tells a paper once more, in another year or venue, tells of another one.
    elsewhere = bool(one.venue and other.venue) and one.venue != other.venue
    return bool(one.source) and one.source == other.source and (gap > 0 or elsewhere)


def _gap(one: Paper, other: Paper) -> int:
    return abs(one.year - other.year) if one.year and other.year else 0


def _entitled_apart(one: Paper, other: Paper, corpus: Corpus) -> bool:
    """Titles that are alike, and differ in a number or in a word that stands in another's place."""
    first, second = one.title, other.title
    if first.key == second.key:
        return first.numbers != second.numbers
    if fuzz.token_sort_ratio(first.plain, second.plain) < ALIKE:
        return False
    if first.numbers != second.numbers:
        return first.main != second.key and second.main != first.key
    left, right = _differing(first, second, corpus, may_be_one)
    return bool(left and right)


def match(one: Paper, other: Paper, cutoff: float, corpus: Corpus) -> Strength | None:
    """How sure it is that both are one paper, None = it is not; `cutoff`: how alike titles must be, in per cent."""
    level = _title_level(one.title, other.title, cutoff, corpus)
    if not level or _identified_apart(one, other) or _published_apart(one, other):
        return None
    people = compare_people(one.people, other.people)
    if people == Verdict.DIFFERENT:
        return None
    gap = _gap(one, other)
    if _is_heading(one, other, corpus) and not _sure_of_heading(one, other, level, corpus):
        return None
    if len(one.title.plain) < SHORT_TITLE and not (people == Verdict.SAME and one.year == other.year):
        # Many papers are called "Editorial": only the same people in the same year are sure.
        return None
    if people == Verdict.UNKNOWN:
        told = bool(one.year) and one.year == other.year
        sure = told or (len(one.title.words) >= TELLING_WORDS and level > 1 and gap <= YEARS)
    else:
        sure = people == Verdict.SAME or (level > 1 and not gap)
    # Years apart, a part of the title, or two publishers: then the rest must be beyond doubt.
    if gap > YEARS and not (people == Verdict.SAME and len(one.title.words) >= TELLING_WORDS):
        sure = False
    if level == 1 and (gap or not one.year or not other.year or people != Verdict.SAME):
        sure = False
    if _two_publishers(one, other) and not (level == 3 and people == Verdict.SAME and not gap):
        sure = False
    return Strength(level, -gap, people, len(one.names) == len(other.names)) if sure else None


def _two_publishers(one: Paper, other: Paper) -> bool:
    return bool(one.publisher_doi and other.publisher_doi) and one.publisher_doi != other.publisher_doi


def _is_heading(one: Paper, other: Paper, corpus: Corpus) -> bool:
    keys = (one.title.key, other.title.key)
    return any(key in corpus.headings or HEADINGS.issuperset(key.split()) for key in keys)


def _sure_of_heading(one: Paper, other: Paper, level: int, corpus: Corpus) -> bool:
    """Of papers with a heading for a title only one of the same people in the same year is the same; of several such
    nobody can say which is which.
    """
    return (
        level == 3
        and bool(one.year)
        and one.year == other.year
        and (len(one.people) == len(other.people) or min(len(one.people), len(other.people)) > 1)
        and compare_people(one.people, other.people) == Verdict.SAME
        and corpus.crowded.isdisjoint((paper.title.key, paper.year, paper.people) for paper in (one, other))
    )


def _title_level(one: Title, other: Title, cutoff: float, corpus: Corpus) -> int:
    """See `Strength`; 0 = the titles are two."""
    if one.key == other.key:
        return 3 if one.numbers == other.numbers else 0
    if (
        one.numbers == other.numbers
        and max(fuzz.ratio(one.plain, other.plain), fuzz.token_sort_ratio(one.plain, other.plain)) >= cutoff
    ):
        left, right = _differing(one, other, corpus, same_word)
        if not left and not right:
            return 2
    return 1 if one.key == other.main or other.key == one.main else 0


def _differing(one: Title, other: Title, corpus: Corpus, agree: Agree) -> tuple[list[str], list[str]]:
    """The words that count of each for which the other has none that agrees."""
    left = list((Counter(one.words) - Counter(other.words)).elements())
    right = list((Counter(other.words) - Counter(one.words)).elements())
    # Spaces and hyphens that moved make other words of the same letters.
    if "".join(left) == "".join(right):
        return [], []
    for word in tuple(left):
        found = next((candidate for candidate in right if _agree(word, candidate, corpus, agree)), None)
        if found is not None:
            left.remove(word)
            right.remove(found)
    if 1 in (len(left), len(right)) and _agree("".join(left), "".join(right), corpus, agree):
        return [], []
    return [word for word in left if word not in FILLERS], [word for word in right if word not in FILLERS]


def _agree(word: str, other: str, corpus: Corpus, agree: Agree) -> bool:
    if other in FILLERS:
        return word not in FILLERS and is_slip_of_filler(word, other)
    if word in FILLERS:
        return is_slip_of_filler(other, word)
    return agree(word, other, corpus.occurrences.__getitem__)
