"""Pages of X's timelines. Pure. Owns: finding a page's instructions, its entries in order, and its next cursor. Must
not know which run wants it, nor what is kept of it.

Left out: promoted entries, suggestions (`who-to-follow`), and cursors. A tombstone counts as an entry that is gone.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from scraper.x_tweets import gone_reason, read_tweet
from scraper.x_users import read_user, unavailable_reason
from scraper.x_values import Json, UpstreamChanged, dig, flag_of, objects_of, text_of

OPERATIONS = ("UserByScreenName", "UserTweets", "UserTweetsAndReplies", "SearchTimeline", "Followers", "Following")
# Where instructions stand, the newer place first. The last element of a path holds `instructions`.
_PLACES = (
    ("data", "user", "result", "timeline", "timeline"),
    ("data", "user", "result", "timeline_v2", "timeline"),
    ("data", "search_by_raw_query", "search_timeline", "timeline"),
)
_SUGGESTIONS = ("who-to-follow", "promoted", "community-to-join", "similar", "toptabsrpusermodule", "messageprompt")
# The bottom cursor of a finished list of users begins so.
_LAST_CURSOR = "0|"
BOTTOM = frozenset({"Bottom", "ShowMoreThreads"})


@dataclass(frozen=True, slots=True)
class Entry:
    """One tweet or user. `kind`: tweet | user."""

    kind: str
    data: dict[str, Any]
    pinned: bool = False


@dataclass(slots=True)
class TimelinePage:
    """What one answer says. `ended`: X itself says that nothing follows."""

    entries: list[Entry] = field(default_factory=list)
    gone: int = 0
    left_out: int = 0
    unreadable: int = 0
    cursor: str | None = None
    ended: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether there was nothing but cursors and advertisements."""
        return not self.entries and not self.gone


def read_timeline(answer: Json) -> TimelinePage:
    """The page. Raises `UpstreamChanged` when instructions are missing, or most of what is there can't be read."""
    page = TimelinePage()
    for instruction in _instructions(answer):
        kind = instruction.get("type")
        if kind == "TimelinePinEntry":
            _read_entry(page, dig(instruction, "entry"), pinned=True)
        elif kind in ("TimelineAddEntries", "TimelineReplaceEntry"):
            for entry in [*objects_of(instruction, "entries"), *_replaced(instruction)]:
                _read_entry(page, entry)
        elif kind == "TimelineAddToModule":
            for item in objects_of(instruction, "moduleItems"):
                _read_item(page, text_of(item, "entryId") or "", dig(item, "item", "itemContent"))
        elif kind == "TimelineTerminateTimeline" and instruction.get("direction") in ("Bottom", "TopAndBottom"):
            page.ended = True
    if page.cursor is not None and page.cursor.startswith(_LAST_CURSOR):
        page.ended = True
    # Tombstones say nothing of whether tweets can be read.
    if page.unreadable > len(page.entries):
        raise UpstreamChanged(f"{page.unreadable} of {page.unreadable + len(page.entries)} entries can't be read")
    return page


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile's answer. `missing`: why there is no user. `visible`: whether the account may see the timelines."""

    user: dict[str, Any] | None
    missing: str = ""
    visible: bool = True


def read_profile(answer: Json) -> Profile:
    """The user of a profile, or why there is none. Raises `UpstreamChanged`."""
    data = dig(answer, "data")
    if not isinstance(data, dict) or ("user" not in data and data):
        raise UpstreamChanged("data.user is missing")
    result = dig(data, "user", "result")
    if result is None:
        return Profile(None, "NotFound")
    if reason := unavailable_reason(result):
        return Profile(None, reason)
    user = read_user(result)
    if user is None:
        raise UpstreamChanged("data.user.result is no user that can be read")
    followed = flag_of(result, "relationship_perspectives", "following") or flag_of(result, "legacy", "following")
    return Profile(user, visible=followed or not user["protected"])


def _instructions(answer: Json) -> list[dict[str, Json]]:
    for place in _PLACES:
        if isinstance(dig(answer, *place, "instructions"), list):
            return objects_of(answer, *place, "instructions")
    raise UpstreamChanged("the timeline's instructions are missing")


def _replaced(instruction: dict[str, Json]) -> Iterator[dict[str, Json]]:
    """Search answers bring later cursors by replacing the entries of earlier ones."""
    entry = instruction.get("entry")
    if isinstance(entry, dict):
        yield entry


def _read_entry(page: TimelinePage, entry: Json, *, pinned: bool = False) -> None:
    content = dig(entry, "content")
    name = text_of(entry, "entryId") or ""
    if not isinstance(content, dict):
        page.unreadable += 1
        return
    if (direction := text_of(content, "cursorType")) is not None:
        if direction in BOTTOM:
            page.cursor = text_of(content, "value")
        return
    if name.startswith(_SUGGESTIONS) or dig(content, "itemContent", "promotedMetadata") is not None:
        page.left_out += 1
        return
    if text_of(content, "entryType") == "TimelineTimelineModule" or "items" in content:
        for item in objects_of(content, "items"):
            _read_item(page, text_of(item, "entryId") or name, dig(item, "item", "itemContent"))
        return
    _read_item(page, name, dig(content, "itemContent"), pinned=pinned)


def _read_item(page: TimelinePage, name: str, content: Json, *, pinned: bool = False) -> None:
    if name.startswith(_SUGGESTIONS) or dig(content, "promotedMetadata") is not None:
        page.left_out += 1
        return
    if text_of(content, "cursorType") is not None:
        # "Show more" within a conversation: not the timeline's own end.
        return
    if dig(content, "tweet_results") is not None:
        _add_tweet(page, dig(content, "tweet_results", "result"), pinned=pinned)
    elif dig(content, "user_results") is not None:
        _add_user(page, dig(content, "user_results", "result"))
    elif text_of(content, "itemType") in ("TimelineTweet", "TimelineUser") or name.startswith(("tweet-", "user-")):
        page.unreadable += 1
    else:
        page.left_out += 1


def _add_tweet(page: TimelinePage, result: Json, *, pinned: bool) -> None:
    if result is None or gone_reason(result):
        page.gone += 1
    elif (tweet := read_tweet(result)) is not None:
        page.entries.append(Entry("tweet", tweet | {"pinned": pinned}, pinned))
    else:
        page.unreadable += 1


def _add_user(page: TimelinePage, result: Json) -> None:
    if result is None or unavailable_reason(result):
        page.gone += 1
    elif (user := read_user(result)) is not None:
        page.entries.append(Entry("user", user))
    else:
        page.unreadable += 1
