"""Secrets at rest. Owns: the key, and turning texts into what may lie in a database. Must not know whose secrets they are.

The key comes from SECRETS_KEY, or from the file that SECRETS_KEY_FILE names, which is generated on first use. Several
keys, separated by commas (lines in the file), let a key be replaced: the first encrypts, all decrypt.
"""

import contextlib
import os
from pathlib import Path

from chassis.errors import Unavailable
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

KEY_FILE_MODE = 0o600


class SecretBox:
    """Encrypts and authenticates (Fernet: AES-128-CBC with HMAC-SHA256)."""

    def __init__(self, keys: list[str]) -> None:
        """Without keys every use raises `Unavailable`, so that a service without secrets starts all the same."""
        try:
            self._box = MultiFernet([Fernet(key) for key in keys]) if keys else None
        except ValueError as error:
            raise ValueError("SECRETS_KEY must be 32 bytes in url-safe base64") from error

    def seal(self, text: str) -> str:
        """What may be stored."""
        return self._opened().encrypt(text.encode()).decode()

    def open(self, sealed: str) -> str:
        """The text again. Raises `Unavailable` when the key is another one than it was sealed with."""
        try:
            return self._opened().decrypt(sealed.encode()).decode()
        except InvalidToken as error:
            raise Unavailable(
                "a stored secret was sealed with another key: set SECRETS_KEY", dependency="key"
            ) from error

    def _opened(self) -> MultiFernet:
        if self._box is None:
            raise Unavailable("no key for secrets: set SECRETS_KEY or SECRETS_KEY_FILE", dependency="key")
        return self._box


def make_secret_box(key: str | None, key_file: Path | None) -> SecretBox:
    """The box of the settings; `key` goes before `key_file`."""
    if key:
        return SecretBox([part.strip() for part in key.split(",") if part.strip()])
    return SecretBox(_keys_of(key_file)) if key_file is not None else SecretBox([])


def _keys_of(path: Path) -> list[str]:
    """The file's keys. It is made whole under another name first: whoever sees it, sees a key."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        handle = os.open(draft, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, KEY_FILE_MODE)
        with os.fdopen(handle, "wb") as file:
            file.write(Fernet.generate_key() + b"\n")
        # Another process may be faster: its key is as good.
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(draft)
        draft.unlink()
    return path.read_text().split()
