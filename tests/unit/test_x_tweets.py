"""What is read of one tweet of X: the text as it was written, what it repeats and quotes, and all that hangs on it."""

from typing import Any

import pytest
from scraper.problems import VALUE_CUT, VALUE_MISSING, VALUE_UNREADABLE, Problems
from scraper.x_tweets import MAX_NESTING, read_tweet
from scraper.x_users import read_user
from scraper.x_values import Notes
from x_support.answers import FRIEND, ISO_TIME, TIME, newer_tweet, preview, strange, tombstone, tweet, user

Read = tuple[dict[str, Any], list[tuple[str, str]]]


def told(result: Any) -> Read:
    """The tweet, and `(what, where)` of its problems."""
    problems = Problems()
    read = read_tweet(result, Notes(problems, "tweet"))
    assert read is not None
    return read, [(one["what"], one["where"]) for one in problems.to_json()]


def note(text: Any, **more: Any) -> dict[str, Any]:
    return {"note_tweet": {"is_expandable": True, "note_tweet_results": {"result": {"text": text, **more}}}}


@pytest.mark.parametrize(
    ("escaped", "written"),
    [
        ("Ham &amp; eggs, 1 &lt; 2 &gt; 0", "Ham & eggs, 1 < 2 > 0"),
        ("as &amp;amp; or &amp;lt;i&amp;gt;", "as &amp; or &lt;i&gt;"),
        ("&amp;amp;amp;", "&amp;amp;"),
        ("a & b &nbsp; &quot; &#39; &copy &ampere; &AMP;", "a & b &nbsp; &quot; &#39; &copy &ampere; &AMP;"),
        ("&lt;&lt;&amp;&gt;", "<<&>"),
        ("", ""),
    ],
)
def test_a_short_text_is_unescaped_once(escaped: str, written: str) -> None:
    shapes = [tweet("1", escaped), newer_tweet("1", escaped), preview("1", escaped)]
    assert [told(shape)[0]["text"] for shape in shapes] == [written] * 3


def test_a_long_text_stays_as_it_is_and_has_its_own_entities() -> None:
    words = "a < b & c &amp; d &lt; e"
    entities = {"hashtags": [{"text": "long"}], "urls": [{"url": "https://t.co/a", "expanded_url": None}]}
    read, problems = told(tweet("1", "a &lt; b &amp; c…", **note(words, entity_set=entities)))
    assert (read["text"], read["is_long"], problems) == (words, True, [])
    assert (read["hashtags"], read["urls"]) == (["long"], ["https://t.co/a"])


@pytest.mark.parametrize(
    "broken", [note(None), note(7), note(["?"]), {"note_tweet": {"note_tweet_results": {"result": {}}}}]
)
def test_a_long_text_that_cannot_be_read_is_cut_and_says_so(broken: dict[str, Any]) -> None:
    read, problems = told(tweet("1", "The beginning &amp;…", **broken))
    assert (read["text"], read["is_long"]) == ("The beginning &…", True)
    assert problems == [(VALUE_CUT, "tweet.text")]


def test_a_repeated_text_is_the_originals() -> None:
    original = tweet("2", "Salt &amp; pepper", FRIEND)
    repeating = {"full_text": "RT @moss_garden: Salt &amp; pep…", "retweeted_status_result": {"result": original}}
    assert told(tweet("1", legacy=repeating))[0]["text"] == "RT @moss_garden: Salt & pepper"
    original |= {"core": None, **note("Salt & pepper &amp; vinegar")}
    read, problems = told(tweet("1", legacy=repeating))
    assert read["text"] == "RT @moss_garden: Salt & pepper &amp; vinegar", "the name stands in the text too"
    assert problems == [(VALUE_MISSING, "tweet.retweeted.user.username")]


def test_what_is_cut_off_with_a_repeated_text_is_taken_from_the_original() -> None:
    picture = {"type": "photo", "media_url_https": "/p.jpg"}
    entities = {
        "hashtags": [{"text": "weir"}, {"text": "loom"}],
        "urls": [{"expanded_url": "https://example.org/a"}],
        "user_mentions": [{"screen_name": "old_mill"}],
        "media": [picture],
    }
    cut = {"hashtags": [{"text": "weir"}], "urls": [], "user_mentions": [{"screen_name": "moss_garden"}]}
    original = tweet("2", "Words", FRIEND, legacy={"entities": entities})
    legacy = {"full_text": "RT @moss_garden: Wo…", "entities": cut, "retweeted_status_result": {"result": original}}
    read, _ = told(tweet("1", legacy=legacy))
    assert (read["hashtags"], read["urls"]) == (["weir", "loom"], ["https://example.org/a"])
    assert (read["mentions"], len(read["media"])) == (["moss_garden", "old_mill"], 1)
    legacy["retweeted_status_result"] = {}
    assert told(tweet("1", legacy=legacy))[0]["hashtags"] == ["weir"]


GONE = [
    ({}, "Unavailable"),
    ({"result": None}, "Unavailable"),
    ({"result": {}}, "Unavailable"),
    ({"result": tombstone("Deleted.")}, "Deleted."),
    ({"result": {"__typename": "TweetUnavailable", "reason": "Protected"}}, "Protected"),
    ({"result": strange()}, "Not understood: TweetMosaic"),
]


@pytest.mark.parametrize(("holder", "reason"), [*GONE, (None, "Not told")])
@pytest.mark.parametrize("place", ["legacy", "result"])
@pytest.mark.parametrize("key", ["retweeted_status_result", "repostedStatusResults"])
def test_what_repeats_another_one_does_so_however_little_of_that_is_there(
    holder: Any, reason: str, place: str, key: str
) -> None:
    more: dict[str, Any] = {key: holder} if place == "result" else {}
    legacy = {key: holder} if place == "legacy" else {}
    read, _ = told(tweet("1", "RT @moss_garden: what was &amp; sa…", legacy=legacy, **more))
    assert (read["is_retweet"], read["retweeted"]) == (True, {"unavailable": reason})
    assert read["text"] == "RT @moss_garden: what was & sa…"


def test_a_null_place_alone_makes_no_repetition() -> None:
    assert not told(tweet("1", legacy={"retweeted_status_result": None}))[0]["is_retweet"]
    assert not told(tweet("1", "RT @moss_garden: quoted by hand"))[0]["is_retweet"]


@pytest.mark.parametrize(("holder", "reason"), [*GONE, (None, "Not told")])
def test_a_quote_that_is_gone_says_why(holder: Any, reason: str) -> None:
    told_so = {"is_quote_status": True, "quoted_status_id_str": "77"}
    read, _ = told(tweet("1", legacy=told_so, quoted_status_result=holder))
    assert (read["is_quote"], read["quoted_id"], read["quoted"]) == (True, "77", {"unavailable": reason})


def test_a_quote_that_is_not_told_at_all_is_one_and_no_quote_is_none() -> None:
    read, _ = told(tweet("1", legacy={"is_quote_status": True}))
    assert (read["is_quote"], read["quoted_id"], read["quoted"]) == (True, None, {"unavailable": "Not told"})
    read, _ = told(tweet("1"))
    assert (read["is_quote"], read["quoted_id"], read["quoted"]) == (False, None, None)


@pytest.mark.parametrize("key", ["quoted_status_result", "quotedPostResults", "quoted_tweet_results"])
@pytest.mark.parametrize("quoted", [tweet("2", "Words"), newer_tweet("2", "Words"), preview("2", "Words")])
def test_a_quote_is_read_in_each_shape(key: str, quoted: dict[str, Any]) -> None:
    for outer in (tweet("1", **{key: {"result": quoted}}), newer_tweet("1", **{key: {"result": quoted}})):
        read, problems = told(outer)
        assert (read["is_quote"], read["quoted_id"], problems) == (True, "2", [])
        assert (read["quoted"]["id"], read["quoted"]["text"]) == ("2", "Words")


def test_what_a_repeated_tweet_quotes_is_told_within_it() -> None:
    told_so = {"is_quote_status": True, "quoted_status_id_str": "3"}
    original = tweet("2", legacy=told_so, quoted_status_result={"result": tweet("3")})
    read, _ = told(tweet("1", legacy={**told_so, "retweeted_status_result": {"result": original}}))
    assert (read["is_quote"], read["quoted_id"], read["quoted"]) == (True, "3", None)
    assert read["retweeted"]["quoted"]["id"] == "3"


def test_tweets_within_tweets_are_read_to_a_bound_which_is_told() -> None:
    inner = tweet("0")
    for number in range(1, MAX_NESTING + 3):
        inner = tweet(str(number), quoted_status_result={"result": inner})
    read, problems = told(inner)
    for _ in range(MAX_NESTING):
        read = read["quoted"]
    assert read["quoted"] == {"unavailable": "Nested too deep"}
    assert problems == [(VALUE_CUT, "tweet" + ".quoted" * (MAX_NESTING + 1) + ".tweet")]


def test_both_shapes_of_a_tweet_say_the_same() -> None:
    older, newer = told(tweet("1", "Words"))[0], told(newer_tweet("1", "Words", edit_control=None))[0]
    differing = {name for name in older if older[name] != newer[name]}
    assert differing == {"conversation_id", "edits"}, "which X does not tell there"
    assert (newer["created_at"], newer["lang"], newer["like_count"], newer["view_count"]) == (ISO_TIME, "en", 6, 64)


def test_the_newer_shape_has_its_entities_replies_and_media_elsewhere() -> None:
    variants = [
        {"url": "/a.m3u8", "content_type": "application/x-mpegURL"},
        {"url": "/a.mp4", "content_type": "video/mp4", "bit_rate": 950_000},
    ]
    info = {
        "__typename": "ApiVideo",
        "preview_image": {"original_img_url": "/a.jpg"},
        "alt_text": "A quay",
        "duration_millis": 4000,
        "variants": variants,
    }
    result = newer_tweet(
        "1",
        url_entities=[{"url": "https://t.co/a", "expanded_url": "https://example.org/a"}],
        mention_entities=[{"screen_name": "moss_garden"}],
        media_entities=[{"media_results": {"result": {"media_info": info}}}],
        reply_to_results={"rest_id": "8"},
        reply_to_user_results={"result": user(FRIEND)},
    )
    result["details"]["hashtag_entities"] = [{"text": "weir"}]
    read, _ = told(result)
    assert (read["urls"], read["mentions"], read["hashtags"]) == (["https://example.org/a"], ["moss_garden"], ["weir"])
    assert read["in_reply_to"] == {"tweet_id": "8", "user_id": "32", "username": "moss_garden"}
    (medium,) = read["media"]
    assert (medium["type"], medium["url"], medium["video_url"]) == ("video", "/a.jpg", "/a.mp4")
    assert (medium["duration_ms"], medium["alt_text"], len(medium["variants"])) == (4000, "A quay", 2)


def test_a_preview_is_a_tweet_that_says_so() -> None:
    read, problems = told(preview("1", "The first words &amp;"))
    assert (read["preview"], read["text"], read["user"]["username"]) == (True, "The first words &", "lamp_post")
    assert (read["like_count"], read["view_count"], read["retweet_count"]) == (6, 64, None)
    assert (read["created_at"], read["hashtags"], problems) == (ISO_TIME, ["weir"], [])
    assert told(tweet("1"))[0]["preview"] is False


@pytest.mark.parametrize(
    ("count", "read_as", "noted"),
    [
        (12, 12, False),
        ("12", 12, False),
        (12.0, 12, False),
        ({"count": "12"}, 12, False),
        ({"count": 12, "state": "EnabledWithCount"}, 12, False),
        ({"state": "Enabled"}, None, False),
        (None, None, False),
        (0, 0, False),
        ("1.2K", None, True),
        ("1,200", None, True),
        ("", None, True),
        (-1, None, True),
        (1.5, None, True),
        (True, None, True),
        ([12], None, True),
        (2**63, None, True),
        ("9999999999999999999", None, True),
        (2**63 - 1, 2**63 - 1, False),
    ],
)
def test_a_count_is_a_number_or_null_and_what_is_there_and_unreadable_is_noted(
    count: Any, read_as: int | None, noted: bool
) -> None:
    for result, name in (
        (tweet("1", legacy={"favorite_count": count}), "like_count"),
        (newer_tweet("1", counts={"favorite_count": count}), "like_count"),
        (tweet("1", views=count), "view_count"),
    ):
        read, problems = told(result)
        assert read[name] == read_as
        assert problems == ([(VALUE_UNREADABLE, f"tweet.{name}")] if noted else [])


@pytest.mark.parametrize(
    ("written", "iso"),
    [
        (TIME, ISO_TIME),
        ("Mon Sep 07 08:05:04 +0200 2026", ISO_TIME),
        ("2026-09-07T06:05:04.000Z", ISO_TIME),
        (1_788_761_104_000, ISO_TIME),
        ("1788761104999", ISO_TIME),
        ("2026-09-07T06:05:04", None),
        ("yesterday", None),
        ("", None),
        (10**18, None),
        ({"at": 1}, None),
    ],
)
def test_a_time_that_cannot_be_read_is_null_and_noted(written: Any, iso: str | None) -> None:
    read, problems = told(tweet("1", legacy={"created_at": written}))
    assert (read["created_at"], problems) == (iso, [] if iso else [(VALUE_UNREADABLE, "tweet.created_at")])
    notes = Notes(Problems(), "user")
    profile = read_user(user(core={"screen_name": "lamp_post", "created_at": written}), notes)
    assert profile is not None
    assert (profile["created_at"], bool(notes.problems)) == (iso, iso is None)


def test_a_text_that_is_missing_is_null_and_noted() -> None:
    read, problems = told(tweet("1", legacy={"full_text": None}))
    assert (read["text"], problems) == (None, [(VALUE_MISSING, "tweet.text")])


@pytest.mark.parametrize(
    "result", [None, 7, [], {}, strange(), {"__typename": "Tweet", "rest_id": "1", "legacy": {"lang": "en"}},
               tweet("1", rest_id=None, legacy={"id_str": None})]
)  # fmt: skip
def test_without_an_id_or_without_text_and_time_it_is_no_tweet(result: Any) -> None:
    assert read_tweet(result, Notes(Problems(), "tweet")) is None


def test_ids_may_be_numbers() -> None:
    read, _ = told(tweet("1", rest_id=123456789012345678901, legacy={"conversation_id_str": 5}))
    assert (read["id"], read["conversation_id"]) == ("123456789012345678901", "5")
