"""What each type of step does to the page. Owns: one action per type, and the evaluation of conditions.

An action is one attempt within its deadline; retries, loops and what a failure means are the engine's. Everything waits
in the event loop, so that a cancellation takes effect at once.
"""

import asyncio
import fnmatch
import re
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urljoin, urlsplit

from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Locator
from pydantic import ValidationError

from scraper import steps as kinds
from scraper.executor import Json, RunContext
from scraper.step_error import StepError, TargetMissingError
from scraper.step_extract import MAX_ELEMENTS, read_fields, read_values
from scraper.step_results import StepResults
from scraper.step_templates import Scope, uses_secret
from scraper.tabs import Tabs
from scraper.targets import Finder, Found, ways

# Where a click will probably lead: 'tab', 'page' or ''.
_LEADS_TO = """element => {
  const holder = element.closest('a[target], form[target]');
  if (holder && !['', '_self', '_parent', '_top'].includes(holder.target.toLowerCase())) return 'tab';
  const link = element.closest('a[href]');
  if (link) {
    const here = link.getAttribute('href').startsWith('#') || link.download;
    return !here && /^https?:/.test(link.href) ? 'page' : '';
  }
  const button = element.closest('button, input');
  return button && button.form && ['submit', 'image'].includes(button.type) ? 'page' : '';
}"""
_SUBMITS = "element => !!element && (!!element.form || element.localName === 'a')"
_TAB_SECONDS = 3.0
_ENTER_SECONDS = 3.0
_KEYS = {" ": "Space", "Esc": "Escape", "Return": "Enter", "Del": "Delete", "Up": "ArrowUp", "Down": "ArrowDown"}
_FILE_NAME = re.compile(r"[^\w-]+")
_BODY = kinds.Target(css="html")
_WHOLE = kinds.ExtractField()


class StepActions:
    """The actions of one run. `within` and `in_loop` are set by the engine's loops."""

    def __init__(self, tabs: Tabs, run: RunContext, scope: Scope, results: StepResults, base_url: str | None) -> None:
        self.tabs, self.scope, self.results = tabs, scope, results
        self.finder = Finder(tabs)
        self.in_loop = False
        self.where = ""
        self.status: int | None = None
        # Fields that hold secrets: they are blacked out in pictures.
        self.masked: list[Locator] = []
        self._run = run
        self._base_url = base_url
        self._navigations_before = 0
        self._by_type: dict[str, Callable[[Any, float], Awaitable[None]]] = {
            "navigate": self._navigate,
            "click": self._click,
            "double_click": self._click,
            "hover": self._hover,
            "input": self._input,
            "type_keys": self._input,
            "press": self._press,
            "select": self._select,
            "check": self._check,
            "scroll": self._scroll,
            "wait_for": self._wait_for,
            "extract": self._extract,
            "screenshot": self._screenshot,
            "set_variable": self._set_variable,
            "output": self._output,
            "assert": self._assert,
        }

    async def do(self, step: kinds.Step, deadline: float) -> None:
        """Do one step that holds no others; raises `StepError`."""
        action = self._by_type.get(step.type)
        if action is None:
            code = "UNSUPPORTED_CUSTOM_ACTION" if step.type == "custom" else "UNSUPPORTED_STEP"
            what = f"custom action {step.name!r}" if isinstance(step, kinds.Custom) else f"step type {step.type!r}"
            raise StepError(f"{what} is not supported on this worker", code=code, fatal=True)
        moves = isinstance(step, kinds.Click | kinds.Press | kinds.Navigate)
        before = self.tabs.navigations
        await action(step, deadline)
        if moves:
            self._navigations_before = before

    async def holds(self, when: kinds.Condition) -> bool:
        """Whether the condition is true now."""
        # While a document is still on its way, nothing is in it, and "not there" would seem true.
        await self.tabs.settle()
        outcome = await self._holds(when)
        return outcome != when.negate

    async def picture(self, *, full_page: bool = False, seconds: float = 5) -> bytes:
        """A PNG of the page, fields with secrets blacked out."""
        return await self.tabs.page.screenshot(full_page=full_page, mask=self.masked, timeout=seconds * 1000)

    # --- finding

    def filled(self, targets: tuple[kinds.Target, ...]) -> list[kinds.Target]:
        """The targets with their templates filled in."""
        try:
            return [
                kinds.Target.model_validate(
                    {key: self.scope.text(value) for key, value in one.model_dump(exclude_none=True).items()}
                )
                for one in targets
            ]
        except ValidationError as error:
            raise StepError("a template leaves the target empty", code="INVALID_TARGET", fatal=True) from error

    async def _one(self, targets: tuple[kinds.Target, ...] | None, deadline: float, *, hidden: bool = False) -> Locator:
        if targets is None:
            if self.finder.within is None:
                raise StepError("needs a target", code="INVALID_PARAMETERS", fatal=True)
            return self.finder.within
        found = await self.finder.one(self.filled(targets), deadline, hidden=hidden)
        self._trace(found)
        return found.locator

    async def some(self, targets: tuple[kinds.Target, ...], deadline: float, *, hidden: bool = False) -> Locator:
        """Every element of the first alternative that matches any."""
        found = await self.finder.some(self.filled(targets), deadline, hidden=hidden)
        self._trace(found)
        return found.locator

    def _trace(self, found: Found) -> None:
        selector = self.scope.redactor.text(found.selector)
        self._run.log("debug", f"{self.where}: found by {found.by}", by=found.by, selector=selector)

    # --- moving

    def _address(self, text: str) -> str:
        here = self.tabs.page.url
        url = urljoin(self._base_url or (here if here.startswith("http") else ""), text.strip())
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise StepError("the address must be an http or https URL", code="INVALID_URL", fatal=True)
        return url

    async def _navigate(self, step: kinds.Navigate, deadline: float) -> None:
        url = self._address(self.scope.text(step.url))
        if step.unless_navigated and await self._navigated_by_itself(url, deadline):
            self._run.log("info", f"{self.where}: left out, the step before has led there")
            return
        try:
            response = await self.tabs.page.goto(url, wait_until="domcontentloaded", timeout=_left_ms(deadline))
        except PlaywrightError as error:
            if failure := self.tabs.navigation_failure(error):
                message, code = failure
                raise StepError(message, code=code, fatal=code == "ADDRESS_NOT_ALLOWED") from error
            raise
        self.status = response.status if response is not None else None
        if response is not None and response.status >= 400:
            self._run.log("warn", f"{self.where}: the server answered {response.status}", status=response.status)

    async def _navigated_by_itself(self, url: str, deadline: float) -> bool:
        """Whether the last action moved the page within the address's site."""
        end = min(deadline, _now() + _ENTER_SECONDS)
        while self.tabs.navigations == self._navigations_before and _now() < end:  # noqa: ASYNC110  bounded
            await asyncio.sleep(0.05)
        if self.tabs.navigations == self._navigations_before:
            return False
        await self.tabs.settle()
        return urlsplit(self.tabs.page.url).hostname == urlsplit(url).hostname

    async def _scroll(self, step: kinds.Scroll, deadline: float) -> None:
        if step.target is not None:
            element = await self._one(step.target, deadline)
            await element.scroll_into_view_if_needed(timeout=_left_ms(deadline))
            return
        distance = step.distance if step.direction == "down" else -step.distance
        await self.tabs.page.evaluate("y => window.scrollBy({top: y, behavior: 'instant'})", distance)

    async def _wait_for(self, step: kinds.WaitFor, deadline: float) -> None:
        if step.time_ms is not None:
            await asyncio.sleep(step.time_ms / 1000)
        elif step.target is not None:
            await self.some(step.target, deadline)
        elif step.url is not None:
            wanted = self.scope.text(step.url)
            await self._until(lambda: _is_at(self.tabs.page.url, wanted), deadline, "the address did not come")
        else:
            await self.tabs.page.wait_for_load_state("networkidle", timeout=_left_ms(deadline))

    async def _until(self, true: Callable[[], bool], deadline: float, otherwise: str) -> None:
        while not true():
            if _now() >= deadline:
                raise StepError(otherwise, code="STEP_TIMEOUT")
            await asyncio.sleep(0.05)

    # --- pointer and keys

    async def _click(self, step: kinds.Click, deadline: float) -> None:
        element = await self._one(step.target, deadline)
        self.tabs.follow = step.new_tab == "follow"
        before = self.tabs.followed
        navigations = self.tabs.navigations
        leads_to = await element.evaluate(_LEADS_TO, timeout=_left_ms(deadline))
        # Waiting for where it leads is ours: a page that comes late must not make the click fail, to be done again.
        if step.type == "double_click":
            await element.dblclick(timeout=_left_ms(deadline), no_wait_after=True)
        else:
            await element.click(timeout=_left_ms(deadline), no_wait_after=True)
        if leads_to == "tab" and self.tabs.follow:
            await self.tabs.await_followed(before, _TAB_SECONDS)
        await self.tabs.arrive(navigations, deadline, likely=leads_to == "page")
        if self.tabs.followed != before:
            await self.tabs.settle()
            self._run.log("info", f"{self.where}: went on in the tab that it opened")

    async def _hover(self, step: kinds.Hover, deadline: float) -> None:
        await (await self._one(step.target, deadline)).hover(timeout=_left_ms(deadline))

    async def _input(self, step: kinds.Input, deadline: float) -> None:
        value = self.scope.text(step.value)
        element = await self._one(step.target, deadline)
        password = await element.evaluate("element => element.type === 'password'", timeout=_left_ms(deadline))
        if password or uses_secret(step.value):
            # Before it is typed: an error from the page may repeat the value.
            self.scope.redactor.hide(value)
            self.masked.append(element)
        if step.type == "input":
            await element.fill(value, timeout=_left_ms(deadline))
        else:
            await element.press_sequentially(value, delay=step.delay_ms, timeout=_left_ms(deadline))

    async def _press(self, step: kinds.Press, deadline: float) -> None:
        key = self.scope.text(step.key)
        key = _KEYS.get(key, key)
        before = self.tabs.navigations
        element = None if step.target is None else await self._one(step.target, deadline)
        likely = False
        if key == "Enter":
            where = self.tabs.page.locator("css=:focus") if element is None else element
            likely = any(await where.evaluate_all(f"elements => elements.map({_SUBMITS})"))
        if element is None:
            await self.tabs.page.keyboard.press(key)
        else:
            await element.press(key, timeout=_left_ms(deadline), no_wait_after=True)
        await self.tabs.arrive(before, deadline, likely=likely)

    async def _select(self, step: kinds.Select, deadline: float) -> None:
        value = self.scope.fill(step.value)
        wanted = [self.scope.text(one) for one in (value if isinstance(value, list) else [value])]
        await (await self._one(step.target, deadline)).select_option(wanted, timeout=_left_ms(deadline))

    async def _check(self, step: kinds.Check, deadline: float) -> None:
        element = await self._one(step.target, deadline)
        await element.set_checked(step.value is not False, timeout=_left_ms(deadline))

    # --- values

    async def _extract(self, step: kinds.Extract, deadline: float) -> None:
        whole = kinds.ExtractField(attribute=step.attribute, type=step.value_type, transform=step.transform)
        targets = step.target or (None if self.finder.within is not None else (_BODY,))
        if step.list and targets is not None:
            elements = await self.some(targets, deadline, hidden=True)
        else:
            elements = await self._one(targets, deadline, hidden=True)
        url = self.tabs.page.url
        values: list[Json]
        if step.fields:
            values = list(await read_fields(elements, step.fields, url))
        else:
            values = await read_values(elements, whole, url)
        if step.list:
            if len(values) >= MAX_ELEMENTS:
                self._run.log("warn", f"{self.where}: only the first {MAX_ELEMENTS} elements were read")
            await self.results.store_list(step.name, values, step.data_type)
            return
        if not values:
            raise TargetMissingError("the element went away while it was read")
        self.results.store(step.name, values[0])
        if self.in_loop:
            await self.results.emit(step.name, values[:1], step.data_type)

    async def _value(self, step: kinds.SetVariable | kinds.Output, deadline: float) -> Json:
        """The target's text; the step's own value without a target, or when the target isn't there."""
        if step.target is None and (step.value is not None or self.finder.within is None):
            return self.scope.fill(step.value)
        try:
            element = await self._one(step.target, deadline, hidden=True)
        except TargetMissingError:
            if step.value is None:
                raise
            return self.scope.fill(step.value)
        field = kinds.ExtractField(attribute=step.attribute) if step.attribute else _WHOLE
        values = await read_values(element, field, self.tabs.page.url)
        return values[0] if values else None

    async def _set_variable(self, step: kinds.SetVariable, deadline: float) -> None:
        self.scope.variables[step.name] = await self._value(step, deadline)

    async def _output(self, step: kinds.Output, deadline: float) -> None:
        value = await self._value(step, deadline)
        name = self.scope.text(step.name)
        self.results.store(name, value)
        if self.in_loop:
            await self.results.emit(name, [value], "item")

    async def _screenshot(self, step: kinds.Screenshot, deadline: float) -> None:
        picture = await self.picture(full_page=step.full_page, seconds=max(deadline - _now(), 0.1))
        wanted = _FILE_NAME.sub("-", step.name or self.where.split()[0]).strip("-")[:100]
        name = await self._run.save_blob(f"{wanted or 'picture'}.png", picture, "image/png")
        self._run.log("info", f"{self.where}: picture kept", blob=name)
        if step.name:
            self.results.store(step.name, name)

    # --- conditions

    async def _assert(self, step: kinds.Assert, deadline: float) -> None:
        while not await self.holds(step.when):
            if _now() >= deadline:
                raise StepError(self.scope.text(step.message or "the condition is not true"), code="ASSERTION_FAILED")
            await asyncio.sleep(0.1)

    async def _holds(self, when: kinds.Condition) -> bool:
        if when.url is not None and not _is_at(self.tabs.page.url, self.scope.text(when.url)):
            return False
        if when.equals is not None and self.scope.text(when.equals[0]) != self.scope.text(when.equals[1]):
            return False
        if when.target is not None:
            try:
                found = await self.finder.some(self.filled(when.target), _now())
            except TargetMissingError:
                return not when.visible
            if not when.visible:
                return False
            return when.text is None or await self._contains(found.locator, when.text)
        return when.text is None or await self._contains(self.tabs.page.locator("css=body"), when.text)

    async def _contains(self, elements: Locator, text: str) -> bool:
        wanted = self.scope.text(text)
        return any(wanted in str(value) for value in await read_values(elements, _WHOLE, ""))


def describe_target(step: kinds.Step) -> str:
    """The step's target in words for messages, templates unfilled."""
    targets = getattr(step, "target", None)
    if not targets:
        return ""
    return " | ".join(f"{way.by} {way.selector[:100]!r}" for target in targets for way in ways(target)[:1])


def _now() -> float:
    return asyncio.get_running_loop().time()


def _left_ms(deadline: float) -> float:
    # Zero would mean "for ever".
    return max((deadline - _now()) * 1000, 1)


def _is_at(url: str, wanted: str) -> bool:
    return fnmatch.fnmatchcase(url, wanted) if "*" in wanted else wanted in url
