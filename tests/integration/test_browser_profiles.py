"""Profiles of browser ids: sessions in a real MongoDB, leases in a real Redis, and a run that loses its own."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import stores
from chassis.errors import Unavailable
from chassis.settings import ServiceSettings
from chassis.stores import mongo_client, mongo_database, redis_client
from integration.browser_kit import run_of
from scraper.browser_profiles import DEFAULT_ID, Profiles
from scraper.executor import ExecutorError, Parked
from scraper.mongo_sessions import MongoSessions
from scraper.redis_profiles import ProfileBusy, RedisProfiles
from scraper.sealing import Sealer
from scraper.secret_box import SecretBox
from scraper.storage_state import OriginState

KEY = "the key of these tests"
COOKIE = {"name": "sid", "value": "keks-4711", "domain": "shop.test", "path": "/", "expires": 1_900_000_000}
SHOP = OriginState("https://shop.test", [COOKIE], [{"name": "theme", "value": "dunkel"}])
OTHER = OriginState("https://other.test", [], [{"name": "k", "value": "v"}])


@pytest.fixture
async def database(settings_env, mongodb_uri):
    settings = ServiceSettings(**{name.lower(): value for name, value in settings_env().items()})
    client = mongo_client(settings)
    yield mongo_database(client, settings, "scraper")
    client.close()


@pytest.fixture
async def sessions(database):
    kept = MongoSessions(database, Sealer(SecretBox([KEY])))
    await kept.prepare()
    return kept


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator:
    client = redis_client(ServiceSettings(redis_url=redis_url))
    yield client
    await client.aclose(close_connection_pool=True)


async def test_what_is_kept_comes_back_by_browser_id_and_is_sealed(sessions, database):
    await sessions.replace("b1", [SHOP, OTHER], [])
    assert sorted(await sessions.load("b1"), key=lambda one: one.origin) == [OTHER, SHOP]
    assert await sessions.load("b2") == []
    stored = repr(await database["sessions"].find({}).to_list(None))
    assert "keks-4711" not in stored
    assert "dunkel" not in stored
    another = MongoSessions(database, Sealer(SecretBox(["another key, of another worker"])))
    assert await another.load("b1") == [], "what can't be opened is left out"
    assert len(await sessions.load("b1")) == 2, "and stays"


async def test_a_renewal_replaces_what_was_loaded_and_leaves_the_rest(sessions):
    await sessions.replace("b1", [SHOP], [])
    (before,), _ = await sessions.find("b1", offset=0, limit=10)
    # OTHER was kept by a run that had not loaded SHOP: it must not take it away.
    await sessions.replace("b1", [OTHER], [])
    newer = OriginState(SHOP.origin, [], [{"name": "theme", "value": "hell"}])
    await sessions.replace("b1", [newer], [SHOP, OTHER])
    assert await sessions.load("b1") == [newer]
    (after,), total = await sessions.find("b1", SHOP.origin, offset=0, limit=10)
    assert (total, after.cookies, after.local_storage, after.expires_ms) == (1, 0, 1, 0)
    assert after.created_ms == before.created_ms
    assert before.expires_ms == 1_900_000_000_000


async def test_sessions_are_listed_in_pages_and_deleted_by_id_or_origin(sessions):
    for number in range(3):
        await sessions.replace(f"b{number}", [SHOP, OTHER], [])
    found, total = await sessions.find(origin=SHOP.origin, offset=1, limit=1)
    assert (len(found), total) == (1, 3)
    assert await sessions.delete("b0", OTHER.origin) == 1
    assert await sessions.delete("b0", OTHER.origin) == 0
    assert await sessions.load("b0") == [SHOP]
    assert await sessions.delete("b1") == 2
    assert (await sessions.find(offset=0, limit=10))[1] == 3


async def test_a_profile_has_one_holder_and_is_free_after_it(redis):
    leases = RedisProfiles(redis)
    async with leases.hold("browser:b1", 7) as lost:
        assert await leases.holder("browser:b1") == "7"
        with pytest.raises(ProfileBusy) as caught:
            async with leases.hold("browser:b1", 8):
                pass
        assert caught.value.holder == "7"
        async with leases.hold("browser:b2", 8):
            pass
        assert not lost.is_set()
    assert await leases.holder("browser:b1") is None


async def test_a_lease_lives_as_long_as_its_holder_and_not_longer(redis):
    leases = RedisProfiles(redis, lease_seconds=600, renew_seconds=0.05)
    async with leases.hold("p", 1):
        (key,) = await redis.keys("*")
        await redis.expire(key, 60)
        async with asyncio.timeout(30):
            while await redis.ttl(key) <= 60:
                await asyncio.sleep(0.02)
    # A holder that dies does not renew.
    dead = RedisProfiles(redis, lease_seconds=0.3, renew_seconds=1000)
    async with dead.hold("p", 2):
        async with asyncio.timeout(40):
            while await leases.holder("p") is not None:
                await asyncio.sleep(0.05)
        async with leases.hold("p", 3):
            pass


async def test_who_lost_a_lease_learns_of_it_and_leaves_the_next_holder_alone(redis):
    leases = RedisProfiles(redis, lease_seconds=60, renew_seconds=0.05)
    async with leases.hold("p", 1) as lost:
        await redis.flushall()
        async with RedisProfiles(redis).hold("p", 2) as second:
            await asyncio.wait_for(lost.wait(), 40)
            assert not second.is_set()
    async with RedisProfiles(redis).hold("q", 2):
        pass


async def test_giving_a_lost_lease_back_does_not_take_it_from_the_next_holder(redis):
    first = RedisProfiles(redis, renew_seconds=1000)
    holding = first.hold("p", 1)
    await holding.__aenter__()
    await redis.flushall()
    async with RedisProfiles(redis).hold("p", 2):
        await holding.__aexit__(None, None, None)
        assert await first.holder("p") == "2"


async def test_a_run_whose_profile_is_lost_stops_and_keeps_nothing(redis, sessions):
    """Another run may be using the profile: what this one has would overwrite what that one keeps."""
    await sessions.replace("b1", [SHOP], [])
    profiles = Profiles(sessions, RedisProfiles(redis, renew_seconds=0.05))
    stopped = asyncio.Event()

    async def work():
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    async with profiles.use("b1", run_of({})) as profile:
        assert profile.state["cookies"] == [COOKIE]
        working = asyncio.create_task(profile.unless_lost(work()))
        await asyncio.sleep(0)
        await redis.flushall()
        with pytest.raises(ExecutorError) as caught:
            await asyncio.wait_for(working, 40)
        assert (caught.value.code, caught.value.retryable, stopped.is_set()) == ("PROFILE_LOST", True, True)
        assert not await profile.keep({"cookies": [], "origins": []}, [])
    assert await sessions.load("b1") == [SHOP]


async def test_a_busy_profile_or_store_parks_the_run(redis, sessions, redis_server: stores.Store):
    leases = RedisProfiles(redis)
    profiles = Profiles(sessions, leases)
    async with leases.hold("browser:b1", 41):
        with pytest.raises(Parked) as caught:
            async with profiles.use("b1", run_of({})):
                pass
    assert (caught.value.code, "run 41" in caught.value.message) == ("PROFILE_BUSY", True)
    redis_server.kill()
    try:
        with pytest.raises(Parked) as caught:
            async with profiles.use("b1", run_of({})):
                pass
        assert caught.value.code == "STORE_UNAVAILABLE"
        with pytest.raises(Unavailable):
            await leases.holder("browser:b1")
    finally:
        redis_server.start()


async def test_a_run_without_a_browser_id_begins_with_the_default_logins_and_holds_nothing(redis, sessions):
    await sessions.replace(DEFAULT_ID, [SHOP], [])
    profiles = Profiles(sessions, RedisProfiles(redis))
    async with profiles.use("", run_of({})) as one, profiles.use("", run_of({})) as two:
        assert one.state == two.state
        assert not await one.keep({"cookies": [], "origins": []}, [])
    assert await sessions.load(DEFAULT_ID) == [SHOP]
