"""What a page is still busy with: requests under way, and changes of its document. Owns: when it is at rest.

Timers can't be seen. A page of one tree is at rest when nothing has come or changed for a tenth of a second; one with
components or frames, whose parts load by themselves one after the other, gets a second.
"""

import asyncio

from playwright.async_api import BrowserContext, Page, Request
from playwright.async_api import Error as PlaywrightError

from scraper.page_trees import TREES

QUIET_MS = 100
COMPOSED_QUIET_MS = 1000
# What may bring content. Pictures and the like don't, and streams never end.
CONTENT = frozenset({"document", "script", "xhr", "fetch"})

# Resolves once no tree of the page has changed for `quiet` ms (`composedQuiet` if there are several), after `most` ms
# at the latest; answers whether any changed, and whether there are several.
_QUIET = (
    "({quiet, composedQuiet, most}) => new Promise(resolve => {"
    + TREES
    + """
  const watched = new Set();
  let changed = false, several = false, since = performance.now(), timer = setTimeout(look, quiet);
  const last = setTimeout(done, most);
  const observer = new MutationObserver(() => {
    changed = true;
    since = performance.now();
    clearTimeout(timer);
    timer = setTimeout(look, quiet);
  });
  function watch() {
    const all = trees(), before = watched.size;
    several = composed(all);
    for (const tree of all) {
      if (watched.has(tree)) continue;
      watched.add(tree);
      observer.observe(tree, {childList: true, subtree: true, characterData: true, attributes: true});
    }
    return watched.size > before;
  }
  function look() {
    if (watch()) { changed = true; since = performance.now(); }
    const left = (several ? composedQuiet : quiet) - (performance.now() - since);
    if (left > 1) timer = setTimeout(look, left); else done();
  }
  function done() { clearTimeout(timer); clearTimeout(last); observer.disconnect(); resolve({changed, several}); }
  watch();
})"""
)


class PageActivity:
    """The requests of a page, or of a context's pages."""

    def __init__(self) -> None:
        self._under_way: dict[Request, float] = {}
        self._begun = 0

    def watch(self, source: Page | BrowserContext) -> None:
        """Follow its requests from now on."""
        source.on("request", self._begin)
        source.on("requestfinished", self._end)
        source.on("requestfailed", self._end)

    def forget(self) -> None:
        """A new page begins: what the one before had asked for is no matter."""
        self._under_way.clear()

    def busy(self, since: float = 0.0) -> bool:
        """Whether requests are under way that began after `since` on the loop's clock."""
        return any(began >= since for began in self._under_way.values())

    async def settle(
        self, page: Page, seconds: float, *, since: float = 0.0, composed_ms: int = COMPOSED_QUIET_MS
    ) -> None:
        """Wait until the page is at rest, `seconds` at most; requests from before `since` are not waited for."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while (left := end - loop.time()) > 0:
            begun = self._begun
            wanted = {"quiet": QUIET_MS, "composedQuiet": composed_ms, "most": left * 1000}
            try:
                async with asyncio.timeout(left + 1):
                    found = await page.evaluate(_QUIET, wanted)
            except TimeoutError:
                return
            except PlaywrightError as error:
                if "Execution context was destroyed" not in str(error):
                    raise
                continue  # The page moves on by itself; the next one is looked at.
            if self.busy(since) or self._begun != begun:
                continue
            if not found["changed"] or found["several"]:
                return

    def _begin(self, request: Request) -> None:
        if request.resource_type in CONTENT:
            self._begun += 1
            self._under_way[request] = asyncio.get_running_loop().time()

    def _end(self, request: Request) -> None:
        self._under_way.pop(request, None)
