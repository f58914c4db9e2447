"""Finding a login form on a page: in the page itself, in its frames, in open shadow roots. Owns: what counts as one.

Parts are found by marks that are put on them. Must not know steps, nor what is typed.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Frame, Page

from scraper.targets import is_passing

# Pages with advertisements have dozens; one that hangs must not hold up the others.
MAX_FRAMES = 50
FRAME_SECONDS = 1.0
_MARK = "data-login-part"
_FRAME_MARK = "data-login-frame"

_COMMON = """
  const all = (root, selector) => Array.from(root.querySelectorAll('*')).flatMap(one => [
    ...(one.matches(selector) ? [one] : []), ...(one.shadowRoot ? all(one.shadowRoot, selector) : [])]);
  const seen = element => !!element && !element.disabled && element.checkVisibility({
    visibilityProperty: true, opacityProperty: true, contentVisibilityAuto: true});
"""
# Marks the parts of the likeliest login form, and answers which there are.
_FIND = (
    """mark => {"""
    + _COMMON
    + """
  for (const old of all(document, `[${mark}]`)) old.removeAttribute(mark);
  const inputs = all(document, 'input').filter(seen);
  const password = inputs.find(one => one.type === 'password');
  const texts = inputs.filter(one => ['text', 'email', 'tel', 'number'].includes(one.type) && !one.readOnly);
  const looks = one => /user|login|e-?mail|account|phone|name|用户|账号|帐号|手机|邮箱/i.test(
    [one.name, one.id, one.autocomplete, one.placeholder, one.getAttribute('aria-label') || '', one.type].join(' '));
  const near = password ? texts.filter(one => one.form === password.form) : texts;
  const before = password ? near.filter(one => inputs.indexOf(one) < inputs.indexOf(password)) : near;
  const user = before.filter(looks).pop() || (password ? before[before.length - 1] : undefined);
  const form = (password || user || {}).form;
  const buttons = all(form || document, 'button, input[type=submit], input[type=image], [role=button]').filter(seen);
  const says = one => /log ?in|sign ?in|submit|next|continue|登录|登陆|登入|下一步|提交/i.test(
    (one.innerText || one.value || one.getAttribute('aria-label') || ''));
  const typed = one => ['submit', 'image'].includes(one.type);
  const button = buttons.find(one => form && typed(one) && says(one)) || buttons.find(one => form && typed(one))
    || buttons.find(says);
  const parts = {user, password, submit: button};
  for (const [name, element] of Object.entries(parts)) if (element) element.setAttribute(mark, name);
  return Object.keys(parts).filter(name => parts[name]);
}"""
)
_ASKS = (
    """() => {"""
    + _COMMON
    + """
  return all(document, 'input[type=password]').some(seen);
}"""
)


@dataclass(frozen=True, slots=True)
class LoginForm:
    """`parts`: which of user, password, submit there are. `frame`: CSS of the frames around it, empty for none."""

    parts: frozenset[str] = frozenset()
    frame: str = ""

    def target(self, part: str) -> dict[str, str]:
        """A step's target."""
        return {"css": f"[{_MARK}={part}]"} | ({"frame": self.frame} if self.frame else {})


async def find_form(page: Page) -> LoginForm:
    """The likeliest form of the page as it is now: one that asks for a password, else one that asks for a name."""
    only_name = LoginForm()
    async for frame, parts in _in_frames(page, _FIND, _MARK):
        if "password" in parts:
            return LoginForm(frozenset(parts), await _path(frame))
        if "user" in parts and not only_name.parts:
            only_name = LoginForm(frozenset(parts), await _path(frame))
    return only_name


async def asks_for_password(page: Page) -> bool:
    """Whether a field for a password can be seen anywhere on it."""
    async for _, asks in _in_frames(page, _ASKS, None):
        if asks:
            return True
    return False


async def shows_any(page: Page, selectors: Sequence[str]) -> bool:
    """Whether any of the selectors can be seen, in the page or a frame that can be seen."""
    for number, frame in enumerate(page.frames[:MAX_FRAMES]):
        try:
            if number and not await _is_shown(frame):
                continue
            for selector in selectors:
                if await frame.locator(f"css={selector}").filter(visible=True).count():
                    return True
        except PlaywrightError as error:
            if number == 0 or not _is_gone(error):
                raise
    return False


async def _in_frames(page: Page, script: str, argument: Any) -> AsyncIterator[tuple[Frame, Any]]:
    """What the script answers in the page and in each frame that can be seen; what doesn't answer is left out."""
    for number, frame in enumerate(page.frames[:MAX_FRAMES]):
        if number == 0:
            yield frame, await frame.evaluate(script, argument)
            continue
        try:
            async with asyncio.timeout(FRAME_SECONDS):
                answer = await frame.evaluate(script, argument) if await _is_shown(frame) else None
        except TimeoutError:
            continue
        except PlaywrightError as error:
            if not _is_gone(error):
                raise
            continue
        if answer:
            yield frame, answer


def _is_gone(error: PlaywrightError) -> bool:
    """Whether only that frame is gone, or moves on."""
    return is_passing(error) or "detached" in str(error).lower()


async def _is_shown(frame: Frame) -> bool:
    while frame.parent_frame is not None:
        if frame.is_detached() or not await (await frame.frame_element()).is_visible():
            return False
        frame = frame.parent_frame
    return True


async def _path(frame: Frame) -> str:
    """CSS that leads to the frame, from the outermost on; its elements are marked for it."""
    parts = []
    while frame.parent_frame is not None:
        mark = uuid.uuid4().hex[:12]
        element = await frame.frame_element()
        await element.evaluate("(element, [name, mark]) => element.setAttribute(name, mark)", [_FRAME_MARK, mark])
        parts.append(f'[{_FRAME_MARK}="{mark}"]')
        frame = frame.parent_frame
    return " >> ".join(reversed(parts))
