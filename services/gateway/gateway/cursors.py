"""Cursors of lists: the place behind the last row, sealed, so that nobody can make one up. Pure. Knows no contract.

A cursor is base64url of the time it was made (4 bytes), the place as the list's owner tells it, and a keyed checksum of
both and of the question: the list, its filter and its order. So a cursor fits its own question only, on every replica
that has the secret. What it says is not secret.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

from gateway.checks import MAX_SHOWN_CHARACTERS
from gateway.failures import UnfitCursor

FIELD = "cursor"
KEPT_SECONDS = 86_400
MAX_CHARACTERS = 200
_TIME_BYTES, _CHECK_BYTES = 4, 12
# What says which part of a list is asked for, and not which list.
_PART = ("after", "offset", "limit")


class Cursors:
    """Seals and opens them. `secret` has at most 64 bytes."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def seal(self, question: bytes, place: str, now: float) -> str | None:
        """The cursor for that place; None for none, which is the list's end."""
        if not place:
            return None
        data = int(now).to_bytes(_TIME_BYTES, "big") + place.encode()
        text = base64.urlsafe_b64encode(data + self._check(question, data)).decode().rstrip("=")
        if len(text) > MAX_CHARACTERS:
            raise ValueError(f"a place of {len(place)} characters is too long for a cursor")
        return text

    def open(self, question: bytes, query: Mapping[str, str], now: float) -> str:
        """The place that the query's cursor names; empty without one. Raises `UnfitCursor`."""
        text = query.get(FIELD, "")
        if not text:
            return ""
        data = _decoded(text)
        body, check = data[:-_CHECK_BYTES], data[-_CHECK_BYTES:]
        if len(body) <= _TIME_BYTES or not hmac.compare_digest(check, self._check(question, body)):
            raise _unfit("无效，或属于另一个列表、筛选或排序", text)
        if now - int.from_bytes(body[:_TIME_BYTES], "big") > KEPT_SECONDS:
            raise _unfit("已过期，请从头开始", text)
        return body[_TIME_BYTES:].decode()

    def _check(self, question: bytes, data: bytes) -> bytes:
        parts = len(question).to_bytes(4, "big") + question + data
        return hashlib.blake2b(parts, key=self._secret, person=b"trawl cursor", digest_size=_CHECK_BYTES).digest()


def question_of(request: Any) -> bytes:
    """What a list's request asks for, whichever part of it."""
    whole = type(request)()
    whole.CopyFrom(request)
    for name in _PART:
        whole.ClearField(name)
    return f"{whole.DESCRIPTOR.full_name} ".encode() + bytes(whole.SerializeToString(deterministic=True))


def _decoded(text: str) -> bytes:
    """The bytes; empty when no cursor is written so. Each cursor is written in one way only."""
    if len(text) > MAX_CHARACTERS or not text.isascii():
        return b""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return b""
    return data if base64.urlsafe_b64encode(data).decode().rstrip("=") == text else b""


def _unfit(message: str, text: str) -> UnfitCursor:
    return UnfitCursor(
        f"请求参数验证失败: {FIELD} {message}", field=FIELD, rule="cursor", value=text[:MAX_SHOWN_CHARACTERS]
    )
