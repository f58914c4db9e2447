"""What hangs on a tweet of X: media with all their forms, polls, cards, articles, places, edits, notes, withholding."""

from typing import Any

import pytest
from scraper.problems import VALUE_MISSING, VALUE_UNREADABLE, Problems
from scraper.x_tweets import read_tweet
from scraper.x_values import Notes
from x_support.answers import tweet


def told(problems: Problems | None = None, legacy: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    read = read_tweet(tweet("1", legacy=legacy, **more), Notes(Problems() if problems is None else problems, "tweet"))
    assert read is not None
    return read


def card(name: str | None, values: dict[str, Any], *, as_list: bool = True, nested: bool = True) -> dict[str, Any]:
    bindings: Any = [{"key": key, "value": value} for key, value in values.items()] if as_list else values
    held = {"name": name, "url": "https://t.co/z", "binding_values": bindings}
    return {"card": {"rest_id": "https://t.co/z", "legacy": held} if nested else held}


def texts(**values: str) -> dict[str, Any]:
    return {key: {"string_value": value, "type": "STRING"} for key, value in values.items()}


@pytest.mark.parametrize("as_list", [True, False])
@pytest.mark.parametrize("nested", [True, False])
def test_a_linked_pages_preview_is_a_card(as_list: bool, nested: bool) -> None:
    values = texts(card_url="https://t.co/z", title="Looms", description="How they wove.", vanity_url="example.org")
    values["thumbnail_image_large"] = {"image_value": {"url": "https://example.org/l.jpg", "width": 3, "height": 2}}
    links = {"entities": {"urls": [{"url": "https://t.co/z", "expanded_url": "https://example.org/looms"}]}}
    read = told(legacy=links, **card("summary", values, as_list=as_list, nested=nested))
    assert read["poll"] is None
    assert read["card"] == {
        "name": "summary",
        "url": "https://example.org/looms",
        "title": "Looms",
        "description": "How they wove.",
        "domain": "example.org",
        "image_url": "https://example.org/l.jpg",
    }


def test_other_kinds_of_cards_name_their_title_after_themselves() -> None:
    read = told(**card("745:broadcast", texts(broadcast_title="Live from the weir", broadcast_url="https://x.com/b")))
    assert (read["card"]["title"], read["card"]["description"]) == ("Live from the weir", None)


@pytest.mark.parametrize("empty", [None, {}, [], "card", {"rest_id": "https://t.co/z"}, {"legacy": {}}])
def test_a_card_of_which_nothing_is_told_is_none(empty: Any) -> None:
    read = told(card=empty)
    assert (read["card"], read["poll"]) == (None, None)


def test_a_poll_whose_votes_cannot_be_read_has_no_total() -> None:
    values = texts(choice1_label="Oak", choice1_count="3", choice2_label="Elm", choice2_count="many")
    problems = Problems()
    read = told(problems, **card("poll2choice_image", values | {"counts_are_final": {"boolean_value": True}}))
    assert read["card"] is None
    assert [one["votes"] for one in read["poll"]["options"]] == [3, None]
    assert (read["poll"]["total_votes"], read["poll"]["closed"]) == (None, True)
    (problem,) = problems.to_json()
    assert (problem["what"], problem["where"]) == (VALUE_UNREADABLE, "tweet.poll.votes")
    assert problem["url"] == "https://x.com/i/status/1"
    read = told(**card("poll2choice_image", values | texts(choice2_count="4")))
    assert read["poll"]["total_votes"] == 7


def article(**values: Any) -> dict[str, Any]:
    return {"article": {"article_results": {"result": {"rest_id": "70", "title": "On looms", **values}}}}


@pytest.mark.parametrize(
    ("values", "text", "preview"),
    [
        ({"preview_text": "They wove"}, "They wove", True),
        ({"preview_text": "They wove", "plain_text": "They wove by day."}, "They wove by day.", False),
        ({"content_state": {"blocks": [{"text": "One"}, {"text": " "}, {"text": "Two"}, None]}}, "One\nTwo", False),
        ({"content_state": {"blocks": []}, "preview_text": "They"}, "They", True),
    ],
)
def test_an_article_has_its_text_or_says_that_it_is_the_beginning(
    values: dict[str, Any], text: str, preview: bool
) -> None:
    read = told(**article(**values))["article"]
    assert (read["id"], read["title"], read["text"], read["preview"]) == ("70", "On looms", text, preview)


def test_an_article_without_its_words_is_noted() -> None:
    problems = Problems()
    read = told(problems, **article(title=None))
    assert (read["article"]["title"], read["article"]["text"]) == (None, None)
    assert [(one["what"], one["where"]) for one in problems.to_json()] == [
        (VALUE_MISSING, "tweet.article.title"),
        (VALUE_MISSING, "tweet.article.text"),
    ]
    assert told(article={"article_results": {}})["article"] is None


def test_a_video_keeps_all_its_variants_and_the_best_is_named() -> None:
    variants = [
        {"bitrate": 256_000, "content_type": "video/mp4", "url": "/s.mp4"},
        {"content_type": "application/x-mpegURL", "url": "/v.m3u8"},
        {"bitrate": "832000", "content_type": "video/mp4", "url": "/m.mp4"},
        {"bitrate": 9_000_000, "content_type": "video/mp4", "url": None},
        None,
    ]
    video = {"type": "video", "media_url_https": "/v.jpg", "video_info": {"duration_millis": 900, "variants": variants}}
    (medium,) = told(legacy={"extended_entities": {"media": [video]}})["media"]
    assert medium["variants"] == [
        {"url": "/s.mp4", "content_type": "video/mp4", "bitrate": 256_000},
        {"url": "/v.m3u8", "content_type": "application/x-mpegURL", "bitrate": None},
        {"url": "/m.mp4", "content_type": "video/mp4", "bitrate": 832_000},
    ]
    assert (medium["video_url"], medium["duration_ms"]) == ("/m.mp4", 900)


PLACE = {"id": "ab12", "name": "Loom Quay", "full_name": "Loom Quay, Ghent", "country_code": "BE", "country": "Belgium"}


@pytest.mark.parametrize("raw", [PLACE, {**PLACE, "place_type": "poi", "bounding_box": {"coordinates": []}}])
def test_a_place_is_named(raw: dict[str, Any]) -> None:
    place = told(legacy={"place": raw})["place"]
    assert {name: place[name] for name in PLACE} == PLACE
    assert place["place_type"] == raw.get("place_type")


@pytest.mark.parametrize(
    ("control", "edits"),
    [
        ({"edit_tweet_ids": ["1"], "edits_remaining": "5"}, ["1"]),
        ({"edit_tweet_ids": ["1", 2]}, ["1", "2"]),
        ({"initial_tweet_id": "0", "edit_control_initial": {"edit_tweet_ids": ["0", "1"]}}, ["0", "1"]),
        ({"initial_tweet_id": "0"}, None),
        ({"edit_tweet_ids": "1"}, None),
        (None, None),
    ],
)
def test_the_versions_of_a_tweet_are_told_in_order_or_are_null(control: Any, edits: Any) -> None:
    assert told(edit_control=control)["edits"] == edits


@pytest.mark.parametrize(
    ("pivot", "words", "noted"),
    [
        ({"subtitle": {"text": "It was built in 1933."}}, "It was built in 1933.", False),
        ({"note": {"data_v1": {"summary": {"text": "It was."}}}}, "It was.", False),
        ({"title": "Readers added context"}, None, True),
        ({}, None, False),
        (None, None, False),
    ],
)
def test_readers_notes_are_kept(pivot: Any, words: str | None, noted: bool) -> None:
    problems = Problems()
    assert told(problems, birdwatch_pivot=pivot)["community_note"] == words
    assert bool(problems) == noted


@pytest.mark.parametrize(
    ("legacy", "countries", "scope"),
    [
        ({}, [], None),
        ({"withheld_in_countries": ["FR", "DE"], "withheld_scope": "user"}, ["FR", "DE"], "user"),
        ({"withheld_in_countries": "FR, DE"}, ["FR", "DE"], None),
        ({"withheld_copyright": True}, ["XY"], None),
        ({"withheld_copyright": False, "withheld_in_countries": [None, 7]}, [], None),
    ],
)
def test_where_a_tweet_is_withheld_is_told(legacy: dict[str, Any], countries: list[str], scope: str | None) -> None:
    read = told(legacy=legacy)
    assert (read["withheld_in"], read["withheld_scope"]) == (countries, scope)
