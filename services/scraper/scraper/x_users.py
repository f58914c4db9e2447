"""Users in X's answers. Pure. Owns: one form for both shapes, the newer with parts (`core`, `relationship_counts`, …)
and the older with everything in `legacy`. Must not know where a user was found.
"""

from typing import Any

from scraper.x_values import (
    Json,
    dig,
    first_number,
    first_text,
    flag_of,
    iso_time,
    number_of,
    objects_of,
    text_of,
    texts_of,
)

WEB = "https://x.com"
UNAVAILABLE = "UserUnavailable"


def user_id(result: Json) -> str | None:
    """The user's id, if this is one."""
    return first_text(text_of(result, "rest_id"), text_of(result, "legacy", "id_str"))


def read_user(result: Json) -> dict[str, Any] | None:
    """A user as data of an item, or None for what is not a readable user.

    Source: `user_results.result` of X's web application, `__typename` `User`.
    """
    if not isinstance(result, dict) or result.get("__typename") == UNAVAILABLE:
        return None
    identity = user_id(result)
    username = first_text(text_of(result, "core", "screen_name"), text_of(result, "legacy", "screen_name"))
    if identity is None or username is None:
        return None
    legacy = result.get("legacy")
    return {
        "id": identity,
        "username": username,
        "name": first_text(text_of(result, "core", "name"), text_of(legacy, "name")) or "",
        "description": first_text(text_of(result, "profile_bio", "description"), text_of(legacy, "description")) or "",
        "location": first_text(text_of(result, "location", "location"), text_of(legacy, "location")),
        "website": _website(result),
        "url": f"{WEB}/{username}",
        "created_at": iso_time(first_text(text_of(result, "core", "created_at"), text_of(legacy, "created_at"))),
        **_counts(result),
        **_marks(result),
        "avatar_url": first_text(text_of(result, "avatar", "image_url"), text_of(legacy, "profile_image_url_https")),
        "banner_url": first_text(text_of(result, "banner", "image_url"), text_of(legacy, "profile_banner_url")),
        "pinned_tweet_ids": texts_of(result, "pinned_items", "tweet_ids_str")
        or texts_of(legacy, "pinned_tweet_ids_str"),
    }


def read_author(result: Json) -> dict[str, Any] | None:
    """A user as the author of a tweet: what every row needs, and no more."""
    user = read_user(result)
    if user is None:
        return None
    return {name: user[name] for name in ("id", "username", "name", "verified", "blue_verified", "followers_count")}


def unavailable_reason(result: Json) -> str | None:
    """Why a user can't be shown: `Suspended`, `Deactivated`, … ; None when it can."""
    if dig(result, "__typename") != UNAVAILABLE:
        return None
    return first_text(text_of(result, "reason"), text_of(result, "unavailable_reason")) or "Unavailable"


def _counts(result: Json) -> dict[str, int | None]:
    legacy = dig(result, "legacy")
    relations, tweets = dig(result, "relationship_counts"), dig(result, "tweet_counts")
    return {
        "followers_count": first_number(number_of(relations, "followers"), number_of(legacy, "followers_count")),
        "following_count": first_number(number_of(relations, "following"), number_of(legacy, "friends_count")),
        "tweet_count": first_number(number_of(tweets, "tweets"), number_of(legacy, "statuses_count")),
        "media_count": first_number(number_of(tweets, "media_tweets"), number_of(legacy, "media_count")),
        "favorites_count": first_number(
            number_of(result, "action_counts", "favorites_count"), number_of(legacy, "favourites_count")
        ),
        "listed_count": number_of(legacy, "listed_count"),
    }


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
