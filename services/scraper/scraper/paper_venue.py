"""Venues of papers. Pure: owns the words by which a journal and a conference are known, and which two venues are never
one, as papers that are one beyond doubt have it.

Sources write venues in ways that have no letter in common ("VLDB", "Very Large Data Bases"): how often two names go
together says more than how they look.
"""

import re
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache

from scraper.paper_title import plain_title

JOURNAL, CONFERENCE, PREPRINT, UNKNOWN = "journal", "conference", "preprint", ""
_PREPRINT = re.compile(
    r"\b(?:\w*rxiv|corr|ssrn|osf|research square|preprints?|working papers?)\b",
    re.IGNORECASE,
)
_JOURNAL = re.compile(
    r"\b(?:journal|j|transactions|trans|letters|lett|annals|ann|magazine|bulletin|bull|quarterly|acta|archives?|"
    r"zeitschrift|revue|revista|endowment)\b",
    re.IGNORECASE,
)
_CONFERENCE = re.compile(
    r"\b(?:conference|conf|symposium|symp|workshop|workshops|congress|meeting|colloquium|tagung)\b", re.IGNORECASE
)


@lru_cache(maxsize=20_000)
def read_venue(venue: str) -> tuple[str, str]:
    """(name without case and punctuation, kind). The kind is UNKNOWN when the name does not say, or says both."""
    name = plain_title(venue)
    if _PREPRINT.search(venue):
        return name, PREPRINT
    journal, conference = bool(_JOURNAL.search(venue)), bool(_CONFERENCE.search(venue))
    if journal == conference:
        return name, UNKNOWN
    return name, JOURNAL if journal else CONFERENCE


VenuePair = tuple[str, str]
# A venue is known after so many papers; others that have fewer than one in so many of them are not its names.
KNOWN_FROM, STRAY = 12, 15


def venue_pair(one: str, other: str) -> VenuePair:
    """Two venues in no order."""
    return (one, other) if one <= other else (other, one)


def venues_apart(pairs: Iterable[VenuePair]) -> frozenset[VenuePair]:
    """Venues that often go with others, and next to never with each other. `pairs`: those of papers that are one."""
    together = Counter(venue_pair(one, other) for one, other in pairs if one and other)
    totals: Counter[str] = Counter()
    for (one, other), count in together.items():
        totals[one] += count
        totals[other] += count if one != other else 0
    known = sorted(venue for venue, count in totals.items() if count >= KNOWN_FROM)
    return frozenset(
        (one, other)
        for index, one in enumerate(known)
        for other in known[index + 1 :]
        if together[one, other] * STRAY < min(totals[one], totals[other])
    )
