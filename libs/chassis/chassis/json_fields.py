"""JSON that comes in as bytes of a message. Owns: that nothing else is taken for it. Must not know any message."""

from typing import Any

import orjson

from chassis.errors import InvalidInput


def read_json(raw: bytes, field: str) -> Any:
    """The value; None for nothing. Raises `InvalidInput` for what is no JSON."""
    try:
        return orjson.loads(raw) if raw else None
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"{field} must be JSON", field=field, rule="type") from error


def read_object(raw: bytes, field: str) -> dict[str, Any]:
    """The object; an empty one for nothing. Raises `InvalidInput` for anything else."""
    value = read_json(raw, field)
    if value is None:
        value = {}
    if not isinstance(value, dict):
        raise InvalidInput(f"{field} must be an object", field=field, rule="type")
    return value
