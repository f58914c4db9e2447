"""One collection from X. Owns: what follows from each answer: results, going on, another account, waiting, giving up.
Must not know HTTP, databases or GraphQL's shapes.
"""

import asyncio
import contextlib
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from chassis.clock import now_ms

from scraper.account_pool import AccountLease, AccountPool, Want
from scraper.addresses import AddressGuard
from scraper.breakers import Breaker, wake_of
from scraper.browser import BrowserPool
from scraper.browser_options import BrowserOptions
from scraper.executor import ExecutorError, Item, Json, Parked, RunContext
from scraper.mongo_accounts import Breakers
from scraper.proxy_chain import proxy_chain
from scraper.x_answers import Answer, Limit, Meaning, Verdict, judge
from scraper.x_page import LoggedOut, NoAnswer, Walled, XPage, storage_state
from scraper.x_state import XState
from scraper.x_tasks import PROFILE, XTask, keeps
from scraper.x_timeline import Entry, PageChanged, TimelinePage, read_profile, read_timeline
from scraper.x_values import UpstreamChanged

MAX_ACCOUNTS = 50
MAX_TROUBLES = 4
MAX_IGNORED = 20
EVIDENCE_BYTES = 256 * 1024
SOURCE = "twitter"


@dataclass(frozen=True, slots=True)
class XSettings:
    """Seconds: how long a page may take to be answered, to wait after X's own trouble, and how long a run waits at an
    open breaker before it looks again unasked.
    """

    base_url: str = "https://x.com"
    answer_seconds: float = 30
    trouble_seconds: float = 1
    breaker_seconds: float = 60


@dataclass(frozen=True, slots=True)
class XParts:
    """What collections work with."""

    settings: XSettings
    browsers: BrowserPool
    accounts: AccountPool
    breakers: Breakers
    guard: AddressGuard


class _AccountOut(Exception):
    """X refuses the account."""


class _Limited(Exception):
    """The account has used up its window of an operation."""

    def __init__(self, operation: str, until_ms: int) -> None:
        super().__init__(operation)
        self.operation, self.until_ms = operation, until_ms


class _BudgetSpent(Exception):
    """The account has had its requests of today."""


class _Trouble(Exception):
    """Something that passes: open the page anew."""


class XRun:
    """One attempt. `state` is where it goes on."""

    def __init__(self, parts: XParts, context: RunContext, task: XTask, state: XState) -> None:
        self._parts, self._context, self._task, self._state = parts, context, task, state
        self._operations = tuple(dict.fromkeys((PROFILE, task.operation) if task.username else (task.operation,)))
        # In a row; a good answer of what is wanted clears them.
        self._troubles, self._unreadable, self._missing, self._ignored = 0, 0, 0, 0
        self._account_id, self._proxy_id = "", ""

    async def collect(self) -> Json:
        """The run's result. Raises `ExecutorError`."""
        await self._check_breaker()
        for _ in range(MAX_ACCOUNTS):
            if self._state.stop_reason:
                self._report()
                return self._result()
            async with self._parts.accounts.lease(self._want()) as account:
                try:
                    await self._work_with(account)
                except _AccountOut as out:
                    await self._lose(account, str(out))
                except _Limited as limited:
                    await account.limit(limited.operation, limited.until_ms)
                    self._say_limited(account, limited)
                except _BudgetSpent:
                    self._context.log("info", f"account {account.hash} has used up its requests of today")
        raise ExecutorError(f"{MAX_ACCOUNTS} accounts in a row could not be used", code="NO_ACCOUNT")

    def _want(self) -> Want:
        task = self._task
        job = self._context.job
        return Want(self._operations, job.run_id, task.account_id, task.proxy_id, job.attempt)

    async def _check_breaker(self) -> None:
        breaker = await self._parts.breakers.find(self._task.operation)
        if breaker is not None:
            raise Parked(
                f"UPSTREAM_CHANGED: the breaker of {breaker.operation} is open: {breaker.reason}",
                resume_at_ms=now_ms() + int(self._parts.settings.breaker_seconds * 1000),
                code="UPSTREAM_CHANGED",
                wake=wake_of(breaker.operation),
            )

    async def _lose(self, account: AccountLease, reason: str) -> None:
        await account.set_aside(reason)
        self._context.log("warn", f"account {account.hash} is set aside: {reason}", cursor=self._state.cursor)
        if self._task.account_id:
            raise ExecutorError(
                f"the account of this task is set aside: {reason}", code="ACCOUNT_BANNED", retryable=False
            )

    def _say_limited(self, account: AccountLease, limited: _Limited) -> None:
        until = datetime.fromtimestamp(limited.until_ms / 1000, UTC).strftime("%H:%M:%S")
        self._context.log("info", f"account {account.hash} is limited in {limited.operation} until {until} UTC")

    async def _work_with(self, account: AccountLease) -> None:
        """Go on with that account until the collection is over. Raises `_AccountOut` and `_Limited`."""
        if account.hash not in self._state.accounts:
            self._state.accounts.append(account.hash)
        self._account_id, self._proxy_id = account.account.id, account.proxy.id if account.proxy else ""
        parts = self._parts
        options = BrowserOptions(
            user_agent=account.account.user_agent or None, block=frozenset({"image", "media", "font"})
        )
        async with AsyncExitStack() as stack:
            chain = None
            if account.proxy_url:
                chain = await stack.enter_async_context(proxy_chain(account.proxy_url, parts.guard))
            storage = storage_state(parts.settings.base_url, account.cookies)
            lease = await stack.enter_async_context(
                parts.browsers.lease(options, self._context.guard, storage, way_out=chain, log=self._context.log)
            )
            page = XPage(lease, parts.settings.base_url, self._operations, answer_seconds=parts.settings.answer_seconds)
            try:
                await self._read_all(page, account)
                # Everything is stored: a browser that is lost now takes only fresher cookies with it.
                with contextlib.suppress(NoAnswer, ExecutorError):
                    await account.keep_cookies(await page.cookies())
            except LoggedOut as error:
                raise _AccountOut("logged_out") from error
            except ExecutorError as error:
                if error.code in ("BLOCKED", "PROXY_FAILED"):
                    await account.rest_proxy(error.message)
                raise

    async def _read_all(self, page: XPage, account: AccountLease) -> None:
        while not self._state.stop_reason:
            try:
                await page.open(self._task.path, self._state.cursor)
                await self._read_on(page, account)
            except Walled as error:
                raise ExecutorError(f"X refuses this address: {error}", code="BLOCKED") from error
            except (NoAnswer, _Trouble) as error:
                await self._endure(str(error) or "the page got no answer")

    async def _read_on(self, page: XPage, account: AccountLease) -> None:
        """Take answers as the page gets them, and scroll for more."""
        while not self._state.stop_reason:
            answer = await page.answer()
            has_more = await account.spend()
            verdict = judge(answer, now_ms())
            self._act_on(verdict, answer)
            try:
                await self._take(answer, verdict, account)
            except UpstreamChanged as changed:
                await self._changed(changed, answer, account)
                raise _Trouble(f"an answer that can't be read: {changed}") from changed
            if verdict.limit is not None and verdict.limit.remaining == 0:
                await self._at_limit(answer.operation, verdict.limit, account)
            if self._state.stop_reason:
                return
            if not has_more:
                raise _BudgetSpent
            if answer.operation == self._task.operation:
                await page.scroll()

    def _act_on(self, verdict: Verdict, answer: Answer) -> None:
        """Raise what a bad answer means."""
        if verdict.meaning is Meaning.RATE_LIMITED and verdict.limit is not None:
            raise _Limited(answer.operation, verdict.limit.reset_ms)
        if verdict.meaning is Meaning.ACCOUNT:
            raise _AccountOut(verdict.reason)
        if verdict.meaning is Meaning.BLOCKED:
            raise ExecutorError(f"X refuses this address: {verdict.reason}", code="BLOCKED")
        if verdict.meaning is Meaning.TROUBLE:
            raise _Trouble(verdict.reason)

    async def _at_limit(self, operation: str, limit: Limit, account: AccountLease) -> None:
        if self._state.stop_reason:
            await account.limit(operation, limit.reset_ms)
        elif operation == self._task.operation:
            raise _Limited(operation, limit.reset_ms)
        else:
            # The profile's window: the next page of the timeline does not ask for it.
            await account.limit(operation, limit.reset_ms)

    async def _endure(self, reason: str) -> None:
        """Wait before the page is opened anew; enough is enough."""
        self._troubles += 1
        if self._troubles >= MAX_TROUBLES:
            raise ExecutorError(f"X does not answer: {reason}", code="UPSTREAM_TROUBLE")
        self._context.log("warn", f"{reason}: the page is opened anew", cursor=self._state.cursor)
        await asyncio.sleep(self._parts.settings.trouble_seconds * 2 ** (self._troubles - 1))

    async def _changed(self, changed: UpstreamChanged, answer: Answer, account: AccountLease) -> None:
        """Seen once it may be an accident; seen again the breaker opens, and the run ends without blaming anybody.

        What could be read of that page is kept before.
        """
        self._unreadable += 1
        if self._unreadable < 2:
            return
        if isinstance(changed, PageChanged) and (answer.asked_cursor or None) == self._state.cursor:
            await self._emit(self._state.keep(changed.page, partial(keeps, self._task), self._task.limit), account)
            await self._context.save_checkpoint(self._state.checkpoint())
        reason = f"{answer.operation}: {changed}"
        run_id = self._context.job.run_id
        name = f"changed-{answer.operation}.json"
        evidence = await self._context.save_blob(name, answer.body[:EVIDENCE_BYTES], "application/json")
        await self._parts.breakers.trip(Breaker(self._task.operation, now_ms(), reason[:300], run_id, evidence))
        raise ExecutorError(f"UPSTREAM_CHANGED: {reason}", code="UPSTREAM_CHANGED", retryable=False)

    async def _take(self, answer: Answer, verdict: Verdict, account: AccountLease) -> None:
        """Store what the answer holds, and where to go on. Raises `UpstreamChanged`."""
        if verdict.meaning is Meaning.CHANGED:
            raise UpstreamChanged(verdict.reason)
        if answer.operation == PROFILE:
            await self._take_profile(verdict.json, account)
            return
        page = self._page_of(verdict.json)
        if self._is_other(answer):
            return
        if page.missing:
            self._tell_missing(page.missing)
        self._troubles, self._unreadable, self._missing, self._ignored = 0, 0, 0, 0
        fresh = self._state.take(page, partial(keeps, self._task), self._task.limit)
        await self._emit(fresh, account)
        self._say_unreadable(page)
        step = f"{self._task.operation}, page {self._state.pages}"
        self._context.progress(self._state.count, self._task.limit, step)
        await self._context.save_checkpoint(self._state.checkpoint())

    def _page_of(self, json: Json) -> TimelinePage:
        """The page. One odd entry alone, in a run that has read others, is no change of shape."""
        try:
            return read_timeline(json)
        except PageChanged as changed:
            if changed.unreadable > 1 or not self._state.count:
                raise
            return changed.page

    def _tell_missing(self, reason: str) -> None:
        """X tells no timeline of a user who was there a moment ago: seen again, it is so. Raises."""
        self._missing += 1
        if self._missing < 2:
            raise _Trouble(f"no timeline is told: {reason}")
        raise self._no_user(reason)

    def _no_user(self, reason: str) -> ExecutorError:
        code = "USER_NOT_FOUND" if reason == "NotFound" else "USER_UNAVAILABLE"
        return ExecutorError(f"@{self._task.username}: {reason}", code=code, retryable=False)

    def _say_unreadable(self, page: TimelinePage) -> None:
        if page.unreadable:
            message = f"{page.unreadable} entries are not understood: they are left out and counted"
            self._context.log("warn", message, types=page.unreadable_types, cursor=self._state.cursor)

    def _is_other(self, answer: Answer) -> bool:
        """Whether the page asked for something else than what comes next, as when it looks for news at the top."""
        if (answer.asked_cursor or None) == self._state.cursor:
            return False
        self._ignored += 1
        if self._ignored > MAX_IGNORED:
            self._ignored = 0
            raise _Trouble("the page does not ask for what comes next")
        return True

    async def _take_profile(self, json: Json, account: AccountLease) -> None:
        profile = read_profile(json)
        if profile.user is None:
            raise self._no_user(profile.missing)
        self._task = replace(self._task, user_id=profile.user["id"])
        if self._task.is_profile:
            self._state.problems.merge(profile.problems.to_json())
            self._state.count, self._state.pages, self._state.stop_reason = 1, 1, "complete"
            await self._emit([Entry("user", profile.user)], account)
            self._context.progress(1, 1, PROFILE)
        elif not profile.visible:
            message = f"@{self._task.username} shows this to followers only"
            raise ExecutorError(message, code="USER_PROTECTED", retryable=False)

    async def _emit(self, entries: list[Entry], account: AccountLease) -> None:
        moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        metadata: dict[str, Any] = {
            "source": SOURCE,
            "scraped_at": moment,
            "fetched_at": moment,
            "run": self._context.job.run_id,
            "account": account.hash,
            "operation": self._task.operation,
        }
        await self._context.emit([Item(one.data, one.kind, one.data["id"], metadata) for one in entries])

    def _report(self) -> None:
        """Say that nothing was found, and what could not be read."""
        state = self._state
        if not state.count:
            self._context.log("warn", f"Nothing was found on {state.pages} pages: {state.stop_reason}")
        if state.problems:
            message = f"{state.problems.count} problems were counted"
            self._context.log("warn", message, problems=state.problems.to_json())

    def _result(self) -> Json:
        state = self._state
        return {
            "stop_reason": state.stop_reason,
            "count": state.count,
            "pages": state.pages,
            "gone": state.gone,
            "left_out": state.left_out,
            "unreadable": state.unreadable,
            "unreadable_types": state.unreadable_types,
            "operation": self._task.operation,
            "accounts": state.accounts,
            "account_id": self._account_id,
            "proxy_id": self._proxy_id,
            "problems": state.problems.to_json(),
        }
