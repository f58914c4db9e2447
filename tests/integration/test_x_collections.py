"""The X executors in a real Chromium against the stand-in: exactly the truth under every fault, or a typed reason."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from chassis.clock import now_ms
from scraper.executor import ExecutorError, Parked
from scraper.x_run import XSettings
from x_support.lab import MAIN, OPERATIONS, TASKS, Lab, account_hash, lab, seen

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def module_lab(redis_server, mongodb_server, tmp_path_factory) -> AsyncIterator[Lab]:
    for server in (redis_server, mongodb_server):
        if not server.running:
            server.start()
    work = tmp_path_factory.mktemp("x")
    async with lab(mongodb_server.url, redis_server.url, "test_x", work) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def x(module_lab: Lab) -> Lab:
    """A lab without faults and with one account."""
    await module_lab.reset()
    await module_lab.add_account()
    return module_lab


async def many_accounts(x: Lab, count: int = 12) -> None:
    for number in range(count):
        await x.add_account(f"session-{number:02d}")


async def test_each_type_collects_exactly_what_there_is(x: Lab) -> None:
    await many_accounts(x)
    for name, (context, result) in (await x.attempt_all()).items():
        assert x.is_exact(name, context), (name, result)
        assert result["count"] == len(context.items), name
        assert result["stop_reason"] in ("limit", "end", "no_cursor", "complete"), name
        assert len(context.emitted) == len(context.items), f"{name} emitted something twice"


async def test_xs_older_shape_is_read_too(x: Lab) -> None:
    x.graphql.state.shape = "old"
    parameters = {"username": MAIN, "limit": 100, "include_retweets": True}
    context, result = await x.attempt("USER_TWEETS", parameters)
    assert [seen(item) for item in context.emitted] == x.truth("USER_TWEETS", parameters)
    assert result["stop_reason"] == "no_cursor"
    kinds = [item.data for item in context.emitted]
    assert any(one["poll"] for one in kinds)
    assert any(one["media"] and one["media"][0]["video_url"] for one in kinds)
    assert any(one["is_long"] and len(one["text"]) > 280 for one in kinds)
    assert any(one["quoted"] and "unavailable" in one["quoted"] for one in kinds)


async def test_replies_and_retweets_only_when_wanted(x: Lab) -> None:
    parameters = {"username": MAIN, "include_replies": True}
    context, _ = await x.attempt("USER_TWEETS", parameters)
    assert [seen(item) for item in context.emitted] == x.truth("USER_TWEETS", parameters)
    assert not any(item.data["is_retweet"] for item in context.emitted)
    assert any(item.data["is_reply"] for item in context.emitted)


async def test_results_say_where_they_are_from(x: Lab) -> None:
    context, result = await x.attempt("USER_FOLLOWERS", {"username": MAIN, "limit": 3})
    (account,) = await x.accounts.all_with({})
    for item in context.emitted:
        assert item.key == item.data["id"]
        assert item.metadata["account"] == account_hash(account.id)
        assert item.metadata["run"] == context.job.run_id
        assert item.metadata["fetched_at"].endswith("Z")
    assert result["account_id"] == account.id
    assert result["stop_reason"] == "limit"
    assert account.username not in str(context.logs + [item.metadata for item in context.emitted])


async def test_each_type_outlives_passing_trouble_and_the_loss_of_its_account(x: Lab) -> None:
    """Overload, errors beside data, one page without entries; then an account that is suspended meanwhile."""
    await many_accounts(x)
    for operation in set(OPERATIONS.values()):
        x.fault("server_error", operation=operation)
        x.fault("partial_errors", operation=operation, after=1)
        if operation != "UserByScreenName":
            x.fault("empty", operation=operation, after=2)
            x.fault("code_64", operation=operation, after=3)
    for name, (context, result) in (await x.attempt_all()).items():
        assert not isinstance(result, ExecutorError), (name, result)
        assert x.is_exact(name, context), (name, result)
    assert await x.breakers.all() == []
    assert len(await x.accounts.all_with({"status": "BANNED"})) == 4


async def test_an_outdated_query_id_and_one_unreadable_answer_are_no_end(x: Lab) -> None:
    x.fault("stale_query", operation="Followers", after=1)
    x.fault("garbage", operation="Followers", after=2)
    context, result = await x.attempt("USER_FOLLOWERS", TASKS["USER_FOLLOWERS"])
    assert x.is_exact("USER_FOLLOWERS", context), result
    assert await x.breakers.all() == []


async def test_an_account_that_x_refuses_is_set_aside_and_another_goes_on_from_the_same_cursor(x: Lab) -> None:
    await many_accounts(x, 5)
    for after, kind in enumerate(("code_326", "code_32", "code_64", "forbidden"), 1):
        x.fault(kind, operation="Followers", after=after)
    context, result = await x.attempt("USER_FOLLOWERS", TASKS["USER_FOLLOWERS"])
    assert x.is_exact("USER_FOLLOWERS", context)
    assert result["accounts"] == list(dict.fromkeys(result["accounts"]))
    assert len(result["accounts"]) == 5
    banned = await x.accounts.all_with({"status": "BANNED"})
    assert sorted(one.reason for one in banned) == ["forbidden", "locked", "logged_out", "suspended"]
    asked = x.asked("Followers")
    assert asked[0][1] is None
    assert len({cursor for _, cursor in asked[1:]}) == 1, "the others did not begin where the first one was"


async def test_an_account_whose_cookies_are_not_accepted_is_set_aside(x: Lab) -> None:
    x.graphql.state.accounts["session-one"] = "logged_out"
    _, error = await x.attempt("USER_INFO", TASKS["USER_INFO"])
    assert error.code == "NO_ACCOUNT"
    assert not error.retryable
    (account,) = await x.accounts.all_with({})
    assert (account.status, account.reason) == ("BANNED", "logged_out")


async def test_a_task_with_an_account_of_its_own_takes_no_other(x: Lab) -> None:
    own = await x.add_account("session-own")
    x.fault("code_326", account="session-own")
    _, error = await x.attempt("USER_INFO", {"username": MAIN, "account_id": own.id})
    assert (error.code, error.retryable) == ("ACCOUNT_BANNED", False)
    assert {account for account, _ in x.asked("UserByScreenName")} == {"session-own"}


async def test_a_used_up_rate_limit_parks_each_type_and_it_goes_on_from_its_cursor(x: Lab) -> None:
    await x.reset()
    before = now_ms()
    own = {}
    for name, operation in OPERATIONS.items():
        # One account each: nobody else can help out.
        account = await x.add_account(f"session-{name}")
        own[name] = {"account_id": account.id}
        after = 0 if name == "USER_INFO" else 1
        x.fault("rate_limit", account=account.username, operation=operation, after=after)
    for name, (context, error) in (await x.attempt_all(**own)).items():
        assert isinstance(error, Parked), (name, error)
        assert before + 50_000 < error.resume_at_ms < now_ms() + 70_000, name
        # The window passes.
        await x.redis.flushall()
        again, result = await x.attempt(name, TASKS[name], before=context)
        assert x.is_exact(name, again), (name, result)
        assert len(again.emitted) + len(context.emitted) == len(again.items), f"{name} fetched something twice"


async def test_a_window_that_is_about_to_end_is_not_overdrawn(x: Lab) -> None:
    """`x-rate-limit-remaining: 0` is enough: no request is answered with 429."""
    x.graphql.state.limit = 1
    context, error = await x.attempt("USER_FOLLOWERS", TASKS["USER_FOLLOWERS"])
    assert isinstance(error, Parked)
    assert [one["status"] for one in x.graphql.state.log] == [200, 200]
    assert len(context.items) == 20


async def test_another_account_goes_on_where_the_first_is_limited(x: Lab) -> None:
    await x.add_account("session-two")
    x.graphql.state.limit = 1
    context, result = await x.attempt("USER_FOLLOWERS", TASKS["USER_FOLLOWERS"])
    assert x.is_exact("USER_FOLLOWERS", context), result
    assert len(result["accounts"]) == 2


async def test_a_daily_budget_is_kept(x: Lab) -> None:
    await x.reset()
    await x.add_account(daily_budget=2)
    context, error = await x.attempt("USER_FOLLOWERS", TASKS["USER_FOLLOWERS"])
    assert isinstance(error, Parked)
    assert error.code == "BUDGET_SPENT"
    assert len(x.graphql.state.log) == 2
    assert len(context.items) == 20


async def test_tweets_that_cannot_be_read_any_more_open_the_breaker(x: Lab) -> None:
    x.fault("changed_tweets", operation="SearchTimeline", times=0, after=1)
    context, error = await x.attempt("KEYWORD_SEARCH", TASKS["KEYWORD_SEARCH"])
    assert error.code == "UPSTREAM_CHANGED"
    assert len(context.items) == 17, "what was found before is kept"
    (breaker,) = await x.breakers.all()
    assert (breaker.operation, breaker.run_id) == ("SearchTimeline", context.job.run_id)


async def test_a_changed_shape_burns_no_account_and_no_retry_of_any_type(x: Lab) -> None:
    await many_accounts(x)
    x.fault("changed_path", times=0)
    for name, (context, error) in (await x.attempt_all()).items():
        assert (error.code, error.retryable) == ("UPSTREAM_CHANGED", False), name
        assert not context.items, name
        assert context.blobs, "the answer is kept for a person to look at"
    assert await x.accounts.all_with({"status": "BANNED"}) == []
    opened = {breaker.operation for breaker in await x.breakers.all()}
    assert opened == {
        *("UserByScreenName", "UserTweetsAndReplies", "SearchTimeline", "Followers", "Following"),
    }


async def test_runs_wait_at_an_open_breaker_until_a_person_resets_it(x: Lab) -> None:
    x.fault("changed_path", operation="Followers", times=0)
    await x.attempt("USER_FOLLOWERS", TASKS["USER_FOLLOWERS"])
    x.graphql.state.plan.faults.clear()
    asked = len(x.graphql.state.log)
    context, error = await x.attempt("USER_FOLLOWERS", TASKS["USER_FOLLOWERS"])
    assert isinstance(error, Parked)
    assert error.code == "UPSTREAM_CHANGED"
    assert len(x.graphql.state.log) == asked, "X was asked all the same"
    assert await x.breakers.reset("Followers")
    again, result = await x.attempt("USER_FOLLOWERS", TASKS["USER_FOLLOWERS"], before=context)
    assert x.is_exact("USER_FOLLOWERS", again), result


async def test_a_wall_of_html_blames_the_address_and_not_the_account(x: Lab) -> None:
    x.fault("html_block", times=0)
    for name in ("USER_FOLLOWERS", "HASHTAG_SEARCH"):
        _, error = await x.attempt(name, TASKS[name])
        assert error.code == "BLOCKED", name
    x.simulator.walled = True
    _, error = await x.attempt("USER_INFO", TASKS["USER_INFO"])
    assert error.code == "BLOCKED"
    assert await x.accounts.all_with({"status": "BANNED"}) == []
    assert await x.breakers.all() == []


@pytest.mark.parametrize(("kind", "reason"), [("empty", "empty_pages"), ("loop_cursor", "cursor_repeated")])
async def test_a_timeline_that_leads_nowhere_ends(x: Lab, kind: str, reason: str) -> None:
    x.fault(kind, operation="UserTweetsAndReplies", after=1, times=0)
    context, result = await x.attempt("USER_TWEETS", TASKS["USER_TWEETS"])
    assert result["stop_reason"] == reason
    assert [seen(item) for item in context.emitted] == x.truth("USER_TWEETS", TASKS["USER_TWEETS"])[: result["count"]]
    assert 10 < result["count"] < 26


async def test_a_page_that_gets_no_answer_is_opened_anew(x: Lab) -> None:
    x.parts = replace(x.parts, settings=XSettings(x.url, answer_seconds=6, trouble_seconds=0.05))
    try:
        x.fault("silent", operation="Followers", after=1)
        context, result = await x.attempt("USER_FOLLOWERS", TASKS["USER_FOLLOWERS"])
    finally:
        x.parts = replace(x.parts, settings=XSettings(x.url, trouble_seconds=0.05))
    assert x.is_exact("USER_FOLLOWERS", context), result


async def test_trouble_that_stays_ends_the_attempt_with_its_name(x: Lab) -> None:
    x.fault("server_error", operation="Followers", after=1, times=0)
    context, error = await x.attempt("USER_FOLLOWERS", TASKS["USER_FOLLOWERS"])
    assert (error.code, error.retryable) == ("UPSTREAM_TROUBLE", True)
    x.graphql.state.plan.faults.clear()
    again, _ = await x.attempt("USER_FOLLOWERS", TASKS["USER_FOLLOWERS"], before=context)
    assert x.is_exact("USER_FOLLOWERS", again), "the next attempt goes on from the checkpoint"
    assert len(again.emitted) == 6


@pytest.mark.parametrize(
    ("task_type", "username", "code"),
    [
        ("USER_INFO", "nobody_at_all", "USER_NOT_FOUND"),
        ("USER_FOLLOWERS", "gone_fishing", "USER_UNAVAILABLE"),
        ("USER_FOLLOWING", "sealed_garden", "USER_PROTECTED"),
    ],
)
async def test_a_user_without_a_timeline_ends_with_the_reason(x: Lab, task_type: str, username: str, code: str) -> None:
    _, error = await x.attempt(task_type, {"username": username})
    assert (error.code, error.retryable) == (code, False)
    assert await x.accounts.all_with({"status": "BANNED"}) == []


async def test_one_run_at_a_time_has_an_account(x: Lab) -> None:
    x.fault("slow", operation="Followers", seconds=4)
    first = asyncio.create_task(x.attempt("USER_FOLLOWERS", TASKS["USER_FOLLOWERS"]))
    while not x.asked("UserByScreenName"):
        await asyncio.sleep(0.02)
    _, error = await x.attempt("USER_INFO", TASKS["USER_INFO"])
    assert isinstance(error, Parked)
    assert error.code == "ACCOUNT_BUSY"
    _, result = await first
    assert result["count"] == 26
