"""Actions on the tab itself: its size and device, its network, and its closing."""

from scraper import step_kinds as kinds
from scraper.page_protocol import Screen
from scraper.page_tools import PageTools


class PageScreen:
    """The tabs of one run."""

    def __init__(self, tools: PageTools) -> None:
        self._tools = tools

    async def set_viewport(self, step: kinds.SetViewport, _deadline: float) -> None:
        """Another size and kind of screen, from now on and for all pages of this tab."""
        screen = Screen(
            step.width, step.height, step.device_scale_factor, step.is_mobile, step.has_touch, step.is_landscape
        )
        await self._tools.protocol.set_screen(self._tools.page, screen)

    async def emulate_network(self, step: kinds.EmulateNetwork, _deadline: float) -> None:
        """A slower network for this tab."""
        down, up = (
            -1 if one is None else one for one in (step.download_bytes_per_second, step.upload_bytes_per_second)
        )
        await self._tools.protocol.set_network(
            self._tools.page, offline=step.offline, latency_ms=step.latency_ms, down=down, up=up
        )

    async def close_tab(self, _step: kinds.CloseTab, _deadline: float) -> None:
        """Close it. The next step finds the newest other one, if there is any."""
        self._tools.finder.frame = None
        await self._tools.page.close()
