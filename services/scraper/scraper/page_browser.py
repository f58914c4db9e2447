"""The browser of one scrape run. Owns: its session, opened when it is first needed. Must not know fields."""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack

from scraper.executor import Json, RunContext
from scraper.rendering import PageOptions, RenderedPage, Renderer, RenderSession, Scrolling
from scraper.scrape_definition import ScrapeDefinition


class PageBrowser:
    """Loads pages side by side, as many as the session has tabs."""

    def __init__(self, renderer: Renderer, context: RunContext, options: Mapping[str, Json]) -> None:
        self._renderer, self._context, self._options = renderer, context, options
        self._stack = AsyncExitStack()
        self._session: RenderSession | None = None
        self._opening = asyncio.Lock()

    async def load(self, url: str, definition: ScrapeDefinition) -> RenderedPage:
        """The rendered page. Raises ExecutorError."""
        if self._session is None:
            async with self._opening:
                if self._session is None:
                    options = {**self._options, **_looks(definition)}
                    manager = self._renderer.session(self._context, options)
                    self._session = await self._stack.enter_async_context(manager)
        return await self._session.load(url, _page_options(definition))

    async def close(self) -> None:
        """Close what was opened."""
        await self._stack.aclose()


def _looks(definition: ScrapeDefinition) -> dict[str, Json]:
    """The options of the session that the definition itself names."""
    wanted = definition.model_dump(mode="json", include={"dialogs", "viewport"})
    return {name: value for name, value in wanted.items() if value is not None}


def _page_options(definition: ScrapeDefinition) -> PageOptions:
    scroll = definition.scroll
    return PageOptions(
        wait_for=definition.wait_for,
        scroll=None if scroll is None else Scrolling(scroll.step, scroll.wait, scroll.until, scroll.steps),
        steps=definition.steps,
        max_bytes=definition.limits.page_bytes,
        timeout_seconds=definition.page_seconds,
    )
