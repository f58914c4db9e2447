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

from scraper.crawl_links import host_of, page_key
from scraper.executor import Json

# The checkpoint of a crawl must fit into one document (16 MB).
MAX_SEEN = 500_000
MAX_WAITING = 100_000
MAX_SPELLINGS = 50_000
KEY_BYTES = 8


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

    def _put(self, spot: Spot) -> None:
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

    def done(self, spot: Spot) -> None:
        """The page was visited."""
        self._leave(spot)

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
        spots = [*self.running, *(spot for line in self._waiting.values() for spot in line)]
        lines = "\n".join(f"{spot.depth} {spot.item} {spot.url}" for spot in spots)
        unsettled = {key for spot in self.running for key in spot.claims}
        seen = b"".join(sorted(self._seen - unsettled if unsettled else self._seen))
        return {
            "spots": _packed(zlib.compress(lines.encode(errors="replace"), 1)),
            "seen": _packed(seen),
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
        seen = base64.b64decode(saved["seen"])
        frontier._seen = {seen[at : at + KEY_BYTES] for at in range(0, len(seen), KEY_BYTES)}
        frontier.left_out = int(saved["left_out"])
        frontier.sitemaps_read = bool(saved["sitemaps_read"])
        return frontier


def _packed(data: bytes) -> str:
    return base64.b64encode(data).decode()
