"""A fresh gateway and fresh fakes for each test; one for all requests of a module that are refused anyway."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
import stores as servers
from gateway_support.stack import Gateway, Stores, running_gateway


@pytest.fixture
def stores(nats_url: str, redis_url: str, mongodb_uri: str, mongodb_prefix: str) -> Stores:
    """Where the brokers and the database are."""
    return Stores(nats_url, redis_url, mongodb_uri, mongodb_prefix)


@pytest.fixture
async def gateway(stores: Stores) -> AsyncIterator[Gateway]:
    """A gateway with its default settings."""
    async with running_gateway(stores) as running:
        yield running


@pytest.fixture(scope="session")
def standing_stores(tmp_path_factory: pytest.TempPathFactory, mongodb_server: servers.Store) -> Iterator[Stores]:
    """Brokers that no test empties, for gateways that outlive a test."""
    nats = servers.nats_server(tmp_path_factory.mktemp("nats"))
    redis = servers.redis_server(tmp_path_factory.mktemp("redis"))
    try:
        nats.start()
        redis.start()
        yield Stores(nats.url, redis.url, mongodb_server.url, "test_standing")
    finally:
        nats.kill()
        redis.kill()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_gateway(standing_stores: Stores) -> AsyncIterator[Gateway]:
    """One for tests that leave no trace in it: to build it takes longer than to be refused by it."""
    async with running_gateway(standing_stores) as running:
        yield running
