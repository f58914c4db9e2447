"""Whole runs of the X executors over answers that are not understood in part, or not at all."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from scraper.problems import ENTRY_UNREADABLE
from x_support.answers import cursor, entry, hollow, item, moved, page, preview, strange, tombstone, tweet, user
from x_support.lab import MAIN, Lab, lab

pytestmark = pytest.mark.asyncio(loop_scope="module")
PARAMETERS = {"username": MAIN, "limit": 50}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def module_lab(redis_server, mongodb_server, tmp_path_factory) -> AsyncIterator[Lab]:
    for server in (redis_server, mongodb_server):
        if not server.running:
            server.start()
    work = tmp_path_factory.mktemp("x-unreadable")
    async with lab(mongodb_server.url, redis_server.url, "test_x_unreadable", work) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def x(module_lab: Lab) -> Lab:
    """A lab without faults and with one account."""
    await module_lab.reset()
    await module_lab.add_account()
    return module_lab


def me(x: Lab) -> tuple[str, str]:
    found = x.simulator.world.user(MAIN)
    assert found is not None
    return found.id, MAIN


def mine(x: Lab, identity: str, **more: Any) -> dict[str, Any]:
    """A tweet of the user whose timeline is collected."""
    return entry(tweet(identity, author=me(x), **more))


def my_preview(x: Lab, identity: str) -> dict[str, Any]:
    return entry(preview(identity, core={"user_results": {"result": user(me(x))}}))


def give(x: Lab, *answers: Any) -> None:
    x.graphql.state.answers["UserTweets"] = list(answers)


async def test_what_is_not_understood_is_counted_and_the_run_is_completed(x: Lab) -> None:
    odd = [entry(strange()), entry(strange()), entry(hollow()), item("tweet-8", None), entry(tombstone(), "tweet-9")]
    give(x, page(*odd, mine(x, "51"), my_preview(x, "52")))
    context, result = await x.attempt("USER_TWEETS", PARAMETERS)
    assert list(context.items) == ["51", "52"]
    assert (result["stop_reason"], result["count"], result["gone"]) == ("no_cursor", 2, 1)
    assert result["unreadable"] == 4
    assert result["unreadable_types"] == {"TweetMosaic": 2, "Tweet": 1, "(no type)": 1}
    counts = {one["where"]: one["count"] for one in result["problems"] if one["what"] == ENTRY_UNREADABLE}
    assert counts == {"timeline.TweetMosaic": 2, "timeline.Tweet": 1, "timeline.(no type)": 1}
    assert any("not understood" in message for message in context.messages("warn"))
    assert await x.breakers.all() == []


async def test_a_last_page_of_other_kinds_ends_nothing(x: Lab) -> None:
    give(x, page(mine(x, "51"), cursor("DAABsecond")), page(entry(strange()), entry(tombstone(), "tweet-9")))
    context, result = await x.attempt("USER_TWEETS", PARAMETERS)
    assert (list(context.items), result["stop_reason"], result["pages"]) == (["51"], "no_cursor", 2)
    assert (result["gone"], result["unreadable_types"]) == (1, {"TweetMosaic": 1})
    assert await x.breakers.all() == []


async def test_one_odd_tweet_in_a_run_that_has_read_others_is_no_change_of_shape(x: Lab) -> None:
    give(x, page(mine(x, "51"), cursor("DAABsecond")), page(entry(moved())))
    context, result = await x.attempt("USER_TWEETS", PARAMETERS)
    assert (list(context.items), result["unreadable_types"]) == (["51"], {"Tweet": 1})
    assert await x.breakers.all() == []


async def test_a_page_that_ends_the_run_gives_what_could_be_read_and_the_next_attempt_the_rest(x: Lab) -> None:
    give(x, page(mine(x, "51"), cursor("DAABsecond")), page(my_preview(x, "52"), entry(moved()), entry(moved("902"))))
    context, error = await x.attempt("USER_TWEETS", PARAMETERS)
    assert (error.code, error.retryable) == ("UPSTREAM_CHANGED", False)
    assert list(context.items) == ["51", "52"]
    assert context.blobs, "the answer is kept for a person to look at"
    (breaker,) = await x.breakers.all()
    assert (breaker.operation, breaker.run_id) == ("UserTweets", context.job.run_id)
    await x.breakers.reset("UserTweets")
    give(x, page(my_preview(x, "52"), mine(x, "53")))
    again, result = await x.attempt("USER_TWEETS", PARAMETERS, before=context)
    assert list(again.items) == ["51", "52", "53"]
    assert [one.key for one in again.emitted] == ["53"], "nothing is found twice"
    assert result["count"] == 3


@pytest.mark.parametrize(
    ("told", "code"),
    [
        ({}, "USER_NOT_FOUND"),
        ({"result": {"__typename": "UserUnavailable", "reason": "Suspended"}}, "USER_UNAVAILABLE"),
        ({"result": {"__typename": "User", "timeline": {}}}, "USER_UNAVAILABLE"),
    ],
)
async def test_a_user_whose_timeline_is_not_told_opens_no_breaker(x: Lab, told: Any, code: str) -> None:
    give(x, {"data": {"user": told}})
    _, error = await x.attempt("USER_TWEETS", PARAMETERS)
    assert (error.code, error.retryable) == (code, False)
    assert await x.breakers.all() == []


async def test_a_profile_of_an_unknown_kind_opens_no_breaker(x: Lab) -> None:
    x.graphql.state.answers["UserByScreenName"] = [
        {"data": {"user": {"result": {"__typename": "UserChoir", "v": [1]}}}}
    ]
    _, error = await x.attempt("USER_INFO", {"username": MAIN})
    assert (error.code, error.retryable) == ("USER_UNAVAILABLE", False)
    assert "UserChoir" in error.message
    assert await x.breakers.all() == []
