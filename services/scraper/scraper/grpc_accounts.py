"""gRPC face of accounts, proxies and breakers. Translates and delegates; secrets only ever go in."""

from collections.abc import Collection
from typing import Any

from chassis.errors import InvalidInput
from chassis.json_fields import read_json
from trawl.scraper.v1 import accounts_pb2 as pb
from trawl.scraper.v1 import accounts_pb2_grpc

from scraper.accounts import Account, Proxy
from scraper.breakers import Breaker
from scraper.manage_accounts import AccountInput, ManageAccounts, ProxyInput, names_of
from scraper.redis_account_leases import AccountUse

MAX_PAGE = 1_000
ACCOUNT_FIELDS = ("username", "cookies_json", "proxy_id", "daily_budget", "user_agent", "notes", "status")
PROXY_FIELDS = ("name", "url", "username", "password", "enabled")


class AccountApi(accounts_pb2_grpc.AccountServiceServicer):
    """`AccountService`."""

    def __init__(self, manage: ManageAccounts) -> None:
        self._manage = manage

    async def CreateAccount(self, request: pb.CreateAccountRequest, context: Any) -> pb.Account:
        """A new account."""
        given = [name for name in ACCOUNT_FIELDS if getattr(request.account, name)]
        account = await self._manage.create_account(_account_input(request.account, given))
        return await self._shown(account.id)

    async def GetAccount(self, request: pb.GetAccountRequest, context: Any) -> pb.Account:
        """An account."""
        return await self._shown(request.id)

    async def ListAccounts(self, request: pb.ListAccountsRequest, context: Any) -> pb.ListAccountsResponse:
        """A page of accounts."""
        _check_page(request.offset, request.limit)
        found, total = await self._manage.accounts(request.status, request.offset, request.limit)
        return pb.ListAccountsResponse(accounts=[self._account(*one) for one in found], total=total)

    async def UpdateAccount(self, request: pb.UpdateAccountRequest, context: Any) -> pb.Account:
        """Change what `fields` names."""
        given = names_of(request.fields, ACCOUNT_FIELDS)
        await self._manage.update_account(request.id, _account_input(request.account, given))
        return await self._shown(request.id)

    async def DeleteAccount(self, request: pb.DeleteAccountRequest, context: Any) -> pb.DeleteAccountResponse:
        """Forget an account."""
        await self._manage.delete_account(request.id)
        return pb.DeleteAccountResponse()

    async def CreateProxy(self, request: pb.CreateProxyRequest, context: Any) -> pb.Proxy:
        """A new proxy, enabled."""
        given = [name for name in PROXY_FIELDS if name != "enabled" and getattr(request.proxy, name)]
        return _proxy(await self._manage.create_proxy(_proxy_input(request.proxy, given)))

    async def GetProxy(self, request: pb.GetProxyRequest, context: Any) -> pb.Proxy:
        """A proxy."""
        return _proxy(await self._manage.proxy(request.id))

    async def ListProxies(self, request: pb.ListProxiesRequest, context: Any) -> pb.ListProxiesResponse:
        """A page of proxies."""
        _check_page(request.offset, request.limit)
        found, total = await self._manage.proxies(request.offset, request.limit)
        return pb.ListProxiesResponse(proxies=[_proxy(one) for one in found], total=total)

    async def UpdateProxy(self, request: pb.UpdateProxyRequest, context: Any) -> pb.Proxy:
        """Change what `fields` names."""
        given = names_of(request.fields, PROXY_FIELDS)
        return _proxy(await self._manage.update_proxy(request.id, _proxy_input(request.proxy, given)))

    async def DeleteProxy(self, request: pb.DeleteProxyRequest, context: Any) -> pb.DeleteProxyResponse:
        """Forget a proxy."""
        await self._manage.delete_proxy(request.id)
        return pb.DeleteProxyResponse()

    async def ListBreakers(self, request: pb.ListBreakersRequest, context: Any) -> pb.ListBreakersResponse:
        """Every operation's breaker."""
        return pb.ListBreakersResponse(breakers=[_breaker(*one) for one in await self._manage.breakers()])

    async def ResetBreaker(self, request: pb.ResetBreakerRequest, context: Any) -> pb.Breaker:
        """Close a breaker."""
        await self._manage.reset_breaker(request.operation)
        return _breaker(request.operation, None)

    async def _shown(self, account_id: str) -> pb.Account:
        return self._account(*await self._manage.account(account_id))

    def _account(self, account: Account, use: AccountUse) -> pb.Account:
        return pb.Account(
            id=account.id,
            username=account.username,
            status=account.status,
            reason=account.reason,
            status_ms=account.status_ms,
            proxy_id=account.proxy_id,
            daily_budget=account.daily_budget,
            effective_budget=account.daily_budget or self._manage.default_budget,
            spent_today=use.spent_today,
            user_agent=account.user_agent,
            notes=account.notes,
            run_id=use.run_id or 0,
            operations=use.operation,
            used_ms=use.used_ms or 0,
            limits=[pb.AccountLimit(operation=name, until_ms=until) for name, until in use.limits.items()],
            created_ms=account.created_ms,
            updated_ms=account.updated_ms,
        )


def _check_page(offset: int, limit: int) -> None:
    if not 0 <= offset <= 10**9 or not 0 < limit <= MAX_PAGE:
        raise InvalidInput("the page is out of range", field="page")


def _account_input(message: pb.AccountInput, given: Collection[str]) -> AccountInput:
    values: dict[str, Any] = {name: getattr(message, name) for name in given if name != "cookies_json"}
    if "cookies_json" in given:
        values["cookies"] = read_json(message.cookies_json, "cookies")
    return AccountInput(**values)


def _proxy_input(message: pb.ProxyInput, given: Collection[str]) -> ProxyInput:
    return ProxyInput(**{name: getattr(message, name) for name in given})


def _proxy(proxy: Proxy) -> pb.Proxy:
    return pb.Proxy(
        id=proxy.id,
        name=proxy.name,
        url=proxy.url,
        has_credentials=bool(proxy.sealed),
        enabled=bool(proxy.enabled),
        rest_until_ms=proxy.rest_until_ms,
        failures=proxy.failures,
        last_error=proxy.last_error,
        created_ms=proxy.created_ms,
        updated_ms=proxy.updated_ms,
    )


def _breaker(operation: str, breaker: Breaker | None) -> pb.Breaker:
    if breaker is None:
        return pb.Breaker(operation=operation)
    return pb.Breaker(
        operation=operation,
        open=True,
        since_ms=breaker.since_ms,
        reason=breaker.reason,
        run_id=breaker.run_id,
        evidence=breaker.evidence,
    )
