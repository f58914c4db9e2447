"""Connections to MongoDB and Redis with bounded waits, and their drivers' errors as `Unavailable`."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis.asyncio as aioredis
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorDatabase
from pymongo.errors import (
    AutoReconnect,
    ConnectionFailure,
    ExecutionTimeout,
    NetworkTimeout,
    OperationFailure,
    ServerSelectionTimeoutError,
)
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import BusyLoadingError, OutOfMemoryError, ReadOnlyError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from chassis.errors import Unavailable
from chassis.settings import ServiceSettings

MONGO_DOWN = (AutoReconnect, ConnectionFailure, ExecutionTimeout, NetworkTimeout, ServerSelectionTimeoutError)
REDIS_DOWN = (RedisConnectionError, RedisTimeoutError, BusyLoadingError)
# Codes of a server that is well and can't do it now: stepping down, shutting down, out of time or space, not enough
# members for the write concern.
MONGO_TROUBLE = frozenset(
    {50, 64, 89, 91, 100, 189, 262, 9001, 10058, 10107, 11600, 11602, 13435, 13436, 14031, 16755}
)  # fmt: skip
# The same where only the text tells. A full disk is nobody's request's fault: whatever waits for it is kept.
_TROUBLE = re.compile(
    r"(?i)disk is full|no space left|disk I/O error|database is locked|readonly database"
    r"|\b(MISCONF|OOM command|READONLY|CLUSTERDOWN|MASTERDOWN|NOREPLICAS|TRYAGAIN|LOADING)\b"
)


# A service's database. Composition roots hand it on by this name, so that the driver's is known to few.
Database = AsyncIOMotorDatabase[dict[str, Any]]


def mongo_client(settings: ServiceSettings, **options: Any) -> AsyncIOMotorClient[dict[str, Any]]:
    """A client that gives up on a dead server after seconds. Motor stays behind this and the `mongo_*` modules.
    `options` are the driver's own, such as `event_listeners`.
    """
    return AsyncIOMotorClient(
        settings.mongodb_uri.get_secret_value(),
        serverSelectionTimeoutMS=2_000,
        connectTimeoutMS=2_000,
        socketTimeoutMS=20_000,
        maxPoolSize=20,
        # Used where the store has sessions (replica sets, as it says itself), and left alone at the embedded stand-in.
        retryWrites=True,
        retryReads=True,
        # An operation that fails looks at once; this is only how often an idle client asks.
        heartbeatFrequencyMS=10_000,
        **options,
    )


def mongo_database(
    client: AsyncIOMotorClient[dict[str, Any]], settings: ServiceSettings, service: str
) -> AsyncIOMotorDatabase[dict[str, Any]]:
    """The service's own database."""
    return client[f"{settings.mongodb_prefix}_{service}"]


def redis_client(settings: ServiceSettings, *, connections: int = 16) -> aioredis.Redis:
    """A client whose callers queue for a connection instead of failing; answers are bytes."""
    pool = aioredis.BlockingConnectionPool.from_url(
        settings.redis_url.get_secret_value(),
        max_connections=connections,
        timeout=5,
        socket_timeout=5,
        socket_connect_timeout=2,
        retry=Retry(ExponentialBackoff(cap=0.2, base=0.02), 2),
        health_check_interval=0,
    )
    return aioredis.Redis(connection_pool=pool)


@contextmanager
def mongo_errors() -> Iterator[None]:
    """Turns "MongoDB can't be reached", or can't do its work now, into `Unavailable`."""
    try:
        yield
    except MONGO_DOWN as error:
        raise Unavailable("MongoDB is unavailable", dependency="mongodb") from error
    except OperationFailure as error:
        if error.code not in MONGO_TROUBLE and _TROUBLE.search(str(error)) is None:
            raise
        raise Unavailable("MongoDB is unavailable", dependency="mongodb") from error


@contextmanager
def redis_errors() -> Iterator[None]:
    """Turns "Redis can't be reached", or can't do its work now, into `Unavailable`."""
    try:
        yield
    except REDIS_DOWN as error:
        raise Unavailable("Redis is unavailable", dependency="redis") from error
    except ResponseError as error:
        if not isinstance(error, OutOfMemoryError | ReadOnlyError) and _TROUBLE.search(str(error)) is None:
            raise
        raise Unavailable("Redis is unavailable", dependency="redis") from error
