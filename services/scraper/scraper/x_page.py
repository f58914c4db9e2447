"""X's web application in a tab. Owns: opening its pages, hearing the answers that they get, scrolling for more, and
opening a timeline in the middle. Must not know what answers mean, accounts or results.

The page asks for everything by itself, with its own query ids, headers and features. To go on from a cursor, the first
request of the timeline is given that cursor on its way out; everything after follows from the page's own scrolling.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import orjson
from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Request, Response, Route

from scraper.browser_chromium import browser_crashed, is_driver_end
from scraper.browser_lease import BrowserLease
from scraper.egress import PROXY_ERROR
from scraper.executor import ExecutorError
from scraper.targets import GONE
from scraper.x_answers import Answer
from scraper.x_values import Json

GRAPHQL = "/i/api/graphql/"
LOGIN_PATHS = ("/i/flow/login", "/login", "/account/access")
MAX_WAITING_ANSWERS = 50
MAX_ANSWER_BYTES = 32 * 1024 * 1024
OPEN_SECONDS = 30
# How long a page that was scrolled may take to ask.
NUDGE_SECONDS = 0.7
# A page that had answers and asks for no more, however often it is scrolled, is given up after so many times.
QUIET_NUDGES = 10
# Up and down again: a page whose end is reached already would not notice being sent there once more.
_SCROLL = """async () => {
  const frame = () => new Promise(done => requestAnimationFrame(done));
  scrollBy(0, -800); await frame(); await frame();
  scrollTo(0, document.documentElement.scrollHeight); await frame();
}"""


class NoAnswer(Exception):
    """The page got no answer in time, or none at all."""


class LoggedOut(Exception):
    """The page asks to log in: the account's cookies are not accepted."""


class Walled(Exception):
    """A page of refusal came instead of the application."""


class XPage:
    """One tab. `operations` are those whose answers are wanted; the timeline is asked for by the last of them."""

    def __init__(
        self, lease: BrowserLease, base_url: str, operations: tuple[str, ...], *, answer_seconds: float
    ) -> None:
        self._lease, self._base, self._operations = lease, base_url.rstrip("/"), operations
        self._answer_seconds = answer_seconds
        self._page: Any = None
        self._answers: asyncio.Queue[Answer] = asyncio.Queue(MAX_WAITING_ANSWERS)
        self._asking: set[Request] = set()
        self._cursors: dict[Request, str] = {}
        self._resume: str | None = None
        self._readers: set[asyncio.Task[None]] = set()
        self._heard = False

    async def open(self, path: str, cursor: str | None) -> None:
        """Open a page anew; its timeline begins at `cursor`. Raises `LoggedOut`, `Walled` and `ExecutorError`."""
        await self.close()
        self._resume, self._heard = cursor, False
        page = self._page = await self._doing(self._lease.new_page())
        page.on("request", self._asked)
        page.on("response", self._answered)
        page.on("requestfailed", self._failed)
        if cursor is not None:
            await self._doing(page.route(lambda url: GRAPHQL in url, self._resume_at))
        response = await self._doing(
            page.goto(self._base + path, wait_until="domcontentloaded", timeout=OPEN_SECONDS * 1000)
        )
        self._check_place()
        if response is not None and response.status >= 500:
            raise NoAnswer(f"HTTP {response.status}")
        if response is not None and response.status >= 400:
            raise Walled(f"HTTP {response.status}")

    async def answer(self) -> Answer:
        """The next answer; scrolls for it. Raises `NoAnswer` and `LoggedOut`."""
        loop = asyncio.get_running_loop()
        deadline, quiet = loop.time() + self._answer_seconds, 0
        while (left := deadline - loop.time()) > 0 and quiet < QUIET_NUDGES:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(NUDGE_SECONDS, left)):
                    answer = await self._answers.get()
                    self._heard = True
                    return answer
            if self._page.is_closed():
                raise browser_crashed()
            self._check_place()
            if not self._asking:
                quiet += self._heard
                await self.scroll()
        raise NoAnswer("the page asks for no more" if quiet >= QUIET_NUDGES else "the page got no answer")

    async def scroll(self) -> None:
        """Go to the end of the page, which makes it ask for more."""
        await self._doing(self._page.evaluate(_SCROLL))

    async def cookies(self) -> dict[str, str]:
        """The site's cookies now, by name."""
        found = await self._doing(self._lease.context.cookies(self._base))
        return {cookie["name"]: cookie["value"] for cookie in found}

    async def close(self) -> None:
        """Close the tab, and forget what is under way."""
        page, self._page = self._page, None
        if page is not None:
            for task in self._readers:
                task.cancel()
            with contextlib.suppress(PlaywrightError):
                await page.close()
        self._asking.clear()
        self._cursors.clear()
        while not self._answers.empty():
            self._answers.get_nowait()

    def _check_place(self) -> None:
        if urlsplit(self._page.url).path.startswith(LOGIN_PATHS):
            raise LoggedOut

    def _asked(self, request: Request) -> None:
        if self._operation(request) is not None:
            self._asking.add(request)

    def _failed(self, request: Request) -> None:
        self._asking.discard(request)

    def _answered(self, response: Response) -> None:
        operation = self._operation(response.request)
        if operation is None:
            return
        task = asyncio.create_task(self._read(operation, response))
        self._readers.add(task)
        task.add_done_callback(self._readers.discard)

    async def _read(self, operation: str, response: Response) -> None:
        # A page that goes away while its answer is read has no answer: whoever waits asks again.
        with contextlib.suppress(PlaywrightError):
            headers = await response.all_headers()
            body = await _body(response)
            request = response.request
            asked = self._cursors.pop(request, None) or _variables(request).get("cursor")
            answer = Answer(operation, response.status, headers, body[:MAX_ANSWER_BYTES], asked)
            with contextlib.suppress(asyncio.QueueFull):
                self._answers.put_nowait(answer)
        self._asking.discard(response.request)

    def _operation(self, request: Request) -> str | None:
        parts = urlsplit(request.url).path.partition(GRAPHQL)[2].split("/")
        name = parts[1] if len(parts) == 2 else ""
        return name if name in self._operations and request.method in ("GET", "POST") else None

    async def _resume_at(self, route: Route) -> None:
        """Give the timeline's first request the cursor, and let everything else pass."""
        request, cursor = route.request, self._resume
        variables = _variables(request)
        # The page may go away while a request waits here.
        with contextlib.suppress(PlaywrightError):
            if cursor is None or self._operation(request) != self._operations[-1] or "cursor" in variables:
                await route.fallback()
                return
            self._resume = None
            self._cursors[request] = cursor
            await route.continue_(**_with_variables(request, {**variables, "cursor": cursor}))

    async def _doing(self, work: Any) -> Any:
        """What Playwright answers, or the failure in our words."""
        try:
            async with asyncio.timeout(OPEN_SECONDS + 5):
                return await work
        except TimeoutError as error:
            raise NoAnswer from error
        except PlaywrightError as error:
            raise await self._failure(error) from error
        except Exception as error:
            if is_driver_end(error):
                raise browser_crashed() from error
            raise

    async def _failure(self, error: PlaywrightError) -> Exception:
        text = str(error)
        if GONE.search(text) and await self._lease.crashed():
            return browser_crashed(self._lease.crash_reason)
        if PROXY_ERROR in text:
            why = self._lease.why(self._base)
            code = why.code if why is not None and why.code != "NAVIGATION_FAILED" else "UPSTREAM_UNREACHABLE"
            message = why.words if why is not None else f"X can't be reached: {self._base}"
            return ExecutorError(message, code=code, retryable=code != "ADDRESS_NOT_ALLOWED")
        if "Timeout" in text:
            return NoAnswer()
        return ExecutorError((text.splitlines() or ["the page failed"])[0][:300], code="NAVIGATION_FAILED")


async def _body(response: Response) -> bytes:
    """The body. The browser has none to show for an error without one."""
    try:
        return bytes(await response.body())
    except PlaywrightError:
        if response.status < 400:
            raise
        return b""


def _variables(request: Request) -> dict[str, Json]:
    """What the operation is asked with: in the query, or in the body of a POST."""
    raw: Any = dict(parse_qsl(urlsplit(request.url).query)).get("variables")
    try:
        if raw is None:
            posted = orjson.loads(request.post_data_buffer or b"{}")
            raw = posted.get("variables") if isinstance(posted, Mapping) else None
        value = orjson.loads(raw) if isinstance(raw, str) else raw
    except orjson.JSONDecodeError:
        return {}
    return dict(value) if isinstance(value, Mapping) else {}


def _with_variables(request: Request, variables: Mapping[str, Json]) -> dict[str, Any]:
    """How Playwright is told to send the request with other variables, wherever they stand."""
    parts = urlsplit(request.url)
    query = parse_qsl(parts.query, keep_blank_values=True)
    text = orjson.dumps(variables).decode()
    if any(name == "variables" for name, _ in query):
        changed = urlencode([(name, text if name == "variables" else value) for name, value in query])
        return {"url": urlunsplit(parts._replace(query=changed))}
    posted = orjson.loads(request.post_data_buffer or b"{}")
    return {"post_data": orjson.dumps({**posted, "variables": dict(variables)})}


def storage_state(base_url: str, cookies: dict[str, str]) -> Json:
    """The account's cookies as the browser takes them, valid for the site and its subdomains."""
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    labels = host.split(".")
    wide = not labels[-1].isdigit() and len(labels) > 1
    domain = f".{host.removeprefix('www.')}" if wide else host
    return {
        "cookies": [
            {
                "name": name,
                "value": value,
                "domain": domain,
                "path": "/",
                "expires": -1,
                "httpOnly": name == "auth_token",
                "secure": parts.scheme == "https",
                "sameSite": "Lax",
            }
            for name, value in cookies.items()
        ],
        "origins": [],
    }
