"""What kind of venue a paper names. Pure: owns the words by which a journal and a conference are known."""

import re
from functools import lru_cache

JOURNAL, CONFERENCE, PREPRINT, UNKNOWN = "journal", "conference", "preprint", ""
_PREPRINT = re.compile(
    r"\b(?:\w*rxiv|corr|ssrn|osf|research square|preprints?|working papers?)\b",
    re.IGNORECASE,
)
_JOURNAL = re.compile(
    r"\b(?:journal|j|transactions|trans|letters|lett|annals|ann|magazine|bulletin|bull|quarterly|record|acta|archives?|"
    r"zeitschrift|revue|revista|endowment)\b",
    re.IGNORECASE,
)
_CONFERENCE = re.compile(
    r"\b(?:conference|conf|symposium|symp|workshop|workshops|congress|meeting|colloquium|tagung)\b", re.IGNORECASE
)


@lru_cache(maxsize=20_000)
def venue_kind(venue: str) -> str:
    """JOURNAL, CONFERENCE or PREPRINT; UNKNOWN when its name does not say, or says both."""
    if not venue:
        return UNKNOWN
    if _PREPRINT.search(venue):
        return PREPRINT
    journal, conference = bool(_JOURNAL.search(venue)), bool(_CONFERENCE.search(venue))
    if journal == conference:
        return UNKNOWN
    return JOURNAL if journal else CONFERENCE
