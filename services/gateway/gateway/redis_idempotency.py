"""Idempotency keys. Owns: `trawl:gateway:idempotency:<digest>` in Redis, which holds what was asked and, once known,
the answer. MongoDB keeps the answer as well, for Redis may lose it. Knows no contract.
"""

import asyncio
import base64
import hashlib
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import redis.asyncio as aioredis
from chassis.errors import Conflict, TrawlError, Unavailable
from chassis.logs import get_logger
from chassis.stores import redis_errors

from gateway.checks import invalid
from gateway.exchange import Answer, Call
from gateway.mongo_answers import KeptAnswers

log = get_logger("idempotency")
KEPT_SECONDS = 24 * 3600
MAX_KEPT_BYTES = 1024 * 1024
HEADER = b"idempotency-key"


class Idempotency:
    """Gives the first answer again. An answer that is an error is not kept: it started nothing."""

    def __init__(self, redis: aioredis.Redis, kept: KeptAnswers) -> None:
        self._redis, self._kept = redis, kept

    async def run(self, call: Call, work: Callable[[Call], Awaitable[Answer]], in_flight_seconds: int) -> Answer:
        """The answer of `work`, or of the earlier request with the same key. While a first request is under way, at
        most for `in_flight_seconds`, and for another body, raises `Conflict`.
        """
        name = f"trawl:gateway:{operation_id(call)}"
        digest = hashlib.sha256(await call.body()).hexdigest()
        with redis_errors():
            mine = await self._redis.set(name, orjson.dumps({"digest": digest}), nx=True, ex=in_flight_seconds)
            earlier = None if mine else await self._redis.get(name)
        if not mine:
            return _replay(earlier, digest)
        try:
            if earlier := await self._kept.find(name):
                await self._tell_redis(name, earlier)
                return _replay(earlier, digest)
            answer = await work(call)
        except TrawlError:
            await self._drop(name)
            raise
        await self._keep(name, digest, answer)
        return answer

    async def _drop(self, name: str) -> None:
        try:
            with redis_errors():
                await self._redis.delete(name)
        except Unavailable:
            log.warning("an idempotency key stays in flight until it expires")

    async def _keep(self, name: str, digest: str, answer: Answer) -> None:
        if answer.status >= 400:
            await self._drop(name)
            return
        kept: dict[str, Any] = {"digest": digest, "status": answer.status}
        if len(answer.body) <= MAX_KEPT_BYTES:
            kept["body"] = base64.b64encode(answer.body).decode()
        said = orjson.dumps(kept)
        await asyncio.gather(self._tell_redis(name, said), self._tell_mongodb(name, said))

    async def _tell_redis(self, name: str, said: bytes) -> None:
        try:
            with redis_errors():
                await self._redis.set(name, said, ex=KEPT_SECONDS)
        except Unavailable:
            # The work is done and its answer must not be lost; a repeat meets a key in flight until that expires.
            log.warning("an answer could not be kept for its idempotency key", store="Redis")

    async def _tell_mongodb(self, name: str, said: bytes) -> None:
        try:
            await self._kept.add(name, said, KEPT_SECONDS)
        except Unavailable:
            log.warning("an answer could not be kept for its idempotency key", store="MongoDB")


def operation_id(call: Call) -> str:
    """Names what the key stands for: one caller's one operation. Raises `InvalidInput`."""
    key = call.headers[HEADER]
    if not 0 < len(key) <= 255 or not key.decode("latin-1").isprintable():
        raise invalid("Idempotency-Key", "length", "必须是1到255个可见字符")
    caller = call.principal.id if call.principal else ""
    parts = (caller, call.scope["method"], call.scope["path"], key.decode("latin-1"))
    return f"idempotency:{hashlib.sha256(orjson.dumps(parts)).hexdigest()}"


def _replay(stored: bytes | str | None, digest: str) -> Answer:
    if stored is None:  # it expired between two commands: as good as in flight
        raise Conflict("相同Idempotency-Key的请求正在处理", retry_after_seconds=1)
    earlier = orjson.loads(stored)
    if earlier["digest"] != digest:
        raise Conflict("Idempotency-Key已用于不同的请求体", field="Idempotency-Key", rule="same_body")
    if "status" not in earlier:
        raise Conflict("相同Idempotency-Key的请求正在处理", retry_after_seconds=1)
    if "body" not in earlier:
        raise Conflict("请求已完成, 但响应过大而未保留", field="Idempotency-Key", rule="kept")
    return Answer(base64.b64decode(earlier["body"]), earlier["status"], ((b"idempotency-replayed", b"true"),))
