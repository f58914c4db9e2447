"""Tweets in X's answers. Pure. Owns: one form for every kind of tweet: plain, long, quoting, repeating another one,
with a poll or media, limited in visibility, or gone. Must not know where a tweet was found.
"""

from typing import Any

from scraper.x_users import WEB, read_author
from scraper.x_values import Json, dig, first_text, flag_of, iso_time, number_of, objects_of, text_of

MAX_POLL_OPTIONS = 4
# A tweet within a tweet within a tweet is as far as X nests them; anything deeper is not read.
MAX_NESTING = 3
GONE_KINDS = frozenset({"TweetTombstone", "TweetUnavailable"})


def unwrap(result: Json) -> Json:
    """The tweet itself: one of limited visibility comes wrapped."""
    if dig(result, "__typename") == "TweetWithVisibilityResults" or (
        dig(result, "legacy") is None and dig(result, "tweet", "legacy") is not None
    ):
        return dig(result, "tweet")
    return result


def gone_reason(result: Json) -> str | None:
    """The words on a tombstone, or why a tweet is unavailable; None when it is there."""
    if not isinstance(result, dict):
        return None
    if text_of(result, "__typename") not in GONE_KINDS:
        return "Unavailable" if not result else None
    return first_text(text_of(result, "tombstone", "text", "text"), text_of(result, "reason")) or "Unavailable"


def read_tweet(raw: Json, nesting: int = 0) -> dict[str, Any] | None:
    """A tweet as data of an item, or None for what is not a readable tweet.

    Source: `tweet_results.result` of X's web application, `__typename` `Tweet`.
    """
    result = unwrap(raw)
    legacy = dig(result, "legacy")
    identity = first_text(text_of(result, "rest_id"), text_of(legacy, "id_str"))
    author = read_author(dig(result, "core", "user_results", "result"))
    if identity is None or author is None or text_of(legacy, "created_at") is None:
        return None
    note = dig(result, "note_tweet", "note_tweet_results", "result")
    retweeted = _nested(
        dig(legacy, "retweeted_status_result", "result") or dig(result, "retweeted_status_result", "result"), nesting
    )
    entities = dig(note, "entity_set") or dig(legacy, "entities")
    return {
        "id": identity,
        "text": _text(legacy, note, retweeted),
        "user": author,
        "created_at": iso_time(text_of(legacy, "created_at")),
        "lang": text_of(legacy, "lang"),
        "url": f"{WEB}/{author['username']}/status/{identity}",
        "source": text_of(result, "source"),
        "conversation_id": text_of(legacy, "conversation_id_str"),
        **_counts(result),
        "hashtags": [tag for one in objects_of(entities, "hashtags") if (tag := text_of(one, "text"))],
        "mentions": [name for one in objects_of(entities, "user_mentions") if (name := text_of(one, "screen_name"))],
        "urls": [url for one in objects_of(entities, "urls") if (url := text_of(one, "expanded_url"))],
        "media": _media(legacy),
        "poll": _poll(result),
        "is_long": note is not None,
        **_relations(result, nesting),
        "is_retweet": retweeted is not None,
        "retweeted": retweeted,
        "possibly_sensitive": flag_of(legacy, "possibly_sensitive"),
    }


def _text(legacy: Json, note: Json, retweeted: dict[str, Any] | None) -> str:
    """The whole text. That of a repeated tweet is cut off in `RT @name: …`, so it is made from the original."""
    if retweeted is not None and "text" in retweeted:
        return f"RT @{retweeted['user']['username']}: {retweeted['text']}"
    return first_text(text_of(note, "text"), text_of(legacy, "full_text"), text_of(legacy, "text")) or ""


def _counts(result: Json) -> dict[str, int | None]:
    legacy = dig(result, "legacy")
    names = {"like_count": "favorite_count"} | {
        f"{kind}_count": f"{kind}_count" for kind in ("retweet", "reply", "quote", "bookmark")
    }
    counts = {name: number_of(legacy, theirs) for name, theirs in names.items()}
    return counts | {"view_count": number_of(result, "views", "count")}


def _relations(result: Json, nesting: int) -> dict[str, Any]:
    """What it answers, and what it quotes."""
    legacy = dig(result, "legacy")
    replied = text_of(legacy, "in_reply_to_status_id_str")
    quoted = _nested(dig(result, "quoted_status_result", "result"), nesting)
    quoted_id = first_text(text_of(legacy, "quoted_status_id_str"), (quoted or {}).get("id"))
    return {
        "is_reply": replied is not None,
        "in_reply_to": None
        if replied is None
        else {
            "tweet_id": replied,
            "user_id": text_of(legacy, "in_reply_to_user_id_str"),
            "username": text_of(legacy, "in_reply_to_screen_name"),
        },
        "is_quote": flag_of(legacy, "is_quote_status") or quoted_id is not None,
        "quoted_id": quoted_id,
        "quoted": quoted,
    }


def _nested(result: Json, nesting: int) -> dict[str, Any] | None:
    """A tweet within another: the tweet, `{"unavailable": why}`, or None when there is none."""
    if result is None or nesting >= MAX_NESTING:
        return None
    if reason := gone_reason(result):
        return {"unavailable": reason}
    return read_tweet(result, nesting + 1)


def _media(legacy: Json) -> list[dict[str, Any]]:
    found = objects_of(legacy, "extended_entities", "media") or objects_of(legacy, "entities", "media")
    return [_medium(one) for one in found]


def _medium(one: dict[str, Any]) -> dict[str, Any]:
    variants = [
        variant
        for variant in objects_of(one, "video_info", "variants")
        if text_of(variant, "url") and text_of(variant, "content_type") == "video/mp4"
    ]
    best = max(variants, key=lambda variant: number_of(variant, "bitrate") or 0, default=None)
    return {
        "type": text_of(one, "type"),
        "url": text_of(one, "media_url_https"),
        "video_url": text_of(best, "url"),
        "duration_ms": number_of(one, "video_info", "duration_millis"),
        "width": number_of(one, "original_info", "width"),
        "height": number_of(one, "original_info", "height"),
        "alt_text": text_of(one, "ext_alt_text"),
    }


def _poll(result: Json) -> dict[str, Any] | None:
    """A card named `poll2choice_text_only` and the like carries the poll in its binding values."""
    card = dig(result, "card", "legacy") or dig(result, "card")
    name = text_of(card, "name") or ""
    if not name.rpartition(":")[2].startswith("poll"):
        return None
    values = _bindings(card)
    options = [
        {"label": label, "votes": number_of(values, f"choice{number}_count")}
        for number in range(1, MAX_POLL_OPTIONS + 1)
        if (label := text_of(values, f"choice{number}_label"))
    ]
    return {
        "options": options,
        "total_votes": sum(option["votes"] or 0 for option in options),
        "ends_at": text_of(values, "end_datetime_utc"),
        "closed": values.get("counts_are_final") is True,
    }


def _bindings(card: Json) -> dict[str, Json]:
    """The card's values by key; a list of pairs today, an object in older answers."""
    raw = dig(card, "binding_values")
    pairs = (
        raw.items()
        if isinstance(raw, dict)
        else ((text_of(one, "key") or "", one.get("value")) for one in objects_of(card, "binding_values"))
    )
    return {key: _held(value) for key, value in pairs}


def _held(value: Json) -> Json:
    """What a binding value holds, whatever its type."""
    for kind in ("string_value", "boolean_value", "scribe_key"):
        if (found := dig(value, kind)) is not None:
            return found
    return None
