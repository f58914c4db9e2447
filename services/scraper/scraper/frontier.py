"""The pages that a crawl has before it. Owns: their order, which were seen, and their form as a checkpoint.

Hosts take turns, and none is asked for more pages at once than it is to get: one slow host holds up no other. A page
counts as seen from the moment it is known; what a page claims besides (its canonical address, where it redirected to)
only counts in a checkpoint once the page is done.
"""

import base64
import zlib
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from scraper.crawl_links import host_of, page_key
from scraper.executor import Json

# The checkpoint of a crawl must fit into one document (16 MB).
MAX_SEEN = 500_000
MAX_WAITING = 100_000
MAX_SPELLINGS = 50_000
KEY_BYTES = 8


class Standing(Enum):
    """What becomes of a page that names another address as its own."""

    OWN = "own"
    SAME = "same"
    LATER = "later"


@dataclass(slots=True, eq=False)
class Spot:
    """A page to visit, so many links away from a start. `item`: how many of its items are stored."""

    url: str
    depth: int
    key: bytes
    item: int = 0
    claims: list[bytes] = field(default_factory=list)

    @property
    def place(self) -> str:
        """Its name in the keys of its items, the same in every attempt."""
        return self.key.hex()


class Frontier:
    """What waits, what runs, and what was seen."""

    def __init__(self, per_host: int) -> None:
        self._per_host = per_host
        self._waiting: dict[str, deque[Spot]] = {}
        self._turns: deque[str] = deque()
        self._busy: dict[str, int] = {}
        self._seen: set[bytes] = set()
        # Pages that are neither visited nor given up yet, and those that could not be read.
        self._open: set[bytes] = set()
        self._failed: set[bytes] = set()
        # Pages that say they are another one which is still open, by that one: whether they count, it will tell.
        self._deferred: dict[bytes, list[Spot]] = {}
        self._awaited: dict[bytes, bytes] = {}
        # Spellings that were offered: most links of a site are on each of its pages.
        self._spellings: set[str] = set()
        self.running: set[Spot] = set()
        self.count = 0
        # Links that were left out because there is no room for more.
        self.left_out = 0
        self.sitemaps_read = False

    def offer(self, url: str, depth: int) -> None:
        """Put `url` in line unless it was seen."""
        if url in self._spellings:
            return
        if len(self._spellings) >= MAX_SPELLINGS:
            self._spellings.clear()
        self._spellings.add(url)
        key = page_key(url)
        if key in self._seen:
            return
        if self.count >= MAX_WAITING or len(self._seen) >= MAX_SEEN:
            self.left_out += 1
            return
        self._seen.add(key)
        self._put(Spot(url, depth, key))

    def claim(self, spot: Spot, url: str) -> bool:
        """Let the page at `spot` stand for `url` as well; False when another page does that, or will."""
        key = page_key(url)
        if key == spot.key or key in spot.claims:
            return True
        if key in self._seen:
            return False
        self._seen.add(key)
        spot.claims.append(key)
        return True

    def stand(self, spot: Spot, url: str) -> Standing:
        """Whether the page at `spot` counts by itself, though it names `url` as its own address. It doesn't when the
        page there does (SAME), or may yet (LATER: then it is to be deferred). A page that can't be read takes no place.
        """
        key = page_key(url)
        if key in self._failed or self.claim(spot, url):
            return Standing.OWN
        if key not in self._open or len(self._awaited) >= MAX_WAITING:
            return Standing.SAME
        return Standing.OWN if self._waits_for(key, spot.key) else Standing.LATER

    def _waits_for(self, key: bytes, other: bytes) -> bool:
        """Whether the page of `key` is deferred for that of `other`, directly or by way of further ones."""
        seen: set[bytes] = set()
        while (at := self._awaited.get(key)) is not None and at not in seen:
            if at == other:
                return True
            seen.add(at)
            key = at
        return False

    def defer(self, spot: Spot, url: str) -> None:
        """The page at `spot` was visited, and counts only if the one at `url` can't be read."""
        self._leave(spot)
        key = page_key(url)
        self._deferred.setdefault(key, []).append(spot)
        self._awaited[spot.key] = key

    def _put(self, spot: Spot) -> None:
        self._open.add(spot.key)
        host = host_of(spot.url)
        line = self._waiting.get(host)
        if line is None:
            line = self._waiting[host] = deque()
            self._turns.append(host)
        line.append(spot)
        self.count += 1

    def take(self) -> Spot | None:
        """The next page of a host that isn't busy; None when there is none now."""
        for _ in range(len(self._turns)):
            host = self._turns.popleft()
            line = self._waiting[host]
            if self._busy.get(host, 0) >= self._per_host:
                self._turns.append(host)
                continue
            spot = line.popleft()
            if line:
                self._turns.append(host)
            else:
                del self._waiting[host]
            self.count -= 1
            self._busy[host] = self._busy.get(host, 0) + 1
            self.running.add(spot)
            return spot
        return None

    def done(self, spot: Spot, *, failed: bool = False) -> int:
        """The page was visited, or could not be read. Answers how many pages are thereby known to be the same."""
        self._leave(spot)
        self._open.discard(spot.key)
        if failed:
            self._failed.add(spot.key)
        deferred = self._deferred.pop(spot.key, [])
        for other in deferred:
            del self._awaited[other.key]
            if failed:
                self._put(other)
                continue
            self._open.discard(other.key)
            # What stands for a page stands for those that say they are it.
            deferred += self._deferred.pop(other.key, [])
        return 0 if failed else len(deferred)

    def give_back(self, spot: Spot) -> None:
        """The page was not visited: it is still to be."""
        self._leave(spot)
        self._put(spot)

    def _leave(self, spot: Spot) -> None:
        self.running.discard(spot)
        host = host_of(spot.url)
        left = self._busy.get(host, 0) - 1
        if left > 0:
            self._busy[host] = left
        else:
            self._busy.pop(host, None)

    def to_json(self) -> Json:
        """The checkpoint: packed, since a large crawl has many addresses."""
        # Whoever goes on visits deferred ones again, and then knows more.
        deferred = [spot for spots in self._deferred.values() for spot in spots]
        spots = [*self.running, *(spot for line in self._waiting.values() for spot in line), *deferred]
        lines = "\n".join(f"{spot.depth} {spot.item} {spot.url}" for spot in spots)
        unsettled = {key for spot in self.running for key in spot.claims}
        seen = b"".join(sorted(self._seen - unsettled if unsettled else self._seen))
        return {
            "spots": _packed(zlib.compress(lines.encode(errors="replace"), 1)),
            "seen": _packed(seen),
            "failed": _packed(b"".join(sorted(self._failed))),
            "left_out": self.left_out,
            "sitemaps_read": self.sitemaps_read,
        }

    @classmethod
    def from_json(cls, saved: Mapping[str, Json], per_host: int) -> "Frontier":
        """The frontier that was saved; what was running then waits again, and comes first."""
        frontier = cls(per_host)
        for line in zlib.decompress(base64.b64decode(saved["spots"])).decode().split("\n"):
            depth, _, rest = line.partition(" ")
            item, _, url = rest.partition(" ")
            if url:
                frontier._put(Spot(url, int(depth), page_key(url), int(item)))
        frontier._seen = _keys(saved["seen"])
        frontier._failed = _keys(saved.get("failed", ""))
        frontier.left_out = int(saved["left_out"])
        frontier.sitemaps_read = bool(saved["sitemaps_read"])
        return frontier


def _keys(packed: str) -> set[bytes]:
    data = base64.b64decode(packed)
    return {data[at : at + KEY_BYTES] for at in range(0, len(data), KEY_BYTES)}


def _packed(data: bytes) -> str:
    return base64.b64encode(data).decode()
