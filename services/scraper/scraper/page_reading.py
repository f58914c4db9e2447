"""A whole page as data: its HTML, or title, text and links. Must not know runs or steps."""

import asyncio
from typing import Any

from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Page

MAX_HTML = 20_000_000
MAX_TEXT = 200_000
MAX_LINKS = 10_000
SUMMARY_SECONDS = 15.0
_HTML_TRIES = 5

_SUMMARY = """
({maxText, maxLinks}) => {
  const found = Array.from(document.querySelectorAll('a[href]')).filter(link => /^https?:/.test(link.href));
  const links = found.slice(0, maxLinks)
    .map(link => ({text: (link.innerText || '').trim().slice(0, 500), url: link.href}));
  const text = document.body ? document.body.innerText.trim() : '';
  const truncated = {};
  if (found.length > maxLinks) truncated.links = found.length;
  if (text.length > maxText) truncated.text = text.length;
  const cut = Object.keys(truncated).length ? {truncated} : {};
  return {title: document.title, url: location.href, text: text.slice(0, maxText), links, ...cut};
}
"""

# Resolves once nothing has changed in the document for `quiet` ms, after `most` ms at the latest.
_QUIET = """
({quiet, most}) => new Promise(resolve => {
  let timer = setTimeout(done, quiet);
  const last = setTimeout(done, most);
  const observer = new MutationObserver(() => { clearTimeout(timer); timer = setTimeout(done, quiet); });
  observer.observe(document, {childList: true, subtree: true, characterData: true, attributes: true});
  function done() { clearTimeout(timer); clearTimeout(last); observer.disconnect(); resolve(); }
})
"""

_SCROLL = """
() => {
  const root = document.scrollingElement || document.documentElement;
  window.scrollTo({top: root.scrollHeight, behavior: 'instant'});
  return root.scrollHeight;
}
"""
_MAX_SCROLLS = 50


async def read_html(page: Page) -> str:
    """The document as it stands, cut at 20 million characters; a page that is just moving on is asked again."""
    for attempt in range(_HTML_TRIES):
        try:
            return (await page.content())[:MAX_HTML]
        except PlaywrightError as error:
            if "navigating" not in str(error) or attempt == _HTML_TRIES - 1:
                raise
            await asyncio.sleep(0.1)
    raise AssertionError("unreachable")


async def summarize_page(page: Page) -> dict[str, Any]:
    """Title, address, visible text and links. `truncated` has the whole length of what was cut."""
    summary: dict[str, Any] = await page.evaluate(_SUMMARY, {"maxText": MAX_TEXT, "maxLinks": MAX_LINKS})
    return summary


async def settle_page(page: Page, seconds: float) -> None:
    """Wait until network and document are quiet, `seconds` at most for both together."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    try:
        async with asyncio.timeout(seconds):
            # Some pages never stop asking: half of the time is theirs.
            try:
                await page.wait_for_load_state("networkidle", timeout=max(seconds * 500, 1))
            except PlaywrightError as error:
                if "Timeout" not in str(error):
                    raise
            left = (end - loop.time()) * 1000
            await page.evaluate(_QUIET, {"quiet": min(150, left), "most": left})
    except TimeoutError:
        return
    except PlaywrightError as error:
        if "Execution context was destroyed" not in str(error):
            raise


async def scroll_to_end(page: Page, deadline: float) -> None:
    """Scroll down until the page no longer grows, or the loop's clock reaches `deadline`."""
    height = -1
    for _ in range(_MAX_SCROLLS):
        now_high = int(await page.evaluate(_SCROLL))
        if now_high <= height or asyncio.get_running_loop().time() >= deadline:
            return
        height = now_high
        await settle_page(page, 1.0)
