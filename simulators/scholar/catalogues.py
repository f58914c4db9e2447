"""Two catalogues of one field's papers, as librarians keep them. Owns: what is one publication, and how both write it.

No record has an identifier: only title, authors, venue and year tell what is what. What makes it hard is what real
catalogues have: a conference paper and its journal version under one title, columns that come with every issue, series,
panels and papers of the same name, corrections, titles that differ in one word; and names, titles and venues in two
forms, with the slips of those who type. A seed makes one pair of catalogues.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from simulators.scholar import catalogue_words as words

YEARS = range(1994, 2004)
# Shares of the publications that the second and the first catalogue do not have.
LEFT_OUT_BY_SECOND, LEFT_OUT_BY_FIRST = 0.15, 0.03


@dataclass(frozen=True, slots=True)
class Publication:
    """What was printed once. `kind`: paper | panel | tutorial | demo | column | erratum."""

    number: int
    title: str
    authors: tuple[tuple[str, str], ...]
    venue: int
    year: int
    kind: str = "paper"


@dataclass(frozen=True, slots=True)
class Entry:
    """A publication as one catalogue has it."""

    catalogue: int
    publication: int
    title: str
    authors: tuple[str, ...]
    venue: str
    year: int


def make_catalogues(seed: int = 5, papers: int = 2_500) -> tuple[Entry, ...]:
    """The entries of both catalogues, in no order, of about `papers` publications and their neighbours."""
    random = Random(seed)  # noqa: S311 - makes catalogues, not a secret
    made = [*_columns(random)]
    while len(made) < papers:
        made.extend(_work(random))
    entries = []
    for number, one in enumerate(made):
        publication = Publication(number, one.title, one.authors, one.venue, one.year, one.kind)
        if random.random() >= LEFT_OUT_BY_FIRST:
            entries.append(_first(random, publication))
        if random.random() >= LEFT_OUT_BY_SECOND:
            entries.append(_second(random, publication))
    random.shuffle(entries)
    return tuple(entries)


def _columns(random: Random) -> Iterator[Publication]:
    """What comes again and again in the newsletter, some of it with every issue."""
    for title, guests in words.COLUMNS:
        host = _person(random)
        for year in YEARS:
            for _ in range(random.choice((1, 1, 2, 4))):
                people = (host, _person(random)) if guests else (host,)
                yield Publication(0, title, people, words.NEWSLETTER, year, "column")


def _work(random: Random) -> Iterator[Publication]:
    """A paper, and now and then something that is easily taken for it."""
    people = random.choices((1, 2, 3, 4, 5), (15, 30, 30, 15, 10))[0]
    title, authors = _title(random), tuple(_person(random) for _ in range(people))
    year, venue = random.choice(YEARS), random.choice(words.CONFERENCES)
    paper = Publication(0, title, authors, venue, year)
    yield paper
    chance = random.random()
    journal, later = random.choice(words.JOURNALS), year + random.choice((0, 1, 1, 1, 2, 2, 3))
    if chance < 0.06:
        yield Publication(0, title, authors, journal, later)
    elif chance < 0.08:
        yield Publication(0, title, (*authors, _person(random)), journal, later)
    elif chance < 0.13 and (other := _other_word(title)):
        yield Publication(0, other, authors, random.choice((venue, journal)), year + random.choice((0, 0, 1)))
    elif chance < 0.14:
        yield Publication(0, f"{title}, Part II", authors, venue, year + random.choice((0, 1)))
    elif chance < 0.15:
        yield Publication(0, f"{title} Revisited", authors, venue, year + 1)
    elif chance < 0.16:
        yield Publication(0, title, (_person(random), _person(random)), words.NEWSLETTER, year, "panel")
    elif chance < 0.165:
        yield Publication(0, title, authors, words.NEWSLETTER, year, random.choice(("tutorial", "demo")))
    elif chance < 0.17:
        yield Publication(0, f"Erratum to: {title}", authors, journal, year)


def _title(random: Random) -> str:
    method, thing, place = random.choice(words.METHODS), random.choice(words.THINGS), random.choice(words.PLACES)
    quality = random.choice(words.QUALITIES)
    name = random.choice(words.SYLLABLES) + random.choice(words.SYLLABLES).lower()
    patterns = (
        f"{quality} {method} for {thing}",
        f"{quality} {method} of {thing} in {place}",
        f"{name}: A {quality} {method} for {thing}",
        f"On the {method} of {thing}",
        f"{random.choice(words.VERBS)} {thing} in {place}",
        f"{random.choice(words.VERBS)} {quality} {thing}: {random.choice(words.SUBTITLES)}",
        f"{thing} and {random.choice(words.THINGS)} in {place}: {random.choice(words.SUBTITLES)}",
        f"What Is {quality} about {thing}?",
    )
    return random.choice(patterns)


def _other_word(title: str) -> str:
    for one, other in words.OPPOSITES:
        for word, instead in ((one, other), (other, one)):
            if f" {word} " in f" {title} ":
                return title.replace(word, instead, 1)
    return ""


def _person(random: Random) -> tuple[str, str]:
    given = random.choice(words.GIVEN)
    if random.random() < 0.3:
        given = f"{given} {random.choice('ABCDEFGHJKLMPRSTW')}."
    return given, random.choice(words.FAMILY)


def _first(random: Random, one: Publication) -> Entry:
    """As the first catalogue writes it: capitals, full names, short venues."""
    title = one.title
    if one.kind in ("panel", "tutorial", "demo") and random.random() < 0.5:
        title = f"{title} ({one.kind.title()})"
    if random.random() < 0.02:
        title = _slip(random, title)
    authors = tuple(" ".join(name) for name in one.authors)
    return Entry(1, one.number, title, authors, words.VENUES[one.venue][0], one.year)


def _second(random: Random, one: Publication) -> Entry:
    """As the second one does: small letters, initials or the family name first, long venues, and worse typists."""
    title = _lower(one.title) if random.random() < 0.9 else one.title
    chance = random.random()
    if chance < 0.05:
        title = _slip(random, title)
    elif chance < 0.09:
        title = title.replace("-", random.choice((" ", "")))
    elif chance < 0.12:
        title = title.replace(" and ", " & ").replace("Part II", "Part 2")
    elif chance < 0.15 and ": " in title and len(title.partition(": ")[0].split()) > 3:
        title = title.partition(": ")[0]
    if one.kind in ("panel", "tutorial") and random.random() < 0.5:
        title = f"{title} ({one.kind})"
    elif one.kind == "paper" and random.random() < 0.02:
        title = f"{title} (extended abstract)"
    return Entry(2, one.number, title, _names(random, one.authors), words.VENUES[one.venue][1], one.year)


def _lower(title: str) -> str:
    first, *others = title.split()
    return " ".join([first, *(word if word.isupper() else word.lower() for word in others)])


def _names(random: Random, authors: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    """All in one form, for most the full one."""
    whole = [" ".join(name) for name in authors]
    forms = {
        "none": [], "whole": whole, "plain": [name.translate(words.PLAIN) for name in whole],
        "initials": [f"{given[0]}. {family}" for given, family in authors],
        "family first": [f"{family}, {given}" for given, family in authors],
        "short": [f"{words.SHORT.get(given, given)} {family}" for given, family in authors],
        "without the last": whole[:-1] if len(whole) > 2 else whole,
    }  # fmt: skip
    return tuple(forms[random.choices(list(forms), (2, 60, 2, 23, 7, 4, 2))[0]])


def _slip(random: Random, title: str) -> str:
    """One slip of somebody who types: a neighbour of the key, a letter too few or too many, two letters swapped."""
    within = [index for index in range(1, len(title)) if title[index - 1].isalpha()]
    places = [index for index in within if title[index] in words.KEYS]
    if not places:
        return title
    index = random.choice(places)
    letter, kind = title[index], random.randrange(4)
    if kind == 0:
        return title[:index] + random.choice(words.KEYS[letter]) + title[index + 1 :]
    if kind == 1:
        return title[:index] + title[index + 1 :]
    if kind == 2:
        return title[:index] + letter + title[index:]
    return title[: index - 1] + letter + title[index - 1] + title[index + 1 :]
