"""Finding elements. Owns: the order of a target's alternatives, and that the first with one visible element wins.

Alternatives are asked in turn, again and again until one wins or the time is up. Must not know steps or runs.
"""

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote

from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Frame, FrameLocator, Locator, Page

from scraper.selector_engines import CALLED, INSIDE
from scraper.step_error import StepError, TargetMissingError
from scraper.step_kinds import Link, Target
from scraper.tabs import Tabs

Root = Page | Locator | FrameLocator | Frame
_POLL_SECONDS = (0.02, 0.05, 0.1, 0.2)
# The page moved on while it was asked: ask again.
_PASSING = ("Execution context was destroyed", "because of a navigation", "Frame was detached", "frame got detached")
GONE = re.compile(r"has been closed|crashed|Connection closed")

# Roles of elements that have a name, those that people point at first.
_NAMED_ROLES = (
    "button", "link", "textbox", "checkbox", "radio", "combobox", "searchbox", "menuitem", "tab", "option", "switch",
    "slider", "spinbutton", "img", "heading", "gridcell", "cell", "columnheader", "rowheader", "treeitem",
    "menuitemcheckbox", "menuitemradio", "listbox", "menu", "menubar", "tablist", "tree", "grid", "table", "row",
    "group", "radiogroup", "region", "navigation", "main", "form", "search", "article", "dialog", "alertdialog",
    "figure", "progressbar", "meter", "scrollbar", "tabpanel", "toolbar", "list", "listitem", "status", "alert",
)  # fmt: skip
# Whether all of them hold each other: then the outermost stands for all.
_NESTED = "elements => elements.every(one => elements[0].contains(one))"


@dataclass(frozen=True, slots=True)
class Way:
    """One alternative: `by` and `selector` name it in traces. `outermost`: of elements within each other the outer."""

    by: str
    selector: str
    locate: Callable[[Root], Locator]
    frame: str | None = None
    outermost: bool = False
    # The selector of the exact alternative that this one does loosely.
    loosens: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What won."""

    locator: Locator
    by: str
    selector: str


def ways(target: Target) -> list[Way]:
    """The target's alternatives in order. Text and role are asked for exactly before they are asked for loosely."""
    holders = [_ways(link, inside=number > 0)[0] for number, link in enumerate(target.within)]
    prefix = "".join(f"{holder.selector} > " for holder in holders)

    def placed(way: Way) -> Way:
        def locate(root: Root) -> Locator:
            for holder in holders:
                root = holder.locate(root)
            return way.locate(root)

        named = prefix + way.selector
        loosens = None if way.loosens is None else prefix + way.loosens
        return replace(way, selector=named, loosens=loosens, locate=locate, frame=target.frame)

    return [placed(way) for way in _ways(target, inside=bool(holders))]


def _ways(link: Link, *, inside: bool) -> list[Way]:
    """`inside`: looked for in the element before, its shadow root first."""
    found: list[Way] = []

    def add(by: str, selector: str | None, locate: Callable[[Root], Locator], loosens: str | None = None) -> None:
        if selector is not None:
            found.append(Way(by, selector, locate, outermost=by == "name", loosens=loosens))

    t = link
    css = f"{t.css} with text {t.has_text!r}" if t.css and t.has_text else t.css
    engine = INSIDE if inside and not t.pierce else "css" if t.pierce else "css:light"
    add("css", css, lambda root: root.locator(f"{engine}={t.css}", has_text=t.has_text))
    add("xpath", t.xpath, lambda root: root.locator(f"xpath={t.xpath}"))
    add("id", t.id, lambda root: root.locator(f"css=[id={css_string(t.id or '')}]"))
    add("text", t.text, lambda root: root.get_by_text(t.text or "", exact=True))
    if not t.exact:
        add("text", t.text and f"contains {t.text}", lambda root: root.get_by_text(t.text or ""), t.text)
    if t.role is not None:
        role, name = t.role, t.name
        add("role", f"{role} {name or ''}".strip(), lambda root: _by_role(root, role, name, exact=True))
        if name and not t.exact:
            add(
                "role",
                f"{role} contains {name}",
                lambda root: _by_role(root, role, name, exact=False),
                f"{role} {name}",
            )
    elif t.name is not None:
        name = " ".join(t.name.split())
        add("name", name, lambda root: root.locator(f"{CALLED}={quote(name, safe='')}"))
        add("name", f"{name} in any role", lambda root: _by_name(root, name), name)
    add("label", t.label, lambda root: root.get_by_label(t.label or "", exact=t.exact))
    add("placeholder", t.placeholder, lambda root: root.get_by_placeholder(t.placeholder or "", exact=t.exact))
    return found


def css_string(text: str) -> str:
    """A quoted CSS string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\a ").replace("\r", "\\d ")
    return f'"{escaped}"'


def _by_role(root: Root, role: str, name: str | None, *, exact: bool) -> Locator:
    # The role was checked to be a word; an unknown one matches nothing.
    return root.get_by_role(role, name=name, exact=exact) if name else root.get_by_role(role)  # type: ignore[arg-type]


def _by_name(root: Root, name: str) -> Locator:
    """Whatever has that accessible name, exactly. Labels find fields without a role: passwords, dates, colours."""
    located = root.get_by_label(name, exact=True)
    for role in _NAMED_ROLES:
        located = located.or_(_by_role(root, role, name, exact=True))
    return located


class Finder:
    """Finds targets in the current tab, within `within` first when that is set (the element of a loop)."""

    def __init__(self, tabs: Tabs) -> None:
        self._tabs = tabs
        self.within: Locator | None = None
        # The frame that was switched to: targets are looked for in it instead of the page.
        self.frame: FrameLocator | Frame | None = None

    async def one(self, targets: Sequence[Target], deadline: float, *, hidden: bool = False) -> Found:
        """The element of the first alternative that matches exactly one; `hidden` admits invisible ones too."""
        return await self._poll(targets, deadline, lambda count: count == 1, hidden=hidden)

    async def some(self, targets: Sequence[Target], deadline: float, *, hidden: bool = False) -> Found:
        """The elements of the first alternative that matches any."""
        return await self._poll(targets, deadline, lambda count: count > 0, hidden=hidden)

    async def matching(self, targets: Sequence[Target], *, visible: bool) -> Locator | None:
        """What the first alternative that matches any finds now; a text or name counts as a part as well."""
        root = self.frame or self._tabs.page
        alternatives = [way for target in targets for way in ways(target)]
        for way, after in zip(alternatives, [*alternatives[1:], None], strict=True):
            if after is not None and after.loosens == way.selector:
                continue
            located = way.locate(_in_frame(self.within or root, way.frame))
            located = located.filter(visible=True) if visible else located
            if await _count(located, way):
                return located
        return None

    async def _poll(
        self, targets: Sequence[Target], deadline: float, enough: Callable[[int], bool], *, hidden: bool
    ) -> Found:
        alternatives = [way for target in targets for way in ways(target)]
        loop = asyncio.get_running_loop()
        round_number = 0
        while True:
            counts: dict[Way, int] = {}
            for way in alternatives:
                if found := await self._ask(way, enough, counts, hidden=hidden):
                    return found
            if loop.time() >= deadline:
                raise TargetMissingError(
                    "no target found; tried " + "; ".join(_tried(way, counts) for way in alternatives)
                )
            pause = _POLL_SECONDS[min(round_number, len(_POLL_SECONDS) - 1)]
            await asyncio.sleep(min(pause, max(deadline - loop.time(), 0)))
            round_number += 1

    async def _ask(
        self, way: Way, enough: Callable[[int], bool], counts: dict[Way, int], *, hidden: bool
    ) -> Found | None:
        roots: list[Root] = [self.frame or self._tabs.page]
        if self.within is not None:
            roots.insert(0, self.within)
        for root in roots:
            located = way.locate(_in_frame(root, way.frame))
            for locator in (located.filter(visible=True), located) if hidden else (located.filter(visible=True),):
                count = await _count(locator, way)
                counts[way] = max(counts.get(way, 0), count)
                if enough(count):
                    return Found(locator, way.by, way.selector)
                if way.outermost and count > 1 and await _holds_all(locator):
                    return Found(locator.first, way.by, way.selector)
            if counts[way]:
                break  # It is in here, if not once: the page around it is not looked at.
        return None


def _in_frame(root: Root, frames: str | None) -> Root:
    for frame in frames.split(" >> ") if frames else ():
        root = root.frame_locator(frame)
    return root


async def _count(locator: Locator, way: Way) -> int:
    try:
        return await locator.count()
    except PlaywrightError as error:
        text = str(error)
        if is_passing(error):
            return 0
        if GONE.search(text):
            raise
        message = f"{way.by} {way.selector!r} can't be used: {text.splitlines()[0][:200]}"
        raise StepError(message, code="INVALID_SELECTOR", fatal=True) from error


async def _holds_all(locator: Locator) -> bool:
    try:
        return bool(await locator.evaluate_all(_NESTED))
    except PlaywrightError as error:
        if is_passing(error):
            return False
        raise


def is_passing(error: PlaywrightError) -> bool:
    """Whether the page only moved on while it was asked: it can be asked again."""
    return any(passing in str(error) for passing in _PASSING)


def _tried(way: Way, counts: dict[Way, int]) -> str:
    count = counts.get(way, 0)
    return f"{way.by} {way.selector[:200]!r} ({'none' if count == 0 else count} matched)"
