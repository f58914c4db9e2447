"""A fresh gateway and fresh fakes for each test."""

from collections.abc import AsyncIterator

import pytest
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
