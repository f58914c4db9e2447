"""AdsPower profiles: the rpa executor against the stand-in with real Chromium, and with every fault it knows."""

import asyncio
import time

import pytest
import pytest_asyncio
from integration.browser_kit import pool_in, run_of, site, until
from scraper.adspower import AdsPowerApi, AdsPowerRules
from scraper.adspower_browser import AdsPower
from scraper.executor import ExecutorError, InvalidParameters
from scraper.executors.rpa import RpaExecutor

from simulators.adspower.api import Api, Options
from simulators.adspower.faults import Fault, Faults
from simulators.adspower.profiles import Profiles
from simulators.adspower.server import serve

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def shop():
    async with site() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stand_in(tmp_path_factory):
    profiles = Profiles(tmp_path_factory.mktemp("adspower"))
    api = Api(profiles, Faults(), Options(api_key="key-1"))
    async with serve(api) as address:
        api.host = address.removeprefix("http://")
        yield api
        await profiles.close()


@pytest_asyncio.fixture(loop_scope="module")
async def executor(stand_in, tmp_path):
    stand_in.calls.clear()
    stand_in.faults.waiting.clear()
    rules = AdsPowerRules(hosts=(stand_in.host, "10.9.9.9"), api_key="key-1", requests_per_second=50)
    adspower, pool = AdsPower(rules), pool_in(tmp_path)
    yield RpaExecutor(pool, {}.get, adspower=adspower)
    await adspower.close()
    await pool.close()


def order(stand_in, shop, **more):
    steps = more.pop("steps", [{"type": "extract", "name": "h", "target": {"css": "h1"}}])
    return run_of(
        {"BASE_URL": f"{shop.url}/shop", "adsPowerId": stand_in.host, "浏览器id": "jx1", "steps": steps} | more
    )


async def failing(executor, run):
    with pytest.raises(ExecutorError) as caught:
        await executor.run(run)
    return caught.value


async def test_a_profile_is_started_driven_and_stopped(executor, stand_in, shop):
    run = order(stand_in, shop)
    assert await executor.run(run) == {"h": "Lamps"}
    assert stand_in.calls == [("active", "jx1"), ("start", "jx1"), ("stop", "jx1")]
    assert stand_in.profiles.find("jx1") is None
    assert run.trace["steps"][-1]["matched"] == {"by": "css", "selector": "h1"}


async def test_a_profile_that_was_open_stays_open_with_its_tabs(executor, stand_in, shop):
    opened = await stand_in.profiles.start("jx1")
    try:
        assert await executor.run(order(stand_in, shop)) == {"h": "Lamps"}
        assert ("stop", "jx1") not in stand_in.calls
        assert ("start", "jx1") not in stand_in.calls
        assert opened.alive
    finally:
        await stand_in.profiles.stop("jx1")


async def test_hosts_that_no_setting_lists_are_never_called(executor, stand_in, shop):
    for host in ("10.1.1.1", "10.9.9.9:1", "127.0.0.1", "http://127.0.0.1", "10.9.9.9/x", "a b"):
        with pytest.raises(InvalidParameters) as caught:
            await executor.run(order(stand_in, shop, adsPowerId=host))
        assert caught.value.field == "adsPowerId"
    assert stand_in.calls == []


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        # Twice, because the HTTP client asks once more when a kept connection breaks.
        (("refused", "active", 2), "ADSPOWER_UNAVAILABLE"),
        (("error", "start", 1), "ADSPOWER_REFUSED"),
        (("garbage", "start", 1), "ADSPOWER_FAILED"),
    ],
)
async def test_a_refusal_fails_the_attempt_in_its_words(executor, stand_in, shop, fault, code):
    stand_in.faults.add(Fault(*fault))
    error = await failing(executor, order(stand_in, shop))
    assert (error.code, error.retryable) == (code, True)
    if code == "ADSPOWER_REFUSED":
        assert "profile is not exist" in error.message
    assert stand_in.profiles.find("jx1") is None


async def test_being_asked_too_often_slows_down_instead_of_failing(stand_in):
    stand_in.calls.clear()
    stand_in.faults.add(Fault("error", "active", message="Too many request per second, please check", times=2))
    api = AdsPowerApi(AdsPowerRules(hosts=(stand_in.host,), api_key="key-1", requests_per_second=50))
    assert await api.active(api.place(stand_in.host, "jx1")) is None
    await api.close()
    assert len(stand_in.calls) == 3


async def test_a_slow_start_is_waited_for_and_a_cancelled_one_is_stopped_again(executor, stand_in, shop):
    stand_in.faults.add(Fault("slow", "start", seconds=0.5))
    assert await executor.run(order(stand_in, shop)) == {"h": "Lamps"}
    stand_in.calls.clear()
    stand_in.faults.add(Fault("slow", "start", seconds=1.0))
    run = order(stand_in, shop)
    task = asyncio.create_task(executor.run(run))
    await until(lambda: ("start", "jx1") in stand_in.calls, 60)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: not run.guarded[0].alive(), 60)
    assert ("stop", "jx1") in stand_in.calls


async def test_a_killed_browser_fails_the_attempt_at_once_as_a_crash(executor, stand_in, shop):
    run = order(stand_in, shop, steps=[{"type": "wait_for", "target": {"id": "never"}}])
    task = asyncio.create_task(executor.run(run))
    await until(lambda: any(at and at.startswith("steps[0]") for _, _, at in run.steps), 60)
    began = time.monotonic()
    assert await stand_in.profiles.kill("jx1")
    with pytest.raises(ExecutorError) as caught:
        await task
    assert (caught.value.code, caught.value.retryable) == ("BROWSER_CRASHED", True)
    assert time.monotonic() - began < 20
    assert stand_in.profiles.find("jx1") is None


async def test_cancelling_lets_go_of_the_profile_within_two_seconds(executor, stand_in, shop):
    run = order(stand_in, shop, steps=[{"type": "wait_for", "timeMs": 60_000}])
    task = asyncio.create_task(executor.run(run))
    await until(lambda: any(at and at.startswith("steps[0]") for _, _, at in run.steps), 60)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: not run.guarded[0].alive(), 60)
    assert stand_in.profiles.find("jx1") is None


async def test_the_key_is_sent_and_the_devtools_address_is_rewritten_to_the_host():
    from scraper.adspower import Place, _devtools_address

    data = {"ws": {"puppeteer": "ws://127.0.0.1:9222/devtools/browser/abc"}}
    assert _devtools_address(Place("10.0.0.3", 50325, "x"), data) == "ws://10.0.0.3:9222/devtools/browser/abc"
    for bad in ({}, {"ws": 5}, {"ws": {"puppeteer": "http://x:1/"}}, {"ws": {"puppeteer": "ws://127.0.0.1/x"}}):
        assert _devtools_address(Place("h", 1, "x"), bad) is None
    assert Place("h", 1, "12").query == {"serial_number": "12"}
    assert Place("h", 1, "jx1").query == {"user_id": "jx1"}
