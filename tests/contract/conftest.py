"""Brokers for the whole session, a fresh gateway and fresh fakes for each test."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from gateway_support.stack import Brokers, Gateway, running_gateway, until_open


@pytest.fixture(scope="session")
def brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Brokers]:
    """NATS, Redis and the MongoDB stand-in."""
    running = Brokers(tmp_path_factory.mktemp("brokers"))
    running.start()
    try:
        for port in (running.nats, running.redis, running.mongo):
            asyncio.run(until_open(port))
        yield running
    finally:
        running.stop()


@pytest.fixture
async def gateway(brokers: Brokers) -> AsyncIterator[Gateway]:
    """A gateway with its default settings."""
    async with running_gateway(brokers) as running:
        yield running
