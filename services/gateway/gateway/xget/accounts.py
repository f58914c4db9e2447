"""Accounts, proxies and breakers of the XGet contract. Owns: their endpoints and JSON. Must not know how anything is
stored, leased or encrypted.
"""

from typing import Any

import orjson
from trawl.scraper.v1 import accounts_pb2 as pb

from gateway.access import Role
from gateway.backend import Backend
from gateway.bodies import read_object
from gateway.checks import Fields, QueryFields, check_text, invalid
from gateway.exchange import Answer, Call
from gateway.routing import Doc, Endpoint
from gateway.times import iso_seconds
from gateway.xget import account_examples as examples

Json = Any
TAG = "accounts"
STATUSES = ("ACTIVE", "BANNED", "DISABLED")
MAX_PAGE, MAX_COOKIE_CHARACTERS = 100_000, 256 * 1024
ACCOUNT_TEXTS = {"username": 100, "proxy_id": 64, "user_agent": 500, "notes": 2_000}
PROXY_TEXTS = {"name": 100, "url": 2_048, "username": 200, "password": 500}


class AccountRoutes:
    """Handlers of `/accounts`, `/proxies` and `/breakers`."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def create_account(self, call: Call) -> Answer:
        """Make an account. Its cookies are encrypted and never shown."""
        fields = Fields(await read_object(call))
        fields.require("username")
        account, _ = _account_input(fields)
        if not account.cookies_json:
            raise invalid("cookies", "required", "是必填项")
        made = await self._ask("CreateAccount", pb.CreateAccountRequest(account=account))
        return Answer.json(_account_json(made), 201)

    async def list_accounts(self, call: Call) -> Answer:
        """Page through accounts, newest first."""
        query = QueryFields(call.query)
        page, size = query.integer("page", 1, MAX_PAGE, 1), query.integer("size", 1, 100, 20)
        status = query.choice("status", STATUSES)
        request = pb.ListAccountsRequest(status=status, offset=(page - 1) * size, limit=size)
        found = await self._ask("ListAccounts", request)
        return _page([_account_json(one) for one in found.accounts], found.total, page, size)

    async def account(self, call: Call) -> Answer:
        """Show an account, its health and what it is doing."""
        return Answer.json(_account_json(await self._ask("GetAccount", pb.GetAccountRequest(id=_id(call)))))

    async def update_account(self, call: Call) -> Answer:
        """Change what is given. `status` ACTIVE, or new cookies, brings back an account that was set aside."""
        account, given = _account_input(Fields(await read_object(call)))
        request = pb.UpdateAccountRequest(id=_id(call), account=account, fields=given)
        return Answer.json(_account_json(await self._ask("UpdateAccount", request)))

    async def delete_account(self, call: Call) -> Answer:
        """Delete an account and its secrets."""
        await self._ask("DeleteAccount", pb.DeleteAccountRequest(id=_id(call)))
        return Answer.json({"message": "Account deleted successfully"})

    async def create_proxy(self, call: Call) -> Answer:
        """Make a proxy. Its credentials are encrypted and never shown."""
        fields = Fields(await read_object(call))
        fields.require("url")
        proxy, _ = _proxy_input(fields)
        made = await self._ask("CreateProxy", pb.CreateProxyRequest(proxy=proxy))
        return Answer.json(_proxy_json(made), 201)

    async def list_proxies(self, call: Call) -> Answer:
        """Page through proxies, newest first."""
        query = QueryFields(call.query)
        page, size = query.integer("page", 1, MAX_PAGE, 1), query.integer("size", 1, 100, 20)
        found = await self._ask("ListProxies", pb.ListProxiesRequest(offset=(page - 1) * size, limit=size))
        return _page([_proxy_json(one) for one in found.proxies], found.total, page, size)

    async def proxy(self, call: Call) -> Answer:
        """Show a proxy and its health."""
        return Answer.json(_proxy_json(await self._ask("GetProxy", pb.GetProxyRequest(id=_id(call)))))

    async def update_proxy(self, call: Call) -> Answer:
        """Change what is given; a proxy that rests is tried again."""
        proxy, given = _proxy_input(Fields(await read_object(call)))
        request = pb.UpdateProxyRequest(id=_id(call), proxy=proxy, fields=given)
        return Answer.json(_proxy_json(await self._ask("UpdateProxy", request)))

    async def delete_proxy(self, call: Call) -> Answer:
        """Delete a proxy that no account is bound to."""
        await self._ask("DeleteProxy", pb.DeleteProxyRequest(id=_id(call)))
        return Answer.json({"message": "Proxy deleted successfully"})

    async def breakers(self, _call: Call) -> Answer:
        """Show every operation and whether its answers can still be read."""
        found = await self._ask("ListBreakers", pb.ListBreakersRequest())
        return Answer.json({"items": [_breaker_json(one) for one in found.breakers], "total": len(found.breakers)})

    async def reset_breaker(self, call: Call) -> Answer:
        """Let runs ask for the operation again."""
        request = pb.ResetBreakerRequest(operation=call.path_params["operation"])
        return Answer.json(_breaker_json(await self._ask("ResetBreaker", request)))

    async def _ask(self, method: str, request: Any) -> Any:
        return await self._backend.result(getattr(self._backend.accounts, method), request)

    def endpoints(self) -> list[Endpoint]:
        """All of them, each with and without a slash at its end."""
        account, proxy, breaker = "/accounts/{account_id}", "/proxies/{proxy_id}", "/breakers/{operation}/reset"
        a_doc, p_doc, b_doc = examples.ACCOUNT, examples.PROXY, examples.BREAKER
        wrong = (400, 404, 422)
        table = [
            ("POST", "/accounts", self.create_account, Doc("创建账号", TAG, body=examples.NEW_ACCOUNT, answer=a_doc,
             status=201, errors=(400, 422)), Role.ADMIN),
            ("GET", "/accounts", self.list_accounts, Doc("获取账号列表", TAG, answer=examples.page(a_doc),
             query=examples.ACCOUNT_QUERY, errors=(422,)), Role.VIEWER),
            ("GET", account, self.account, Doc("获取账号详情", TAG, answer=a_doc, errors=(404,)), Role.VIEWER),
            ("PUT", account, self.update_account, Doc("更新账号", TAG, body=examples.ACCOUNT_CHANGE, answer=a_doc,
             errors=wrong), Role.ADMIN),
            ("DELETE", account, self.delete_account, Doc("删除账号", TAG, answer=examples.DELETED, errors=(404,)),
             Role.ADMIN),
            ("POST", "/proxies", self.create_proxy, Doc("创建代理", TAG, body=examples.NEW_PROXY, answer=p_doc,
             status=201, errors=(400, 422)), Role.ADMIN),
            ("GET", "/proxies", self.list_proxies, Doc("获取代理列表", TAG, answer=examples.page(p_doc),
             query=examples.PAGE_QUERY, errors=(422,)), Role.VIEWER),
            ("GET", proxy, self.proxy, Doc("获取代理详情", TAG, answer=p_doc, errors=(404,)), Role.VIEWER),
            ("PUT", proxy, self.update_proxy, Doc("更新代理", TAG, body=examples.PROXY_CHANGE, answer=p_doc,
             errors=wrong), Role.ADMIN),
            ("DELETE", proxy, self.delete_proxy, Doc("删除代理", TAG, answer=examples.DELETED, errors=(404, 409)),
             Role.ADMIN),
            ("GET", "/breakers", self.breakers, Doc("获取熔断器状态", TAG, answer={"items": [b_doc], "total": 1}),
             Role.VIEWER),
            ("POST", breaker, self.reset_breaker, Doc("重置熔断器", TAG, answer=b_doc, errors=(404,)), Role.OPERATOR),
        ]  # fmt: skip
        return [
            Endpoint(method, path + slash, handler, doc, role)
            for slash in ("", "/")
            for method, path, handler, doc, role in table
        ]


def _id(call: Call) -> str:
    """The id in the path; what can't be one is not found either, by the service."""
    return next(iter(call.path_params.values()))[:80]


def _account_input(fields: Fields) -> tuple[pb.AccountInput, list[str]]:
    """What is given of an account, and the names of it."""
    given = [name for name in ACCOUNT_TEXTS if name in fields.raw]
    # A null takes a value away.
    account = pb.AccountInput()
    for name in given:
        setattr(account, name, fields.text(name, ACCOUNT_TEXTS[name]))
    if "daily_budget" in fields.raw:
        account.daily_budget = fields.integer("daily_budget", 0, 10_000_000, 0)
        given.append("daily_budget")
    if fields.given("status"):
        account.status = fields.choice("status", ("ACTIVE", "DISABLED"), "")
        given.append("status")
    cookies = _cookies(fields)
    if cookies is not None:
        account.cookies_json = cookies
        given.append("cookies_json")
    return account, given


def _cookies(fields: Fields) -> bytes | None:
    """The cookies as JSON, whichever of their forms they come in."""
    value: Json = fields.raw.get("cookies")
    if value is None:
        pair = {name: fields.text(name, 4_096) for name in ("auth_token", "ct0") if fields.given(name)}
        value = pair or None
    if value is None:
        return None
    if not isinstance(value, str | dict | list):
        raise invalid("cookies", "type", "必须是对象、数组或字符串")
    encoded = orjson.dumps(value)
    if len(encoded) > MAX_COOKIE_CHARACTERS:
        raise invalid("cookies", "max_length", f"最多{MAX_COOKIE_CHARACTERS}个字节")
    return encoded


def _proxy_input(fields: Fields) -> tuple[pb.ProxyInput, list[str]]:
    """What is given of a proxy, and the names of it."""
    given = [name for name in PROXY_TEXTS if fields.given(name)]
    proxy = pb.ProxyInput()
    for name in given:
        setattr(proxy, name, check_text(name, fields.raw[name], PROXY_TEXTS[name]))
    if fields.given("enabled"):
        proxy.enabled = fields.flag("enabled")
        given.append("enabled")
    return proxy, given


def _page(items: list[Json], total: int, page: int, size: int) -> Answer:
    return Answer.json({"items": items, "total": total, "page": page, "size": size, "pages": -(-total // size)})


def _account_json(account: pb.Account) -> dict[str, Json]:
    return {
        "id": account.id,
        "username": account.username,
        "status": account.status,
        "status_reason": account.reason or None,
        "status_at": iso_seconds(account.status_ms),
        "proxy_id": account.proxy_id or None,
        "daily_budget": account.daily_budget or None,
        "user_agent": account.user_agent or None,
        "notes": account.notes or None,
        "health": {
            "usable": account.status == "ACTIVE",
            "used_by_run": account.run_id or None,
            "operations": account.operations.split(",") if account.operations else [],
            "requests_today": account.spent_today,
            "requests_allowed_today": account.effective_budget or None,
            "last_used_at": iso_seconds(account.used_ms),
            "rate_limits": [
                {"operation": limit.operation, "reset_at": iso_seconds(limit.until_ms)} for limit in account.limits
            ],
        },
        "created_at": iso_seconds(account.created_ms),
        "updated_at": iso_seconds(account.updated_ms),
    }


def _proxy_json(proxy: pb.Proxy) -> dict[str, Json]:
    return {
        "id": proxy.id,
        "name": proxy.name,
        "url": proxy.url,
        "has_credentials": proxy.has_credentials,
        "enabled": proxy.enabled,
        "health": {
            "failures": proxy.failures,
            "last_error": proxy.last_error or None,
            "resting_until": iso_seconds(proxy.rest_until_ms),
        },
        "created_at": iso_seconds(proxy.created_ms),
        "updated_at": iso_seconds(proxy.updated_ms),
    }


def _breaker_json(breaker: pb.Breaker) -> dict[str, Json]:
    return {
        "operation": breaker.operation,
        "state": "open" if breaker.open else "closed",
        "reason": breaker.reason or None,
        "since": iso_seconds(breaker.since_ms),
        "run": breaker.run_id or None,
        "evidence": breaker.evidence or None,
    }
