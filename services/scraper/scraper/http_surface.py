"""Steps on pages that are only fetched. Implements `step_surface.Surface`: what makes sense without a browser, no more.

A click follows a link; a scroll does nothing; whatever would need a script, a keyboard or a form is refused before the
first step is done. Pages are kept and read by the worker's readers: selectors from outside may take for ever.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from chassis.retry_after import retry_after
from pydantic import ValidationError

from scraper import step_kinds as kinds
from scraper.addresses import shown_url
from scraper.custom_actions import CustomActions, CustomCall
from scraper.exchanges import Fetched, FetchRequest
from scraper.executor import ExecutorError, Json, RunContext
from scraper.fetch import FetchSession
from scraper.http_page_reader import HttpPageReader
from scraper.page_readers import PageReaders
from scraper.reading import Source
from scraper.step_addresses import holds_address, is_address, is_title
from scraper.step_error import StepError, TargetMissingError
from scraper.step_results import StepResults
from scraper.step_templates import Scope
from scraper.step_trace import Trace
from scraper.urls import to_url

T = TypeVar("T")
BUSY = frozenset({429, 500, 502, 503, 504})
BUSY_TRIES = 3
BUSY_SECONDS = 1.0


class HttpSurface:
    """One run's pages."""

    def __init__(
        self, session: FetchSession, run: RunContext, scope: Scope, *, results: StepResults, trace: Trace,
        custom: CustomActions, base_url: str | None, strict: bool, readers: PageReaders,
    ) -> None:  # fmt: skip
        # Whether an answer that is no page fails its step; without steps its status is what is asked for.
        self._strict = strict
        self.where, self.in_loop = "", False
        self.status: int | None = None
        self._session, self._run, self._scope, self._results = session, run, scope, results
        self._trace, self._custom, self._base_url = trace, custom, base_url
        self._readers = readers
        self._opened: HttpPageReader | None = None
        self._within: int | None = None
        self._by_type: Mapping[str, Callable[[Any, float], Awaitable[None]]] = {
            "navigate": self._navigate,
            "click": self._click,
            "scroll": self._nothing,
            "set_viewport": self._nothing,
            "wait_for": self._wait_for,
            "extract": self._extract,
            "set_variable": self._set_variable,
            "output": self._output,
            "assert": self._assert,
            "custom": self._call,
        }

    async def open(self) -> None:
        """Nothing is fetched before a step says so."""

    async def before(self, step: kinds.Step) -> None:
        """Nothing: nothing is recorded here."""

    async def do(self, step: kinds.Step, deadline: float) -> None:
        """Do one step that holds no others, and see whether it has led where it was to lead."""
        await self._by_type[step.type](step, deadline)
        for expected in step.expect_navigation:
            await self._check_arrival(expected)

    async def holds(self, when: kinds.Condition) -> bool:
        """Whether the condition is true of the page as it was fetched."""
        return await self._holds(when) != when.negate

    async def elements(self, targets: tuple[kinds.Target, ...], _deadline: float) -> Sequence[int]:
        """The elements of the first alternative that matches any."""
        return await self._find(targets)

    @contextlib.contextmanager
    def within(self, element: int) -> Iterator[None]:
        """Meanwhile, targets are looked for in this element first."""
        outer, self._within = self._within, element
        try:
            yield
        finally:
            self._within = outer

    def address(self) -> str:
        """Where the page came from."""
        return self._opened.url if self._opened is not None else "no page yet"

    async def picture(self, _seconds: float) -> None:
        """There is nothing to see."""

    async def guarded(self, work: Awaitable[T]) -> T:
        """A failed fetch is a failed step."""
        try:
            return await work
        except ExecutorError as error:
            raise StepError(error.message, code=error.code, fatal=not error.retryable) from error

    async def summary(self) -> dict[str, Json]:
        """Title, address, text and links of the page. `truncated` has the whole length of what was cut."""
        summary: dict[str, Json] = await self._page().ask("summary")
        return summary

    # --- pages

    async def _check_arrival(self, expected: kinds.ExpectedPage) -> None:
        url = None if expected.url is None else self._scope.text(expected.url)
        title = None if expected.title is None else self._scope.text(expected.title)
        if (url is None or is_address(self.address(), url)) and (
            title is None or is_title(await self._page().ask("title"), title)
        ):
            return
        message = "the step did not lead to the page which was expected"
        raise StepError(message, code="ASSERTION_FAILED", done=True)

    def _page(self) -> HttpPageReader:
        if self._opened is None:
            raise StepError("no page has been opened yet: give BASE_URL or navigate first", code="NO_PAGE", fatal=True)
        return self._opened

    async def _open(self, address: str, deadline: float) -> None:
        url = to_url(address, self._base_url or (self._opened.url if self._opened is not None else ""))
        if url is None:
            raise StepError("the address must be an http or https URL", code="INVALID_URL", fatal=True)
        answer = await self._fetch(url, deadline)
        self.status = answer.status
        if answer.status >= 400:
            self._log("warn", f"the server answered {answer.status}", status=answer.status)
        if answer.truncated:
            self._log("warn", f"only the beginning of {shown_url(answer.url)} was read")
        page = HttpPageReader(self._readers, Source(answer.url, answer.body, answer.headers.get("Content-Type", "")))
        await page.ask("open")
        self._opened, self._within = page, None

    async def _fetch(self, url: str, deadline: float) -> Fetched:
        """The answer. A server that is busy is asked again when it says; one that stays so fails the step, because
        what its page lacks would look like the end of a list.
        """
        loop = asyncio.get_running_loop()
        for attempt in range(1, BUSY_TRIES + 1):
            seconds = max(deadline - loop.time(), 0.1)
            answer = await self._session.fetch(FetchRequest(url, timeout_seconds=seconds, refresh=True))
            if answer.status not in BUSY or not self._strict:
                return answer
            wait = retry_after(answer.headers) or attempt * BUSY_SECONDS
            if attempt == BUSY_TRIES or loop.time() + wait >= deadline:
                break
            self._log("info", f"the server answered {answer.status}, asking again in {wait:g} s")
            await asyncio.sleep(wait)
        raise StepError(f"the server answered {answer.status} for {shown_url(url)}", code="SERVER_BUSY")

    async def _navigate(self, step: kinds.Navigate, deadline: float) -> None:
        await self._open(self._scope.text(step.url), deadline)

    async def _click(self, step: kinds.Click, deadline: float) -> None:
        (element, *_) = await self._find(step.target) if step.target else [self._element()]
        address = await self._page().ask("link", element=element)
        if address is None:
            raise StepError("only a link can be followed without a browser", code="NEEDS_BROWSER", fatal=True)
        await self._open(address, deadline)

    async def _nothing(self, _step: kinds.Step, _deadline: float) -> None:
        self._log("debug", "nothing to do without a browser")

    async def _wait_for(self, step: kinds.WaitFor, _deadline: float) -> None:
        if step.time_ms is not None:
            await asyncio.sleep(step.time_ms / 1000)
        elif step.target is not None and step.about_elements:
            await self._check_elements(step, step.target)
        elif step.target is not None:
            await self._find(step.target)
        elif step.url is not None and not holds_address(self.address(), self._scope.text(step.url)):
            raise StepError("the page has another address", code="STEP_TIMEOUT")

    async def _check_elements(self, step: kinds.WaitFor, targets: tuple[kinds.Target, ...]) -> None:
        """Nothing will change here, and whatever is there counts as visible."""
        try:
            found = await self._find(targets)
        except TargetMissingError:
            found = []
        wanted = {name: self._scope.text(value) for name, value in (step.attributes or {}).items()}
        have = await self._page().ask("attributes", elements=found, names=list(wanted)) if wanted else []
        good = all(one == wanted for one in have)
        if not step.fits(len(found), good=good):
            raise StepError(f"{len(found)} matched, which is not what is waited for", code="STEP_TIMEOUT")

    # --- elements

    def _element(self) -> int:
        if self._within is None:
            raise StepError("needs a target", code="INVALID_PARAMETERS", fatal=True)
        return self._within

    async def _find(self, targets: tuple[kinds.Target, ...]) -> list[int]:
        """The elements of the first alternative with any. Raises `TargetMissingError` with what was tried."""
        try:
            filled = [
                kinds.Target.model_validate(self._scope.texts(one.model_dump(exclude_defaults=True))) for one in targets
            ]
        except ValidationError as error:
            raise StepError("a template leaves the target empty", code="INVALID_TARGET", fatal=True) from error
        described = [one.model_dump(mode="json", exclude_defaults=True) for one in filled]
        by, selector, found = await self._page().find(described, self._within)
        selector = self._scope.redactor.text(selector)
        self._log("debug", f"found by {by}", by=by, selector=selector)
        self._trace.matched(by, selector)
        return found

    # --- values

    async def _extract(self, step: kinds.Extract, _deadline: float) -> None:
        whole = kinds.ExtractField(attribute=step.attribute, type=step.value_type, transform=step.transform)
        if step.target is not None:
            elements: Sequence[int | None] = await self._find(step.target)
        else:
            elements = [self._within]
        values = await self._read(elements, step.fields, whole)
        name = self._scope.text(step.name)
        if step.list:
            await self._results.store_list(name, values, step.data_type)
            return
        self._results.store(name, values[0])
        if self.in_loop:
            await self._results.emit(name, values[:1], step.data_type)

    async def _value(self, step: kinds.SetVariable | kinds.Output) -> Json:
        if step.target is None and (step.value is not None or self._within is None):
            return self._scope.fill(step.value)
        try:
            elements = await self._find(step.target) if step.target else [self._element()]
        except TargetMissingError:
            if step.value is None:
                raise
            return self._scope.fill(step.value)
        return (await self._read(elements[:1], None, kinds.ExtractField(attribute=step.attribute)))[0]

    async def _read(
        self,
        elements: Sequence[int | None],
        fields: Mapping[str, kinds.ExtractField] | None,
        whole: kinds.ExtractField,
    ) -> list[Json]:
        described = None if fields is None else {name: _described(field) for name, field in fields.items()}
        values: list[Json] = await self._page().ask(
            "read", elements=list(elements), fields=described, whole=_described(whole)
        )
        return values

    async def _set_variable(self, step: kinds.SetVariable, _deadline: float) -> None:
        self._scope.variables[step.name] = await self._value(step)

    async def _output(self, step: kinds.Output, _deadline: float) -> None:
        value, name = await self._value(step), self._scope.text(step.name)
        self._results.store(name, value)
        if self.in_loop:
            await self._results.emit(name, [value], "item")

    async def _assert(self, step: kinds.Assert, _deadline: float) -> None:
        if not await self.holds(step.when):
            raise StepError(self._scope.text(step.message or "the condition is not true"), code="ASSERTION_FAILED")

    async def _holds(self, when: kinds.Condition) -> bool:
        if when.url is not None and not holds_address(self.address(), self._scope.text(when.url)):
            return False
        if when.equals is not None and self._scope.text(when.equals[0]) != self._scope.text(when.equals[1]):
            return False
        wanted = None if when.text is None else self._scope.text(when.text)
        if when.target is None:
            return wanted is None or wanted in (await self._page().ask("texts", elements=[None]))[0]
        try:
            found = await self._find(when.target)
        except TargetMissingError:
            return not when.visible
        if not when.visible:
            return False
        return wanted is None or any(wanted in text for text in await self._page().ask("texts", elements=found))

    async def _call(self, step: kinds.Custom, _deadline: float) -> None:
        call = CustomCall(
            name=step.name, value=self._scope.fill(step.value), row=self._scope.row, variables=self._scope.variables,
            page=None, log=self._log, emit=self._run.emit, job=self._run.job,
        )  # fmt: skip
        result = await self._custom.call(call)
        if result is not None:
            self._results.store(step.name, result)

    def _log(self, level: str, message: str, **data: Json) -> None:
        self._run.log(level, f"{self.where}: {message}", **data)


def _described(field: kinds.ExtractField) -> Json:
    return field.model_dump(mode="json", exclude_defaults=True)
