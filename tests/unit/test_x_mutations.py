"""Any part of X's answer may be null, missing or of another type: what is untouched is read as before, and nothing is
lost without being counted.
"""

import copy
from collections.abc import Iterator
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st
from scraper.x_answers import Answer, Meaning, judge
from scraper.x_timeline import PageChanged, TimelinePage, read_profile, read_timeline
from scraper.x_values import UpstreamChanged
from x_support.answers import (
    FRIEND,
    cursor,
    entry,
    item,
    module,
    newer_tweet,
    page,
    preview,
    tombstone,
    tweet,
    user,
    user_entry,
)

Path = tuple[Any, ...]
ENTRIES: Path = ("data", "user", "result", "timeline", "timeline", "instructions", 1, "entries")
LONG = {"note_tweet": {"note_tweet_results": {"result": {"text": "Long", "entity_set": {"hashtags": [{"text": "a"}]}}}}}
VIDEO = {
    "type": "video",
    "media_url_https": "/v.jpg",
    "video_info": {"variants": [{"bitrate": 1, "content_type": "video/mp4", "url": "/v"}]},
    "original_info": {"width": 2, "height": 1},
}
POLL = {
    "name": "poll2choice_text_only",
    "binding_values": [
        {"key": "choice1_label", "value": {"string_value": "Oak"}},
        {"key": "choice1_count", "value": {"string_value": "3"}},
    ],
}
OLD_USER = {
    "__typename": "User",
    "rest_id": "40",
    "legacy": {
        "screen_name": "old_mill",
        "name": "Old Mill",
        "followers_count": 4,
        "entities": {"url": {"urls": [{}]}},
    },
}
ANSWER = page(
    entry(tweet("1", "Plain &amp; short", legacy={"place": {"id": "p", "name": "Quay"}})),
    entry(tweet("2", **LONG, card={"legacy": POLL}, article={"article_results": {"result": {"title": "Looms"}}})),
    entry(tweet("3", legacy={"retweeted_status_result": {"result": tweet("4", author=FRIEND)}})),
    entry(
        newer_tweet("5", quoted_status_result={"result": preview("6")}, birdwatch_pivot={"subtitle": {"text": "No"}})
    ),
    entry({"__typename": "TweetWithVisibilityResults", "tweet": tweet("7", legacy={"entities": {"media": [VIDEO]}})}),
    module(
        "profile-conversation-1",
        {"itemType": "TimelineTweet", "tweet_results": {"result": tweet("8")}},
        {"itemType": "TimelineTweet", "tweet_results": {"result": tombstone()}},
        {"itemType": "TimelineTweet", "tweet_results": {"result": tweet("9", author=FRIEND)}},
    ),
    user_entry(user(FRIEND), "user-32"),
    user_entry(OLD_USER, "user-40"),
    entry(tombstone(), "tweet-10"),
    entry(preview("11")),
    entry(tweet("12"), "promoted-tweet-12-1"),
    item("tweet-13", {"itemType": "TimelineTweet", "tweet_results": {}}),
    cursor(),
)
OTHERS = [None, 7, -1.5, 2**70, True, "", "x", "Tweet", [], [None], ["x"], {}, {"a": None}, {"a": {"b": 1}}]
REMOVED = object()


def paths_of(value: Any, path: Path = ()) -> Iterator[Path]:
    if path:
        yield path
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in parts:
        yield from paths_of(inner, (*path, key))


def at(answer: Any, path: Path) -> Any:
    for key in path:
        is_list = isinstance(answer, list) and isinstance(key, int) and key < len(answer)
        if not is_list and not (isinstance(answer, dict) and key in answer):
            return REMOVED
        answer = answer[key]
    return answer


def units_of(answer: Any) -> Iterator[Path]:
    """The paths of all things that a page has: its entries, or the items of those that hold several."""
    entries = at(answer, ENTRIES)
    for number, one in enumerate(entries if isinstance(entries, list) else []):
        items = at(one, ("content", "items"))
        if isinstance(items, list):
            yield from ((*ENTRIES, number, "content", "items", place) for place in range(len(items)))
        elif at(one, ("content", "cursorType")) is REMOVED:
            yield (*ENTRIES, number)


def touches(path: Path, unit: Path) -> bool:
    return path[: len(unit)] == unit[: len(path)]


def read(answer: Any) -> TimelinePage | None:
    """The page, also what is kept of one that can't be read; None when not even its entries were found."""
    try:
        return read_timeline(answer)
    except PageChanged as changed:
        return changed.page
    except UpstreamChanged:
        return None


def alone(unit: Path) -> list[dict[str, Any]]:
    """What one thing of the unchanged answer gives by itself."""
    one = at(ANSWER, unit[: len(ENTRIES) + 1])
    if len(unit) > len(ENTRIES) + 1:
        one = module(one["entryId"], at(ANSWER, unit)["item"]["itemContent"])
    return [entry.data for entry in read_timeline(page(one)).entries]


PATHS = sorted(paths_of(ANSWER), key=str)
WHOLE = {unit: alone(unit) for unit in units_of(ANSWER)}
MUTATION = st.tuples(st.sampled_from(PATHS), st.sampled_from([REMOVED, *OTHERS]))


def mutated(mutations: list[tuple[Path, Any]]) -> Any:
    """The answer with parts replaced or removed; a place in a list is nulled, so that the others keep theirs."""
    answer = copy.deepcopy(ANSWER)
    for path, value in mutations:
        holder, key = at(answer, path[:-1]), path[-1]
        if isinstance(holder, dict) and value is REMOVED:
            holder.pop(key, None)
        elif at(answer, path) is not REMOVED:
            holder[key] = None if value is REMOVED else copy.deepcopy(value)
    return answer


@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.lists(MUTATION, min_size=1, max_size=4))
def test_what_is_untouched_is_read_and_what_is_not_read_is_counted(mutations: list[tuple[Path, Any]]) -> None:
    answer = mutated(mutations)
    told = read(answer)
    if told is None or at(answer, ENTRIES) is REMOVED:
        assert any(len(path) <= len(ENTRIES) for path, _ in mutations), "one entry hides all others"
        return
    found = [one.data for one in told.entries]
    for unit, wanted in WHOLE.items():
        if not any(touches(path, unit) for path, _ in mutations):
            assert all(one in found for one in wanted), unit
    counted = len(found) + told.gone + told.left_out + told.unreadable
    assert counted >= len(list(units_of(answer))), "something is neither read nor counted"
    assert sum(told.unreadable_types.values()) == told.unreadable
    assert orjson.dumps(found), "whatever is read can be stored"


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(MUTATION, min_size=1, max_size=3))
def test_one_changed_part_of_one_entry_is_no_change_of_shape(mutations: list[tuple[Path, Any]]) -> None:
    first = mutations[0]
    within = [(path, value) for path, value in mutations if path[: len(first[0])] == first[0]]
    if len(first[0]) > len(ENTRIES):
        assert read_timeline(mutated(within)).entries


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.sampled_from([*paths_of(OLD_USER), *paths_of(user())]), st.sampled_from([REMOVED, *OTHERS]))
def test_a_profile_is_read_or_missing_or_changed_and_nothing_else(path: Path, value: Any) -> None:
    for shape in (copy.deepcopy(OLD_USER), user()):
        holder: Any = at(shape, path[:-1])
        if isinstance(holder, dict) and path[-1] in holder:
            holder.pop(path[-1])
            if value is not REMOVED:
                holder[path[-1]] = value
        try:
            profile = read_profile({"data": {"user": {"result": shape}}})
        except UpstreamChanged:
            continue
        assert profile.missing or orjson.dumps(profile.user)


def test_half_a_character_in_a_cut_text_does_not_spoil_the_answer() -> None:
    body = (
        orjson.dumps(page(entry(tweet("1", "cut HERE"))))
        .replace(b"HERE", rb"\ud83d")
        .replace(b'"views"', b'"v\\udc00"')
    )
    verdict = judge(Answer("UserTweets", 200, {}, body), 0)
    assert verdict.meaning is Meaning.GOOD
    (read_entry,) = read_timeline(verdict.json).entries
    assert read_entry.data["text"] == "cut \ufffd"
    whole = judge(Answer("UserTweets", 200, {}, rb'{"data": {"a": "\ud83d\ude00", "b": NaN, "c": "\ud83d"}}'), 0)
    assert whole.json == {"data": {"a": "\U0001f600", "b": None, "c": "\ufffd"}}
    assert judge(Answer("UserTweets", 200, {}, b'\xef\xbb\xbf{"data": {"a": 1}}'), 0).json == {"data": {"a": 1}}


def test_json_without_an_end_to_its_depth_is_unreadable_and_no_crash() -> None:
    assert judge(Answer("UserTweets", 200, {}, b'{"data":' * 100_000), 0).meaning is Meaning.CHANGED
