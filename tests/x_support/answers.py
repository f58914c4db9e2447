"""Small answers of X for tests of its parser: one page of a timeline with the entries that a test wants. Owns: the
spelling of X's web application, with invented people. Must not know the parser.
"""

from typing import Any

Json = dict[str, Any]
OWNER, FRIEND = ("31", "lamp_post"), ("32", "moss_garden")
TIME, ISO_TIME = "Mon Sep 07 06:05:04 +0000 2026", "2026-09-07T06:05:04Z"


def user(identity: tuple[str, str] = OWNER, **more: Any) -> Json:
    """`user_results.result` in the newer shape."""
    number, name = identity
    return {
        "__typename": "User",
        "rest_id": number,
        "is_blue_verified": False,
        "core": {"created_at": TIME, "name": name.replace("_", " ").title(), "screen_name": name},
        "relationship_counts": {"followers": 7, "following": 5},
        "tweet_counts": {"tweets": 40, "media_tweets": 2},
        **more,
    }


def tweet(
    identity: str,
    text: str = "A plain one",
    author: tuple[str, str] = OWNER,
    *,
    legacy: Json | None = None,
    **more: Any,
) -> Json:
    """`tweet_results.result`; `legacy` and `more` are added to what every tweet has."""
    return {
        "__typename": "Tweet",
        "rest_id": identity,
        "core": {"user_results": {"result": user(author)}},
        "edit_control": {"edit_tweet_ids": [identity], "edits_remaining": "5"},
        "views": {"count": "64", "state": "EnabledWithCount"},
        "legacy": {
            "id_str": identity,
            "user_id_str": author[0],
            "conversation_id_str": identity,
            "created_at": TIME,
            "full_text": text,
            "display_text_range": [0, len(text)],
            "lang": "en",
            "entities": {"hashtags": [], "urls": [], "user_mentions": [], "symbols": []},
            "favorite_count": 6,
            "retweet_count": 5,
            "reply_count": 4,
            "quote_count": 3,
            "bookmark_count": 2,
            "is_quote_status": False,
            **(legacy or {}),
        },
        **more,
    }


def newer_tweet(identity: str, text: str = "In the newer shape", **more: Any) -> Json:
    """The same without `legacy`: what X's clients meet in some answers of 2026."""
    return {
        **tweet(identity),
        "legacy": None,
        "details": {"full_text": text, "created_at_ms": 1_788_761_104_000, "language": "en"},
        "counts": {"favorite_count": 6, "retweet_count": 5, "reply_count": 4, "quote_count": 3, "bookmark_count": 2},
        **more,
    }


def preview(identity: str, text: str = "The first words of", **more: Any) -> Json:
    """What stands for a tweet that only subscribers may read."""
    shown = {
        "__typename": "TweetPreview",
        "rest_id": identity,
        "text": text,
        "created_at": TIME,
        "core": {"user_results": {"result": user()}},
        "entities": {"hashtags": [{"text": "weir"}], "urls": [], "user_mentions": []},
        "favorite_count": 6,
        "reply_count": 4,
        "view_count": {"count": "64", "state": "EnabledWithCount"},
    }
    return {"__typename": "TweetPreviewDisplay", "tweet": {**shown, **more}, "cta": {"title": "Subscribe"}}


def tombstone(words: str = "This Post is from an account that no longer exists.") -> Json:
    """What stands where a tweet was."""
    return {"__typename": "TweetTombstone", "tombstone": {"__typename": "TextTombstone", "text": {"text": words}}}


def strange(identity: str = "900") -> Json:
    """A tweet of a kind that nobody knows."""
    return {"__typename": "TweetMosaic", "rest_id": identity, "tiles": [{"words": "?"}]}


def moved(identity: str = "901") -> Json:
    """A tweet by name whose parts are at places that nobody knows."""
    return {"__typename": "Tweet", "rest_id": identity, "views": {"count": "1"}, "substance": {"words": "?"}}


def hollow(identity: str = "902") -> Json:
    """A tweet by name without any parts."""
    return {"__typename": "Tweet", "rest_id": identity, "legacy": None, "unmention_data": {}}


def entry(result: Any, name: str = "", **more: Any) -> Json:
    """A tweet as an entry."""
    identity = result.get("rest_id", "0") if isinstance(result, dict) else "0"
    return item(name or f"tweet-{identity}", {"itemType": "TimelineTweet", "tweet_results": {"result": result}, **more})


def user_entry(result: Any, name: str = "user-0") -> Json:
    """A user as an entry."""
    return item(name, {"itemType": "TimelineUser", "user_results": {"result": result}})


def item(name: str, content: Any) -> Json:
    """An entry with that content."""
    return {"entryId": name, "content": {"entryType": "TimelineTimelineItem", "itemContent": content}}


def module(name: str, *contents: Any) -> Json:
    """An entry that holds several, as a conversation does."""
    items = [{"entryId": f"{name}-{number}", "item": {"itemContent": one}} for number, one in enumerate(contents)]
    return {"entryId": name, "content": {"entryType": "TimelineTimelineModule", "items": items}}


def cursor(value: Any = "DAABnext", direction: str = "Bottom") -> Json:
    """Where it goes on."""
    content = {"entryType": "TimelineTimelineCursor", "cursorType": direction, "value": value}
    return {"entryId": f"cursor-{direction.lower()}-1", "content": content}


def page(*entries: Any, more: list[Any] | None = None) -> Json:
    """An answer with these entries; `more`: further instructions."""
    instructions = [{"type": "TimelineClearCache"}, {"type": "TimelineAddEntries", "entries": list(entries)}]
    timeline = {"timeline": {"instructions": instructions + (more or [])}}
    return {"data": {"user": {"result": {"__typename": "User", "timeline": timeline}}}}
