"""Which errors of stores are nobody's request's fault."""

import pytest
from chassis.errors import Unavailable
from chassis.stores import mongo_errors, redis_errors
from pymongo.errors import AutoReconnect, BulkWriteError, DuplicateKeyError, OperationFailure
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import DataError, OutOfMemoryError, ReadOnlyError, ResponseError


@pytest.mark.parametrize(
    "error",
    [
        AutoReconnect("away"), OperationFailure("no primary", 10107), OperationFailure("out of space", 14031),
        OperationFailure("database or disk is full"), OperationFailure("(sqlite) database is locked", 8),
        BulkWriteError({"writeErrors": [{"index": 0, "code": 8, "errmsg": "disk I/O error"}]}),
    ],
)  # fmt: skip
def test_mongodb_in_trouble_is_unavailable(error: Exception) -> None:
    with pytest.raises(Unavailable) as raised, mongo_errors():
        raise error
    assert str(error) not in raised.value.message


@pytest.mark.parametrize(
    "error",
    [
        RedisConnectionError("away"), OutOfMemoryError("command not allowed"), ReadOnlyError("replica"),
        ResponseError("MISCONF Errors writing to the AOF file: No space left on device"),
        ResponseError("Error running script: -OOM command not allowed when used memory > 'maxmemory'"),
        ResponseError("CLUSTERDOWN The cluster is down"),
    ],
)  # fmt: skip
def test_redis_in_trouble_is_unavailable(error: Exception) -> None:
    with pytest.raises(Unavailable), redis_errors():
        raise error


@pytest.mark.parametrize("error", [DuplicateKeyError("E11000", 11000), OperationFailure("bad query", 2)])
def test_what_is_the_requests_own_fault_stays_what_it_is_in_mongodb(error: Exception) -> None:
    with pytest.raises(type(error)), mongo_errors():
        raise error


@pytest.mark.parametrize("error", [ResponseError("WRONGTYPE of key"), DataError("a dict")])
def test_what_is_the_requests_own_fault_stays_what_it_is_in_redis(error: Exception) -> None:
    with pytest.raises(type(error)), redis_errors():
        raise error
