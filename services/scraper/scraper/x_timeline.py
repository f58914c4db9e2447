"""Pages of X's timelines. Pure. Owns: finding a page's instructions, its entries in order, its next cursor, and telling
an entry of another kind from a shape that has changed. Must not know which run wants it, nor what is kept of it.

Left out: promoted entries, suggestions (`who-to-follow`), prompts, and cursors. A tombstone counts as an entry that is
gone; what is not understood is counted by the type that it says it is of.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from scraper.problems import ENTRY_UNREADABLE, Problems
from scraper.x_tweets import TWEET, calls_itself_tweet, gone_reason, read_tweet, unwrap
from scraper.x_users import USER, read_user, unavailable_reason
from scraper.x_values import (
    UNNAMED,
    Json,
    Notes,
    UpstreamChanged,
    dig,
    flag_of,
    has_parts,
    text_of,
    type_of,
)

OPERATIONS = ("UserByScreenName", "UserTweets", "UserTweetsAndReplies", "SearchTimeline", "Followers", "Following")
# Where instructions stand, the newer place first. The last element of a path holds `instructions`.
_PLACES = (
    ("data", "user", "result", "timeline", "timeline"),
    ("data", "user", "result", "timeline_v2", "timeline"),
    ("data", "search_by_raw_query", "search_timeline", "timeline"),
)
_SUGGESTIONS = ("who-to-follow", "promoted", "community-to-join", "similar", "toptabsrpusermodule", "messageprompt")
# Kinds of content that are neither tweets nor users, and no results of any task.
_OTHER_CONTENT = frozenset(
    {
        *("TimelinePrompt", "TimelineMessagePrompt", "TimelineLabel", "TimelineSpelling", "TimelineNotification"),
        *("TimelineTrend", "TimelineTopic", "TimelineTopicFollowPrompt", "TimelineEventSummary", "TimelineMoment"),
        *("TimelineTwitterList", "TimelineCommunity", "TimelineNews", "TimelineFrame", "TimelineAudioSpace"),
    }
)
# The bottom cursor of a finished list of users begins so.
_LAST_CURSOR = "0|"
BOTTOM = frozenset({"Bottom", "ShowMoreThreads"})
_BOTTOM_NAMES = ("cursor-bottom", "cursor-showmorethreads")
ENTRIES = "TimelineAddEntries"
# Where an item holds a tweet or a user.
_HOLDERS = ("tweet_results", "tweetResult", "user_results")
# Types that a page's count of the unreadable tells apart; further ones are counted together.
MAX_TYPES = 50
OTHER_TYPES = "(other types)"


@dataclass(frozen=True, slots=True)
class Entry:
    """One tweet or user. `kind`: tweet | user."""

    kind: str
    data: dict[str, Any]
    pinned: bool = False


@dataclass(slots=True)
class TimelinePage:
    """What one answer says. `ended`: X itself says that nothing follows. `missing`: why X tells no timeline at all."""

    entries: list[Entry] = field(default_factory=list)
    gone: int = 0
    left_out: int = 0
    unreadable: int = 0
    unreadable_types: dict[str, int] = field(default_factory=dict)
    problems: Problems = field(default_factory=Problems)
    cursor: str | None = None
    ended: bool = False
    missing: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether there was nothing but cursors and advertisements."""
        return not self.entries and not self.gone and not self.unreadable


class PageChanged(UpstreamChanged):
    """What calls itself a tweet, a user or a list of entries can't be read, and none can.

    `page` has what could be read all the same; `unreadable` is how many say so.
    """

    def __init__(self, kind: str, unreadable: int, page: TimelinePage) -> None:
        super().__init__(f"{unreadable} of {unreadable} entries that call themselves {kind} can't be read")
        self.unreadable, self.page = unreadable, page


def read_timeline(answer: Json) -> TimelinePage:
    """The page. Raises `UpstreamChanged` when instructions are missing, and `PageChanged`."""
    for place in _PLACES:
        if isinstance(instructions := dig(answer, *place, "instructions"), list):
            return _Reader().read(instructions)
    if (reason := _why_missing(answer)) is not None:
        return TimelinePage(missing=reason)
    raise UpstreamChanged("the timeline's instructions are missing")


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile's answer. `missing`: why there is no user. `visible`: whether the account may see the timelines."""

    user: dict[str, Any] | None
    missing: str = ""
    visible: bool = True
    problems: Problems = field(default_factory=Problems)


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
    problems = Problems()
    user = read_user(result, Notes(problems, "user"))
    if user is None:
        if _is_other_user(result):
            return Profile(None, f"not understood: {type_of(result)}")
        raise UpstreamChanged("data.user.result is no user that can be read")
    followed = flag_of(result, "relationship_perspectives", "following") or flag_of(result, "legacy", "following")
    return Profile(user, visible=followed or not user["protected"], problems=problems)


def add_types(counts: dict[str, int], more: dict[str, int]) -> None:
    """Add counts by type, within `MAX_TYPES`."""
    for kind, count in more.items():
        known = kind if kind in counts or len(counts) < MAX_TYPES else OTHER_TYPES
        counts[known] = counts.get(known, 0) + count


def _why_missing(answer: Json) -> str | None:
    """Why X tells no timeline of a user: there is none, or it is not shown. None when it should be there."""
    user = dig(answer, "data", "user")
    if user is None:
        return None
    result = dig(user, "result")
    if isinstance(user, dict) and result is None:
        return "NotFound"
    held = [result[key] for key in ("timeline", "timeline_v2") if isinstance(result, dict) and key in result]
    is_empty = bool(held) and not any(has_parts(one) or (one and not isinstance(one, dict)) for one in held)
    return unavailable_reason(result) or ("Unavailable" if is_empty else None)


def _is_other_user(result: Json) -> bool:
    """A user of a kind that nobody knows, or without its parts: that one, and not the shape of users."""
    kind = type_of(result)
    return kind not in (UNNAMED, USER) or (kind == USER and not has_parts(result))


class _Reader:
    """Reads one page. `_read` and `_broken` count, by what they call themselves, the entries that were understood and
    those that have their parts and were not; `_others` those of other kinds.
    """

    def __init__(self) -> None:
        self._page = TimelinePage()
        self._read: Counter[str] = Counter()
        self._broken: Counter[str] = Counter()
        self._others = 0

    def read(self, instructions: list[Json]) -> TimelinePage:
        """Raises `PageChanged`."""
        page = self._page
        for instruction in instructions:
            self._instruction(instruction)
        if page.cursor is not None and page.cursor.startswith(_LAST_CURSOR):
            page.ended = True
        for kind, broken in self._broken.items():
            # Tombstones say nothing of whether tweets can be read.
            if not self._read[kind] and broken >= self._others:
                raise PageChanged(kind, broken, page)
        return page

    def _instruction(self, instruction: Json) -> None:
        """By what it holds, so that new names of instructions don't hide their entries."""
        if not isinstance(instruction, dict):
            self._unreadable(UNNAMED, "", "")
            return
        kind = type_of(instruction, "type", "__typename")
        if kind == "TimelineTerminateTimeline" and instruction.get("direction") in ("Bottom", "TopAndBottom"):
            self._page.ended = True
        if isinstance(entries := instruction.get("entries"), list):
            self._read[ENTRIES] += 1
            for entry in entries:
                self._entry(entry)
        elif kind == ENTRIES:
            self._unreadable(ENTRIES, "", ENTRIES)
        if kind in ("TimelinePinEntry", "TimelineReplaceEntry") or "entry" in instruction:
            self._entry(instruction.get("entry"), pinned=kind == "TimelinePinEntry")
        if isinstance(items := instruction.get("moduleItems"), list):
            self._items(items, "")
        elif kind == "TimelineAddToModule":
            self._unreadable(kind, "", "")

    def _entry(self, entry: Json, *, pinned: bool = False) -> None:
        content, name = dig(entry, "content"), text_of(entry, "entryId") or ""
        if not isinstance(content, dict):
            family = _family_of_name(name) if has_parts(entry) else ""
            self._unreadable(type_of(entry), name, family)
            return
        # A timeline's cursor stands in the entry, a conversation's in its content.
        inner = content.get("itemContent")
        cursor = inner if isinstance(inner, dict) and "cursorType" in inner else content
        if (direction := _direction(cursor, name)) is not None:
            if direction in BOTTOM:
                self._cursor(cursor, name)
            return
        if name.startswith(_SUGGESTIONS):
            self._page.left_out += 1
            return
        if text_of(content, "entryType") == "TimelineTimelineModule" or "items" in content:
            if isinstance(items := content.get("items"), list):
                self._items(items, name)
            else:
                self._unreadable("TimelineTimelineModule", name, "")
            return
        self._item(name, content.get("itemContent", content.get("content")), pinned=pinned)

    def _cursor(self, content: dict[str, Json], name: str) -> None:
        """A page whose next cursor can't be read is the last one, which is counted."""
        if (value := text_of(content, "value")) is None:
            self._unreadable(type_of(content, "__typename", "entryType"), name, "")
        self._page.cursor = value or self._page.cursor

    def _items(self, items: list[Json], module: str) -> None:
        for item in items:
            held = dig(item, "item")
            content = dig(held, "itemContent") if dig(held, "itemContent") is not None else dig(held, "content")
            self._item(text_of(item, "entryId") or module, content)

    def _item(self, name: str, content: Json, *, pinned: bool = False) -> None:
        if name.startswith(_SUGGESTIONS) or dig(content, "promotedMetadata") is not None:
            self._page.left_out += 1
            return
        if text_of(content, "cursorType") is not None:
            # "Show more" within a conversation: not the timeline's own end.
            return
        kind = type_of(content, "itemType", "__typename")
        place = next((key for key in _HOLDERS if isinstance(content, dict) and key in content), None)
        held = dig(content, place) if place else None
        if place and (held is None or isinstance(held, dict)):
            if place == "user_results":
                self._user(dig(held, "result"), name)
            else:
                self._tweet(dig(held, "result"), name, pinned=pinned)
        elif kind == "TimelineTombstone":
            self._page.gone += 1
        elif kind in _OTHER_CONTENT:
            self._page.left_out += 1
        else:
            family = {"TimelineTweet": TWEET, "TimelineUser": USER, UNNAMED: _family_of_name(name)}.get(kind, "")
            self._unreadable(kind, name, family if place or has_parts(content) else "")

    def _tweet(self, result: Json, name: str, *, pinned: bool) -> None:
        if gone_reason(result) or gone_reason(unwrap(result)):
            self._page.gone += 1
        elif (tweet := read_tweet(result, Notes(self._page.problems, "tweet"))) is not None:
            self._page.entries.append(Entry("tweet", tweet | {"pinned": pinned}, pinned))
            if tweet["preview"]:
                self._others += 1
            else:
                self._read[TWEET] += 1
        else:
            self._unreadable(type_of(result), name, TWEET if calls_itself_tweet(result) else "")

    def _user(self, result: Json, name: str) -> None:
        if result is None or unavailable_reason(result):
            self._page.gone += 1
        elif (user := read_user(result, Notes(self._page.problems, "user"))) is not None:
            self._page.entries.append(Entry("user", user))
            self._read[USER] += 1
        else:
            self._unreadable(type_of(result), name, "" if _is_other_user(result) else USER)

    def _unreadable(self, kind: str, name: str, family: str) -> None:
        """Count an entry that is not understood. `family`: what it calls itself, when it has the parts of one."""
        self._page.unreadable += 1
        add_types(self._page.unreadable_types, {kind: 1})
        message = f"an entry of the type {kind} is not understood"
        self._page.problems.note(ENTRY_UNREADABLE, f"timeline.{kind}", message, example=name)
        if family:
            self._broken[family] += 1
        else:
            self._others += kind not in (UNNAMED, TWEET, USER)


def _family_of_name(name: str) -> str:
    return TWEET if name.startswith("tweet-") else USER if name.startswith("user-") else ""


def _direction(content: dict[str, Json], name: str) -> str | None:
    """Which cursor an entry is, by its type or, where that is missing, by its name; None when it is none."""
    if (direction := text_of(content, "cursorType")) is not None:
        return direction
    if not name.startswith("cursor-"):
        return None
    return "Bottom" if name.startswith(_BOTTOM_NAMES) else "Top"
