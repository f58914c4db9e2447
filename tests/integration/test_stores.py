"""The servers that the other tests rely on."""

import nats
import pymongo
import redis
import stores


async def test_each_test_gets_empty_stores_that_answer(settings_env: stores.SettingsEnv) -> None:
    """NATS without streams, Redis without keys, a MongoDB that takes a document."""
    env = settings_env()
    client = await nats.connect(env["NATS_URL"])
    assert await client.jetstream().streams_info() == []
    await client.close()
    with redis.Redis.from_url(env["REDIS_URL"]) as keys:
        assert keys.dbsize() == 0
    with pymongo.MongoClient(env["MONGODB_URI"]) as mongo:
        things = mongo[env["MONGODB_PREFIX"] + "_tests"]["things"]
        things.insert_one({"_id": "a"})
        assert [doc["_id"] for doc in things.find()] == ["a"]


def test_a_killed_redis_comes_back_with_its_data(redis_url: str, redis_server: stores.Store) -> None:
    """The append-only file outlives kill -9 of the process."""
    with redis.Redis.from_url(redis_url) as keys:
        keys.set("k", "v")
    redis_server.kill()
    assert not stores.listens(redis_server.port)
    redis_server.start()
    with redis.Redis.from_url(redis_url) as keys:
        keys.ping()
        assert keys.get("k") == b"v"
