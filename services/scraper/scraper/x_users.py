"""Users in X's answers. Pure. Owns: one form for both shapes, the newer with parts (`core`, `relationship_counts`, …)
and the older with everything in `legacy`. Must not know where a user was found.
"""

from typing import Any

from scraper.x_values import (
    Json,
    Notes,
    count_of,
    dig,
    first_text,
    flag_of,
    id_of,
    objects_of,
    text_of,
    texts_of,
    time_of,
)

WEB = "https://x.com"
USER, UNAVAILABLE = "User", "UserUnavailable"
_AUTHOR = ("id", "username", "name", "verified", "blue_verified", "followers_count")


def user_id(result: Json) -> str | None:
    """The user's id, if this is one."""
    return first_text(id_of(result, "rest_id"), id_of(result, "legacy", "id_str"))


def user_name(result: Json) -> str | None:
    """The name after the `@`."""
    return first_text(text_of(result, "core", "screen_name"), text_of(result, "legacy", "screen_name"))


def read_user(result: Json, notes: Notes) -> dict[str, Any] | None:
    """A user as data of an item, or None for what is not a readable user.

    Source: `user_results.result` of X's web application, `__typename` `User`.
    """
    if not isinstance(result, dict) or result.get("__typename") == UNAVAILABLE:
        return None
    identity, username = user_id(result), user_name(result)
    if identity is None or username is None:
        return None
    legacy = result.get("legacy")
    notes = Notes(notes.problems, notes.place, f"{WEB}/{username}")
    return {
        "id": identity,
        "username": username,
        "name": first_text(text_of(result, "core", "name"), text_of(legacy, "name")) or "",
        "description": first_text(text_of(result, "profile_bio", "description"), text_of(legacy, "description")) or "",
        "location": first_text(text_of(result, "location", "location"), text_of(legacy, "location")),
        "website": _website(result),
        "url": f"{WEB}/{username}",
        "created_at": time_of(notes, "created_at", dig(result, "core", "created_at"), dig(legacy, "created_at")),
        **_counts(result, notes),
        **_marks(result),
        "avatar_url": first_text(text_of(result, "avatar", "image_url"), text_of(legacy, "profile_image_url_https")),
        "banner_url": first_text(text_of(result, "banner", "image_url"), text_of(legacy, "profile_banner_url")),
        "pinned_tweet_ids": texts_of(result, "pinned_items", "tweet_ids_str")
        or texts_of(legacy, "pinned_tweet_ids_str"),
        "withheld_in": texts_of(legacy, "withheld_in_countries"),
    }


def read_author(result: Json, known_id: str | None, notes: Notes) -> dict[str, Any]:
    """A user as the author of a tweet: what every row needs, and no more.

    What X does not tell of an author who is gone is null, and noted; `known_id` is what the tweet itself says.
    """
    shown = result if isinstance(result, dict) and unavailable_reason(result) is None else None
    username = user_name(shown)
    if username is None:
        notes.missing("username", unavailable_reason(result) or "")
        return dict.fromkeys(_AUTHOR) | {"id": user_id(shown) or known_id}
    legacy, relations = dig(shown, "legacy"), dig(shown, "relationship_counts")
    return {
        "id": user_id(shown) or known_id,
        "username": username,
        "name": first_text(text_of(shown, "core", "name"), text_of(legacy, "name")) or "",
        "verified": flag_of(shown, "verification", "verified") or flag_of(legacy, "verified"),
        "blue_verified": flag_of(shown, "is_blue_verified"),
        "followers_count": _followers(relations, legacy, notes),
    }


def unavailable_reason(result: Json) -> str | None:
    """Why a user can't be shown: `Suspended`, `Deactivated`, … ; None when it can."""
    if isinstance(result, dict) and not any(result.values()):
        return "Unavailable"
    if dig(result, "__typename") != UNAVAILABLE:
        return None
    return first_text(text_of(result, "reason"), text_of(result, "unavailable_reason")) or "Unavailable"


def _counts(result: Json, notes: Notes) -> dict[str, int | None]:
    legacy = dig(result, "legacy")
    relations, tweets = dig(result, "relationship_counts"), dig(result, "tweet_counts")
    places = {
        "following_count": (dig(relations, "following"), dig(legacy, "friends_count")),
        "tweet_count": (dig(tweets, "tweets"), dig(legacy, "statuses_count")),
        "media_count": (dig(tweets, "media_tweets"), dig(legacy, "media_count")),
        "favorites_count": (dig(result, "action_counts", "favorites_count"), dig(legacy, "favourites_count")),
        "listed_count": (dig(legacy, "listed_count"),),
    }
    counts = {name: count_of(notes, name, *candidates) for name, candidates in places.items()}
    return {"followers_count": _followers(relations, legacy, notes)} | counts


def _followers(relations: Json, legacy: Json, notes: Notes) -> int | None:
    return count_of(notes, "followers_count", dig(relations, "followers"), dig(legacy, "followers_count"))


def _marks(result: Json) -> dict[str, Any]:
    legacy = dig(result, "legacy")
    return {
        "verified": flag_of(result, "verification", "verified") or flag_of(legacy, "verified"),
        "verified_type": first_text(text_of(result, "verification", "verified_type"), text_of(legacy, "verified_type")),
        "blue_verified": flag_of(result, "is_blue_verified"),
        "protected": flag_of(result, "privacy", "protected") or flag_of(legacy, "protected"),
    }


def _website(result: Json) -> str | None:
    """The address behind the shortened one, where X tells it."""
    for entities in (dig(result, "profile_bio", "entities"), dig(result, "legacy", "entities")):
        for url in objects_of(entities, "url", "urls"):
            if expanded := text_of(url, "expanded_url"):
                return expanded
    return first_text(text_of(result, "website", "url"), text_of(result, "legacy", "url"))
