"""Accounts are leased to one run at a time, in a real Redis; a proxy is passed through, guarded, by a real Chromium."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from chassis.clock import now_ms
from chassis.settings import ServiceSettings
from chassis.stores import redis_client
from executor_kit import ANYWHERE, context_of
from integration.browser_kit import run_of
from scraper.account_pool import LeaseLost, Want
from scraper.accounts import Proxy, new_id, read_proxy_url
from scraper.addresses import AddressGuard
from scraper.browser_options import BrowserOptions
from scraper.executor import ExecutorError, InvalidParameters, Parked
from scraper.executors.rpa import RpaExecutor
from scraper.proxy_chain import proxy_chain
from scraper.redis_account_leases import AccountLeases, Granted, NotBefore, Wait
from scraper.renderer import BrowserRenderer
from scraper.rendering import PageOptions
from scraper.ways_out import WaysOut
from x_support.lab import MAIN, Lab, lab

ONE = [("account-1", 0)]
OPERATIONS = ("UserByScreenName", "UserTweets")


@pytest.fixture
async def leases(redis_url: str) -> AsyncIterator[AccountLeases]:
    redis = redis_client(ServiceSettings(redis_url=redis_url), connections=60)
    yield AccountLeases(redis, lease_seconds=60)
    await redis.aclose(close_connection_pool=True)


async def acquire(leases: AccountLeases, run_id: int, accounts: list[tuple[str, int]] = ONE) -> Granted | NotBefore:
    return await leases.acquire(accounts, operations=OPERATIONS, run_id=run_id, worker="w")


async def test_of_many_runs_one_has_the_account(leases: AccountLeases) -> None:
    made = await asyncio.gather(*(acquire(leases, run_id) for run_id in range(50)))
    assert sum(isinstance(one, Granted) for one in made) == 1
    assert {one.why for one in made if isinstance(one, NotBefore)} == {Wait.BUSY}


async def test_an_attempt_that_comes_after_takes_its_runs_lease_over(leases: AccountLeases) -> None:
    """A worker that died keeps nobody waiting; if it lives after all, it can't touch the account any more."""
    first, second = await acquire(leases, 7), await acquire(leases, 7)
    assert isinstance(first, Granted)
    assert isinstance(second, Granted)
    assert second.token > first.token
    assert await leases.spend(first) is None
    assert not await leases.renew(first)
    await leases.limit(first, "UserTweets", now_ms() + 60_000)
    await leases.release(first)
    assert await leases.spend(second) == 1
    (use,) = await leases.use_of(["account-1"], OPERATIONS)
    assert (use.run_id, use.spent_today, use.limits) == (7, 1, {})


async def test_a_lease_that_is_not_renewed_runs_out(leases: AccountLeases) -> None:
    short = AccountLeases(leases._redis, lease_seconds=0.05)
    lost = await acquire(short, 1)
    assert isinstance(lost, Granted)
    async with asyncio.timeout(40):
        while not isinstance(await acquire(leases, 2), Granted):
            await asyncio.sleep(0.02)
    assert await leases.spend(lost) is None


async def test_the_account_that_rested_longest_goes_first(leases: AccountLeases) -> None:
    accounts = [(f"account-{number}", 0) for number in range(3)]
    order = []
    for run_id in range(6):
        granted = await acquire(leases, run_id, accounts)
        assert isinstance(granted, Granted)
        order.append(granted.account_id)
        await leases.release(granted)
        await asyncio.sleep(0.002)
    assert order[:3] == order[3:]
    assert len(set(order)) == 3


async def test_limits_hold_for_their_operation_and_budgets_for_the_day(leases: AccountLeases) -> None:
    granted = await acquire(leases, 1, [("account-1", 2)])
    assert isinstance(granted, Granted)
    until = now_ms() + 60_000
    await leases.limit(granted, "UserTweets", until)
    assert [await leases.spend(granted), await leases.spend(granted)] == [1, 2]
    await leases.release(granted)
    limited = await acquire(leases, 2)
    assert limited == NotBefore(until, Wait.LIMITED)
    spent = await leases.acquire([("account-1", 2)], operations=["Followers"], run_id=2, worker="w")
    assert isinstance(spent, NotBefore)
    assert spent.why is Wait.BUDGET
    assert spent.ms % 86_400_000 == 0
    assert isinstance(await leases.acquire(ONE, operations=["Followers"], run_id=2, worker="w"), Granted)


@asynccontextmanager
async def connect_proxy(password: str) -> AsyncIterator[tuple[str, list[str]]]:
    """An HTTP proxy that asks for a password; answers its address and the targets that it was asked for."""
    asked: list[str] = []
    wanted = "Basic " + base64.b64encode(f"trawl:{password}".encode()).decode()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        target = head.split()[1]
        if f"authorization: {wanted}".lower() not in head.lower():
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
            writer.close()
            return
        asked.append(target)
        host, _, port = target.rpartition(":")
        if host != "127.0.0.1":
            writer.close()
            return
        upstream, out = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65_536):
                sink.write(data)
            sink.close()

        await asyncio.gather(pump(reader, out), pump(upstream, writer), return_exceptions=True)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://trawl:{password}@127.0.0.1:{server.sockets[0].getsockname()[1]}", asked


@pytest.fixture
async def x(redis_url: str, mongodb_uri: str, mongodb_prefix: str, tmp_path_factory) -> AsyncIterator[Lab]:
    async with lab(mongodb_uri, redis_url, mongodb_prefix, tmp_path_factory.mktemp("x")) as opened:
        await opened.reset()
        yield opened


async def add_proxy(x: Lab, url: str) -> str:
    plain, credentials = read_proxy_url(url)
    proxy = Proxy(new_id("proxy"), "", plain, x.box.seal(credentials) if credentials else "", now_ms(), now_ms())
    await x.proxies.add(proxy)
    return proxy.id


async def test_a_run_goes_through_its_accounts_proxy_which_stays_with_it(x: Lab) -> None:
    account = await x.add_account()
    async with connect_proxy("p:w d") as (url, asked):
        proxy_id = await add_proxy(x, url.replace("p:w d", "p%3Aw%20d"))
        context, result = await x.attempt("USER_INFO", {"username": MAIN})
        assert not isinstance(result, ExecutorError), result
        assert len(context.items) == 1
        assert result["proxy_id"] == proxy_id
        assert set(asked) == {x.url.removeprefix("http://")}
        assert (await x.accounts.get(account.id)).proxy_id == proxy_id
    # It is gone now: the run says so, and the account does not go on from another address.
    _, error = await x.attempt("USER_INFO", {"username": MAIN})
    assert error.code == "PROXY_FAILED"
    assert (await x.proxies.get(proxy_id)).last_error
    _, error = await x.attempt("USER_INFO", {"username": MAIN})
    assert isinstance(error, Parked)
    assert error.code == "NO_PROXY"


async def test_steps_and_rendered_pages_go_through_the_proxy_that_they_name_and_nowhere_else(x: Lab) -> None:
    ways_out = WaysOut(x.parts.accounts.proxy_url, ANYWHERE)
    rpa = RpaExecutor(x.parts.browsers, {}.get, ways_out=ways_out)
    host = x.url.removeprefix("http://")

    def run(proxy_id: str) -> Any:
        parameters = {"BASE_URL": f"{x.url}/robots.txt", "browser": {"proxyId": proxy_id}, "screenshots": "never"}
        return rpa.run(run_of(parameters))

    async with connect_proxy("secret-1") as (url, asked):
        proxy_id = await add_proxy(x, url)
        await run(proxy_id)
        # What Chromium asks for by itself goes through it as well.
        assert host in asked
        asked.clear()
        renderer = BrowserRenderer(x.parts.browsers, {}.get, ways_out)
        options = {"proxy": await ways_out.address_of(proxy_id)}
        async with renderer.session(run_of({}), options) as session:
            await session.load(f"{x.url}/x", PageOptions())
        assert host in asked
    for wrong, code in ((proxy_id, "PROXY_FAILED"), ("proxy-none", "INVALID_PARAMETERS")):
        with pytest.raises(ExecutorError) as caught:
            await run(wrong)
        assert caught.value.code == code
        assert "secret-1" not in caught.value.message


async def test_a_proxy_at_a_forbidden_address_is_not_connected_to(x: Lab) -> None:
    context = context_of("test")
    async with (
        connect_proxy("x") as (url, asked),
        proxy_chain(url, AddressGuard()) as chain,
        x.parts.browsers.lease(BrowserOptions(), context.guard, way_out=chain) as lease,
    ):
        page = await lease.context.new_page()
        with pytest.raises(Exception, match="ERR_SOCKS_CONNECTION_FAILED"):
            await page.goto("http://known-to-the-proxy.invalid/")
        why = lease.why("http://known-to-the-proxy.invalid/")
        assert why is not None
        assert (why.code, "private" in why.words) == ("PROXY_FAILED", True)
    assert asked == []
    assert x.graphql.state.page_loads == 0


async def test_the_pool_tells_what_is_missing(x: Lab) -> None:
    with pytest.raises(ExecutorError) as nobody:
        async with x.parts.accounts.lease(Want(OPERATIONS, 1)):
            pass
    assert nobody.value.code == "NO_ACCOUNT"
    with pytest.raises(InvalidParameters) as unknown:
        async with x.parts.accounts.lease(Want(OPERATIONS, 1, account_id="account-none")):
            pass
    assert unknown.value.field == "account_id"
    await x.add_account()
    with pytest.raises(InvalidParameters) as proxy:
        async with x.parts.accounts.lease(Want(OPERATIONS, 1, proxy_id="proxy-none")):
            pass
    assert proxy.value.field == "proxy_id"


async def test_a_run_whose_lease_was_taken_touches_the_account_no_more(x: Lab) -> None:
    await x.add_account()
    pool = x.parts.accounts
    async with pool.lease(Want(OPERATIONS, 1)) as first, pool.lease(Want(OPERATIONS, 1)) as second:
        with pytest.raises(LeaseLost):
            await first.spend()
        assert await second.spend()


async def test_cookies_that_x_changes_are_kept_encrypted(x: Lab) -> None:
    account = await x.add_account()
    async with x.parts.accounts.lease(Want(OPERATIONS, 1)) as lease:
        await lease.keep_cookies({"ct0": "fresh", "guest_id": "not ours"})
    stored = await x.accounts.get(account.id)
    assert "fresh" not in stored.sealed
    async with x.parts.accounts.lease(Want(OPERATIONS, 1)) as lease:
        assert lease.cookies == {"auth_token": "session-one", "ct0": "fresh"}


async def test_two_changes_at_once_lose_nothing(x: Lab) -> None:
    account = await x.add_account()
    pool = x.parts.accounts
    names = [f"n{number}" for number in range(4)]
    await asyncio.gather(
        *(pool.change_account(account.id, lambda one, n=name: replace(one, notes=one.notes + n)) for name in names)
    )
    notes = (await x.accounts.get(account.id)).notes
    assert sorted(notes[index : index + 2] for index in range(0, 8, 2)) == names
