"""Tweets in X's answers. Pure. Owns: one form for every kind of tweet: plain, long, quoting, repeating another one,
limited in visibility, for subscribers only, or gone; and for both of X's shapes, the older with everything in `legacy`,
the newer with `details`, `counts` and lists of entities. Must not know where a tweet was found.
"""

import re
from dataclasses import dataclass
from typing import Any

from scraper.x_attachments import read_article, read_card, read_community_note, read_media, read_place, read_withheld
from scraper.x_users import WEB, read_author
from scraper.x_values import (
    UNNAMED,
    Json,
    Notes,
    as_id,
    count_of,
    dig,
    first_of,
    first_text,
    flag_of,
    has_parts,
    id_of,
    objects_of,
    text_of,
    time_of,
    type_of,
    unescaped,
)

# A tweet within a tweet within a tweet is as far as X nests them; anything deeper is not read.
MAX_NESTING = 3
TWEET, LIMITED = "Tweet", "TweetWithVisibilityResults"
# What stands for a tweet that only subscribers may read whole, and the tweet in it.
PREVIEWS = frozenset({"TweetPreviewDisplay", "TweetPreview"})
GONE_KINDS = frozenset({"TweetTombstone", "TweetUnavailable"})
GONE, NOT_TOLD = "Unavailable", "Not told"
# Where X puts the tweet that is repeated or quoted, the web application's names first.
_REPEATED = ("retweeted_status_result", "repostedStatusResults")
_QUOTED = ("quoted_status_result", "quotedPostResults", "quoted_tweet_results")
_REPEATS = re.compile(r"RT @(\w{1,50}): ")
_COUNTS = ("retweet_count", "reply_count", "quote_count", "bookmark_count")


@dataclass(frozen=True, slots=True)
class _Parts:
    """Where the parts of one tweet stand: `places` are searched in order, whatever the shape."""

    result: dict[str, Json]
    legacy: Json
    details: Json
    note: Json
    preview: bool

    @property
    def places(self) -> tuple[Json, ...]:
        return (self.legacy, self.details, self.result)

    def first(self, *keys: str) -> Json:
        """The first value that is there at one of the keys."""
        return first_of(self.places, *keys)

    @property
    def is_long(self) -> bool:
        """Whether there is a long text, readable or not."""
        return bool(self.note) or has_parts(dig(self.result, "note_tweet"))

    @property
    def short_text(self) -> str | None:
        """The text that every tweet has, cut off in a long one."""
        found = self.first("full_text", "text")
        return unescaped(found) if isinstance(found, str) else None


def unwrap(result: Json) -> Json:
    """The tweet itself: one of limited visibility, or for subscribers only, comes wrapped."""
    if isinstance(result, dict) and not _has_body(result) and isinstance(result.get("tweet"), dict):
        return result["tweet"]
    return result


def gone_reason(result: Json) -> str | None:
    """The words on a tombstone, or why a tweet is unavailable; None when it is there."""
    if result is None:
        return GONE
    if not isinstance(result, dict):
        return None
    tombstone = result.get("tombstone")
    buried = isinstance(tombstone, dict) and not result.get("tweet") and not _has_body(result)
    is_gone = buried or text_of(result, "__typename") in GONE_KINDS
    if not is_gone and any(result.values()):
        return None
    words = (text_of(tombstone, kind, "text") for kind in ("text", "richText"))
    return first_text(*words, text_of(tombstone, "text"), text_of(result, "reason"), GONE)


def calls_itself_tweet(result: Json) -> bool:
    """Whether an entry claims to be a tweet, by its name or by having none, and has the parts of one in some shape."""
    kind = type_of(result)
    return kind == UNNAMED or (kind in (TWEET, LIMITED) and has_parts(result))


def read_tweet(raw: Json, notes: Notes, nesting: int = 0) -> dict[str, Any] | None:
    """A tweet as data of an item, or None for what is not a readable tweet: it has an id, and a text or a time.

    Source: `tweet_results.result` of X's web application, `__typename` `Tweet`.
    """
    result = unwrap(raw)
    if not isinstance(result, dict):
        return None
    legacy, details = dig(result, "legacy"), dig(result, "details")
    note = dig(result, "note_tweet", "note_tweet_results", "result")
    parts = _Parts(result, legacy, details, note, bool(PREVIEWS & {type_of(raw), type_of(result)}))
    identity = first_text(id_of(result, "rest_id"), id_of(legacy, "id_str"))
    created = parts.first("created_at", "created_at_ms")
    if identity is None or (parts.short_text is None and created is None and text_of(note, "text") is None):
        return None
    notes = Notes(notes.problems, notes.place, f"{WEB}/i/status/{identity}")
    author = read_author(_author(result), id_of(legacy, "user_id_str"), notes.at("user"))
    return _told(parts, identity, author, notes, nesting)


def _told(parts: _Parts, identity: str, author: dict[str, Any], notes: Notes, nesting: int) -> dict[str, Any]:
    result, places = parts.result, parts.places
    repeats, retweeted = _repeated(parts, notes, nesting)
    entities = _entities(parts)
    poll, card = read_card(parts.first("card", "tweet_card"), entities["urls"], notes)
    return {
        "id": identity,
        "text": _text(parts, retweeted, notes),
        "user": author,
        "created_at": time_of(notes, "created_at", parts.first("created_at", "created_at_ms")),
        "lang": first_text(*(text_of(place, key) for place in places for key in ("lang", "language"))),
        "url": f"{WEB}/{author['username'] or 'i'}/status/{identity}",
        "source": text_of(result, "source"),
        "conversation_id": first_text(*(id_of(place, "conversation_id_str") for place in places)),
        **_counts(parts, notes),
        **_named_in(entities, parts, retweeted),
        "poll": poll,
        "card": card,
        "article": read_article(dig(result, "article"), notes),
        "place": read_place(parts.first("place")),
        "community_note": read_community_note(result, notes),
        "edits": _edits(result),
        **read_withheld(places),
        "is_long": parts.is_long,
        "preview": parts.preview,
        **_relations(parts, retweeted, notes, nesting),
        "is_retweet": repeats,
        "retweeted": retweeted,
        "possibly_sensitive": any(flag_of(place, "possibly_sensitive") for place in places),
    }


def _has_body(result: dict[str, Json]) -> bool:
    return isinstance(result.get("legacy"), dict) or isinstance(result.get("details"), dict)


def _author(result: Json) -> Json:
    return dig(result, "core", "user_results", "result") or dig(result, "core", "user_result", "result")


def _text(parts: _Parts, retweeted: dict[str, Any] | None, notes: Notes) -> str | None:
    """The whole text. That of a repeated tweet is cut off in `RT @name: …`, so it is made from the original.

    `full_text` is escaped and a long text is not: that is how X writes them.
    """
    short = parts.short_text
    if retweeted is not None and retweeted.get("text") is not None:
        repeats = _REPEATS.match(short or "")
        name = retweeted["user"]["username"] or (repeats and repeats[1])
        if name:
            return f"RT @{name}: {retweeted['text']}"
    if (whole := text_of(parts.note, "text")) is not None:
        return whole
    if short is None:
        notes.missing("text")
    elif parts.is_long:
        notes.cut("text", "the long text can't be read: what stands there is its beginning")
    return short


def _counts(parts: _Parts, notes: Notes) -> dict[str, int | None]:
    places = (parts.legacy, dig(parts.result, "counts"), parts.result)
    names = {"like_count": "favorite_count"} | {name: name for name in _COUNTS}
    counts = {name: count_of(notes, name, *(dig(place, theirs) for place in places)) for name, theirs in names.items()}
    views = (dig(parts.result, "views"), dig(parts.result, "view_count"), dig(parts.legacy, "ext_views"))
    return counts | {"view_count": count_of(notes, "view_count", *views)}


def _entities(parts: _Parts) -> dict[str, list[dict[str, Json]]]:
    """Hashtags, mentions and links: of the long text if there is one; else of the older shape, or of the newer."""
    newer = {
        "hashtags": dig(parts.details, "hashtag_entities"),
        "user_mentions": dig(parts.result, "mention_entities"),
        "urls": dig(parts.result, "url_entities"),
    }
    entities = dig(parts.note, "entity_set") or parts.first("entities") or newer
    return {name: objects_of(entities, name) for name in newer}


def _named_in(
    entities: dict[str, list[dict[str, Json]]], parts: _Parts, retweeted: dict[str, Any] | None
) -> dict[str, list[Any]]:
    """What the text names and shows. Where a repeated text is cut off so is this: the original has the rest."""
    own: dict[str, list[Any]] = {
        "hashtags": [tag for one in entities["hashtags"] if (tag := text_of(one, "text"))],
        "mentions": [name for one in entities["user_mentions"] if (name := text_of(one, "screen_name"))],
        "urls": [url for one in entities["urls"] if (url := text_of(one, "expanded_url") or text_of(one, "url"))],
        "media": read_media(
            objects_of(parts.legacy, "extended_entities", "media"),
            objects_of(parts.legacy, "entities", "media"),
            objects_of(parts.result, "media_entities"),
            objects_of(parts.result, "entities", "media"),
        ),
    }
    if retweeted is None or "id" not in retweeted:
        return own
    for name in ("hashtags", "mentions", "urls"):
        own[name] += [one for one in retweeted[name] if one not in own[name]]
    return own | {"media": own["media"] or retweeted["media"]}


def _edits(result: Json) -> list[str] | None:
    """The ids of all versions, in order, its own among them; None when X doesn't tell."""
    control = dig(result, "edit_control")
    listed = dig(control, "edit_tweet_ids") or dig(control, "edit_control_initial", "edit_tweet_ids")
    ids = [found for one in listed if (found := as_id(one))] if isinstance(listed, list) else []
    return ids or None


def _relations(parts: _Parts, retweeted: dict[str, Any] | None, notes: Notes, nesting: int) -> dict[str, Any]:
    """What it answers, and what it quotes."""
    user = dig(parts.result, "reply_to_user_results", "result")
    replied = first_text(
        id_of(parts.legacy, "in_reply_to_status_id_str"), id_of(parts.result, "reply_to_results", "rest_id")
    )
    answered = {
        "tweet_id": replied,
        "user_id": first_text(id_of(parts.legacy, "in_reply_to_user_id_str"), id_of(user, "rest_id")),
        "username": first_text(text_of(parts.legacy, "in_reply_to_screen_name"), text_of(user, "core", "screen_name")),
    }
    holder = first_of((parts.result, parts.legacy), *_QUOTED)
    quoted_id = first_text(id_of(parts.legacy, "quoted_status_id_str"), id_of(unwrap(dig(holder, "result")), "rest_id"))
    quotes = quoted_id is not None or holder is not None or any(flag_of(one, "is_quote_status") for one in parts.places)
    # What a repeated tweet quotes is told within that one, and not beside it.
    told_within = holder is None and retweeted is not None and "id" in retweeted
    quoted = _nested(holder, notes.at("quoted"), nesting) if quotes and not told_within else None
    return {
        "is_reply": replied is not None,
        "in_reply_to": None if replied is None else answered,
        "is_quote": quotes,
        "quoted_id": quoted_id,
        "quoted": quoted,
    }


def _repeated(parts: _Parts, notes: Notes, nesting: int) -> tuple[bool, dict[str, Any] | None]:
    """Whether it repeats another one, and that one. It does when X says where, however little of it is there."""
    holder = first_of(parts.places, *_REPEATED)
    named = any(key in place for place in parts.places if isinstance(place, dict) for key in _REPEATED)
    if holder is None and not (named and _REPEATS.match(parts.short_text or "")):
        return False, None
    return True, _nested(holder, notes.at("retweeted"), nesting)


def _nested(holder: Json, notes: Notes, nesting: int) -> dict[str, Any]:
    """A tweet within another: the tweet, or `{"unavailable": why}`."""
    if holder is None:
        return {"unavailable": NOT_TOLD}
    result = dig(holder, "result")
    if (reason := gone_reason(result) or gone_reason(unwrap(result))) is not None:
        return {"unavailable": reason}
    if nesting >= MAX_NESTING:
        notes.cut("tweet", f"a tweet within more than {MAX_NESTING} others is not read")
        return {"unavailable": "Nested too deep"}
    tweet = read_tweet(result, notes, nesting + 1)
    if tweet is None:
        notes.unreadable("tweet", type_of(result))
        return {"unavailable": f"Not understood: {type_of(result)}"}
    return tweet
