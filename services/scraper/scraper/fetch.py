"""How one page is fetched over HTTP. Owns: redirects, cookies, bounds while reading. Must not know robots or runs.

Every hop of a redirect passes the address guard, in the one form in which it is then called. A fetch ends within its
deadline and holds at most `max_bytes` of body, counted after unpacking, which is done piece by piece.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from time import monotonic
from urllib.parse import SplitResult, urlsplit

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from scraper.addresses import AddressGuard, shown_url
from scraper.answer_bodies import Body
from scraper.content_codings import ACCEPTED, CodingError
from scraper.cookies import CookieJar
from scraper.exchanges import MAX_BODY_BYTES, MAX_REDIRECTS, Fetched, FetchFailed, FetchRequest, Receiver
from scraper.http_messages import EMPTY_QUERY, MAX_HEAD, MAX_HEADERS, OctetRequest, make_tolerant
from scraper.refresh import refresh_of
from scraper.socks_connector import PROXY_ERRORS, is_socks, socks_connector
from scraper.urls import join, normal_url, with_fragment_of, without_fragment

DEFAULT_USER_AGENT = "Trawl/0.1 (automated retrieval; obeys robots.txt)"
KEEPALIVE_SECONDS = 15
# So many bodies of a process may grow beyond MAX_BODY_BYTES at once, whatever their requests allow.
LARGE_AT_ONCE = 4
REDIRECTS = frozenset({301, 302, 303, 307, 308})
# Never carried to another origin by a redirect.
PRIVATE_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization"})


class FetchSession:
    """Fetches with one cookie jar; one for each run. `proxied`: whether somebody else connects; `http_proxy`: an HTTP
    proxy that does.
    """

    def __init__(
        self,
        client: aiohttp.ClientSession,
        guard: AddressGuard,
        *,
        proxied: bool,
        http_proxy: str | None,
        large: asyncio.Semaphore,
    ) -> None:
        self._client, self._guard, self._proxied, self._http_proxy = client, guard, proxied, http_proxy
        self._large = large
        self._cookies = CookieJar()

    async def fetch(self, request: FetchRequest) -> Fetched:
        """The answer, whatever its status. Raises FetchFailed, or AddressNotAllowed for a target or a hop."""
        shown = shown_url(request.url)
        try:
            async with asyncio.timeout(request.timeout_seconds):
                return await self._follow(request)
        except PROXY_ERRORS as error:
            raise FetchFailed(f"the proxy does not work: {_shown_error(error)}", code="PROXY_FAILED") from error
        except TimeoutError as error:
            message = f"no full answer from {shown} within {request.timeout_seconds:g} s"
            raise FetchFailed(message, code="FETCH_TIMEOUT") from error
        except CodingError as error:
            raise FetchFailed(f"{shown}: {error}", code="ANSWER_UNREADABLE", retryable=False) from error
        except aiohttp.InvalidURL as error:
            raise FetchFailed(f"{shown} is not a URL that can be called", retryable=False) from error
        except aiohttp.ClientPayloadError as error:
            raise FetchFailed(f"the answer from {shown} was cut: {_shown_error(error)}", code="ANSWER_CUT") from error
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientConnectionResetError) as error:
            raise FetchFailed(f"{shown} ended the connection without an answer", code="CONNECTION_LOST") from error
        except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError) as error:
            raise FetchFailed(f"no answer from {shown}: {_shown_error(error)}", retryable=False) from error
        except aiohttp.ClientResponseError as error:
            # Also raised by proxies, whose state may change.
            message = f"the answer from {shown} can't be read: {error.message[:300]}"
            raise FetchFailed(message, code="ANSWER_UNREADABLE", retryable=self._http_proxy is not None) from error
        except (aiohttp.ClientError, OSError) as error:
            # Before there was a connection it is the host's matter, behind that the page's.
            code = "FETCH_FAILED" if isinstance(error, aiohttp.ClientConnectorError) else "CONNECTION_LOST"
            raise FetchFailed(f"no answer from {shown}: {_shown_error(error)}", code=code) from error
        except ValueError as error:
            # aiohttp refuses header values and hosts that can't be sent.
            raise FetchFailed(f"{shown} can't be called: {error}", retryable=False) from error

    async def _follow(self, request: FetchRequest) -> Fetched:
        # What isn't an address at all is the guard's to refuse.
        url = normal_url(request.url) or request.url
        hop = _Hop(url, request.method, CIMultiDict(request.headers), request.body)
        started = monotonic()
        for _ in range(request.max_redirects + 1):
            parts = self._guard.check_url(hop.url)
            if self._proxied:
                # The proxy connects, so its target is judged here by name.
                await self._guard.check_host(parts.hostname or "")
            answer = await self._exchange(request, hop, started)
            if request.max_redirects == 0 or (following := self._next(request, hop, answer)) is None:
                return answer
            if isinstance(following, Fetched):
                return following
            if request.follow is not None:
                await request.follow(following.url)
            hop = following
        message = f"{shown_url(request.url)} redirects more than {request.max_redirects} times"
        raise FetchFailed(message, code="TOO_MANY_REDIRECTS", retryable=False)

    def _next(self, request: FetchRequest, hop: "_Hop", answer: Fetched) -> "_Hop | Fetched | None":
        """The hop that an answer sends on to; None or the answer itself when it is the last."""
        location = answer.headers.get("Location", "").strip() if answer.status in REDIRECTS else ""
        if location:
            target = join(hop.url, _octets_escaped(location))
            if target is None:
                raise FetchFailed(f"{shown_url(hop.url)} redirects to what is no address", retryable=False)
            return hop.redirected(answer.status, with_fragment_of(target, hop.url))
        if not request.refresh or answer.status >= 400:
            return None
        refresh = refresh_of(hop.url, answer.headers, answer.body, charset=request.charset)
        if refresh is None:
            return None
        if refresh.scripts_off:
            return replace(answer, sends_on=refresh.url)
        return hop.redirected(303, refresh.url)

    async def _exchange(self, request: FetchRequest, hop: "_Hop", started: float) -> Fetched:
        EMPTY_QUERY.set(without_fragment(hop.url).endswith("?"))
        async with self._client.request(
            hop.method,
            # Sent as it stands: a signed address works only so.
            URL(hop.url, encoded=True),
            headers=self._with_cookies(hop),
            data=hop.body,
            allow_redirects=False,
            proxy=self._http_proxy,
            ssl=request.verify_tls,
        ) as response:
            self._cookies.take(
                hop.url, (value for name, value in response.raw_headers if name.lower() == b"set-cookie")
            )
            return await self._received(request, hop, response, started)

    async def _received(
        self, request: FetchRequest, hop: "_Hop", response: aiohttp.ClientResponse, started: float
    ) -> Fetched:
        body = Body(response, hop.method)
        held = request.receiver.begin(response.status, response.headers) if request.receiver else None
        if request.receiver is not None and held is not None:
            content, truncated = b"", await body.pass_on(request.receiver, request.max_bytes - held)
        else:
            content, truncated = await body.read(request.max_bytes, self._large)
        return Fetched(
            url=hop.url,
            status=response.status,
            reason=response.reason or "",
            headers=response.headers,
            body=content,
            truncated=truncated,
            seconds=monotonic() - started,
            incomplete=not truncated and not body.whole,
        )

    def _with_cookies(self, hop: "_Hop") -> CIMultiDict[str]:
        """The headers with the jar's cookies behind those that the caller gave."""
        kept = self._cookies.header(hop.url)
        if kept is None:
            return hop.headers
        headers = hop.headers.copy()
        headers["Cookie"] = f"{given}; {kept}" if (given := headers.get("Cookie")) else kept
        return headers


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


def _octets_escaped(location: str) -> str:
    """Octets that are no UTF-8 go out escaped, as they came."""
    if location.isascii():
        return location
    return "".join(f"%{ord(one) - 0xDC00:02X}" if "\udc80" <= one <= "\udcff" else one for one in location)


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
        self._large = asyncio.Semaphore(LARGE_AT_ONCE)

    @asynccontextmanager
    async def session(self, *, user_agent: str | None = None, proxy: str | None = None) -> AsyncIterator[FetchSession]:
        """A session with an empty cookie jar; `proxy` is an http(s), socks4 or socks5 URL, and its address is guarded
        as well."""
        socks = proxy is not None and is_socks(proxy)
        if proxy is not None and not socks:
            self.guard.check_url(proxy, proxy=True)
        client = aiohttp.ClientSession(
            connector=await self._socks(proxy) if proxy is not None and socks else self._shared(),
            connector_owner=socks,
            # Each session has a jar of its own, which keeps octets as they came.
            cookie_jar=aiohttp.DummyCookieJar(),
            request_class=OctetRequest,
            auto_decompress=False,
            max_line_size=MAX_HEAD,
            max_field_size=MAX_HEAD,
            max_headers=MAX_HEADERS,
            headers={
                "User-Agent": user_agent or self.user_agent,
                "Accept-Language": "en,*;q=0.5",
                "Accept-Encoding": ACCEPTED,
            },
            timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=self._connect_seconds),
            trust_env=False,
        )
        async with client:
            yield FetchSession(
                client,
                self.guard,
                proxied=proxy is not None,
                http_proxy=None if socks else proxy,
                large=self._large,
            )

    def _shared(self) -> aiohttp.TCPConnector:
        if self._connector is None:
            self._connector = make_tolerant(
                self.guard.connector(proxies=True, limit=self._max_connections, keepalive_timeout=KEEPALIVE_SECONDS)
            )
        return self._connector

    async def _socks(self, proxy: str) -> aiohttp.TCPConnector:
        return make_tolerant(
            await socks_connector(proxy, self.guard, limit=self._max_connections, keepalive_seconds=KEEPALIVE_SECONDS)
        )

    async def close(self) -> None:
        """Close the kept connections."""
        if self._connector is not None:
            await self._connector.close()
            self._connector = None


__all__ = [
    "DEFAULT_USER_AGENT",
    "MAX_BODY_BYTES",
    "MAX_REDIRECTS",
    "PRIVATE_HEADERS",
    "FetchFailed",
    "FetchRequest",
    "FetchSession",
    "Fetched",
    "Fetcher",
    "Receiver",
    "same_origin",
]
