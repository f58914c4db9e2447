"""The corpus: works, and each source's records of them. Owns: what is a duplicate of what. A seed makes one corpus.

Works have neighbours that look like duplicates and are none (parts of a series, another topic in the same words, the
same short title by others), and records that differ as real ones do (spelling, case, accents, years, missing parts).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random

from simulators.scholar import vocabulary as words

SOURCES = ("semantic_scholar", "arxiv", "openalex", "crossref")
FIRST_YEAR, LAST_YEAR = 2005, 2025
# These pass on what publishers write; the others send plain text.
WITH_MARKUP = ("openalex", "crossref")
_TAG = re.compile(r"</?i>")
_LONG_WORD = re.compile(r"[^\W\d_]{7,}")


@dataclass(frozen=True, slots=True)
class Work:
    """What was written, once. `pdf`: text | scanned | mixed | html | missing | private, or empty. `secret`: words that
    stand nowhere but in the PDF, on a scanned page if it has one.
    """

    number: int
    title: str
    abstract: str
    year: int
    authors: tuple[str, ...]
    venue: str
    doi: str = ""
    arxiv_id: str = ""
    citations: int = 0
    pdf: str = ""
    secret: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """A work as one source has it."""

    source: str
    id: str
    work: int
    title: str
    abstract: str
    year: int
    authors: tuple[str, ...]
    venue: str
    doi: str
    arxiv_id: str
    citations: int
    pdf: str


@dataclass(frozen=True, slots=True)
class Corpus:
    """All works, and all records by source."""

    works: tuple[Work, ...]
    records: tuple[Record, ...]

    def of(self, source: str) -> list[Record]:
        """One source's records."""
        return [record for record in self.records if record.source == source]

    def groups(self) -> list[list[str]]:
        """The truth: records of the same work, as `<source>:<id>`, where there are several."""
        groups: dict[int, list[str]] = {}
        for record in self.records:
            groups.setdefault(record.work, []).append(f"{record.source}:{record.id}")
        return [group for group in groups.values() if len(group) > 1]


def make_corpus(seed: int = 7, works: int = 120) -> Corpus:
    """A corpus with about `works` works and some 1.7 times as many records."""
    random = Random(seed)  # noqa: S311 - makes a corpus, not a secret
    made: list[Work] = []
    while len(made) < works:
        made.extend(_family(random, len(made)))
    made = made[:works]
    records = [record for work in made for record in _records(random, work)]
    return Corpus(tuple(made), tuple(records))


def made_worse(corpus: Corpus, seed: int) -> Corpus:
    """The same works in the hands of careless librarians: more slips, names turned round, ids lost, years moved."""
    random = Random(seed)  # noqa: S311 - as above
    return replace(corpus, records=tuple(_worse(random, record) for record in corpus.records))


def _worse(random: Random, record: Record) -> Record:
    title, authors, year = record.title, record.authors, record.year
    if random.random() < 0.25:
        title = _misspelt(random, title)
    elif random.random() < 0.1:
        title = title.replace("-", "").replace(":", " ")
    if random.random() < 0.15:
        authors = tuple(f"{name.rpartition(' ')[2]}, {name[0]}." for name in authors)
    elif random.random() < 0.1:
        authors = authors[-1:] if random.random() < 0.5 else ()
    if random.random() < 0.05:
        year += random.choice((-1, 1))
    doi, arxiv_id = (one if random.random() < 0.7 else "" for one in (record.doi, record.arxiv_id))
    return replace(record, title=title, authors=authors, year=year, doi=doi, arxiv_id=arxiv_id)


def _family(random: Random, number: int) -> Iterator[Work]:
    """A work, and now and then one that only looks like it."""
    work = _work(random, number)
    yield work
    chance = random.random()
    if chance < 0.04:
        yield replace(_fresh(random, work, number + 1), title=f"{work.title} II", authors=work.authors)
    elif chance < 0.08:
        method = random.choice([method for method in words.METHODS if method not in work.title])
        old = next((method for method in words.METHODS if method in work.title), None)
        title = work.title.replace(old, method) if old else f"{work.title} by {method}"
        yield replace(_fresh(random, work, number + 1), title=title, authors=work.authors)
    elif chance < 0.10:
        yield replace(_work(random, number + 1), title="Editorial", abstract="")
    elif chance < 0.12:
        other = _fresh(random, work, number + 1)
        yield replace(other, authors=_authors(random, 3), year=work.year - 3)


def _fresh(random: Random, work: Work, number: int) -> Work:
    """Another work with the same title."""
    other = _work(random, number)
    return replace(other, title=work.title, year=work.year)


def _work(random: Random, number: int) -> Work:
    method, thing = random.choice(words.METHODS), random.choice(words.THINGS)
    quality, term = random.choice(words.QUALITIES), words.rare_term(random)
    patterns = (
        f"{random.choice(words.OPENINGS)} {quality} {method} for {thing} {random.choice(words.PLACES)}",
        f"{term}: {quality} {method} for {thing}",
        f"{random.choice(words.OPENINGS)} {method} and {thing} {random.choice(words.PLACES)} with {term}",
        f"The {term} effect in {thing}: {method} {random.choice(words.PLACES)}",
    )
    title = random.choices(patterns, (1, 3, 2, 2))[0]
    title = title[0].upper() + title[1:]
    abstract = (
        f"We study {thing} by means of {method}. The approach, named {term}, is {quality} and works "
        f"{random.choice(words.PLACES)}. Experiments on {random.randrange(3, 40)} data sets show that {method} with "
        f"{term} lowers the error of {thing} by {random.randrange(2, 40)} percent "
        f"compared with {random.choice(words.METHODS)}."
    )
    return Work(
        number, title, abstract, random.randint(FIRST_YEAR, LAST_YEAR), _authors(random, random.randint(1, 5)),
        random.choice(words.VENUES),
        doi=f"10.5555/sim.{number:06d}" if random.random() < 0.7 else "",
        arxiv_id=f"{random.randint(10, 25)}{random.randint(1, 12):02d}.{number:05d}" if random.random() < 0.5 else "",
        citations=int(random.paretovariate(0.8)) % 5_000,
        pdf=random.choices(("text", "scanned", "mixed", "html", "missing", "private", ""), (8, 4, 3, 1, 1, 1, 6))[0],
        secret=" ".join(random.sample(words.NOUNS, 3)),
    )  # fmt: skip


def _authors(random: Random, count: int) -> tuple[str, ...]:
    return tuple(f"{random.choice(words.GIVEN)} {words.surname(random)}" for _ in range(count))


def _records(random: Random, work: Work) -> Iterator[Record]:
    """The sources that have it: arXiv those with its id, Crossref those with a DOI."""
    able = ["semantic_scholar", "openalex", *(["arxiv"] if work.arxiv_id else []), *(["crossref"] if work.doi else [])]
    count = min(len(able), random.choices((1, 2, 3, 4), (55, 28, 12, 5))[0])
    for source in random.sample(able, count):
        yield _record(random, work, source)


def _record(random: Random, work: Work, source: str) -> Record:
    ids = {
        "semantic_scholar": f"{random.getrandbits(160):040x}", "arxiv": work.arxiv_id,
        "openalex": f"W{10**9 + work.number}", "crossref": work.doi,
    }  # fmt: skip
    title = _title(random, work.title)
    if source not in WITH_MARKUP:
        title = _TAG.sub("", title)
    year = work.year + (random.choice((0, 0, 0, 1)) if source != "arxiv" else 0)
    return Record(
        source, ids[source], work.number, title, _abstract(random, work), year,
        _names(random, work.authors), "" if source == "arxiv" else work.venue,
        work.doi if source == "crossref" or random.random() < 0.5 else "",
        work.arxiv_id if source == "arxiv" or random.random() < 0.5 else "",
        work.citations, work.pdf if random.random() < 0.8 else "",
    )  # fmt: skip


def _abstract(random: Random, work: Work) -> str:
    return work.abstract if random.random() < 0.85 else ""


def _title(random: Random, title: str) -> str:
    """The title as somebody else typed it."""
    forms = (
        title, title.upper(), title.title() + ".", title.replace(" and ", " & ").replace("-", " "),
        title.replace(": ", " - ").replace("e", "é", 1), f"<i>{title}</i>", _misspelt(random, title),
    )  # fmt: skip
    return random.choices(forms, (45, 10, 10, 7, 6, 6, 16))[0]


def _misspelt(random: Random, title: str) -> str:
    """The title with a slip or two within its longer words: a slip in a short word makes another word, which nobody can
    tell from what was meant.
    """
    for _ in range(random.choice((1, 1, 2)) if len(title) > 30 else 0):
        places = [place for word in _LONG_WORD.finditer(title) for place in range(word.start() + 2, word.end())]
        if not places:
            break
        index = random.choice(places)
        kind = random.randrange(3)
        if kind == 0:
            title = title[:index] + title[index + 1 :]
        elif kind == 1:
            title = title[:index] + title[index] + title[index:]
        else:
            title = title[: index - 1] + title[index] + title[index - 1] + title[index + 1 :]
    return title


def _names(random: Random, authors: tuple[str, ...]) -> tuple[str, ...]:
    chance = random.random()
    if chance < 0.6:
        return authors
    if chance < 0.8:
        return tuple(f"{name[0]}. {name.partition(' ')[2]}" for name in authors)
    if chance < 0.95:
        return authors[:3]
    return ()
