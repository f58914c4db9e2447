"""Logging in: through steps, or by finding the form. Owns: what counts as a login form, and as having got in.

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
_MARK = "data-login-part"

# Marks the parts of the likeliest login form, and answers which there are.
_FIND = """mark => {
  const seen = element => !!element && !element.disabled && element.checkVisibility({
    visibilityProperty: true, opacityProperty: true, contentVisibilityAuto: true});
  for (const old of document.querySelectorAll(`[${mark}]`)) old.removeAttribute(mark);
  const inputs = Array.from(document.querySelectorAll('input')).filter(seen);
  const password = inputs.find(one => one.type === 'password');
  const texts = inputs.filter(one => ['text', 'email', 'tel', 'number'].includes(one.type) && !one.readOnly);
  const looks = one => /user|login|e-?mail|account|phone|name|用户|账号|帐号|手机|邮箱/i.test(
    [one.name, one.id, one.autocomplete, one.placeholder, one.getAttribute('aria-label') || '', one.type].join(' '));
  const near = password ? texts.filter(one => one.form === password.form) : texts;
  const before = password ? near.filter(
    one => one.compareDocumentPosition(password) & Node.DOCUMENT_POSITION_FOLLOWING) : near;
  const user = before.filter(looks).pop() || (password ? before[before.length - 1] : undefined);
  const form = (password || user || {}).form;
  const buttons = Array.from((form || document).querySelectorAll(
    'button, input[type=submit], input[type=image], [role=button]')).filter(seen);
  const says = one => /log ?in|sign ?in|submit|next|continue|登录|登陆|登入|下一步|提交/i.test(
    (one.innerText || one.value || one.getAttribute('aria-label') || ''));
  const typed = one => ['submit', 'image'].includes(one.type);
  const button = buttons.find(one => form && typed(one) && says(one)) || buttons.find(one => form && typed(one))
    || buttons.find(says);
  const parts = {user, password, submit: button};
  for (const [name, element] of Object.entries(parts)) if (element) element.setAttribute(mark, name);
  return Object.keys(parts).filter(name => parts[name]);
}"""
_ASKS_STILL = """() => Array.from(document.querySelectorAll('input[type=password]')).some(
  one => one.checkVisibility({visibilityProperty: true, opacityProperty: true}))"""


@dataclass(frozen=True, slots=True)
class LoginOrder:
    """What to do. `steps` (recorded or canonical) instead of finding the form."""

    url: str
    selectors: tuple[str, ...]
    username: str
    password: str
    steps: Json
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
    return LoginOrder(fields["url"], tuple(selectors), given["username"], given["password"], fields["sortedData"], rows)


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
        parts = await _find_form(steps, wants_password=number > 0)
        filling: list[dict[str, Json]] = []
        if "user" in parts and order.username:
            filling.append({"type": "input", "target": _part("user"), "value": f"{{{{secret:{USERNAME}}}}}"})
        if "password" in parts:
            filling.append({"type": "input", "target": _part("password"), "value": f"{{{{secret:{PASSWORD}}}}}"})
        last = _part("password" if "password" in parts else "user")
        filling.append(
            {"type": "click", "target": _part("submit")}
            if "submit" in parts
            else {"type": "press", "key": "Enter", "target": last}
        )
        await steps.run(parse_steps(filling, "form"), f"form[{number}]")
        if "password" in parts:
            return
    raise ExecutorError("no password field was found", code="LOGIN_FAILED", retryable=False)


def _part(name: str) -> dict[str, str]:
    return {"css": f"[{_MARK}={name}]"}


async def _find_form(steps: BrowserSteps, *, wants_password: bool) -> list[str]:
    """The parts of the form that can be seen, waited for: scripts make forms as well."""

    async def find(page: Page) -> list[str]:
        try:
            found: list[str] = await page.evaluate(_FIND, _MARK)
        except PlaywrightError as error:
            if not is_passing(error):
                raise
            return []
        return found

    loop = asyncio.get_running_loop()
    until = loop.time() + FIND_SECONDS
    while True:
        parts = await steps.reading(find, 5)
        if "password" in parts or ("user" in parts and not wants_password):
            return parts
        if loop.time() >= until:
            raise ExecutorError("no login form was found on the page", code="LOGIN_FAILED", retryable=False)
        await asyncio.sleep(0.2)


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
        for selector in selectors:
            if await page.locator(f"css={selector}").filter(visible=True).count():
                return True, False
        if not selectors:
            await page.wait_for_load_state("load", timeout=5000)
        asks: bool = await page.evaluate(_ASKS_STILL)
    except PlaywrightError as error:
        if not is_passing(error) and "Timeout" not in str(error):
            raise
        return False, False
    return not selectors and not asks, asks


async def _address(page: Page) -> str:
    return page.url
