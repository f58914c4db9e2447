"""Encryption of what may not be readable on a disk. Owns: the key; what was sealed for one use opens for no other.

Fernet (AES-128-CBC with HMAC-SHA256). Several keys: the first seals, all of them open, so that keys can be changed.
"""

import base64
import hashlib
import os
import uuid
from collections.abc import Sequence
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from scraper.executor import ExecutorError

_SEPARATOR = b"\0"
SHORTEST_KEY = 20


class Sealer:
    """Seals and opens. A key is url-safe base64 of 32 bytes, or any other secret text of enough characters; raises
    ValueError for a shorter one.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        if not keys:
            raise ValueError("there must be at least one key")
        self._fernet = MultiFernet([_fernet(key) for key in keys])

    def seal(self, use: str, data: bytes) -> str:
        """`data` as text that says nothing."""
        return self._fernet.encrypt(use.encode() + _SEPARATOR + data).decode("ascii")

    def open(self, use: str, sealed: str, max_age_seconds: int | None = None) -> bytes:
        """What was sealed for that use. Raises `ExecutorError` when this key, use or age doesn't fit."""
        try:
            opened = self._fernet.decrypt(sealed.encode("ascii", "replace"), ttl=max_age_seconds)
        except InvalidToken as error:
            raise _not_ours() from error
        found, _, data = opened.partition(_SEPARATOR)
        if found != use.encode():
            raise _not_ours()
        return data


def _fernet(key: str) -> Fernet:
    try:
        return Fernet(key.encode())
    except ValueError:
        if len(key) < SHORTEST_KEY:
            raise ValueError(f"a session key has at least {SHORTEST_KEY} characters") from None
        return Fernet(base64.urlsafe_b64encode(hashlib.sha256(key.encode()).digest()))


def _not_ours() -> ExecutorError:
    message = "something sealed can't be opened: too old, or sealed with another key"
    return ExecutorError(message, code="NOT_OPENED", retryable=False)


def keys_of(setting: str, file: Path) -> list[str]:
    """The keys that are set, separated by commas; else the one in `file`, which is made, readable by its owner alone.

    Several processes may come at the same time: all of them end up with the same key.
    """
    if keys := [key.strip() for key in setting.split(",") if key.strip()]:
        return keys
    if not file.exists():
        draft = file.with_name(f".{file.name}.{uuid.uuid4().hex}")
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as out:
            out.write(Fernet.generate_key() + b"\n")
            out.flush()
            os.fsync(out.fileno())
        try:
            os.link(draft, file)
        except FileExistsError:
            pass  # somebody else was faster: theirs counts
        finally:
            draft.unlink()
    return [file.read_text(encoding="ascii").strip()]
