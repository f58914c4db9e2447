"""JSON bodies from outside. Owns: the limits of what is read as JSON. Knows no field."""

from typing import Any

import orjson

from gateway.checks import invalid
from gateway.exact_json import DuplicateKey, HugeInteger, check_exact
from gateway.exchange import Call, Receive
from gateway.failures import Malformed, TooLarge

Json = Any
# MongoDB's own limit, and below that of every encoder on the way.
MAX_DEPTH = 100


def decode_json(data: bytes) -> Json:
    """The JSON value. Raises `Malformed` for what is not JSON, not UTF-8, nested deeper than `MAX_DEPTH`, or has a key
    twice, and `InvalidInput` for an integer of more than 64 bits.
    """
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        place = f"第{error.lineno}行第{error.colno}列"
        raise Malformed(f"请求体不是有效的JSON: {place}", field="body", rule="json") from error
    # A short body can't be nested too deep, and most are short.
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH and not _is_shallow(value):
        raise Malformed(f"请求体嵌套超过{MAX_DEPTH}层", field="body", rule="max_depth")
    try:
        check_exact(data, value)
    except DuplicateKey as error:
        raise Malformed(f"请求体中的键重复: {error.args[0][:100]!r}", field="body", rule="duplicate_key") from error
    except HugeInteger as error:
        raise invalid(error.args[0][:200] or "body", "integer", "超出64位整数, 请用字符串表示") from error
    return value


def _is_shallow(value: Json) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [
            child
            for container in level
            for child in (container.values() if isinstance(container, dict) else container)
            if isinstance(child, dict | list)
        ]
        if not level:
            return True
    return False


async def read_object(call: Call, *, optional: bool = False) -> dict[str, Json]:
    """The body as a JSON object; with `optional` an empty body is an empty object. Raises `Malformed`."""
    data = await call.body()
    if optional and not data.strip():
        return {}
    value = decode_json(data)
    if not isinstance(value, dict):
        raise Malformed("请求体必须是JSON对象", field="body", rule="object")
    return value


def too_large(limit: int) -> TooLarge:
    """The error for a body over `limit` bytes."""
    return TooLarge(f"请求体超过{limit}字节", field="body", rule="max_size", value=limit)


def limited(receive: Receive, limit: int) -> Receive:
    """`receive` that raises `TooLarge` once more than `limit` bytes have come: for bodies of undeclared length."""
    seen = 0

    async def counted() -> Any:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > limit:
            raise too_large(limit)
        return message

    return counted
