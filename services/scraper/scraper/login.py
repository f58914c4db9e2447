"""Logging in: through steps, or by finding the form. Owns: how a form is filled in, and what counts as having got in.

User name and password are typed as secrets, so that no log, picture or trace shows them. Must not know how sessions
are kept.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson
from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Page

from scraper.browser_steps import BrowserSteps
from scraper.executor import ExecutorError, InvalidParameters, Json
from scraper.login_form import LoginForm, asks_for_password, find_form, shows_any
from scraper.recorded_steps import rows_of
from scraper.step_kinds import Step
from scraper.step_templates import Secrets
from scraper.steps import parse_steps
from scraper.targets import is_passing

# What the sealed part of a login is sealed for, and how long it opens: a run may have waited in a queue.
SEALED_FOR = "login"
SEALED_SECONDS = 24 * 3600
USERNAME, PASSWORD = "LOGIN_USERNAME", "LOGIN_PASSWORD"
# Fields on pages of their own: name first, password on the next, and one more page in between.
MAX_PAGES = 3
FIND_SECONDS = 10.0
SUCCESS_SECONDS = 20.0
# A new page that asks for the password again is an answer; scripts on it may still change that.
ASKED_AGAIN_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class LoginOrder:
    """What to do. `steps` (recorded or canonical) instead of finding the form; `browser`: options."""

    url: str
    selectors: tuple[str, ...]
    username: str
    password: str
    steps: Json
    browser: Json
    rows: tuple[Mapping[str, Json], ...]

    def secrets(self, others: Secrets) -> Secrets:
        """The others, and those of this login."""
        own = {USERNAME: self.username, PASSWORD: self.password}
        return lambda name: own.get(name) or others(name)


def open_login(raw: bytes, selectors: Json) -> LoginOrder:
    """The order that was sealed. Raises `InvalidParameters`."""
    fields = orjson.loads(raw)
    if not isinstance(selectors, list | tuple) or not all(isinstance(one, str) and one for one in selectors):
        raise InvalidParameters("must be a list of selectors", field="successSelectors")
    given = {name: fields.get(name) or "" for name in ("username", "password")}
    rows = rows_of(fields.get("row")) or ({},)
    # So that a recording can name them as it names any value of the row.
    rows = tuple({**{name: value for name, value in given.items() if value}, **row} for row in rows)
    return LoginOrder(
        fields["url"], tuple(selectors), given["username"], given["password"], fields["sortedData"],
        fields.get("browser"), rows,
    )  # fmt: skip


async def log_in(steps: BrowserSteps, order: LoginOrder, own: Sequence[Step]) -> None:
    """Log in, with the steps in `own` when there are any. Raises `ExecutorError` when that did not get in."""
    first = parse_steps([{"type": "navigate", "url": order.url}], "url")
    await steps.run(first, "url")
    if order.selectors and await _got_in(steps, order, 0.0, steps.tools.tabs.navigations):
        return
    before = steps.tools.tabs.navigations
    if own:
        await steps.run(own, "sortedData")
    else:
        await _fill_form(steps, order)
    if not await _got_in(steps, order, SUCCESS_SECONDS, before):
        page = await steps.reading(_address, 5)
        what = "none of successSelectors became visible" if order.selectors else "the password is still asked for"
        message = steps.tools.scope.redactor.text(f"not logged in: {what} on {page}")
        raise ExecutorError(message, code="LOGIN_FAILED", retryable=False)


async def _fill_form(steps: BrowserSteps, order: LoginOrder) -> None:
    if not order.password:
        raise InvalidParameters("is needed to fill in the form, unless sortedData does it", field="password")
    for number in range(MAX_PAGES):
        form = await _find_form(steps, wants_password=number > 0)
        filling: list[dict[str, Json]] = []
        if "user" in form.parts and order.username:
            filling.append({"type": "input", "target": form.target("user"), "value": f"{{{{secret:{USERNAME}}}}}"})
        if "password" in form.parts:
            filling.append({"type": "input", "target": form.target("password"), "value": f"{{{{secret:{PASSWORD}}}}}"})
        last = form.target("password" if "password" in form.parts else "user")
        filling.append(
            {"type": "click", "target": form.target("submit")}
            if "submit" in form.parts
            else {"type": "press", "key": "Enter", "target": last}
        )
        await steps.run(parse_steps(filling, "form"), f"form[{number}]")
        if "password" in form.parts:
            return
    raise ExecutorError("no password field was found", code="LOGIN_FAILED", retryable=False)


async def _find_form(steps: BrowserSteps, *, wants_password: bool) -> LoginForm:
    """The form that can be seen, waited for: scripts make forms as well."""
    loop = asyncio.get_running_loop()
    until = loop.time() + FIND_SECONDS
    while True:
        form = await steps.reading(_form_of, 10)
        if "password" in form.parts or ("user" in form.parts and not wants_password):
            return form
        if loop.time() >= until:
            raise ExecutorError("no login form was found on the page", code="LOGIN_FAILED", retryable=False)
        await asyncio.sleep(0.2)


async def _form_of(page: Page) -> LoginForm:
    try:
        form = await find_form(page)
        if form.parts and "password" not in form.parts:
            # A field for a name is enough only once no frame can bring the whole form any more.
            await page.wait_for_load_state("load", timeout=5000)
            form = await find_form(page)
    except PlaywrightError as error:
        if not is_passing(error) and "Timeout" not in str(error):
            raise
        return LoginForm()
    return form


async def _got_in(steps: BrowserSteps, order: LoginOrder, seconds: float, before: int) -> bool:
    """Whether it worked, waited for; `before`: what `Tabs.navigations` was before the form was sent."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    asked_again = 0.0
    while True:
        got_in, asks = await steps.reading(lambda page: _look(page, order.selectors), 10)
        if got_in:
            return True
        now = loop.time()
        asked_again = (asked_again or now) if asks and steps.tools.tabs.navigations > before else 0.0
        if now >= until or (asked_again and now - asked_again >= ASKED_AGAIN_SECONDS):
            return False
        await asyncio.sleep(0.1)


async def _look(page: Page, selectors: Sequence[str]) -> tuple[bool, bool]:
    """(whether it shows success, whether it asks for a password). Without selectors, not to ask is success."""
    try:
        if selectors:
            if await shows_any(page, selectors):
                return True, False
        else:
            await page.wait_for_load_state("load", timeout=5000)
        asks = await asks_for_password(page)
    except PlaywrightError as error:
        if not is_passing(error) and "Timeout" not in str(error):
            raise
        return False, False
    return not selectors and not asks, asks


async def _address(page: Page) -> str:
    return page.url
