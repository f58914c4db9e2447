"""Steps on pages that are only fetched. Implements `step_surface.Surface`: what makes sense without a browser, no more.

A click follows a link; a scroll does nothing; whatever would need a script, a keyboard or a form is refused before the
first step is done. Reading happens in a thread: selectors from outside may take their time.
"""

import asyncio
import contextlib
import fnmatch
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from chassis.retry_after import retry_after
from lxml import etree
from pydantic import ValidationError

from scraper import step_kinds as kinds
from scraper.addresses import shown_url
from scraper.custom_actions import CustomActions, CustomCall
from scraper.documents import Document, parse_document
from scraper.exchanges import Fetched, FetchRequest
from scraper.executor import ExecutorError, InvalidParameters, Json, RunContext
from scraper.fetch import FetchSession
from scraper.http_targets import find, text_of
from scraper.step_error import StepError, TargetMissingError
from scraper.step_extract import convert
from scraper.step_results import StepResults
from scraper.step_templates import Scope
from scraper.step_trace import Trace
from scraper.urls import to_url

T = TypeVar("T")
Node = Any
MAX_TEXT = 200_000
BUSY = frozenset({429, 500, 502, 503, 504})
BUSY_TRIES = 3
BUSY_SECONDS = 1.0
MAX_LINKS = 1000
SUPPORTED = frozenset({
    "navigate", "click", "scroll", "wait_for", "extract", "set_variable", "output", "assert", "if", "loop", "custom",
})  # fmt: skip


def check_without_browser(steps: Sequence[kinds.Step], root: str) -> None:
    """Raises `InvalidParameters` that names the first step which needs a browser."""
    for index, step in enumerate(steps):
        here = f"{root}[{index}]"
        if step.type not in SUPPORTED or (isinstance(step, kinds.WaitFor) and step.network_idle):
            source = f" ({step.source})" if step.source else ""
            message = f"{step.type}{source} needs a browser: use /scrape"
            raise InvalidParameters(message, field=here)
        if isinstance(step, kinds.Loop):
            check_without_browser(step.steps, f"{here}.steps")
        elif isinstance(step, kinds.If):
            check_without_browser(step.then, f"{here}.then")
            check_without_browser(step.otherwise, f"{here}.else")


class HttpSurface:
    """One run's pages."""

    def __init__(
        self, session: FetchSession, run: RunContext, scope: Scope, *, results: StepResults, trace: Trace,
        custom: CustomActions, base_url: str | None, strict: bool,
    ) -> None:  # fmt: skip
        # Whether an answer that is no page fails its step; without steps its status is what is asked for.
        self._strict = strict
        self.where, self.in_loop = "", False
        self.status: int | None = None
        self._session, self._run, self._scope, self._results = session, run, scope, results
        self._trace, self._custom, self._base_url = trace, custom, base_url
        self._document: Document | None = None
        self._within: Node | None = None
        self._by_type: Mapping[str, Callable[[Any, float], Awaitable[None]]] = {
            "navigate": self._navigate,
            "click": self._click,
            "scroll": self._nothing,
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
        """Do one step that holds no others."""
        await self._by_type[step.type](step, deadline)

    async def holds(self, when: kinds.Condition) -> bool:
        """Whether the condition is true of the page as it was fetched."""
        return await self._holds(when) != when.negate

    async def elements(self, targets: tuple[kinds.Target, ...], _deadline: float) -> Sequence[Node]:
        """The elements of the first alternative that matches any."""
        return await self._find(targets)

    @contextlib.contextmanager
    def within(self, element: Node) -> Iterator[None]:
        """Meanwhile, targets are looked for in this element first."""
        outer, self._within = self._within, element
        try:
            yield
        finally:
            self._within = outer

    def address(self) -> str:
        """Where the page came from."""
        return self._document.url if self._document is not None else "no page yet"

    async def picture(self, _seconds: float) -> None:
        """There is nothing to see."""

    async def guarded(self, work: Awaitable[T]) -> T:
        """A failed fetch is a failed step."""
        try:
            return await work
        except ExecutorError as error:
            raise StepError(error.message, code=error.code, fatal=not error.retryable) from error

    async def summary(self) -> dict[str, Json]:
        """Title, address, text and links of the page, the long ones cut."""
        return await asyncio.to_thread(_summary, self._page())

    # --- pages

    def _page(self) -> Document:
        if self._document is None:
            raise StepError("no page has been opened yet: give BASE_URL or navigate first", code="NO_PAGE", fatal=True)
        return self._document

    def _root(self) -> Node:
        page = self._page()
        if page.root is None:
            raise StepError("the page is not HTML or XML", code="NO_MARKUP")
        return page.root

    async def _open(self, address: str, deadline: float) -> None:
        url = to_url(address, self._base_url or (self._document.url if self._document is not None else ""))
        if url is None:
            raise StepError("the address must be an http or https URL", code="INVALID_URL", fatal=True)
        answer = await self._fetch(url, deadline)
        self.status = answer.status
        if answer.status >= 400:
            self._log("warn", f"the server answered {answer.status}", status=answer.status)
        if answer.truncated:
            self._log("warn", f"only the beginning of {shown_url(answer.url)} was read")
        text, encoding = answer.decoded()
        self._document = await asyncio.to_thread(
            parse_document, text, url=answer.url, content_type=answer.content_type, encoding=encoding
        )
        self._within = None

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
        links = [node for node in (element, *element.iterancestors()) if node.tag == "a" and node.get("href")]
        if not links:
            raise StepError("only a link can be followed without a browser", code="NEEDS_BROWSER", fatal=True)
        page = self._page()
        await self._open(to_url(links[0].get("href"), page.base_url, page.encoding) or "", deadline)

    async def _nothing(self, _step: kinds.Step, _deadline: float) -> None:
        self._log("debug", "nothing to do without a browser")

    async def _wait_for(self, step: kinds.WaitFor, _deadline: float) -> None:
        if step.time_ms is not None:
            await asyncio.sleep(step.time_ms / 1000)
        elif step.target is not None:
            await self._find(step.target)
        elif step.url is not None and not _is_at(self.address(), self._scope.text(step.url)):
            raise StepError("the page has another address", code="STEP_TIMEOUT")

    # --- elements

    def _element(self) -> Node:
        if self._within is None:
            raise StepError("needs a target", code="INVALID_PARAMETERS", fatal=True)
        return self._within

    async def _find(self, targets: tuple[kinds.Target, ...]) -> list[Node]:
        """The elements of the first alternative with any. Raises `TargetMissingError` with what was tried."""
        try:
            filled = [
                kinds.Target.model_validate(
                    {key: self._scope.text(value) for key, value in one.model_dump(exclude_none=True).items()}
                )
                for one in targets
            ]
        except ValidationError as error:
            raise StepError("a template leaves the target empty", code="INVALID_TARGET", fatal=True) from error
        roots = [self._within, self._root()] if self._within is not None else [self._root()]

        def look() -> tuple[str, str, list[Node]] | list[str]:
            tried = []
            for target in filled:
                for root in roots:
                    for by, selector, found in find(target, root):
                        if found:
                            return by, selector, found
                        tried.append(f"{by} {selector[:200]!r}")
            return tried

        outcome = await asyncio.to_thread(look)
        if isinstance(outcome, list):
            raise TargetMissingError("no target found; tried " + "; ".join(dict.fromkeys(outcome)))
        by, selector, found = outcome
        selector = self._scope.redactor.text(selector)
        self._log("debug", f"found by {by}", by=by, selector=selector)
        self._trace.matched(by, selector)
        return found

    # --- values

    async def _extract(self, step: kinds.Extract, _deadline: float) -> None:
        whole = kinds.ExtractField(attribute=step.attribute, type=step.value_type, transform=step.transform)
        if step.target is not None:
            elements = await self._find(step.target)
        else:
            elements = [self._within if self._within is not None else self._root()]
        values = await asyncio.to_thread(_read_all, elements, step.fields, whole, self._page().base_url)
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
        return await asyncio.to_thread(
            _read, elements[0], kinds.ExtractField(attribute=step.attribute), self._page().base_url
        )

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
        if when.url is not None and not _is_at(self.address(), self._scope.text(when.url)):
            return False
        if when.equals is not None and self._scope.text(when.equals[0]) != self._scope.text(when.equals[1]):
            return False
        wanted = None if when.text is None else self._scope.text(when.text)
        if when.target is None:
            return wanted is None or wanted in await asyncio.to_thread(text_of, self._root())
        try:
            found = await self._find(when.target)
        except TargetMissingError:
            return not when.visible
        if not when.visible:
            return False
        return wanted is None or any(wanted in text_of(node) for node in found)

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


def _is_at(url: str, wanted: str) -> bool:
    return fnmatch.fnmatchcase(url, wanted) if "*" in wanted else wanted in url


def _read_all(
    elements: Sequence[Node], fields: Mapping[str, kinds.ExtractField] | None, whole: kinds.ExtractField, base: str
) -> list[Json]:
    if fields is None:
        return [_read(element, whole, base) for element in elements]
    return [{name: _read(element, field, base) for name, field in fields.items()} for element in elements]


def _read(element: Node, field: kinds.ExtractField, base: str) -> Json:
    nodes = [element]
    if field.css or field.xpath:
        target = kinds.Target(css=field.css, xpath=None if field.css else field.xpath)
        nodes = next(iter(find(target, element)))[2]
    raw = [_raw(node, field) for node in (nodes if field.list else nodes[:1])]
    typed = [None if value is None else convert(value, field, base) for value in raw]
    if field.list:
        return typed
    return typed[0] if typed else None


def _raw(node: Node, field: kinds.ExtractField) -> str | None:
    if field.attribute:
        value = node.get(field.attribute)
        return None if value is None else str(value)[:MAX_TEXT]
    if field.type == "html":
        inner = (node.text or "") + "".join(etree.tostring(one, encoding="unicode", method="html") for one in node)
        return inner[:MAX_TEXT]
    return text_of(node)[:MAX_TEXT]


def _summary(page: Document) -> dict[str, Json]:
    if page.root is None:
        return {"title": "", "url": page.url, "text": page.text[:MAX_TEXT], "links": []}
    links: list[dict[str, str]] = []
    for link in page.root.iter("a"):
        if len(links) >= MAX_LINKS:
            break
        href = link.get("href")
        url = to_url(href, page.base_url, page.encoding) if href else None
        if url is not None:
            links.append({"text": text_of(link)[:500], "url": url})
    title = page.root.xpath("string((.//title)[1])").strip()
    body = page.root.find(".//body")
    text = text_of(body if body is not None else page.root)[:MAX_TEXT]
    return {"title": title, "url": page.url, "text": text, "links": links}
