"""Actions of the keyboard: one key or chord, and keys that are held over other steps."""

from scraper import step_kinds as kinds
from scraper.page_tools import PageTools, left_ms
from scraper.step_error import StepError

_SUBMITS = "element => !!element && (!!element.form || element.localName === 'a')"
_MODIFIERS: dict[str, kinds.Modifier] = {"Alt": "Alt", "Control": "Control", "Meta": "Meta", "Shift": "Shift"}
_KEYS = {" ": "Space", "Esc": "Escape", "Return": "Enter", "Del": "Delete", "Up": "ArrowUp", "Down": "ArrowDown"}


class PageKeys:
    """The keyboard of one run."""

    def __init__(self, tools: PageTools) -> None:
        self._tools = tools

    async def press(self, step: kinds.Press, deadline: float) -> None:
        """Press one key or chord, and arrive where that leads."""
        key = self._key(step.key)
        before = self._tools.tabs.navigations
        element = None if step.target is None else await self._tools.one(step.target, deadline)
        focused = self._tools.root.locator("css=:focus") if element is None else element
        likely = key == "Enter" and any(await focused.evaluate_all(f"elements => elements.map({_SUBMITS})"))
        if _is_only_text(key):
            await focused.focus(timeout=left_ms(deadline))
            await self._tools.page.keyboard.insert_text(key)
        elif element is None:
            await self._tools.page.keyboard.press(key)
        else:
            await element.press(key, timeout=left_ms(deadline), no_wait_after=True)
        await self._tools.tabs.arrive(before, deadline, likely=likely)
        self._tools.before_move = before

    async def hold(self, step: kinds.KeyHold, deadline: float) -> None:
        """Press a key without letting it go, or let it go."""
        tools = self._tools
        key = self._key(step.key)
        before = tools.tabs.navigations
        down = step.type == "key_down"
        likely = False
        if down and key == "Enter":
            focused = tools.root.locator("css=:focus")
            likely = any(await focused.evaluate_all(f"elements => elements.map({_SUBMITS})"))
        if _is_only_text(key):
            if down:
                await self._write(key)
        elif down:
            await tools.page.keyboard.down(key)
        else:
            await tools.page.keyboard.up(key)
        if modifier := _MODIFIERS.get(key.removesuffix("Left").removesuffix("Right")):
            (tools.held_keys.add if down else tools.held_keys.discard)(modifier)
        await tools.tabs.arrive(before, deadline, likely=likely)
        tools.before_move = before

    async def _write(self, text: str) -> None:
        if self._tools.held_keys - {"Shift"}:
            raise StepError(f"there is no key {text!r} to hold others with")
        await self._tools.page.keyboard.insert_text(text)

    def _key(self, key: str) -> str:
        key = self._tools.scope.text(key)
        return _KEYS.get(key, key)


def _is_only_text(key: str) -> bool:
    """A letter that the usual keyboard has no key for."""
    return len(key) == 1 and not key.isascii()
