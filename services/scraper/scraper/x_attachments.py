"""What X attaches to a tweet. Pure. Owns: media, polls, cards of linked pages, articles, places, readers' notes and
where it is withheld. Must not know tweets' texts, authors or timelines.
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
    number_of,
    objects_of,
    text_of,
    texts_of,
)

MAX_POLL_OPTIONS = 4
VIDEO = "video/mp4"
_MEDIA_TYPES = {"ApiImage": "photo", "ApiVideo": "video", "ApiGif": "animated_gif"}


def read_media(*lists: list[dict[str, Json]]) -> list[dict[str, Any]]:
    """Pictures and videos: those of the first list that has any."""
    return [_medium(one) for one in next((found for found in lists if found), [])]


def _medium(one: dict[str, Any]) -> dict[str, Any]:
    """Sources: `extended_entities.media`, and `media_entities` of the newer form, whose parts are in `media_info`."""
    info = dig(one, "media_results", "result", "media_info")
    variants = [
        {
            "url": text_of(variant, "url"),
            "content_type": text_of(variant, "content_type"),
            "bitrate": number_of(variant, "bitrate" if "bitrate" in variant else "bit_rate"),
        }
        for variant in objects_of(one, "video_info", "variants") or objects_of(info, "variants")
        if text_of(variant, "url")
    ]
    videos = [variant for variant in variants if variant["content_type"] == VIDEO]
    best = max(videos, key=lambda variant: variant["bitrate"] or 0, default=None)
    return {
        "type": first_text(text_of(one, "type"), _MEDIA_TYPES.get(text_of(info, "__typename") or "")),
        "url": first_text(
            text_of(one, "media_url_https"),
            text_of(one, "media_url"),
            text_of(info, "original_img_url"),
            text_of(info, "preview_image", "original_img_url"),
        ),
        "video_url": text_of(best, "url"),
        "variants": variants,
        "duration_ms": number_of(one if "video_info" in one else {"video_info": info}, "video_info", "duration_millis"),
        "width": number_of(one, "original_info", "width"),
        "height": number_of(one, "original_info", "height"),
        "alt_text": first_text(text_of(one, "ext_alt_text"), text_of(info, "alt_text")),
    }


def read_card(raw: Json, urls: list[dict[str, Json]], notes: Notes) -> tuple[dict[str, Any] | None, Json]:
    """`(poll, card)`, of which one is there at most. `urls`: the tweet's, which say what shortened ones stand for.

    A card named `poll2choice_text_only` and the like carries a poll in its binding values; others show a linked page.
    """
    card = raw.get("legacy") if isinstance(raw, dict) and isinstance(raw.get("legacy"), dict) else raw
    if not isinstance(card, dict) or not card:
        return None, None
    name, values = text_of(card, "name") or "", _bindings(card)
    if name.rpartition(":")[2].startswith("poll"):
        return _poll(values, notes.at("poll")), None
    if not name and not values:
        # Only its address is told, which stands among the tweet's links.
        return None, None
    link = first_text(text_of(values, "card_url"), text_of(card, "url"), text_of(raw, "rest_id"))
    expanded = {text_of(url, "url"): text_of(url, "expanded_url") for url in urls}
    return None, {
        "name": name or None,
        "url": expanded.get(link) or link,
        "title": _named(values, "title"),
        "description": _named(values, "description"),
        "domain": first_text(text_of(values, "domain"), text_of(values, "vanity_url")),
        "image_url": next((found for name, value in values.items() if (found := _picture(name, value))), None),
    }


def _named(values: dict[str, Json], name: str) -> str | None:
    """A text by its name, also as kinds of cards have it: `broadcast_title`, `event_title`, …"""
    found = [text_of(values, name), *(text_of(values, key) for key in values if key.endswith(f"_{name}"))]
    return first_text(*found)


def _picture(name: str, value: Json) -> str | None:
    return text_of(value, "url") if "image" in name or "thumbnail" in name else None


def _poll(values: dict[str, Json], notes: Notes) -> dict[str, Any]:
    options = [
        {"label": label, "votes": count_of(notes, "votes", values.get(f"choice{number}_count"))}
        for number in range(1, MAX_POLL_OPTIONS + 1)
        if (label := text_of(values, f"choice{number}_label"))
    ]
    votes = [option["votes"] for option in options]
    return {
        "options": options,
        "total_votes": None if None in votes else sum(votes),
        "ends_at": text_of(values, "end_datetime_utc"),
        "closed": values.get("counts_are_final") in (True, "true"),
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
    for kind in ("string_value", "boolean_value", "scribe_key", "image_value"):
        if (found := dig(value, kind)) is not None:
            return found
    return None


def read_article(raw: Json, notes: Notes) -> dict[str, Any] | None:
    """A long text with a title. Timelines tell its beginning only, which `preview` says.

    Source: `article.article_results.result`.
    """
    article = dig(raw, "article_results", "result")
    if not isinstance(article, dict) or not article:
        return None
    blocks = [text for block in objects_of(article, "content_state", "blocks") if (text := text_of(block, "text"))]
    whole = first_text(text_of(article, "plain_text"), "\n".join(text for text in blocks if text.strip()) or None)
    read = {
        "id": first_text(id_of(article, "rest_id"), id_of(article, "id")),
        "title": text_of(article, "title"),
        "text": first_text(whole, text_of(article, "preview_text")),
        "preview": whole is None,
        "image_url": first_text(
            text_of(article, "cover_media", "media_info", "original_img_url"),
            text_of(article, "cover_media_results", "result", "media_info", "original_img_url"),
        ),
    }
    for name in ("title", "text"):
        if read[name] is None:
            notes.at("article").missing(name)
    return read


def read_place(raw: Json) -> dict[str, Any] | None:
    """Where it was written: a place of X's own list."""
    if not isinstance(raw, dict) or not raw:
        return None
    names = ("name", "full_name", "place_type", "country", "country_code")
    return {"id": id_of(raw, "id")} | {name: text_of(raw, name) for name in names}


def read_community_note(result: Json, notes: Notes) -> str | None:
    """The words that readers added, if there are any. Source: `birdwatch_pivot`."""
    pivot = dig(result, "birdwatch_pivot")
    if not isinstance(pivot, dict) or not pivot:
        return None
    words = first_text(
        text_of(pivot, "subtitle", "text"),
        text_of(pivot, "note", "data_v1", "summary", "text"),
        text_of(pivot, "subtitle"),
    )
    if words is None:
        notes.missing("community_note")
    return words


def read_withheld(places: tuple[Json, ...]) -> dict[str, Any]:
    """The countries' codes (`XX`: all, `XY`: for copyright) in which X shows its own words instead, and of what."""
    countries: list[str] = []
    for place in places:
        told = dig(place, "withheld_in_countries")
        listed = told.split(",") if isinstance(told, str) else texts_of(place, "withheld_in_countries")
        countries = countries or [code.strip() for code in listed if code.strip()]
        if not countries and flag_of(place, "withheld_copyright"):
            countries = ["XY"]
    scope = first_text(*(text_of(place, "withheld_scope") for place in places))
    return {"withheld_in": countries, "withheld_scope": scope}
