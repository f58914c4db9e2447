"""A stand-in of X in this process, accounts in real stores, and attempts of the real executors in a real Chromium."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson
from chassis.clock import now_ms
from chassis.settings import ServiceSettings
from chassis.stores import mongo_client, mongo_database, redis_client
from executor_kit import ANYWHERE, RecordingContext, context_of
from scraper.account_pool import AccountPool
from scraper.accounts import Account, account_hash, new_id
from scraper.browser import BrowserPool, PoolSettings
from scraper.executor import ExecutorError
from scraper.executors.x import XExecutor
from scraper.mongo_accounts import Accounts, Breakers, Proxies
from scraper.redis_account_leases import AccountLeases
from scraper.secret_box import SecretBox
from scraper.x_run import XParts, XSettings

from simulators.x.app import Simulator, serving
from simulators.x.faults import Fault
from simulators.x.graphql import GraphQl
from simulators.x.truth import truth_of
from simulators.x.world import MAIN, make_world

ACCOUNT = "session-one"


@dataclass
class Lab:
    """What a test works with. `parts` may be replaced for a test."""

    simulator: Simulator
    url: str
    parts: XParts
    accounts: Accounts
    proxies: Proxies
    breakers: Breakers
    leases: AccountLeases
    box: SecretBox
    redis: Any
    run_ids: Any = field(default_factory=lambda: itertools.count(1))

    @property
    def graphql(self) -> GraphQl:
        """The stand-in's endpoint with its state."""
        return self.simulator.graphql

    async def reset(self) -> None:
        """As at the start: no faults, one account, no leases, closed breakers."""
        self.graphql.reset()
        self.simulator.walled = False
        await self.redis.flushall()
        for account in await self.accounts.all_with({}):
            await self.accounts.remove(account.id)
        for proxy in await self.proxies.all_with({}):
            await self.proxies.remove(proxy.id)
        for breaker in await self.breakers.all():
            await self.breakers.reset(breaker.operation)

    async def add_account(self, token: str = ACCOUNT, **changes: Any) -> Account:
        """An account whose `auth_token` is `token`."""
        sealed = self.box.seal(orjson.dumps({"auth_token": token, "ct0": f"csrf-{token}"}).decode())
        account = replace(Account(new_id("account"), token, sealed, now_ms(), now_ms()), **changes)
        await self.accounts.add(account)
        return account

    def fault(self, kind: str, **more: Any) -> None:
        """Inject one."""
        self.graphql.state.plan.faults.append(Fault(kind, **more))

    def truth(self, task_type: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        """What must be found, at most `limit` of it."""
        return truth_of(self.simulator.world, task_type, parameters)[: parameters.get("limit", 100)]

    async def attempt(
        self, task_type: str, parameters: dict[str, Any], before: RecordingContext | None = None
    ) -> tuple[RecordingContext, Any]:
        """One attempt, or the next one of a run: `(context, result or ExecutorError)`."""
        more: dict[str, Any] = {"run_id": next(self.run_ids)}
        if before is not None:
            checkpoint = before.checkpoints[-1] if before.checkpoints else None
            more = {"run_id": before.job.run_id, "attempt": before.job.attempt + 1, "checkpoint": checkpoint}
        context = context_of(task_type, parameters=parameters, **more)
        if before is not None:
            context.items.update(before.items)
            context.checkpoints.extend(before.checkpoints)
        try:
            return context, await XExecutor(task_type, self.parts).run(context)
        except ExecutorError as error:
            if error.code == "BROWSER_CRASHED":
                # A machine that is very slow loses a browser now and then; the scheduler tries again as well.
                again, result = await self.attempt(task_type, parameters, before=context)
                kept = {item.key for item in again.emitted}
                again.emitted[:0] = [item for item in context.emitted if item.key not in kept]
                return again, result
            return context, error

    async def attempt_all(self, **more: dict[str, Any]) -> dict[str, tuple[RecordingContext, Any]]:
        """An attempt of each task type, side by side; `more` parameters by task type."""
        wanted = {name: parameters | more.get(name, {}) for name, parameters in TASKS.items()}
        made = await asyncio.gather(*(self.attempt(name, parameters) for name, parameters in wanted.items()))
        return dict(zip(TASKS, made, strict=True))

    def is_exact(self, task_type: str, context: RecordingContext) -> bool:
        """Whether the run has stored exactly what there is, once each and in order."""
        found = [seen(item) for item in context.items.values()]
        return found == self.truth(task_type, TASKS[task_type])

    def asked(self, operation: str) -> list[tuple[str, str | None]]:
        """(account, cursor) of every request for that operation."""
        return [(one["account"], one["cursor"]) for one in self.graphql.state.log if one["operation"] == operation]


@asynccontextmanager
async def lab(mongodb_uri: str, redis_url: str, prefix: str, work_dir: Path) -> AsyncIterator[Lab]:
    """A lab over these stores."""
    settings = ServiceSettings(mongodb_uri=mongodb_uri, redis_url=redis_url, mongodb_prefix=prefix)
    mongo, redis = mongo_client(settings), redis_client(settings)
    database = mongo_database(mongo, settings, "scraper")
    accounts, proxies, breakers = Accounts(database), Proxies(database), Breakers(database)
    await accounts.prepare()
    await proxies.prepare()
    leases, box = AccountLeases(redis, lease_seconds=60), SecretBox(["a key for tests only"])
    pool = AccountPool(accounts=accounts, proxies=proxies, leases=leases, box=box, daily_budget=0, worker="test")
    browsers = BrowserPool(PoolSettings(work_dir=work_dir, marker="x-tests", slots=3), ANYWHERE)
    simulator = Simulator(make_world(7))
    async with serving(simulator) as url:
        parts = XParts(XSettings(url, trouble_seconds=0.05), browsers, pool, breakers, ANYWHERE)
        try:
            yield Lab(simulator, url, parts, accounts, proxies, breakers, leases, box, redis)
        finally:
            await browsers.close()
    await redis.aclose(close_connection_pool=True)
    mongo.close()


# One task of each type, large enough for two or three pages.
TASKS: dict[str, dict[str, Any]] = {
    "USER_TWEETS": {"username": MAIN, "limit": 26, "include_replies": True, "include_retweets": True},
    "USER_INFO": {"username": MAIN},
    "KEYWORD_SEARCH": {"query": "amber", "lang": "en", "limit": 26},
    "HASHTAG_SEARCH": {"hashtag": "tides", "limit": 26},
    "USER_FOLLOWERS": {"username": MAIN, "limit": 26},
    "USER_FOLLOWING": {"username": MAIN, "limit": 26},
}


OPERATIONS = {
    "USER_TWEETS": "UserTweetsAndReplies",
    "USER_INFO": "UserByScreenName",
    "KEYWORD_SEARCH": "SearchTimeline",
    "HASHTAG_SEARCH": "SearchTimeline",
    "USER_FOLLOWERS": "Followers",
    "USER_FOLLOWING": "Following",
}


def seen(item: Any) -> dict[str, Any]:
    """An emitted item in the words of the truth."""
    data = item.data
    if item.data_type == "user":
        names = ("id", "username", "name", "description", "created_at", "followers_count", "following_count")
        return {name: data[name] for name in (*names, "tweet_count", "blue_verified", "protected")}
    names = ("id", "text", "created_at", "lang", "like_count", "is_retweet", "is_reply", "quoted_id", "hashtags")
    return {
        **{name: data[name] for name in names},
        "username": data["user"]["username"],
        "media": len(data["media"]),
        "poll": [[option["label"], option["votes"]] for option in (data["poll"] or {"options": []})["options"]],
    }


__all__ = ["ACCOUNT", "MAIN", "OPERATIONS", "TASKS", "Lab", "account_hash", "lab", "seen"]
