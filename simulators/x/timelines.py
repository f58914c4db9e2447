"""Pages of timelines as X sends them. Owns: instructions, entries, modules and cursors. Must not know HTTP."""

import base64
import json
import zlib
from dataclasses import dataclass
from typing import Any

from simulators.x.shapes import Json, Shapes, tombstone
from simulators.x.world import Unit, World

PAGE_SIZE = 20
# How each timeline says that it is over; X is not of one mind about it.
ENDS = {"Followers": "terminate", "Following": "zero"}
OPERATIONS = ("UserByScreenName", "UserTweets", "UserTweetsAndReplies", "SearchTimeline", "Followers", "Following")


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in a timeline. `turn` makes two cursors of one place differ."""

    operation: str
    key: str
    offset: int
    turn: int = 0

    def text(self) -> str:
        """As the page sees it: opaque."""
        raw = json.dumps([self.operation, self.key, self.offset, self.turn]).encode()
        return "DAAB" + base64.urlsafe_b64encode(raw).decode().rstrip("=")


def parse_cursor(text: str, operation: str, key: str) -> Cursor | None:
    """The cursor, or None for what is not one of this timeline."""
    try:
        raw = base64.urlsafe_b64decode(text.removeprefix("0|").removeprefix("DAAB") + "===")
        parts = json.loads(raw)
        cursor = Cursor(str(parts[0]), str(parts[1]), int(parts[2]), int(parts[3]))
    except (ValueError, TypeError, LookupError):
        return None
    return cursor if (cursor.operation, cursor.key) == (operation, key) else None


@dataclass(frozen=True, slots=True)
class Ask:
    """One request for a page of a timeline; `key` is the user's id or the search."""

    operation: str
    key: str
    cursor: Cursor | None
    count: int = PAGE_SIZE


class Timelines:
    """Builds pages of the world's timelines."""

    def __init__(self, world: World, shapes: Shapes) -> None:
        self._world, self._shapes = world, shapes

    def units(self, operation: str, key: str) -> list[Unit]:
        """All entries of a timeline."""
        if operation == "SearchTimeline":
            return self._world.found(key)
        if operation in ("UserTweets", "UserTweetsAndReplies"):
            return self._world.posts(key, replies=operation == "UserTweetsAndReplies")
        return self._world.people(key, following=operation == "Following")

    def page(self, ask: Ask, *, strange: bool = False) -> list[Json]:
        """The instructions of one page; `strange`: with more entries that nobody understands than others."""
        units = self.units(ask.operation, ask.key)
        offset = ask.cursor.offset if ask.cursor else 0
        end = min(offset + ask.count, len(units))
        entries = [self._entry(unit, index) for index, unit in enumerate(units[offset:end], offset)]
        if strange:
            entries = [*self._strange(offset, len(entries)), *entries]
        over = end >= len(units)
        instructions: list[Json] = [] if ask.cursor else [{"type": "TimelineClearCache"}]
        # Also after an empty page: the first one that has entries has the pinned one, too.
        if not offset and (pinned := self._pinned(ask)):
            instructions.append(pinned)
        if over and ENDS.get(ask.operation) == "terminate":
            instructions.append({"type": "TimelineTerminateTimeline", "direction": "Bottom"})
        return instructions + self._with_cursors(ask, entries, Cursor(ask.operation, ask.key, end), over=over)

    def empty_page(self, ask: Ask, *, same_cursor: bool) -> list[Json]:
        """A page of cursors only: the next one leads on, or to itself."""
        place = ask.cursor or Cursor(ask.operation, ask.key, 0)
        turn = place.turn if same_cursor else place.turn + 1
        next_place = Cursor(place.operation, place.key, place.offset, turn)
        return self._with_cursors(ask, [], next_place, over=False)

    def _with_cursors(self, ask: Ask, entries: list[Json], next_place: Cursor, *, over: bool) -> list[Json]:
        cursors = [_cursor_entry("Top", Cursor(ask.operation, ask.key, 0).text())]
        end = ENDS.get(ask.operation, "no_cursor")
        if not over or end == "terminate":
            cursors.append(_cursor_entry("Bottom", next_place.text()))
        elif end == "zero":
            cursors.append(_cursor_entry("Bottom", "0|" + next_place.text()))
        if ask.operation == "SearchTimeline" and ask.cursor is not None:
            # Later pages of a search put their cursors in the place of the earlier ones.
            replaced = [
                {"type": "TimelineReplaceEntry", "entry_id_to_replace": one["entryId"], "entry": one} for one in cursors
            ]
            return [{"type": "TimelineAddEntries", "entries": entries}, *replaced]
        return [{"type": "TimelineAddEntries", "entries": [*entries, *cursors]}]

    def _pinned(self, ask: Ask) -> Json | None:
        pinned = self._world.pinned.get(ask.key)
        if pinned is None or not ask.operation.startswith("UserTweets"):
            return None
        entry = self._item(f"tweet-{pinned}", self._tweet_content(pinned))
        return {"type": "TimelinePinEntry", "entry": entry}

    def _entry(self, unit: Unit, index: int) -> Json:
        if unit.kind == "user":
            return self._item(f"user-{unit.ids[0]}", self._user_content(unit.ids[0]))
        if unit.kind == "tweet":
            return self._item(f"tweet-{unit.ids[0]}", self._tweet_content(unit.ids[0]))
        if unit.kind == "promoted":
            content = self._tweet_content(unit.ids[0]) | {"promotedMetadata": {"advertiser_results": {}}}
            return self._item(f"promoted-tweet-{unit.ids[0]}-{index:08x}", content)
        if unit.kind == "tombstone":
            gone = {"tweet_results": {"result": tombstone("This Post is from a suspended account.")}}
            content = {"itemType": "TimelineTweet", "__typename": "TimelineTweet", **gone}
            return self._item(f"tweet-{index:019d}", content)
        prefix = "who-to-follow" if unit.kind == "suggestions" else "profile-conversation"
        contents = [
            (f"user-{one}", self._user_content(one))
            if unit.kind == "suggestions"
            else (f"tweet-{one}", self._tweet_content(one))
            for one in unit.ids
        ]
        return self._module(f"{prefix}-{index:019d}", contents)

    def _strange(self, offset: int, count: int) -> list[Json]:
        """Tweets and users of new kinds, without their parts, and entries without anything."""
        kinds: list[Json] = [
            {"tweet_results": {"result": {"__typename": "TweetCollage", "rest_id": "1", "panels": {"first": "?"}}}},
            {"tweet_results": {"result": {"__typename": "Tweet", "rest_id": "2"}}},
            {"user_results": {"result": {"__typename": "UserChoir", "voices": [4]}}},
            {"itemType": "TimelineSundial"},
        ]
        made = [self._item(f"tweet-{offset}0{number}", kinds[number % len(kinds)]) for number in range(count)]
        return [*made, {"entryId": f"tweet-{offset}"}, {"entryId": f"odd-{offset}", "content": None}]

    def _item(self, entry_id: str, content: Json) -> Json:
        return {
            "entryId": entry_id,
            "sortIndex": entry_id.rpartition("-")[2],
            "content": {
                "__typename": "TimelineTimelineItem",
                "entryType": "TimelineTimelineItem",
                "itemContent": content,
            },
        }

    def _module(self, entry_id: str, contents: list[tuple[str, Json]]) -> Json:
        items = [{"entryId": f"{entry_id}-{name}", "item": {"itemContent": content}} for name, content in contents]
        content: dict[str, Any] = {
            "__typename": "TimelineTimelineModule",
            "entryType": "TimelineTimelineModule",
            "displayType": "VerticalConversation",
            "items": items,
        }
        return {"entryId": entry_id, "sortIndex": entry_id.rpartition("-")[2], "content": content}

    def _tweet_content(self, tweet_id: str) -> Json:
        return {
            "__typename": "TimelineTweet",
            "itemType": "TimelineTweet",
            "tweetDisplayType": "Tweet",
            "tweet_results": {"result": self._shapes.tweet(tweet_id)},
        }

    def _user_content(self, user_id: str) -> Json:
        return {
            "__typename": "TimelineUser",
            "itemType": "TimelineUser",
            "userDisplayType": "User",
            "user_results": {"result": self._shapes.user(self._world.users[user_id])},
        }


def _cursor_entry(direction: str, value: str) -> Json:
    return {
        "entryId": f"cursor-{direction.lower()}-{zlib.crc32(value.encode()):019d}",
        "sortIndex": "0",
        "content": {
            "__typename": "TimelineTimelineCursor",
            "entryType": "TimelineTimelineCursor",
            "cursorType": direction,
            "value": value,
        },
    }
