"""From cards of papers to groups. Pure: owns a card's form, and which paper of a group is kept. Must not know the rules
of what is the same.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scraper.paper_catalogue import Groups
from scraper.paper_matching import Paper, comparable, find_groups

Json = Any


@dataclass(frozen=True, slots=True)
class Card:
    """A paper, and how much its record tells."""

    paper_id: str
    paper: Paper
    filled: int
    letters: int


def read_cards(lists: Iterable[Json]) -> list[Card]:
    """The cards of lists `[ids, [[title, year, authors, doi, arXiv id, venue, source, filled, letters], ...]]`, each
    paper once. Cards of earlier versions have no venue and no source.
    """
    cards: dict[str, Card] = {}
    for ids, told in lists:
        for paper_id, (*compared, filled, letters) in zip(ids, told, strict=True):
            if paper_id not in cards:
                cards[paper_id] = Card(paper_id, comparable(*compared), filled, letters)
    # Imported in another order they are the same papers, and make the same groups.
    return [cards[paper_id] for paper_id in sorted(cards)]


def new_groups(
    cards: Sequence[Card], work: Mapping[str, int], known: Iterable[Sequence[str]], threshold: float,
    report: Callable[[int, int], None] = lambda _done, _total: None,
) -> list[list[str]]:  # fmt: skip
    """Groups that are new or have grown, the kept paper first, those that tell most next.

    `work`: papers that have a PDF (1) or text (2), which are kept if possible; `known`: groups as they are.
    """
    before = Groups()
    for group in known:
        before.join(group)
    places = {card.paper_id: index for index, card in enumerate(cards)}
    joined = [[places[one] for one in group if one in places] for group in before.members.values()]
    found = []
    for indexes in find_groups([card.paper for card in cards], threshold, report, joined=joined):
        members = [cards[index] for index in indexes]
        if len({before.kept_of(card.paper_id) for card in members}) > 1:
            found.append([card.paper_id for card in sorted(members, key=_rank(before, work))])
    return found


def _rank(before: Groups, work: Mapping[str, int]) -> Callable[[Card], Json]:
    def rank(card: Card) -> Json:
        # Who was kept stays, unless another one has what was worked for.
        kept = card.paper_id in before.members
        return -work.get(card.paper_id, 0), not kept, -card.filled, -card.letters, card.paper_id

    return rank
