"""Fixtures that all tests share: real brokers and stores, empty for each test. See `stores.py` for the servers."""

import os
import random
import string
from collections.abc import Iterator
from pathlib import Path

import pymongo
import pytest
import redis
import stores
from xdist.scheduler import LoadFileScheduling

# Modules whose stacks choose their private ports themselves, and so must not start side by side.
STACKS = ("test_demo", "test_supervisor_command", "test_supervisor_restarts")
FAULTS = "faults"


class ByModule(LoadFileScheduling):  # type: ignore[misc]
    """A module's tests run in one process, in their order, and so share its systems.

    So do all fault tests: each of their systems is restarted all the time, and two at once are a machine's whole work.
    """

    def _split_scope(self, nodeid: str) -> str:
        module = Path(nodeid.partition("::")[0])
        if FAULTS in module.parts:
            return FAULTS
        return "stacks" if module.stem in STACKS else str(module)


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByModule:
    """Which process gets which test, when there are several (`-n 2`)."""
    return ByModule(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first: when one process is left with it in the end, the others have nothing to do."""
    items.sort(key=lambda item: FAULTS not in item.path.parts)


def pytest_configure() -> None:
    """Let what tests start keep its compiled imports: compiling them at each start takes seconds."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[stores.Store]:
    """The NATS server of this session; tests may kill it, the next test gets a fresh one."""
    server = stores.nats_server(tmp_path_factory.mktemp("nats"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[stores.Store]:
    """The Redis server of this session; tests may kill it, it runs again for the next test."""
    server = stores.redis_server(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def mongodb_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[stores.Store]:
    """The stand-in for MongoDB, started when a test first asks for it (also when MONGODB_URI is set)."""
    server = stores.mongodb_stand_in(tmp_path_factory.mktemp("mongodb"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def nats_url(nats_server: stores.Store) -> str:
    """A NATS server without any stream."""
    nats_server.wipe()
    return nats_server.url


@pytest.fixture
def redis_url(redis_server: stores.Store) -> str:
    """A Redis server without any key."""
    if not redis_server.running:
        redis_server.start()
    with redis.Redis.from_url(redis_server.url) as client:
        stores.wait_until(lambda: _emptied(client))
    return redis_server.url


def _emptied(client: redis.Redis) -> bool:
    """A server that was started anew listens before it has read its file."""
    try:
        return bool(client.flushall())
    except redis.BusyLoadingError:
        return False


@pytest.fixture
def mongodb_uri(request: pytest.FixtureRequest) -> str:
    """MONGODB_URI of the environment, else the stand-in. Databases are told apart by `mongodb_prefix`."""
    if outside := os.environ.get("MONGODB_URI"):
        return outside
    server: stores.Store = request.getfixturevalue("mongodb_server")
    if not server.running:
        server.start()
    return server.url


@pytest.fixture
def mongodb_prefix(mongodb_uri: str) -> Iterator[str]:
    """Prefix of this test's own databases, which are dropped after it when the server is not our own."""
    prefix = "test_" + "".join(random.choices(string.ascii_lowercase, k=12))
    yield prefix
    if os.environ.get("MONGODB_URI"):
        with pymongo.MongoClient(mongodb_uri) as client:
            for name in client.list_database_names():
                if name.startswith(prefix + "_"):
                    client.drop_database(name)


@pytest.fixture
def settings_env(
    nats_url: str, redis_url: str, mongodb_uri: str, mongodb_prefix: str, tmp_path: Path
) -> stores.SettingsEnv:
    """Environment of a service that uses this test's stores: `settings_env(GRPC_PORT=1234)`."""

    def make(**more: object) -> dict[str, str]:
        return {
            "NATS_URL": nats_url,
            "REDIS_URL": redis_url,
            "MONGODB_URI": mongodb_uri,
            "MONGODB_PREFIX": mongodb_prefix,
            "BLOB_DIR": str(tmp_path / "blobs"),
            "LOG_DIR": str(tmp_path / "logs"),
            "WORK_DIR": str(tmp_path / "work"),
        } | {key: str(value) for key, value in more.items()}

    return make


def pytest_make_parametrize_id(val: object) -> str | None:
    """Octets name no test: those of a packed body have the time in them, and processes must agree on the names."""
    return "octets" if isinstance(val, bytes) else None
