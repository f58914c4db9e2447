"""What could not be known or was cut while a run read its pages. Owns: counting it, within bounds. Must not know pages.

A run that meets something it can't read goes on: the value is null, and here it is said what, where, how often, with
an example. Nothing that is counted here fails a run.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from scraper.executor import Json

# A value was there and could not be read; it has several meanings, and nothing tells which; part of it was left out.
VALUE_UNREADABLE = "value_unreadable"
VALUE_AMBIGUOUS = "value_ambiguous"
VALUE_CUT = "value_cut"
# What every such thing has was not there; an entry of a list that is not understood at all.
VALUE_MISSING = "value_missing"
ENTRY_UNREADABLE = "entry_unreadable"
# A value was kept in another form than the field's type has: an integer beyond 64 bits as its digits.
VALUE_AS_TEXT = "value_as_text"
# More items, values or matches than the bound; the page or answer itself is longer or deeper than its bound.
VALUES_CUT = "values_cut"
PAGE_CUT = "page_cut"
# JSON, microdata or markup of a page that could not be read; a selector or field that failed on it.
DATA_BROKEN = "data_broken"
FIELD_FAILED = "field_failed"
# Links that were left out of a crawl, and files or sitemaps that could not be read whole.
LINKS_LEFT_OUT = "links_left_out"
FILE_UNREADABLE = "file_unreadable"
# What the definition asks for and the way in which a page was had can't do.
OPTION_IGNORED = "option_ignored"
# A value of an item or result that was changed so that it can be stored; an item that can't be stored at all.
VALUE_CHANGED = "value_changed"
ITEM_LEFT_OUT = "item_left_out"

# Kinds of problems that are told apart; further ones are counted together.
MAX_KINDS = 200
MAX_EXAMPLE = 200
MAX_MESSAGE = 500
MAX_URL = 1000
FURTHER = "further_kinds"


@dataclass(slots=True)
class Problem:
    """One kind at one place: how often, with the words and example of the first."""

    what: str
    where: str
    message: str
    count: int
    example: str
    url: str

    def to_json(self) -> Json:
        """As it stands in a run's result."""
        return {
            "what": self.what,
            "where": self.where,
            "count": self.count,
            "message": self.message,
            "example": self.example,
            "url": self.url,
        }


class Problems:
    """A bounded collection, in the order in which the kinds were first met."""

    def __init__(self) -> None:
        self._kinds: dict[tuple[str, str], Problem] = {}

    def __iter__(self) -> Iterator[Problem]:
        return iter(self._kinds.values())

    def __bool__(self) -> bool:
        return bool(self._kinds)

    @property
    def count(self) -> int:
        """How many problems there were."""
        return sum(problem.count for problem in self._kinds.values())

    def note(self, what: str, where: str, message: str, *, example: str = "", url: str = "", count: int = 1) -> bool:
        """Count one. `what`: a constant of this module; `where`: the place in the definition or a part of the page.

        True when that kind had been met before.
        """
        key = (what, where[:MAX_EXAMPLE])
        known = self._kinds.get(key)
        if known is None and len(self._kinds) >= MAX_KINDS:
            key = (FURTHER, "")
            known = self._kinds.get(key)
            message = f"more than {MAX_KINDS} kinds of problems; the first of the others: {what} at {where}: {message}"
        if known is not None:
            known.count += count
            return True
        self._kinds[key] = Problem(*key, message[:MAX_MESSAGE], count, example[:MAX_EXAMPLE], url[:MAX_URL])
        return False

    def merge(self, others: Iterable[Mapping[str, Json]], *, url: str = "") -> None:
        """Add what `to_json` of another collection gave; `url`: of the page that they belong to, if they don't say."""
        for one in others:
            self.note(
                one["what"],
                one["where"],
                one["message"],
                example=one["example"],
                url=one["url"] or url,
                count=one["count"],
            )

    def to_json(self) -> list[Json]:
        """`[{"what", "where", "count", "message", "example", "url"}]`."""
        return [problem.to_json() for problem in self._kinds.values()]

    @classmethod
    def from_json(cls, saved: Iterable[Mapping[str, Json]]) -> "Problems":
        """What `to_json` gave."""
        problems = cls()
        problems.merge(saved)
        return problems
