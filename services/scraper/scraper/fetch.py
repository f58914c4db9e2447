"""How one page is fetched over HTTP. Owns: bounds, redirects, cookies, decoding. Must not know robots or runs.

Every hop of a redirect passes the address guard. A fetch ends within its deadline and holds at most `max_bytes` of
body, counted after decompression; aiohttp decompresses piece by piece, so a bomb stops at that bound too.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Protocol
from urllib.parse import SplitResult, urljoin, urlsplit

import aiohttp
from multidict import CIMultiDict, CIMultiDictProxy
from w3lib.encoding import html_to_unicode

from scraper.addresses import AddressGuard, shown_url
from scraper.executor import ExecutorError
from scraper.socks_connector import PROXY_ERRORS, is_socks, socks_connector

DEFAULT_USER_AGENT = "Trawl/0.1 (automated retrieval; obeys robots.txt)"
MAX_BODY_BYTES = 10 * 1024 * 1024
MAX_REDIRECTS = 10
READ_BYTES = 64 * 1024
KEEPALIVE_SECONDS = 15
REDIRECTS = frozenset({301, 302, 303, 307, 308})
# Never carried to another origin by a redirect.
PRIVATE_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization"})


class FetchFailed(ExecutorError):
    """No answer could be had: no connection, no name, no time, or an answer that isn't HTTP."""

    def __init__(self, message: str, *, code: str = "FETCH_FAILED") -> None:
        super().__init__(message, code=code, retryable=True)


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer. `url` is where the redirects ended; `truncated` means that `body` stops at the bound."""

    url: str
    status: int
    reason: str
    headers: CIMultiDictProxy[str]
    body: bytes
    truncated: bool
    seconds: float

    @property
    def content_type(self) -> str:
        """The media type in lower case, without parameters; empty when the answer names none."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    def text(self) -> str:
        """The body decoded by its header, byte order mark or markup; undeclared: UTF-8, or else Windows-1252."""
        return html_to_unicode(self.headers.get("Content-Type"), self.body, auto_detect_fun=_guess_charset)[1]


def _guess_charset(body: bytes) -> str:
    try:
        body.decode()
    except UnicodeDecodeError as error:
        # A body cut at the bound may end inside a character.
        return "utf-8" if error.start >= len(body) - 3 else "cp1252"
    return "utf-8"


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
    `receiver`: gets the body instead of the answer; `max_bytes` counts what it had before.
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


class FetchSession:
    """Fetches with one cookie jar; one for each run. `proxied`: whether somebody else connects; `http_proxy`: an HTTP
    proxy that does.
    """

    def __init__(
        self, client: aiohttp.ClientSession, guard: AddressGuard, *, proxied: bool, http_proxy: str | None
    ) -> None:
        self._client, self._guard, self._proxied, self._http_proxy = client, guard, proxied, http_proxy

    async def fetch(self, request: FetchRequest) -> Fetched:
        """The answer, whatever its status. Raises FetchFailed, or AddressNotAllowed for a target or a hop."""
        try:
            async with asyncio.timeout(request.timeout_seconds):
                return await self._follow(request)
        except PROXY_ERRORS as error:
            raise FetchFailed(f"the proxy does not work: {_shown_error(error)}", code="PROXY_FAILED") from error
        except TimeoutError as error:
            message = f"no full answer from {shown_url(request.url)} within {request.timeout_seconds:g} s"
            raise FetchFailed(message, code="FETCH_TIMEOUT") from error
        except aiohttp.InvalidURL as error:
            raise FetchFailed(f"{shown_url(request.url)} is not a URL that can be called") from error
        except (aiohttp.ClientError, OSError) as error:
            raise FetchFailed(f"no answer from {shown_url(request.url)}: {_shown_error(error)}") from error
        except ValueError as error:
            # aiohttp refuses header values and hosts that can't be sent.
            raise FetchFailed(f"{shown_url(request.url)} can't be called: {error}") from error

    async def _follow(self, request: FetchRequest) -> Fetched:
        hop = _Hop(request.url, request.method, CIMultiDict(request.headers), request.body)
        started = monotonic()
        for _ in range(request.max_redirects + 1):
            parts = self._guard.check_url(hop.url)
            if self._proxied:
                # The proxy connects, so its target is judged here by name.
                await self._guard.check_host(parts.hostname or "")
            answer = await self._exchange(request, hop, started)
            location = answer.headers.get("Location") if answer.status in REDIRECTS else None
            if not location or request.max_redirects == 0:
                return answer
            target = urljoin(hop.url, location.strip())
            if request.follow is not None:
                await request.follow(target)
            hop = hop.redirected(answer.status, target)
        raise FetchFailed(
            f"{shown_url(request.url)} redirects more than {request.max_redirects} times", code="TOO_MANY_REDIRECTS"
        )

    async def _exchange(self, request: FetchRequest, hop: "_Hop", started: float) -> Fetched:
        async with self._client.request(
            hop.method,
            hop.url,
            headers=hop.headers,
            data=hop.body,
            allow_redirects=False,
            proxy=self._http_proxy,
            ssl=request.verify_tls,
        ) as response:
            held = request.receiver.begin(response.status, response.headers) if request.receiver else None
            if request.receiver is not None and held is not None:
                content, truncated = b"", await _pass_on(response, request.receiver, request.max_bytes - held)
            else:
                content, truncated = await _read_bounded(response, request.max_bytes)
            return Fetched(
                url=str(response.url),
                status=response.status,
                reason=response.reason or "",
                headers=response.headers,
                body=content,
                truncated=truncated,
                seconds=monotonic() - started,
            )


@dataclass(frozen=True, slots=True)
class _Hop:
    url: str
    method: str
    headers: CIMultiDict[str]
    body: bytes | None

    def redirected(self, status: int, target: str) -> "_Hop":
        """The next hop, by RFC 9110: what isn't repeated loses its body, and another origin gets no credentials."""
        method, body = self.method, self.body
        dropped: set[str] = set()
        if status == 303 or (status in (301, 302) and method == "POST"):
            method, body = ("HEAD" if method == "HEAD" else "GET"), None
            dropped |= {"content-type", "content-length"}
        if not same_origin(urlsplit(self.url), urlsplit(target)):
            dropped |= PRIVATE_HEADERS
        headers = CIMultiDict((name, value) for name, value in self.headers.items() if name.lower() not in dropped)
        return _Hop(target, method, headers, body)


async def _read_bounded(response: aiohttp.ClientResponse, max_bytes: int) -> tuple[bytes, bool]:
    content = bytearray()
    while len(content) <= max_bytes:
        piece = await response.content.read(min(READ_BYTES, max_bytes + 1 - len(content)))
        if not piece:
            return bytes(content), False
        content += piece
    response.close()
    return bytes(content[:max_bytes]), True


async def _pass_on(response: aiohttp.ClientResponse, receiver: Receiver, room: int) -> bool:
    """Hand the body on; answers whether it has more bytes than there is room for."""
    while piece := await response.content.read(READ_BYTES):
        room -= len(piece)
        if room < 0:
            response.close()
            return True
        await receiver.write(piece)
    return False


def same_origin(one: SplitResult, other: SplitResult) -> bool:
    """Whether scheme, host and port agree."""
    return _origin(one) == _origin(other)


def _origin(parts: SplitResult) -> tuple[str, str, int]:
    scheme = parts.scheme.lower()
    return scheme, parts.hostname or "", parts.port or (443 if scheme == "https" else 80)


def _shown_error(error: BaseException) -> str:
    text = str(error) or type(error).__name__
    return text if len(text) <= 300 else text[:297] + "..."


class Fetcher:
    """Makes sessions that share connections. One for each process; must be closed."""

    def __init__(
        self,
        guard: AddressGuard,
        *,
        user_agent: str = DEFAULT_USER_AGENT,
        max_connections: int = 200,
        connect_seconds: float = 10,
    ) -> None:
        self.guard, self.user_agent = guard, user_agent
        self._max_connections, self._connect_seconds = max_connections, connect_seconds
        self._connector: aiohttp.TCPConnector | None = None

    @asynccontextmanager
    async def session(self, *, user_agent: str | None = None, proxy: str | None = None) -> AsyncIterator[FetchSession]:
        """A session with an empty cookie jar; `proxy` is an http(s), socks4 or socks5 URL, and its address is guarded
        as well."""
        socks = proxy is not None and is_socks(proxy)
        if proxy is not None and not socks:
            self.guard.check_url(proxy)
        client = aiohttp.ClientSession(
            connector=await self._socks(proxy) if proxy is not None and socks else self._shared(),
            connector_owner=socks,
            # Hosts given as addresses have cookies as well.
            cookie_jar=aiohttp.CookieJar(unsafe=True),
            headers={"User-Agent": user_agent or self.user_agent, "Accept-Language": "en,*;q=0.5"},
            timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=self._connect_seconds),
            trust_env=False,
        )
        async with client:
            yield FetchSession(client, self.guard, proxied=proxy is not None, http_proxy=None if socks else proxy)

    def _shared(self) -> aiohttp.TCPConnector:
        if self._connector is None:
            self._connector = self.guard.connector(limit=self._max_connections, keepalive_timeout=KEEPALIVE_SECONDS)
        return self._connector

    async def _socks(self, proxy: str) -> aiohttp.TCPConnector:
        return await socks_connector(
            proxy, self.guard, limit=self._max_connections, keepalive_seconds=KEEPALIVE_SECONDS
        )

    async def close(self) -> None:
        """Close the kept connections."""
        if self._connector is not None:
            await self._connector.close()
            self._connector = None
