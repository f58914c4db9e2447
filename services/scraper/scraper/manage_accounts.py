"""What people do with accounts, proxies and breakers. Owns: checking and sealing what they give, and changing it. Must
not know gRPC, HTTP or how a run uses an account.
"""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import orjson
from chassis.clock import now_ms
from chassis.errors import Conflict, InvalidInput, NotFound

from scraper.accounts import Account, AccountStatus, Proxy, new_id, read_cookies, read_proxy_url
from scraper.addresses import AddressGuard, AddressNotAllowed
from scraper.breakers import Breaker, wake_of
from scraper.browser_options import BrowserOptions
from scraper.mongo_accounts import Accounts, Breakers, Proxies
from scraper.redis_account_leases import AccountLeases, AccountUse
from scraper.secret_box import SecretBox
from scraper.x_timeline import OPERATIONS

MAX_BUDGET = 10_000_000
MAX_NAME, MAX_NOTES = 100, 2_000


@dataclass(frozen=True, slots=True)
class AccountInput:
    """What is given of an account; None: nothing. `cookies` is any of the forms that `read_cookies` takes."""

    username: str | None = None
    cookies: Any = None
    proxy_id: str | None = None
    daily_budget: int | None = None
    user_agent: str | None = None
    notes: str | None = None
    status: str | None = None


@dataclass(frozen=True, slots=True)
class ProxyInput:
    """What is given of a proxy; None: nothing."""

    name: str | None = None
    url: str | None = None
    username: str | None = None
    password: str | None = None
    enabled: bool | None = None


# Tells parked runs that what has this name has come.
Wake = Callable[[str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Stores:
    """What is changed."""

    accounts: Accounts
    proxies: Proxies
    breakers: Breakers
    leases: AccountLeases


class ManageAccounts:
    """Every method raises `InvalidInput` naming the field, `NotFound` or `Conflict`."""

    def __init__(
        self, stores: Stores, box: SecretBox, guard: AddressGuard, *, default_budget: int, wake: Wake
    ) -> None:  # fmt: skip
        self._stores, self._box, self._guard, self.default_budget = stores, box, guard, default_budget
        self._wake = wake

    async def create_account(self, given: AccountInput) -> Account:
        """A new account, active unless it is given as disabled."""
        if given.cookies is None:
            raise InvalidInput("is required", field="cookies")
        if not given.username:
            raise InvalidInput("is required", field="username")
        now = now_ms()
        blank = Account(new_id("account"), given.username, "", now, now, status_ms=now)
        account = await self._changed(blank, given)
        await self._stores.accounts.add(account)
        return account

    async def update_account(self, account_id: str, given: AccountInput) -> Account:
        """Change what is given. New cookies, or `ACTIVE`, bring an account back that was set aside."""
        account = await self._stores.accounts.get(account_id)
        changed = await self._changed(account, given)
        if changed.status == AccountStatus.ACTIVE and account.status != AccountStatus.ACTIVE:
            await self._stores.leases.forget(account_id, OPERATIONS)
        return await self._stores.accounts.replace(changed)

    async def delete_account(self, account_id: str) -> None:
        """Forget an account; a run that uses it goes on to its lease's end."""
        if not await self._stores.accounts.remove(account_id):
            raise NotFound(f"there is no such account: {account_id[:80]}", resource="account")

    async def account(self, account_id: str) -> tuple[Account, AccountUse]:
        """An account and how it stands."""
        account = await self._stores.accounts.get(account_id)
        return account, (await self._stores.leases.use_of([account_id], OPERATIONS))[0]

    async def accounts(self, status: str, offset: int, limit: int) -> tuple[list[tuple[Account, AccountUse]], int]:
        """A page of accounts, newest first, and how many there are."""
        filters = {"status": status} if status else {}
        found, total = await self._stores.accounts.page(filters, offset=offset, limit=limit)
        uses = await self._stores.leases.use_of([one.id for one in found], OPERATIONS)
        return list(zip(found, uses, strict=True)), total

    async def create_proxy(self, given: ProxyInput) -> Proxy:
        """A new proxy."""
        if not given.url:
            raise InvalidInput("is required", field="url")
        now = now_ms()
        proxy = await self._changed_proxy(Proxy(new_id("proxy"), "", "", "", now, now), given)
        await self._stores.proxies.add(proxy)
        return proxy

    async def update_proxy(self, proxy_id: str, given: ProxyInput) -> Proxy:
        """Change what is given; a proxy that rested is tried again."""
        proxy = await self._stores.proxies.get(proxy_id)
        return await self._stores.proxies.replace(await self._changed_proxy(proxy, given))

    async def delete_proxy(self, proxy_id: str) -> None:
        """Forget a proxy, unless an account is bound to it."""
        bound = [one.id for one in await self._stores.accounts.all_with({}) if one.proxy_id == proxy_id]
        if bound:
            raise Conflict(f"{len(bound)} accounts use this proxy, {bound[0]} among them", resource="proxy")
        if not await self._stores.proxies.remove(proxy_id):
            raise NotFound(f"there is no such proxy: {proxy_id[:80]}", resource="proxy")

    async def proxy(self, proxy_id: str) -> Proxy:
        """A proxy."""
        return await self._stores.proxies.get(proxy_id)

    async def proxies(self, offset: int, limit: int) -> tuple[list[Proxy], int]:
        """A page of proxies, newest first, and how many there are."""
        return await self._stores.proxies.page({}, offset=offset, limit=limit)

    async def breakers(self) -> list[tuple[str, Breaker | None]]:
        """Every operation, with its breaker if that is open."""
        opened = {one.operation: one for one in await self._stores.breakers.all()}
        return [(operation, opened.get(operation)) for operation in OPERATIONS]

    async def reset_breaker(self, operation: str) -> None:
        """Let runs ask for it again, those that wait at once; a closed one stays closed."""
        if operation not in OPERATIONS:
            raise NotFound(f"there is no such operation: {operation[:80]}", resource="breaker")
        await self._stores.breakers.reset(operation)
        await self._wake(wake_of(operation))

    async def _changed(self, account: Account, given: AccountInput) -> Account:
        now = now_ms()
        changes: dict[str, Any] = {"updated_ms": now}
        if given.username is not None:
            changes["username"] = _line(given.username.strip().removeprefix("@"), "username", MAX_NAME)
        if given.cookies is not None:
            changes["sealed"] = self._box.seal(orjson.dumps(read_cookies(given.cookies)).decode())
        if given.proxy_id is not None:
            if given.proxy_id:
                await self._known_proxy(given.proxy_id)
            changes["proxy_id"] = given.proxy_id
        if given.daily_budget is not None:
            if not 0 <= given.daily_budget <= MAX_BUDGET:
                raise InvalidInput(f"must be from 0 to {MAX_BUDGET}", field="daily_budget")
            changes["daily_budget"] = given.daily_budget
        if given.user_agent is not None:
            changes["user_agent"] = _user_agent(given.user_agent)
        if given.notes is not None:
            changes["notes"] = _text(given.notes, "notes", MAX_NOTES)
        changed = replace(account, **changes)
        return self._with_status(changed, given, now)

    def _with_status(self, account: Account, given: AccountInput, now: int) -> Account:
        if given.status == AccountStatus.DISABLED:
            return account.with_status(AccountStatus.DISABLED, "manual", now)
        if given.status == AccountStatus.ACTIVE or (
            given.status is None and given.cookies is not None and account.status == AccountStatus.BANNED
        ):
            return account.with_status(AccountStatus.ACTIVE, "", now)
        if given.status is not None:
            raise InvalidInput("must be ACTIVE or DISABLED", field="status")
        return account

    async def _known_proxy(self, proxy_id: str) -> None:
        try:
            await self._stores.proxies.get(proxy_id)
        except NotFound as error:
            raise InvalidInput(f"there is no such proxy: {proxy_id[:80]}", field="proxy_id") from error

    async def _changed_proxy(self, proxy: Proxy, given: ProxyInput) -> Proxy:
        changes: dict[str, Any] = {"updated_ms": now_ms(), "rest_until_ms": 0}
        if given.name is not None:
            changes["name"] = _line(given.name, "name", MAX_NAME)
        if given.url is not None:
            url, credentials = read_proxy_url(given.url)
            await self._check_address(url)
            changes["url"] = url
            # Credentials belong to one address: they never follow to another one.
            changes["sealed"] = self._box.seal(credentials) if credentials else ""
        if given.username is not None or given.password is not None:
            changes["sealed"] = self._sealed_credentials(given)
        if given.enabled is not None:
            changes["enabled"] = int(given.enabled)
        return replace(proxy, **changes)

    def _sealed_credentials(self, given: ProxyInput) -> str:
        name = _line(given.username or "", "username", 200)
        password = _line(given.password or "", "password", 500)
        if ":" in name:
            raise InvalidInput("must not contain a colon", field="username")
        return self._box.seal(f"{name}:{password}") if name else ""

    async def _check_address(self, url: str) -> None:
        try:
            await self._guard.check_host(urlsplit(url).hostname or "")
        except AddressNotAllowed as error:
            raise InvalidInput(error.message, field="url") from error


def _text(value: str, field: str, limit: int) -> str:
    if len(value) > limit or "\x00" in value:
        raise InvalidInput(f"at most {limit} characters", field=field)
    return value


def _line(value: str, field: str, limit: int) -> str:
    if not value.isprintable():
        raise InvalidInput("must be one line", field=field)
    return _text(value, field, limit)


def _user_agent(value: str) -> str:
    if value:
        try:
            BrowserOptions(user_agent=value)
        except ValueError as error:
            raise InvalidInput("must be at most 500 plain characters", field="user_agent") from error
    return value


def names_of(fields: Collection[str], known: Collection[str]) -> list[str]:
    """The fields that are given. Raises `InvalidInput` for one that is not known."""
    for field in fields:
        if field not in known:
            raise InvalidInput("is not known", field=field)
    return list(fields)
