"""What steps are done on: a browser's page, or a page that was only fetched. Owns: the port between engine and page.

Must not know Playwright or HTTP.
"""

from collections.abc import Awaitable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

from scraper.step_kinds import Condition, Link, Step, Target

T = TypeVar("T")
# An element of the page, as the surface itself knows it.
Element = Any


class Surface(Protocol):
    """One run's page. Everything on it raises `StepError`, once it went through `guarded`."""

    # Set by the engine: the step that is done, for log lines; whether it is in a loop.
    where: str
    in_loop: bool

    async def open(self) -> None:
        """Make sure that there is a page."""

    async def before(self, step: Step) -> None:
        """What is to be done before the step's own time begins."""

    async def do(self, step: Step, deadline: float) -> None:
        """Do one step that holds no others, by the loop's clock until `deadline`."""

    async def holds(self, when: Condition) -> bool:
        """Whether the condition is true now."""

    async def elements(self, targets: tuple[Target, ...], deadline: float) -> Sequence[Element]:
        """The elements of the first alternative that matches any."""

    def within(self, element: Element) -> AbstractContextManager[None]:
        """Meanwhile, targets are looked for in this element first."""

    def address(self) -> str:
        """Where the page is; raises `StepError` when it is gone."""

    async def picture(self, seconds: float) -> bytes | None:
        """A PNG with secrets blacked out; None when there is nothing to see."""

    async def guarded(self, work: Awaitable[T]) -> T:
        """The work's result; what goes wrong in it becomes a `StepError`, or ends the attempt as `ExecutorError`."""


def describe_target(step: Step) -> str:
    """The step's target in words for messages, templates unfilled."""
    targets: tuple[Target, ...] | None = getattr(step, "target", None)
    return " | ".join(_in_words(target) for target in targets or ())


def _in_words(target: Target) -> str:
    held = "".join(f" in {_link_in_words(link)}" for link in reversed(target.within))
    return _link_in_words(target) + held


def _link_in_words(target: Link) -> str:
    if target.css and target.has_text:
        narrowed = f"{target.css} with text {target.has_text!r}"
        return f"css {narrowed[:100]!r}"
    for by in ("css", "xpath", "id", "text"):
        if value := getattr(target, by):
            return f"{by} {value[:100]!r}"
    if target.role:
        named = f"{target.role} {target.name or ''}".strip()
        return f"role {named[:100]!r}"
    by = "name" if target.name else "label" if target.label else "placeholder"
    return f"{by} {str(getattr(target, by))[:100]!r}"
