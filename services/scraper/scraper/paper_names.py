"""People as they are compared. Pure: owns how a name is read, and when two lists of names are of the same people.

A name may come in either order, with initials, particles and "Jr."; some sources list only the first authors.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache

from rapidfuzz import fuzz

from scraper.paper_title import plain_words
from scraper.paper_vocabulary import PARTICLES, SUFFIXES

NAME_LIKENESS = 88.0
MIN_LIKENED = 5
# Of longer lists only so many are compared.
MAX_PEOPLE = 40
_OTHERS = re.compile(r"\s*(?:,\s*)?\b(?:et\s*al\b\.?|and others\b|u\.\s?a\.).*$", re.IGNORECASE)
_MAY_HAVE_OTHERS = re.compile(r"\bal\b|others|a\.", re.IGNORECASE)
_NOBODY = re.compile(
    r"\b(?:collaboration|consortium|group|team|committee|initiative|network|society|university|institute|anonymous|staff)\b",
    re.IGNORECASE,
)
_APOSTROPHE = re.compile(r"(?<=\w)['\u2019\u02bc`](?=\w)")
_INITIALS = re.compile(r"[a-z].*\s[A-Z]{2,3}$")
_UMLAUT = re.compile(r"([aou])e")
# Short names that begin with another letter than the name itself.
_NICKNAMES = {
    "bob": "robert", "bobby": "robert", "bill": "william", "billy": "william", "dick": "richard", "ted": "edward",
    "tony": "anthony", "peggy": "margaret", "hank": "henry", "betty": "elizabeth", "beth": "elizabeth",
    "liz": "elizabeth", "gene": "eugene", "drew": "andrew", "sandy": "alexander", "sasha": "alexander",
    "ned": "edward", "tina": "christina", "misha": "mikhail", "jack": "john", "jim": "james", "chuck": "charles",
}  # fmt: skip


class Verdict(IntEnum):
    """What two lists say of one another."""

    DIFFERENT = 0
    UNKNOWN = 1
    MOSTLY = 2
    SAME = 3


@dataclass(frozen=True, slots=True, order=True)
class Reading:
    """One way to read a name: family names and given names, without particles. `turned`: against the usual order."""

    family: tuple[str, ...]
    given: tuple[str, ...]
    turned: bool = False


@dataclass(frozen=True, slots=True, order=True)
class Person:
    """A name in all its readings. `letters`: those with which its family names begin."""

    readings: tuple[Reading, ...]
    families: frozenset[str] = field(compare=False)
    letters: frozenset[str] = field(compare=False)


def _person(*readings: Reading) -> Person:
    families = frozenset(family for reading in readings for family in reading.family)
    return Person(readings, families, frozenset(family[0] for family in families))


@lru_cache(maxsize=200_000)
def read_people(names: tuple[str, ...]) -> tuple[Person, ...]:
    """Those who are told; groups and "et al." are nobody."""
    return tuple(person for person in map(read_person, names[:MAX_PEOPLE]) if person is not None)


@lru_cache(maxsize=100_000)
def read_person(name: str) -> Person | None:
    """Every way to read the name; None when it names nobody."""
    if not name.isascii() or "'" in name:
        name = _APOSTROPHE.sub("", name)
    if _MAY_HAVE_OTHERS.search(name):
        name = _OTHERS.sub("", name)
    if not name or _NOBODY.search(name):
        return None
    parts = [tokens for part in name.split(",") if (tokens := _tokens(part))]
    if not parts:
        return None
    if len(parts) > 1:
        return _person(*_families(parts[0], tuple(parts[1])))
    readings = _readings(parts[0])
    if _INITIALS.search(name) and len(parts[0]) > 1:
        # "Corvin AB", or a family name in capitals.
        readings += _families(parts[0][:-1], tuple(parts[0][-1]))
    return _person(*readings)


def _tokens(part: str) -> list[str]:
    """Words and initials in lower case, without suffixes, numbers and titles."""
    plain = plain_words(part)
    found = [_UMLAUT.sub(r"\1", token) if "e" in token and len(token) > 3 else token for token in plain]
    return [token for token in found if token not in SUFFIXES and not token.isdigit()]


def _families(tokens: Sequence[str], given: tuple[str, ...]) -> list[Reading]:
    """A family name without its particles, and written as one word with them: "de Wit" and "DeWit"."""
    kept = tuple(token for token in tokens if token not in PARTICLES)
    if not kept or len(kept) == len(tokens):
        return [Reading(tuple(tokens), given)]
    return [Reading(kept, given), Reading(("".join(tokens),), given)]


def _readings(tokens: list[str]) -> list[Reading]:
    """A name without a comma."""
    count = len(tokens)
    full = [place for place, token in enumerate(tokens) if len(token) > 1]
    if count == 1 or not full or (tokens[0] in PARTICLES and len(full) - len(PARTICLES & set(tokens)) == 1):
        return _families(tokens, ())
    if full[-1] < count - 1 and full[0] == 0:
        # Initials behind: the family name stands before them.
        first = next(place for place, token in enumerate(tokens) if len(token) == 1)
        return _families(tokens[:first], tuple(tokens[first:]))
    start = next((place for place in range(1, count) if tokens[place] in PARTICLES), count - 1)
    readings = _families(tokens[start:], tuple(tokens[:start]))
    if start == count - 1 and count > 2 and len(tokens[-2]) > 1:
        # Two family names, of which another record may have the first alone.
        readings.append(Reading(tuple(tokens[-2:]), tuple(tokens[:-2])))
    if len(tokens[0]) > 1 and count <= 3:
        readings.append(Reading(tuple(tokens[:1]), tuple(tokens[1:]), turned=True))
    return readings


def same_person(one: Person, other: Person) -> bool:
    """Whether some reading of both has the same family name, and initials that agree where both are told."""
    if one is other:
        return True
    if one.families.isdisjoint(other.families) and one.letters.isdisjoint(other.letters):
        return False
    return one == other or any(
        not (first.turned and second.turned) and _same_family(first, second) and _agree(first, second)
        for first in one.readings
        for second in other.readings
    )


def _same_family(one: Reading, other: Reading) -> bool:
    if any(family in other.family for family in one.family):
        return True
    first, second = " ".join(one.family), " ".join(other.family)
    if first[0] != second[0] or min(len(first), len(second)) < MIN_LIKENED:
        return False
    return fuzz.ratio(first, second, score_cutoff=NAME_LIKENESS) > 0


def _agree(one: Reading, other: Reading) -> bool:
    """Initials: those of the shorter in the order of the longer. A name in the other order must be told in full."""
    if not one.given or not other.given:
        return True
    if one.turned != other.turned and len(one.given[0]) > 1 and len(other.given[0]) > 1:
        return one.given[0] == other.given[0]
    shorter, longer = sorted((one.given, other.given), key=len)
    left = iter(longer)
    return all(any(_same_initial(name, candidate) for candidate in left) for name in shorter)


def _same_initial(one: str, other: str) -> bool:
    """Also of a short name and the whole one: "Bob" and "R."."""
    if one[0] == other[0]:
        return True
    return _NICKNAMES.get(one, one)[0] == other[0] or one[0] == _NICKNAMES.get(other, other)[0]


def compare_people(one: Sequence[Person], other: Sequence[Person]) -> Verdict:
    """Whether two lists are of the same people: all of the shorter list are in the longer, or all but a few."""
    if not one or not other:
        return Verdict.UNKNOWN
    if one == other:
        return Verdict.SAME
    shorter, longer = sorted((one, other), key=len)
    if all(map(same_person, shorter, longer)):
        return Verdict.SAME
    left = list(longer)
    found = 0
    for person in shorter:
        match = next((place for place, candidate in enumerate(left) if same_person(person, candidate)), None)
        if match is not None:
            del left[match]
            found += 1
    if found == len(shorter):
        return Verdict.SAME
    return Verdict.MOSTLY if 2 * found > len(shorter) else Verdict.DIFFERENT
