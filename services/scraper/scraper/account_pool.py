"""Which account a run works with. Owns: choosing, leasing and giving back accounts with their proxies, and setting
aside what does not work. Must not know browsers or X's answers.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import orjson
from chassis.clock import now_ms
from chassis.errors import Conflict, NotFound, Unavailable
from chassis.logs import get_logger

from scraper.accounts import Account, AccountStatus, Proxy, account_hash, full_url
from scraper.executor import ExecutorError, InvalidParameters, Parked
from scraper.mongo_accounts import Accounts, Proxies
from scraper.redis_account_leases import BUSY_MS, AccountLeases, Granted, NotBefore, Wait
from scraper.secret_box import SecretBox

log = get_logger("accounts")
CHANGE_TRIES = 5
PROXY_REST_MS = 600_000
MAX_BUSY_MS = 120_000
_WAITS = {
    Wait.BUSY: ("every account is used by another run", "ACCOUNT_BUSY"),
    Wait.LIMITED: ("every account has used up its rate limit", "RATE_LIMITED"),
    Wait.BUDGET: ("every account has used up its requests of today", "BUDGET_SPENT"),
}


@dataclass(frozen=True, slots=True)
class Want:
    """What a run needs an account for. Empty ids: whichever is free."""

    operations: tuple[str, ...]
    run_id: int
    account_id: str = ""
    proxy_id: str = ""
    # Which attempt of the run asks: those that have asked often come more rarely.
    attempt: int = 1


class LeaseLost(ExecutorError):
    """Another run has the account now: this attempt must not touch it any more."""

    def __init__(self) -> None:
        super().__init__("the lease of the account was lost", code="LEASE_LOST")


class AccountLease:
    """An account that this run alone may use. `cookies` by name; `proxy_url` with credentials, or empty."""

    def __init__(
        self,
        account: Account,
        cookies: dict[str, str],
        proxy: Proxy | None,
        proxy_url: str,
        *,
        granted: Granted,
        pool: "AccountPool",
    ) -> None:
        self.account, self.cookies, self.proxy, self.proxy_url = account, cookies, proxy, proxy_url
        self.hash = account_hash(account.id)
        self._granted, self._pool = granted, pool

    async def spend(self) -> bool:
        """Count a request that was answered; whether the day allows another one. Raises `LeaseLost`."""
        spent = await self._pool.leases.spend(self._granted)
        if spent is None:
            raise LeaseLost
        budget = self._pool.budget_of(self.account)
        return budget == 0 or spent < budget

    async def limit(self, operation: str, until_ms: int) -> None:
        """X wants no more of that operation from this account before `until_ms`."""
        await self._pool.leases.limit(self._granted, operation, until_ms)

    async def set_aside(self, reason: str) -> None:
        """X does not want this account any more; a person has to look after it."""
        await self._pool.change_account(
            self.account.id, lambda account: account.with_status(AccountStatus.BANNED, reason, now_ms())
        )
        log.warning("an account is set aside", account=self.hash, reason=reason)

    async def rest_proxy(self, reason: str) -> None:
        """The proxy does not work now."""
        if self.proxy is not None:
            await self._pool.rest_proxy(self.proxy.id, reason)

    async def keep_cookies(self, cookies: dict[str, str]) -> None:
        """Remember what X has changed of the account's own cookies."""
        fresh = {name: cookies.get(name) or value for name, value in self.cookies.items()}
        if fresh != self.cookies:
            await self._pool.keep_cookies(self.account.id, fresh)


def _parked(until: NotBefore, attempt: int) -> Parked:
    """When to ask again. Runs that wait for others come ever more rarely, and none of them at the same time."""
    words, code = _WAITS[until.why]
    spread_ms = 500
    if until.why is Wait.BUSY:
        spread_ms = min(BUSY_MS * 2 ** min(max(attempt - 1, 0), 10), MAX_BUSY_MS)
    return Parked(words, resume_at_ms=until.ms + random.randrange(spread_ms), code=code)  # noqa: S311 - no secret


class AccountPool:
    """Leases accounts. `worker`: who asks, for people who look."""

    def __init__(
        self,
        *,
        accounts: Accounts,
        proxies: Proxies,
        leases: AccountLeases,
        box: SecretBox,
        daily_budget: int,
        worker: str,
    ) -> None:
        self._accounts, self._proxies, self.leases, self._box = accounts, proxies, leases, box
        self._daily_budget, self._worker = daily_budget, worker

    def budget_of(self, account: Account) -> int:
        """Requests a day; 0: as many as X allows."""
        return account.daily_budget or self._daily_budget

    @asynccontextmanager
    async def lease(self, want: Want) -> AsyncIterator[AccountLease]:
        """The account for as long as the block lasts.

        Raises `Parked` when one will be free later, `ExecutorError` NO_ACCOUNT when none will.
        """
        candidates = await self._candidates(want)
        pairs = [(account.id, self.budget_of(account)) for account in candidates]
        granted = await self.leases.acquire(pairs, operations=want.operations, run_id=want.run_id, worker=self._worker)
        if isinstance(granted, NotBefore):
            raise _parked(granted, want.attempt)
        keeper = asyncio.create_task(self._keep(granted), name="account lease")
        try:
            account = next(one for one in candidates if one.id == granted.account_id)
            yield await self._open(account, granted, want)
        finally:
            keeper.cancel()
            # A lease that can't be given back runs out by itself.
            with contextlib.suppress(Unavailable):
                await self.leases.release(granted)

    async def change_account(self, account_id: str, change: Callable[[Account], Account]) -> None:
        """Change the newest version; an account that was deleted meanwhile stays so."""
        for _ in range(CHANGE_TRIES):
            with contextlib.suppress(Conflict):
                try:
                    await self._accounts.replace(change(await self._accounts.get(account_id)))
                except NotFound:
                    return
                return
        raise Conflict("the account is changed too often", id=account_id)

    async def keep_cookies(self, account_id: str, cookies: dict[str, str]) -> None:
        """Store the account's cookies anew."""
        sealed = self._box.seal(orjson.dumps(cookies).decode())
        await self.change_account(account_id, lambda account: replace(account, sealed=sealed, updated_ms=now_ms()))

    async def rest_proxy(self, proxy_id: str, reason: str) -> None:
        """Leave a proxy alone for a while."""
        for _ in range(CHANGE_TRIES):
            with contextlib.suppress(Conflict):
                try:
                    proxy = await self._proxies.get(proxy_id)
                except NotFound:
                    return
                rested = replace(
                    proxy,
                    rest_until_ms=now_ms() + PROXY_REST_MS,
                    failures=proxy.failures + 1,
                    last_error=reason[:300],
                )
                await self._proxies.replace(rested)
                return

    async def proxy_url(self, proxy_id: str) -> str:
        """A proxy's address with its credentials. Raises `InvalidParameters`."""
        try:
            proxy = await self._proxies.get(proxy_id)
        except NotFound as error:
            raise InvalidParameters(f"there is no such proxy: {proxy_id[:80]}", field="proxy_id") from error
        if not proxy.enabled:
            raise InvalidParameters("the proxy is disabled", field="proxy_id")
        return full_url(proxy, self._box.open(proxy.sealed) if proxy.sealed else "")

    async def _candidates(self, want: Want) -> list[Account]:
        if not want.account_id:
            found = await self._accounts.all_with({"status": AccountStatus.ACTIVE.value})
            if not found:
                raise ExecutorError(
                    "no account is active: add one, or look after those that were set aside",
                    code="NO_ACCOUNT",
                    retryable=False,
                )
            return found
        try:
            account = await self._accounts.get(want.account_id)
        except NotFound as error:
            raise InvalidParameters(f"there is no such account: {want.account_id}", field="account_id") from error
        if account.status != AccountStatus.ACTIVE:
            raise ExecutorError(
                f"the account is {account.status.lower()}: {account.reason or 'by a person'}",
                code="ACCOUNT_UNUSABLE",
                retryable=False,
            )
        return [account]

    async def _open(self, account: Account, granted: Granted, want: Want) -> AccountLease:
        cookies = orjson.loads(self._box.open(account.sealed))
        proxy = await self._proxy_for(account, want.proxy_id)
        url = full_url(proxy, self._box.open(proxy.sealed) if proxy.sealed else "") if proxy else ""
        return AccountLease(account, cookies, proxy, url, granted=granted, pool=self)

    async def _proxy_for(self, account: Account, wanted: str) -> Proxy | None:
        """The run's own proxy; else the account's, which stays with it while it works; else one is given to it."""
        if wanted:
            await self.proxy_url(wanted)
            return await self._proxies.get(wanted)
        now = now_ms()
        if account.proxy_id:
            with contextlib.suppress(NotFound):
                proxy = await self._proxies.get(account.proxy_id)
                if proxy.usable(now):
                    return proxy
        usable = [one for one in await self._proxies.all_with({"enabled": 1}) if one.usable(now)]
        if not usable:
            if account.proxy_id:
                # Going on without would show X another address.
                raise Parked("no proxy works now", resume_at_ms=now + 60_000, code="NO_PROXY")
            return None
        chosen = random.choice(usable)  # noqa: S311 - no secret
        await self.change_account(account.id, lambda one: replace(one, proxy_id=chosen.id, updated_ms=now))
        return chosen

    async def _keep(self, granted: Granted) -> None:
        """Renew the lease while the run works, also while a page takes its time."""
        while True:
            await asyncio.sleep(self.leases.lease_ms / 3000)
            with contextlib.suppress(Unavailable):
                if not await self.leases.renew(granted):
                    return
