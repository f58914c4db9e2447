"""How far a scrape run is. Owns: counts, limits, chains of pages, and their form as a checkpoint. Must not know pages.

A chain is a start URL and the pages that follow it. Chains begin in the order of the start URLs, so `next_start` and
the chains still open say what is left. A crawl has a frontier instead.
"""

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic

import orjson

from scraper.executor import Json
from scraper.frontier import Frontier
from scraper.problems import Problems
from scraper.render_choice import RenderChoices
from scraper.scrape_definition import Limits

VERSION = 3
MAX_FAILED_PAGES = 100
MAX_VISITED = 5000
# Keys of stored items that a checkpoint holds, 8 bytes each.
MAX_KEYS = 250_000
KEY_BYTES = 8


def digest_of(value: Json) -> str:
    """A stable digest of JSON, 32 characters."""
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS, default=str)).hexdigest()[:32]


def _short(key: str) -> bytes:
    return hashlib.blake2b(key.encode(), digest_size=KEY_BYTES).digest()


@dataclass(slots=True)
class Chain:
    """`item`: how many items of the page at `url` are stored. `visited`: digests of its pages, to notice a circle."""

    start: int
    url: str
    page: int = 0
    item: int = 0
    visited: list[str] = field(default_factory=list)

    @property
    def place(self) -> str:
        """The name of its page in the keys of items, the same in every attempt."""
        return f"{self.start}.{self.page}"

    def was_at(self, url: str) -> bool:
        """Whether the chain has had that page."""
        return digest_of(url)[:12] in self.visited

    def visit(self) -> bool:
        """Note the page at `url`; False when the chain was there before."""
        digest = digest_of(self.url)[:12]
        if digest in self.visited:
            return False
        self.visited = [*self.visited[-MAX_VISITED:], digest]
        return True

    def advance(self, url: str) -> None:
        """Go on to the next page."""
        self.url, self.page, self.item = url, self.page + 1, 0

    def to_json(self) -> Json:
        """For the checkpoint: whoever goes on visits the page at `url` again, so it isn't among the visited."""
        here = digest_of(self.url)[:12]
        visited = [digest for digest in self.visited if digest != here]
        return {"start": self.start, "url": self.url, "page": self.page, "item": self.item, "visited": visited}


@dataclass(slots=True)
class ScrapeState:
    """Counts and what is left. `stop_reason` is set once, by what ended the run early."""

    definition_digest: str
    limits: Limits
    deadline: float
    seconds_before: float = 0
    started: float = field(default_factory=monotonic)
    pages: int = 0
    pages_read: int = 0
    items: int = 0
    items_taken: int = 0
    duplicates: int = 0
    incomplete: int = 0
    rendered: int = 0
    unchanged: int = 0
    failed: int = 0
    failed_pages: list[Json] = field(default_factory=list)
    lists_failed: int = 0
    # Pages of a crawl that turned out to be another one.
    same_pages: int = 0
    next_start: int = 0
    open: dict[int, Chain] = field(default_factory=dict)
    resumed: list[Chain] = field(default_factory=list)
    choices: RenderChoices = field(default_factory=RenderChoices)
    frontier: Frontier | None = None
    # What this run has stored, by the beginnings of its keys.
    keys: set[bytes] = field(default_factory=set)
    # Those of them that are not stored yet: no checkpoint may have them.
    pending: set[bytes] = field(default_factory=set)
    changes: dict[str, int] = field(default_factory=dict)
    problems: Problems = field(default_factory=Problems)
    # How many stored items lack a field, by its name.
    empty_fields: dict[str, int] = field(default_factory=dict)
    stop_reason: str = ""

    def take_page(self) -> bool:
        """Count one more page to load; False, and the run is to stop, when there may be none."""
        if not self._goes_on():
            return False
        if self.items_left() == 0:
            return self.stop("item_limit")
        if self.pages >= self.limits.pages:
            return self.stop("page_limit")
        self.pages += 1
        return True

    def take_item(self) -> bool:
        """Count one more item to store; False, and the run is to stop, when there may be none."""
        if self.items_left() == 0:
            return self.stop("item_limit")
        self.items_taken += 1
        return True

    def is_new(self, key: str) -> bool:
        """Note the key of an item; False when the run has had an item with that key."""
        short = _short(key)
        if short in self.keys:
            return False
        self.keys.add(short)
        self.pending.add(short)
        return True

    def note_stored(self, keys: Iterable[str]) -> None:
        """Items with these keys are on their way to the store, ahead of every later checkpoint."""
        self.pending.difference_update(map(_short, keys))

    def items_left(self) -> int:
        """How many more items may be stored."""
        return max(0, self.limits.items - self.items_taken)

    def _goes_on(self) -> bool:
        if not self.stop_reason and monotonic() >= self.deadline:
            self.stop("time_limit")
        return not self.stop_reason

    def stop(self, reason: str) -> bool:
        """End the run early; the first reason stays. Always False."""
        self.stop_reason = self.stop_reason or reason
        return False

    def fail_page(self, url: str, reason: str, status: int | None) -> None:
        """Count a page that could not be had; the first ones are kept with their reasons."""
        self.failed += 1
        if len(self.failed_pages) < MAX_FAILED_PAGES:
            self.failed_pages.append({"url": url[:1000], "reason": reason[:1000], "status": status})

    def next_chain(self, start_urls: Sequence[str]) -> Chain | None:
        """The next chain to walk: those of the earlier attempt first."""
        if self.stop_reason:
            return None
        if self.resumed:
            chain = self.resumed.pop(0)
        elif self.next_start < len(start_urls):
            chain = Chain(self.next_start, start_urls[self.next_start])
            self.next_start += 1
        else:
            return None
        self.open[chain.start] = chain
        return chain

    def to_json(self) -> Json:
        """The checkpoint."""
        chains = [chain.to_json() for chain in (*self.open.values(), *self.resumed)]
        counts = {name: getattr(self, name) for name in COUNTS}
        return {
            "version": VERSION,
            "definition": self.definition_digest,
            "seconds": self.seconds_before + monotonic() - self.started,
            "next_start": self.next_start,
            "chains": chains,
            "rendering": self.choices.to_json(),
            "frontier": self.frontier.to_json() if self.frontier is not None else None,
            "keys": base64.b64encode(b"".join(self.keys - self.pending)).decode() if len(self.keys) <= MAX_KEYS else "",
            "changes": dict(self.changes),
            "failed_pages": list(self.failed_pages),
            "problems": self.problems.to_json(),
            "empty_fields": dict(self.empty_fields),
            **counts,
        }

    @property
    def complete(self) -> bool:
        """Whether everything there is was seen."""
        left_out = self.frontier is not None and self.frontier.left_out > 0
        return not self.stop_reason and not self.lists_failed and not left_out

    def result(self) -> Json:
        """The run's result. `pages_failed`: pages after a failed one of a chain were never seen."""
        crawled = {}
        if self.frontier is not None:
            crawled = {
                "waiting": self.frontier.count,
                "links_left_out": self.frontier.left_out,
                "same_pages": self.same_pages,
            }
        return {
            "pages": self.pages,
            "items": self.items,
            "duplicates": self.duplicates,
            "incomplete": self.incomplete,
            "rendered_pages": self.rendered,
            "unchanged_pages": self.unchanged,
            **crawled,
            "failed_count": self.failed,
            "failed_pages": self.failed_pages,
            "problems": self.problems.to_json(),
            "empty_fields": {name: count for name, count in self.empty_fields.items() if count},
            "stop_reason": self.stop_reason or ("pages_failed" if self.lists_failed else "finished"),
        }


COUNTS = (
    "pages",
    "pages_read",
    "items",
    "duplicates",
    "incomplete",
    "rendered",
    "unchanged",
    "failed",
    "lists_failed",
    "same_pages",
)


def begin(
    limits: Limits, definition_digest: str, checkpoint: Json, *, timeout_seconds: float, crawl_at_once: int = 0
) -> ScrapeState:
    """The state to start from: the checkpoint's, if it is one of the same definition.

    `crawl_at_once`: pages of a host that a crawl visits at once; 0: it is no crawl.
    """
    usable = (
        isinstance(checkpoint, Mapping)
        and checkpoint.get("version") == VERSION
        and checkpoint.get("definition") == definition_digest
    )
    saved: Mapping[str, Json] = checkpoint if usable else {}
    before = float(saved.get("seconds", 0))
    seconds = max(0.0, limits.seconds - before)
    # A limit that is as long as the attempt may last ends just before it, and so with a result.
    if timeout_seconds > 10 and timeout_seconds - 5 < seconds <= timeout_seconds:
        seconds = timeout_seconds - 5
    state = ScrapeState(definition_digest, limits, monotonic() + seconds, seconds_before=before)
    if crawl_at_once:
        state.frontier = Frontier(crawl_at_once)
    if usable:
        for name in COUNTS:
            setattr(state, name, int(saved[name]))
        state.items_taken = state.items
        state.next_start = int(saved["next_start"])
        state.failed_pages = list(saved["failed_pages"])
        state.choices = RenderChoices.from_json(saved["rendering"])
        keys = base64.b64decode(saved["keys"])
        state.keys = {keys[at : at + KEY_BYTES] for at in range(0, len(keys), KEY_BYTES)}
        state.changes = dict(saved["changes"])
        state.problems = Problems.from_json(saved["problems"])
        state.empty_fields = dict(saved["empty_fields"])
        if crawl_at_once:
            state.frontier = Frontier.from_json(saved["frontier"], crawl_at_once)
        state.resumed = [Chain(**chain) for chain in saved["chains"]]
    return state
