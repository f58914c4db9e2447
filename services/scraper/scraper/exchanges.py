"""One request and its answer, as values. Owns: what is asked, within which bounds, and what came. Must not fetch."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from multidict import CIMultiDictProxy

from scraper.charsets import decode_body
from scraper.executor import ExecutorError

MAX_BODY_BYTES = 10 * 1024 * 1024
MAX_REDIRECTS = 10


class FetchFailed(ExecutorError):
    """No answer could be had: no connection, no name, no time, or an answer that can't be read.

    `retryable`: whether asking again could go better.
    """

    def __init__(self, message: str, *, code: str = "FETCH_FAILED", retryable: bool = True) -> None:
        super().__init__(message, code=code, retryable=retryable)


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer. `url` is where the redirects ended, with the fragment asked for; `truncated` means that `body` stops
    at the bound, `incomplete` that it was packed and ends early. `sends_on`: where readers without scripts are sent.
    """

    url: str
    status: int
    reason: str
    headers: CIMultiDictProxy[str]
    body: bytes
    truncated: bool
    seconds: float
    incomplete: bool = False
    sends_on: str | None = None

    @property
    def content_type(self) -> str:
        """The media type in lower case, without parameters; empty when the answer names none."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    def text(self) -> str:
        """The body decoded as browsers do."""
        return self.decoded()[0]

    def decoded(self, charset: str | None = None) -> tuple[str, str]:
        """The text and its encoding; `charset` counts in place of what the answer says."""
        return decode_body(self.body, self.headers.get("Content-Type", ""), charset=charset)


class Receiver(Protocol):
    """Takes a body piece by piece, so that what came before the line broke is not lost."""

    def begin(self, status: int, headers: CIMultiDictProxy[str]) -> int | None:
        """Called with each answer: how many bytes of the whole are there already, or None to leave the body in the
        answer. Raises ExecutorError to refuse it.
        """

    async def write(self, piece: bytes) -> None:
        """The next piece."""


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """What to fetch, and within which bounds. `follow`: called with each redirect's target, may refuse by raising.
    `receiver`: gets the body instead of the answer; `max_bytes` counts what it had before. `refresh`: follow pages that
    send their reader on, as redirects; `charset`: their encoding, whatever they say.
    """

    url: str
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    timeout_seconds: float = 30
    max_bytes: int = MAX_BODY_BYTES
    max_redirects: int = MAX_REDIRECTS
    verify_tls: bool = True
    follow: Callable[[str], Awaitable[None]] | None = None
    receiver: Receiver | None = None
    refresh: bool = False
    charset: str | None = None
