"""What is sealed for one use and opens for no other. Owns: the binding to the use; the key is `secret_box`'s."""

from scraper.executor import ExecutorError
from scraper.secret_box import SecretBox, WrongKey

_SEPARATOR = b"\0"


class Sealer:
    """Seals and opens. Both raise `Unavailable` when no key is set."""

    def __init__(self, box: SecretBox) -> None:
        self._box = box

    def seal(self, use: str, data: bytes) -> str:
        """`data` as text that says nothing."""
        return self._box.seal_bytes(use.encode() + _SEPARATOR + data)

    def open(self, use: str, sealed: str, max_age_seconds: int | None = None) -> bytes:
        """What was sealed for that use. Raises `ExecutorError` when this key, use or age doesn't fit."""
        try:
            opened = self._box.open_bytes(sealed, max_age_seconds)
        except WrongKey as error:
            raise _not_ours() from error
        found, _, data = opened.partition(_SEPARATOR)
        if found != use.encode():
            raise _not_ours()
        return data


def _not_ours() -> ExecutorError:
    message = "something sealed can't be opened: too old, or sealed with another key"
    return ExecutorError(message, code="NOT_OPENED", retryable=False)
