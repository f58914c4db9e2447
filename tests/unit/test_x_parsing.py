"""X's answers without a browser: both shapes, what is left out, and what each bad answer means."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scraper.executor import InvalidParameters
from scraper.x_answers import Answer, Meaning, judge
from scraper.x_state import EMPTY_PAGES, XState, restore
from scraper.x_tasks import TASK_TYPES, keeps, parse_x_task
from scraper.x_timeline import Entry, TimelinePage, read_profile, read_timeline
from scraper.x_values import UpstreamChanged
from wire.subjects import X_EXECUTORS

from simulators.x.shapes import Shapes
from simulators.x.timelines import Ask, Timelines
from simulators.x.truth import truth_of
from simulators.x.world import MAIN, World, make_world

WORLD = make_world(3)
NOW = 1_900_000_000_000


def page_of(world: World, operation: str, key: str, shape: str, count: int = 100) -> dict[str, Any]:
    timeline = {
        "timeline": {"instructions": Timelines(world, Shapes(world, shape)).page(Ask(operation, key, None, count))}
    }
    if operation == "SearchTimeline":
        return {"data": {"search_by_raw_query": {"search_timeline": timeline}}}
    return {"data": {"user": {"result": {"timeline_v2" if shape == "old" else "timeline": timeline}}}}


@pytest.mark.parametrize("shape", ["old", "new", "mixed"])
def test_both_shapes_say_the_same(shape: str) -> None:
    key = WORLD.by_name[MAIN]
    page = read_timeline(page_of(WORLD, "UserTweetsAndReplies", key, shape))
    task = parse_x_task("USER_TWEETS", {"username": MAIN, "include_replies": True, "include_retweets": True})
    kept = list(dict.fromkeys(entry.data["id"] for entry in page.entries if keeps(task, entry)))
    wanted = truth_of(WORLD, "USER_TWEETS", {"username": MAIN, "include_replies": True, "include_retweets": True})
    assert kept == [one["id"] for one in wanted]
    assert page.gone > 0, "tombstones are counted"
    assert page.left_out > 0, "advertisements and suggestions are counted"
    assert page.unreadable == 0


def test_advertisements_suggestions_and_tombstones_are_no_results() -> None:
    found = {entry.data["id"] for entry in read_timeline(page_of(WORLD, "SearchTimeline", "#harbour", "mixed")).entries}
    assert found == {one["id"] for one in truth_of(WORLD, "HASHTAG_SEARCH", {"hashtag": "harbour"})}


def test_the_pinned_tweet_comes_first_and_says_so() -> None:
    key = WORLD.by_name[MAIN]
    first, *rest = read_timeline(page_of(WORLD, "UserTweets", key, "new")).entries
    assert first.pinned
    assert first.data["id"] == WORLD.pinned[key]
    assert not any(entry.pinned for entry in rest)


@pytest.mark.parametrize("shape", ["old", "new"])
def test_a_profile_is_read_in_both_shapes(shape: str) -> None:
    user = WORLD.user(MAIN)
    assert user is not None
    profile = read_profile({"data": {"user": {"result": Shapes(WORLD, shape).user(user)}}})
    (wanted,) = truth_of(WORLD, "USER_INFO", {"username": MAIN})
    assert profile.user is not None
    assert {name: profile.user[name] for name in wanted} == wanted


@pytest.mark.parametrize(
    ("answer", "missing"),
    [
        ({"data": {}}, "NotFound"),
        ({"data": {"user": {}}}, "NotFound"),
        ({"data": {"user": {"result": {"__typename": "UserUnavailable", "reason": "Suspended"}}}}, "Suspended"),
    ],
)
def test_a_user_that_is_not_there_is_no_change_of_shape(answer: Any, missing: str) -> None:
    assert read_profile(answer).missing == missing


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"data": {"viewer": {}}},
        {"data": {"user": {"result": {"timeline_v9": {"timeline": {"instructions": []}}}}}},
        {"data": {"user": {"result": {"timeline": {"timeline": {"instructions": {}}}}}}},
    ],
)
def test_a_timeline_at_an_unknown_place_is_a_change_of_shape(answer: Any) -> None:
    with pytest.raises(UpstreamChanged):
        read_timeline(answer)


def test_one_unreadable_entry_is_skipped_and_a_page_of_them_is_a_change_of_shape() -> None:
    answer = page_of(WORLD, "UserTweets", WORLD.by_name[MAIN], "new", count=5)
    entries = answer["data"]["user"]["result"]["timeline"]["timeline"]["instructions"][-1]["entries"]
    tweets = [one for one in entries if one["entryId"].startswith("tweet-")]
    broken = {"entryId": "tweet-1", "content": {"itemContent": {"tweet_results": {"result": {"what": "?"}}}}}
    entries.append(broken)
    page = read_timeline(answer)
    assert page.unreadable == 1
    assert len(page.entries) >= len(tweets)
    with pytest.raises(UpstreamChanged):
        read_timeline(_only(broken))


@pytest.mark.parametrize(("readable", "unreadable", "is_change"), [(3, 3, False), (1, 9, False), (0, 1, True)])
def test_a_page_none_of_whose_tweets_can_be_read_is_a_change_of_shape_whatever_else_is_on_it(
    readable: int, unreadable: int, is_change: bool
) -> None:
    """Tombstones, which are read whatever happens to tweets, are no reason to go on without these."""
    whole = page_of(WORLD, "UserTweets", WORLD.by_name[MAIN], "new")
    entries = whole["data"]["user"]["result"]["timeline"]["timeline"]["instructions"][-1]["entries"]
    tweets = [one for one in entries if read_timeline(_only(one)).entries][:readable]
    gone = [one for one in entries if read_timeline(_only(one)).gone]
    broken = {"entryId": "tweet-1", "content": {"itemContent": {"tweet_results": {"result": {"what": "?"}}}}}
    assert gone
    answer = _only(*gone, *tweets, *([broken] * unreadable))
    if is_change:
        with pytest.raises(UpstreamChanged):
            read_timeline(answer)
    else:
        assert read_timeline(answer).unreadable == unreadable


def _only(*entries: Any) -> dict[str, Any]:
    instructions = [{"type": "TimelineAddEntries", "entries": list(entries)}]
    return {"data": {"user": {"result": {"timeline": {"timeline": {"instructions": instructions}}}}}}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["entries", "entry", "content", "items", "item", "itemContent", "type", "legacy",
                                       "tweet_results", "user_results", "result", "core", "rest_id", "value",
                                       "__typename", "tweet", "screen_name", "created_at", "cursorType", "entryId"]),
                      inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(JSON)
def test_no_answer_makes_the_parser_fail_in_another_way(entry: Any) -> None:
    instructions = [{"type": "TimelineAddEntries", "entries": [entry]}, {"type": "TimelinePinEntry", "entry": entry}]
    answer = {"data": {"user": {"result": {"timeline": {"timeline": {"instructions": instructions}}}}}}
    try:
        read_timeline(answer)
        read_profile({"data": {"user": {"result": entry}}})
    except UpstreamChanged:
        pass


def answer_of(status: int, body: bytes, **headers: str) -> Answer:
    return Answer("UserTweets", status, {name.replace("_", "-"): value for name, value in headers.items()}, body)


@pytest.mark.parametrize(
    ("status", "body", "meaning", "reason"),
    [
        (200, b'{"data": {"user": {"result": {}}}}', Meaning.GOOD, ""),
        (200, b'{"data": {"user": {"result": {}}}, "errors": [{"code": 29}]}', Meaning.GOOD, ""),
        (200, b'{"errors": [{"code": 88}]}', Meaning.RATE_LIMITED, ""),
        (429, b"Rate limit exceeded", Meaning.RATE_LIMITED, ""),
        (403, b'{"errors": [{"code": 326}]}', Meaning.ACCOUNT, "locked"),
        (401, b'{"errors": [{"code": 32}]}', Meaning.ACCOUNT, "logged_out"),
        (403, b'{"errors": [{"code": 64}]}', Meaning.ACCOUNT, "suspended"),
        (200, b'{"data": {}, "errors": [{"extensions": {"code": 326}}]}', Meaning.ACCOUNT, "locked"),
        (403, b"", Meaning.ACCOUNT, "forbidden"),
        (401, b"", Meaning.ACCOUNT, "logged_out"),
        (400, b'{"errors": [{"code": 336}]}', Meaning.CHANGED, "336"),
        (200, b"what is this", Meaning.CHANGED, ""),
        (403, b"<!doctype html><title>blocked</title>", Meaning.BLOCKED, ""),
        (503, b"<html>over capacity</html>", Meaning.TROUBLE, ""),
        (404, b"", Meaning.TROUBLE, "query id"),
        (200, b'{"errors": [{"code": 131}]}', Meaning.TROUBLE, ""),
    ],
)
def test_each_answer_means_one_thing(status: int, body: bytes, meaning: Meaning, reason: str) -> None:
    verdict = judge(answer_of(status, body), NOW)
    assert verdict.meaning is meaning
    assert reason in verdict.reason


@pytest.mark.parametrize(
    ("headers", "wait_seconds"),
    [
        ({"x_rate_limit_remaining": "0", "x_rate_limit_reset": str(NOW // 1000 + 300)}, 300),
        ({"x_rate_limit_remaining": "7", "x_rate_limit_reset": str(NOW // 1000 + 300)}, 300),
        ({}, 900),
        ({"x_rate_limit_remaining": "0", "x_rate_limit_reset": "nonsense"}, 900),
        ({"x_rate_limit_remaining": "0", "x_rate_limit_reset": str(NOW // 1000 + 10**7)}, 900),
    ],
)
def test_a_rate_limit_ends_when_x_says_so_or_with_a_whole_window(headers: dict[str, str], wait_seconds: int) -> None:
    verdict = judge(answer_of(429, b"", **headers), NOW)
    assert verdict.limit is not None
    assert verdict.limit.remaining == 0
    assert verdict.limit.reset_ms == NOW + wait_seconds * 1000


def test_the_executors_are_the_contracts_task_types() -> None:
    assert set(TASK_TYPES) == X_EXECUTORS


@pytest.mark.parametrize(
    ("task_type", "parameters", "field"),
    [
        ("USER_TWEETS", {}, "username"),
        ("USER_TWEETS", {"username": "../../etc"}, "username"),
        ("USER_INFO", {"uid": "a b"}, "uid"),
        ("USER_INFO", {"username": {"$ne": 1}}, "username"),
        ("USER_FOLLOWERS", {"username": "a", "limit": 0}, "limit"),
        ("USER_FOLLOWERS", {"username": "a", "limit": True}, "limit"),
        ("USER_FOLLOWERS", {"username": "a", "limit": 10**9}, "limit"),
        ("USER_TWEETS", {"username": "a", "include_replies": "yes"}, "include_replies"),
        ("KEYWORD_SEARCH", {}, "query"),
        ("KEYWORD_SEARCH", {"query": "a\nb"}, "query"),
        ("KEYWORD_SEARCH", {"query": "a", "lang": "en from:x"}, "lang"),
        ("HASHTAG_SEARCH", {"hashtag": "two words"}, "hashtag"),
        ("USER_INFO", {"username": "a", "account_id": 7}, "account_id"),
    ],
)
def test_a_wrong_parameter_is_named(task_type: str, parameters: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidParameters) as caught:
        parse_x_task(task_type, parameters)
    assert caught.value.field == field


def test_what_stands_in_a_query_stays_in_the_query() -> None:
    task = parse_x_task("KEYWORD_SEARCH", {"query": "a&f=top #b", "lang": "de"})
    assert task.path == "/search?q=a%26f%3Dtop+%23b+lang%3Ade&src=typed_query&f=live"
    assert parse_x_task("USER_INFO", {"uid": "@Someone"}).path == "/Someone"


def tweets(*ids: int) -> list[Entry]:
    return [Entry("tweet", {"id": str(one)}) for one in ids]


def test_a_timeline_ends_for_one_reason() -> None:
    state = XState()
    assert len(state.take(TimelinePage(tweets(1, 2), cursor="a"), lambda _: True, 9)) == 2
    assert (state.stop_reason, state.cursor) == ("", "a")
    assert state.take(TimelinePage(tweets(2, 3), cursor="b"), lambda _: True, 9) == tweets(3), "2 was there before"
    again = restore(state.checkpoint())
    assert again == state
    for page, reason in (
        (TimelinePage(tweets(4), cursor="b"), "cursor_repeated"),
        (TimelinePage(tweets(4), cursor="a"), "cursor_repeated"),
        (TimelinePage(tweets(4)), "no_cursor"),
        (TimelinePage(tweets(4), cursor="c", ended=True), "end"),
        (TimelinePage(tweets(4, 5, 6, 7, 8, 9, 10, 11), cursor="c"), "limit"),
    ):
        ended = restore(state.checkpoint())
        ended.take(page, lambda _: True, 9)
        assert (ended.stop_reason, ended.cursor) == (reason, "b"), page


def test_pages_whose_entries_are_all_filtered_out_are_not_empty() -> None:
    state = XState()
    for number in range(EMPTY_PAGES + 2):
        state.take(TimelinePage(tweets(number), cursor=f"c{number}"), lambda _: False, 9)
    assert state.stop_reason == ""
    for number in range(EMPTY_PAGES):
        state.take(TimelinePage(cursor=f"d{number}"), lambda _: True, 9)
    assert state.stop_reason == "empty_pages"


@pytest.mark.parametrize("checkpoint", [None, 7, {}, {"what": "else"}, []])
def test_a_checkpoint_that_makes_no_sense_is_a_fresh_start(checkpoint: Any) -> None:
    assert restore(checkpoint) == XState()
