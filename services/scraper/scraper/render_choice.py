"""Whether pages need a browser. Owns: the evidence, the decision for each kind of page, and its reasons. Knows no HTTP.

A kind is read over HTTP until a page of it leaves doubt: nothing was found though it has scripts, or a field is in none
of its items. A browser then loads that same page, and it is the comparison that decides: who found more.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from scraper.executor import Json
from scraper.reading import Evidence, Worth

# After so many pages on which a browser found no more, it isn't tried for that kind any more.
EMPTY_TRIES = 3
LACKING_TRIES = 1


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why what HTTP brought may not be all. `empty`: nothing was found."""

    reason: str
    empty: bool


@dataclass(slots=True)
class RenderChoices:
    """What was decided for each kind of page."""

    modes: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    _empty_tries: dict[str, int] = field(default_factory=dict)
    _lacking_tries: dict[str, int] = field(default_factory=dict)

    def doubt(self, kind: str, worth: Worth, evidence: Evidence) -> Doubt | None:
        """What speaks for a look with a browser; None when HTTP is enough, or a browser was tried often enough."""
        if worth.whole:
            return None
        tried, most = (self._lacking_tries, LACKING_TRIES) if worth.something else (self._empty_tries, EMPTY_TRIES)
        if tried.get(kind, 0) >= most or not evidence.has_scripts:
            return None
        if worth.something:
            return Doubt(f"{_named(worth.lacking)} is in none of the {worth.items} items", empty=False)
        signs = ", ".join(evidence.signs)
        return Doubt("nothing was found" + (f", and {signs}" if signs else ", and the page has scripts"), empty=True)

    def compare(self, kind: str, doubt: Doubt, plain: Worth, rendered: Worth) -> bool:
        """Decide by what a browser found on the same page; True: the kind is rendered from now on."""
        if (rendered.items, rendered.fields) > (plain.items, plain.fields):
            self.modes[kind] = "browser"
            self.reasons[kind] = f"{doubt.reason}; a browser found {_found(rendered)} where HTTP found {_found(plain)}"
            return True
        tried = self._empty_tries if doubt.empty else self._lacking_tries
        tried[kind] = tried.get(kind, 0) + 1
        self.reasons[kind] = f"{doubt.reason}, but a browser found no more on the same page"
        return False

    def shown(self, kinds: Mapping[str, bool]) -> Json:
        """For the run's result: how each kind was had, and why. `kinds`: those that were loaded at all."""
        return {
            kind: {
                "mode": self.modes.get(kind, "http"),
                "why": self.reasons.get(kind, "HTTP brought every field"),
            }
            for kind in sorted(kinds)
        }

    def to_json(self) -> Json:
        """For the checkpoint."""
        return {
            "modes": dict(self.modes),
            "reasons": dict(self.reasons),
            "empty_tries": dict(self._empty_tries),
            "lacking_tries": dict(self._lacking_tries),
        }

    @classmethod
    def from_json(cls, saved: Mapping[str, Json]) -> "RenderChoices":
        """What an earlier attempt decided."""
        return cls(
            dict(saved["modes"]), dict(saved["reasons"]), dict(saved["empty_tries"]), dict(saved["lacking_tries"])
        )


def _found(worth: Worth) -> str:
    return f"{worth.items} items with {worth.fields} values" if worth.items else "nothing"


def _named(fields: tuple[str, ...]) -> str:
    shown = ", ".join(repr(name) for name in fields[:3])
    return shown if len(fields) <= 3 else f"{shown} and {len(fields) - 3} more"
