"""What papers a project has, and which of them are one. Pure: owns the catalogue's form, and how groups grow together.

A catalogue is small beside the papers: ids in order, and the groups that dedup has found. The first of a group is the
kept paper, the others are told by it. Everything that reads papers goes through it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Listed:
    """Papers that were imported together. `key`: where their cards are."""

    key: str
    created_ms: int
    ids: tuple[str, ...]


@dataclass(slots=True)
class Groups:
    """Groups of papers that are one. `members`: kept id → all of its group, the kept one first."""

    members: dict[str, list[str]] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)

    def join(self, group: Sequence[str]) -> None:
        """Make one group of these papers and of theirs; the first of them is kept from now on."""
        heads = dict.fromkeys(self.kept.get(paper_id, paper_id) for paper_id in group)
        everybody = dict.fromkeys(group)
        for head in heads:
            everybody |= dict.fromkeys(self.members.pop(head, ()))
        self.members[group[0]] = list(everybody)
        self.kept.update(dict.fromkeys(everybody, group[0]))

    def kept_of(self, paper_id: str) -> str:
        """The paper that stands for this one; itself when it was merged into none."""
        return self.kept.get(paper_id, paper_id)

    def of(self, paper_id: str) -> list[str]:
        """The group of a kept paper, itself first."""
        return self.members.get(paper_id, [paper_id])


@dataclass(frozen=True, slots=True)
class Catalogue:
    """A project. `active`: ids of the papers that are shown, the newest first."""

    listed: tuple[Listed, ...]
    groups: Groups
    active: tuple[str, ...]
    known: frozenset[str]


def make_catalogue(listed: Iterable[Listed], groups: Iterable[Sequence[str]]) -> Catalogue:
    """The catalogue of what was imported, with the groups in the order in which they were found."""
    ordered = tuple(sorted(listed, key=lambda one: (-one.created_ms, one.key)))
    joined = Groups()
    for group in groups:
        joined.join(group)
    # An id may be listed twice, by two runs that imported it at the same moment.
    ids = dict.fromkeys(paper_id for one in ordered for paper_id in one.ids)
    active = tuple(paper_id for paper_id in ids if joined.kept_of(paper_id) == paper_id)
    return Catalogue(ordered, joined, active, frozenset(ids))
