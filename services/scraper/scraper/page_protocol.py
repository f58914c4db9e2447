"""What of a page only the DevTools protocol can do: pens, fingers, screens, slow networks. Owns: its sessions.

A session lives as long as its page, and what it has set lasts as long. Must not know steps.
"""

import asyncio
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from playwright.async_api import CDPSession, Page

from scraper.executor import Json

_MODIFIER_BITS = {"Alt": 1, "Control": 2, "Meta": 4, "Shift": 8}
# What the protocol calls the buttons that are down, by bits.
_BUTTON_BITS = {"left": 1, "right": 2, "middle": 4, "back": 8, "forward": 16}


@dataclass(frozen=True, slots=True)
class Screen:
    """A tab's size in CSS pixels, and what kind of device it is on."""

    width: int
    height: int
    scale: float = 1
    mobile: bool = False
    touch: bool = False
    landscape: bool = False


class PageProtocol:
    """One run's sessions."""

    def __init__(self) -> None:
        self._sessions: dict[Page, CDPSession] = {}

    async def _send(self, page: Page, method: str, parameters: Mapping[str, Json]) -> Any:
        session = self._sessions.get(page)
        if session is None:
            session = self._sessions[page] = await page.context.new_cdp_session(page)
        return await session.send(method, dict(parameters))

    async def set_screen(self, page: Page, screen: Screen) -> None:
        """All of it at once, as the page sees it; a page that is open learns of a finger when it is loaded again."""
        metrics: dict[str, Json] = {
            "width": screen.width, "height": screen.height, "deviceScaleFactor": screen.scale, "mobile": screen.mobile,
        }  # fmt: skip
        if screen.mobile:
            metrics["screenOrientation"] = (
                {"type": "landscapePrimary", "angle": 90}
                if screen.landscape
                else {"type": "portraitPrimary", "angle": 0}
            )
        await self._touchable(page, on=screen.touch)
        await self._send(page, "Emulation.setDeviceMetricsOverride", metrics)
        # Playwright needs to know the size for its pictures, and sets its own idea of the screen with it.
        await page.set_viewport_size({"width": screen.width, "height": screen.height})
        # Not quite the same as before: what a session has set already is not set again.
        whole = metrics | {"screenWidth": screen.width, "screenHeight": screen.height}
        await self._send(page, "Emulation.setDeviceMetricsOverride", whole)

    async def _touchable(self, page: Page, *, on: bool) -> None:
        points = {"maxTouchPoints": 1} if on else {}
        await self._send(page, "Emulation.setTouchEmulationEnabled", {"enabled": on, **points})

    async def set_network(self, page: Page, *, offline: bool, latency_ms: float, down: float, up: float) -> None:
        """Bytes per second; -1: no bound."""
        await self._send(page, "Network.enable", {})
        conditions = {"offline": offline, "latency": latency_ms, "downloadThroughput": down, "uploadThroughput": up}
        await self._send(page, "Network.emulateNetworkConditions", conditions)

    async def click(
        self, page: Page, x: float, y: float, *, button: str, pen: bool, modifiers: Iterable[str], hold_seconds: float,
        count: int,
    ) -> None:  # fmt: skip
        """Press and release a button of the mouse or the pen, `count` times."""
        at = {"x": x, "y": y, "modifiers": _bits(modifiers), "pointerType": "pen" if pen else "mouse"}
        await self._send(page, "Input.dispatchMouseEvent", {**at, "type": "mouseMoved"})
        for number in range(1, count + 1):
            pressed = {**at, "button": button, "clickCount": number}
            down = {**pressed, "type": "mousePressed", "buttons": _BUTTON_BITS[button]}
            await self._send(page, "Input.dispatchMouseEvent", down)
            await asyncio.sleep(hold_seconds)
            await self._send(page, "Input.dispatchMouseEvent", {**pressed, "type": "mouseReleased"})

    async def tap(self, page: Page, x: float, y: float, *, modifiers: Iterable[str], hold_seconds: float) -> None:
        """Touch with one finger, also on a screen that otherwise isn't touched."""
        touched = await page.evaluate("navigator.maxTouchPoints > 0")
        if not touched:
            await self._touchable(page, on=True)
        held = {"modifiers": _bits(modifiers)}
        # The protocol takes whole pixels for fingers.
        point = {"x": math.floor(x), "y": math.floor(y)}
        await self._send(page, "Input.dispatchTouchEvent", {**held, "type": "touchStart", "touchPoints": [point]})
        await asyncio.sleep(hold_seconds)
        await self._send(page, "Input.dispatchTouchEvent", {**held, "type": "touchEnd", "touchPoints": []})
        if not touched:
            await self._touchable(page, on=False)


def _bits(modifiers: Iterable[str]) -> int:
    return sum(_MODIFIER_BITS[one] for one in modifiers)
