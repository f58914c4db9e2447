"""What a page of X's timeline counts: an entry that is not understood costs itself, and only itself."""

from dataclasses import replace
from typing import Any

import pytest
from scraper.problems import ENTRY_UNREADABLE
from scraper.x_state import XState, restore
from scraper.x_tasks import keeps, parse_x_task
from scraper.x_timeline import MAX_TYPES, OTHER_TYPES, PageChanged, read_profile, read_timeline
from scraper.x_values import UNNAMED, UpstreamChanged
from x_support.answers import (
    FRIEND,
    OWNER,
    cursor,
    entry,
    hollow,
    item,
    module,
    moved,
    newer_tweet,
    page,
    preview,
    strange,
    tombstone,
    tweet,
    user,
    user_entry,
)

GONE_USER = {"__typename": "UserUnavailable", "reason": "Suspended"}
PLAIN = entry(tweet("1"))


def ids(answer: Any) -> list[str]:
    return [one.data["id"] for one in read_timeline(answer).entries]


@pytest.mark.parametrize(
    ("odd", "kind"),
    [
        (entry(strange()), "TweetMosaic"),
        (entry(hollow()), "Tweet"),
        (entry(moved()), "Tweet"),
        (entry({"what": "?"}), UNNAMED),
        (entry("a text"), UNNAMED),
        (entry([1]), UNNAMED),
        (entry({"__typename": "Tweet.$x", "rest_id": "5", "legacy": {"a": 1}}), UNNAMED),
        (entry({"__typename": "TweetPreviewDisplay", "cta": {"title": "?"}}), "TweetPreviewDisplay"),
        (entry({"__typename": "TweetWithVisibilityResults", "tweet": strange()}), "TweetWithVisibilityResults"),
        (user_entry({"__typename": "UserChoir", "voices": [1]}), "UserChoir"),
        (user_entry({"__typename": "User", "rest_id": "5"}), "User"),
        (item("tweet-5", {"itemType": "TimelineTweet"}), "TimelineTweet"),
        (item("tweet-5", {"itemType": "TimelineTweet", "tweet_results": [1]}), "TimelineTweet"),
        (item("sundial-5", {"itemType": "TimelineSundial"}), "TimelineSundial"),
        (item("tweet-5", None), UNNAMED),
        ({"entryId": "tweet-5"}, UNNAMED),
        ({"entryId": "tweet-5", "content": None}, UNNAMED),
        ({"entryId": "module-5", "content": {"entryType": "TimelineTimelineModule"}}, "TimelineTimelineModule"),
        (module("profile-conversation-5", None), UNNAMED),
        (cursor(None), "TimelineTimelineCursor"),
        (None, UNNAMED),
        (7, UNNAMED),
    ],
)
def test_an_entry_that_is_not_understood_costs_itself_and_is_counted_by_its_type(odd: Any, kind: str) -> None:
    read = read_timeline(page(PLAIN, odd, entry(tweet("2")), cursor("on")))
    assert [one.data["id"] for one in read.entries] == ["1", "2"]
    assert (read.unreadable, read.unreadable_types) == (1, {kind: 1})
    assert (read.gone, read.left_out, read.cursor) == (0, 0, "on")
    (problem,) = read.problems.to_json()
    assert (problem["what"], problem["where"], problem["count"]) == (ENTRY_UNREADABLE, f"timeline.{kind}", 1)


@pytest.mark.parametrize(
    "gone",
    [
        entry(None),
        entry({}),
        entry({"__typename": None}),
        entry(tombstone()),
        entry({"__typename": "TweetUnavailable", "reason": "Suspended"}),
        entry({"__typename": "TweetWithVisibilityResults", "tombstone": tombstone()["tombstone"]}),
        entry({"__typename": "TweetWithVisibilityResults", "tweet": tombstone()}),
        item("tweet-5", {"itemType": "TimelineTweet", "tweet_results": {}}),
        item("tweet-5", {"itemType": "TimelineTweet", "tweet_results": None}),
        item("tombstone-5", {"itemType": "TimelineTombstone", "tombstoneInfo": {"text": "Not here"}}),
        user_entry(GONE_USER),
        user_entry({}),
        user_entry(None),
        item("user-5", {"itemType": "TimelineUser", "user_results": {}}),
    ],
)
def test_what_is_gone_is_counted_as_gone(gone: Any) -> None:
    read = read_timeline(page(gone, PLAIN))
    assert (len(read.entries), read.gone, read.unreadable, read.left_out) == (1, 1, 0, 0)


@pytest.mark.parametrize(
    "other",
    [
        entry(tweet("5"), name="promoted-tweet-5-1"),
        entry(tweet("5"), promotedMetadata={"impressionId": "a"}),
        entry(moved(), promotedMetadata={"impressionId": "a"}),
        item("messageprompt-5", {"itemType": "TimelineMessagePrompt"}),
        item("trend-5", {"itemType": "TimelineTrend"}),
        module("who-to-follow-5", {"itemType": "TimelineUser"}),
    ],
)
def test_advertisements_and_prompts_are_left_out_and_counted(other: Any) -> None:
    read = read_timeline(page(other, PLAIN))
    assert (len(read.entries), read.left_out, read.unreadable) == (1, 1, 0)


@pytest.mark.parametrize(
    ("entries", "counts"),
    [
        ([entry(strange()), entry(strange()), PLAIN], (1, 0, 2)),
        ([entry(strange())], (0, 0, 1)),
        ([entry(strange()), entry(tombstone())], (0, 1, 1)),
        ([entry(hollow()), entry(hollow())], (0, 0, 2)),
        ([entry(strange()), entry(strange()), entry(moved())], (0, 0, 3)),
        ([entry(preview("3")), entry(preview("4")), entry(moved())], (2, 0, 1)),
        ([entry(moved())] * 9 + [PLAIN], (1, 0, 9)),
        ([user_entry({"__typename": "UserChoir", "voices": [1]})], (0, 0, 1)),
        ([user_entry({"__typename": "User", "rest_id": "5", "has_graduated_access": True})], (0, 0, 1)),
        ([user_entry({"__typename": "User", "rest_id": "5", "core": {"x": 1}}), user_entry(user())], (1, 0, 1)),
        ([], (0, 0, 0)),
    ],
)
def test_other_kinds_are_no_change_of_shape_however_many(entries: list[Any], counts: tuple[int, int, int]) -> None:
    read = read_timeline(page(*entries))
    assert (len(read.entries), read.gone, read.unreadable) == counts


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        (page(entry(moved()), entry(moved()), entry(tombstone())), []),
        (page(entry(moved()), entry(moved()), entry(preview("3"))), ["3"]),
        (page(entry(moved()), entry(strange())), []),
        (page(entry({"__typename": "TweetWithVisibilityResults", "tweet": moved()})), []),
        (page(item("tweet-5", {"itemType": "TimelineTweet", "post_results": {"result": tweet("5")}})), []),
        (page({"entryId": "tweet-5", "inside": {"itemContent": {"result": tweet("5")}}}), []),
        (page(entry(moved()), user_entry(user(FRIEND))), ["32"]),
        (page(user_entry({"__typename": "User", "identifier": "5", "kernel": {"name": "?"}})), []),
        ({"data": {"user": {"result": {"timeline": {"timeline": {"instructions": [
            {"type": "TimelineAddEntries", "entries": {"1": PLAIN}}]}}}}}}, []),
    ],
)  # fmt: skip
def test_the_shape_has_changed_when_what_calls_itself_a_tweet_cannot_be_read_and_none_can(
    answer: Any, kept: list[str]
) -> None:
    with pytest.raises(PageChanged) as caught:
        read_timeline(answer)
    assert [one.data["id"] for one in caught.value.page.entries] == kept, "what could be read is not lost"
    assert caught.value.unreadable > 0


def test_instructions_of_new_names_and_odd_ones_do_not_hide_entries() -> None:
    answer = page(
        PLAIN,
        more=[
            None,
            {"type": "TimelineAddMoreEntries", "entries": [entry(tweet("2"))]},
            {"__typename": "TimelinePinEntry", "entry": entry(tweet("3"))},
            {"type": "TimelineAddToModule", "moduleItems": module("m", {"tweet_results": {"result": tweet("4")}})[
                "content"]["items"]},
            {"type": "TimelineShowAlert", "alertType": "NewTweets"},
        ],
    )  # fmt: skip
    read = read_timeline(answer)
    assert [(one.data["id"], one.pinned) for one in read.entries] == [
        ("1", False), ("2", False), ("3", True), ("4", False)
    ]  # fmt: skip
    assert read.unreadable == 1


def test_a_cursor_without_its_type_is_known_by_its_name() -> None:
    named = {"entryId": "cursor-bottom-77", "content": {"value": "further"}}
    assert read_timeline(page(PLAIN, named, cursor("up", "Top"))).cursor == "further"


@pytest.mark.parametrize(
    ("user_part", "missing"),
    [
        ({}, "NotFound"),
        ({"result": None}, "NotFound"),
        ({"result": {}}, "Unavailable"),
        ({"result": GONE_USER}, "Suspended"),
        ({"result": {"__typename": "User", "timeline": {}}}, "Unavailable"),
        ({"result": {"__typename": "User", "timeline_v2": {"timeline": {}}}}, "Unavailable"),
    ],
)
def test_a_user_of_whom_no_timeline_is_told_is_no_change_of_shape(user_part: Any, missing: str) -> None:
    read = read_timeline({"data": {"user": user_part}})
    assert (read.missing, read.entries) == (missing, [])


@pytest.mark.parametrize(
    ("result", "missing"),
    [
        ({"__typename": "UserChoir", "voices": [1]}, "not understood: UserChoir"),
        ({"__typename": "User", "rest_id": "5"}, "not understood: User"),
        ({}, "Unavailable"),
    ],
)
def test_a_profile_of_another_kind_is_that_users_matter(result: Any, missing: str) -> None:
    assert read_profile({"data": {"user": {"result": result}}}).missing == missing


def test_a_profile_with_its_parts_moved_is_a_change_of_shape() -> None:
    with pytest.raises(UpstreamChanged):
        read_profile({"data": {"user": {"result": {"__typename": "User", "identifier": "5", "kernel": {"name": "?"}}}}})


def test_kinds_are_counted_within_bounds_over_all_pages_and_attempts() -> None:
    state = XState()
    for number in range(MAX_TYPES + 20):
        odd = entry({"__typename": f"Tweet{number}", "x": 1})
        state.take(read_timeline(page(odd, odd, cursor(f"c{number}"))), lambda _: True, 99)
        state = restore(state.checkpoint())
    assert len(state.unreadable_types) == MAX_TYPES + 1
    assert state.unreadable_types["Tweet3"] == 2
    assert state.unreadable_types[OTHER_TYPES] == 40
    assert state.unreadable == state.problems.count == 2 * (MAX_TYPES + 20)
    assert state.stop_reason == "", "pages of unknown kinds are not empty"


def test_what_is_kept_of_a_page_that_ends_the_run_moves_nothing_on() -> None:
    state = XState(cursor="here", pages=3)
    read = read_timeline(page(PLAIN, entry(strange()), cursor("further")))
    assert [one.data["id"] for one in state.keep(read, lambda _: True, 99)] == ["1"]
    assert (state.cursor, state.pages, state.stop_reason, state.count) == ("here", 3, "", 1)
    assert state.keep(read, lambda _: True, 99) == [], "once"


def test_a_tweet_without_its_authors_name_is_kept_on_that_users_timeline() -> None:
    nameless = [
        tweet("1", core=None),
        tweet("2", core={"user_results": {}}),
        tweet("3", core={"user_results": {"result": {"__typename": "User", "rest_id": OWNER[0]}}}),
        tweet("4", author=FRIEND, core={"user_results": {"result": GONE_USER}}),
        newer_tweet("5", core=None),
    ]
    read = read_timeline(page(*map(entry, nameless)))
    assert [one.data["user"]["id"] for one in read.entries] == ["31", "31", "31", "32", None]
    assert {one.data["user"]["username"] for one in read.entries} == {None}
    assert read.entries[0].data["url"] == "https://x.com/i/status/1"
    assert [(one["where"], one["count"]) for one in read.problems.to_json()] == [("tweet.user.username", 5)]
    task = parse_x_task("USER_TWEETS", {"username": OWNER[1]})
    known = replace(task, user_id=OWNER[0])
    assert [one.data["id"] for one in read.entries if keeps(known, one)] == ["1", "2", "3", "5"]
