"""Secrets at rest. Owns: the key, and turning texts into what may lie in a database. Must not know whose secrets.

The key is made from SECRETS_KEY, any text of at least 16 characters, or from the file that SECRETS_KEY_FILE names,
which is generated on first use. Several, separated by commas (lines in the file), let a key be replaced: the first
encrypts, all decrypt.
"""

import base64
import contextlib
import os
import secrets
import uuid
from collections.abc import Sequence
from pathlib import Path

from chassis.errors import Unavailable
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_FILE_MODE = 0o600
MIN_KEY_CHARACTERS = 16
_PURPOSE = b"trawl secrets at rest, 1"


class WrongKey(Unavailable):
    """It was sealed with another key, or is no sealed secret at all, or too old."""


class SecretBox:
    """Encrypts and authenticates (Fernet: AES-128-CBC with HMAC-SHA256)."""

    def __init__(self, keys: Sequence[str]) -> None:
        """Without keys every use raises `Unavailable`, so that a service without secrets starts all the same."""
        if any(len(key) < MIN_KEY_CHARACTERS for key in keys):
            raise ValueError(f"SECRETS_KEY must have at least {MIN_KEY_CHARACTERS} characters")
        self._box = MultiFernet([Fernet(_derive(key)) for key in keys]) if keys else None

    def seal(self, text: str) -> str:
        """What may be stored."""
        return self.seal_bytes(text.encode())

    def open(self, sealed: str) -> str:
        """The text again. Raises `Unavailable` when it was sealed with another key."""
        return self.open_bytes(sealed).decode()

    def seal_bytes(self, data: bytes) -> str:
        """As `seal`."""
        return self._opened().encrypt(data).decode()

    def open_bytes(self, sealed: str, max_age_seconds: int | None = None) -> bytes:
        """As `open`. Raises `WrongKey`, also for what is older."""
        try:
            return self._opened().decrypt(sealed.encode("ascii", "replace"), ttl=max_age_seconds)
        except InvalidToken as error:
            message = "a stored secret was sealed with another key: set SECRETS_KEY"
            raise WrongKey(message, dependency="key") from error

    def _opened(self) -> MultiFernet:
        if self._box is None:
            raise Unavailable("no key for secrets: set SECRETS_KEY or SECRETS_KEY_FILE", dependency="key")
        return self._box


def make_secret_box(key: str | None, key_file: Path | None) -> SecretBox:
    """The box of the settings; `key` goes before `key_file`."""
    if key:
        return SecretBox([part.strip() for part in key.split(",") if part.strip()])
    return SecretBox(_keys_of(key_file)) if key_file is not None else SecretBox([])


def _derive(key: str) -> bytes:
    """The key may be any text: what it holds is random already, so no slow derivation is needed."""
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=_PURPOSE).derive(key.encode())
    return base64.urlsafe_b64encode(derived)


def _keys_of(path: Path) -> list[str]:
    """The file's keys. It is made whole under another name first: whoever sees it, sees a key."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        handle = os.open(draft, os.O_CREAT | os.O_WRONLY | os.O_EXCL, KEY_FILE_MODE)
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_hex(32) + "\n")
            file.flush()
            os.fsync(file.fileno())
        # Another process may be faster: its key is as good.
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(draft)
        draft.unlink()
    return path.read_text().split()
