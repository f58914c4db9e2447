"""Going through a page as a reader does. Owns: the order of what is scrolled, and when there is no more.

Every place is passed: boxes that are in view first, then the window by most of its height, then boxes that were never
in view. At the end the page gets time for more, longer while it is still asking for something.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Page

from scraper.page_activity import QUIET_MS, PageActivity
from scraper.page_trees import TREES, matches
from scraper.rendering import Scrolling

# A step's own wait for what it brings; the end of the page has the longer one.
STEP_SECONDS = 2.0
# A request that is longer under way is a stream.
REQUEST_SECONDS = 10.0
_LOOK_SECONDS = 0.1
# What an answer that has just come may take to be shown.
_SHOW_SECONDS = 0.5

# Moves one step on, or (`move: false`) only looks; answers whether there was anything left to move.
_STEP = (
    "async ({step, move}) => {"
    + TREES
    + """
  const left = box => box.scrollHeight - box.clientHeight - box.scrollTop > 1;
  const push = box => {
    const before = box.scrollTop;
    box.scrollBy({top: step || Math.max(box.clientHeight * 0.8, 10), behavior: 'instant'});
    return box.scrollTop !== before;
  };
  const inView = box => {
    const view = box.ownerDocument.defaultView, place = box.getBoundingClientRect();
    const seen = Math.min(place.bottom, view.innerHeight) - Math.max(place.top, 0);
    if (seen < Math.min(place.height, view.innerHeight) / 2) return false;
    return view === window || !view.frameElement || inView(view.frameElement);
  };
  const windows = [], boxes = [];
  for (const tree of trees()) {
    const own = tree.host ? null : tree.scrollingElement || tree.documentElement;
    if (own && left(own)) (tree === document ? windows : boxes).push(own);
    for (const one of tree.querySelectorAll('*'))
      if (one !== own && one.clientHeight > 0 && left(one) && !/^(html|textarea|select)$/.test(one.localName)
          && /auto|scroll|overlay/.test(getComputedStyle(one).overflowY)) boxes.push(one);
  }
  if (!move) return windows.length + boxes.length > 0;
  const frame = box => box === box.ownerDocument.scrollingElement ? box.ownerDocument.defaultView.frameElement : box;
  const near = boxes.filter(box => inView(frame(box))), far = boxes.filter(box => !near.includes(box));
  const moved = near.map(push).some(Boolean) || windows.map(push).some(Boolean)
    || far.some(box => { frame(box).scrollIntoView({block: 'center', behavior: 'instant'}); return push(box); });
  // What watches for coming into view is told with a frame.
  const frames = new Promise(resolve => requestAnimationFrame(() => requestAnimationFrame(resolve)));
  if (moved) await Promise.race([frames, new Promise(resolve => setTimeout(resolve, 1000))]);
  return moved;
}"""
)

# The page's texts, or (`before`) how many of those are no longer there.
_TEXTS = (
    "({before, most}) => {"
    + TREES
    + """
  const found = new Set();
  for (const tree of trees()) {
    const walker = document.createTreeWalker(tree, NodeFilter.SHOW_TEXT);
    while (walker.nextNode() && (before || found.size < most)) {
      const text = walker.currentNode.data.trim();
      if (text.length > 1 && !/^(script|style)$/.test(walker.currentNode.parentNode.localName)) found.add(text);
    }
  }
  return before ? before.filter(text => !found.has(text)).length : [...found];
}"""
)
_MOST_TEXTS = 1000
# Of the texts before: so many that it is no clock or notice that has changed.
_GONE_TEXTS, _GONE_SHARE = 5, 0.2


@dataclass(slots=True)
class Scrolled:
    """`stopped`: why it ended before the page did. `gone`: how many texts the page took away, if that is many."""

    steps: int = 0
    stopped: str = ""
    gone: int = 0


async def scroll_through(page: Page, activity: PageActivity, how: Scrolling, deadline: float) -> Scrolled:
    """Scroll until the page's end, `how.until`, `how.steps`, or `deadline` on the loop's clock."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    done = Scrolled()
    before = await _evaluate(page, _TEXTS, {"before": None, "most": _MOST_TEXTS}) or []
    while not (how.until and await matches(page, how.until)):
        if loop.time() >= deadline:
            done.stopped = "the page's time was up"
            break
        if done.steps >= how.steps:
            if await _grows(page, activity, how, began, deadline):
                done.stopped = "more steps are not allowed"
            break
        since = loop.time()
        if await _step(page, how.step, move=True):
            done.steps += 1
            await activity.settle(page, min(STEP_SECONDS, deadline - since), since=since, composed_ms=QUIET_MS)
        elif not await _grows(page, activity, how, began, deadline):
            if how.until and not await matches(page, how.until):
                done.stopped = f"{how.until} did not come before the end"
            break
    gone = await _evaluate(page, _TEXTS, {"before": before, "most": 0}) if done.steps else 0
    if gone and gone >= max(_GONE_TEXTS, len(before) * _GONE_SHARE):
        done.gone = gone
    return done


async def _grows(page: Page, activity: PageActivity, how: Scrolling, began: float, deadline: float) -> bool:
    """Whether there is something to scroll, within the time that the page has for it at its end."""
    loop = asyncio.get_running_loop()
    end = loop.time() + how.wait
    while True:
        if await _step(page, None, move=False):
            return True
        if how.until and await matches(page, how.until):
            return True
        now = loop.time()
        if activity.busy(max(began, now - REQUEST_SECONDS)):
            end = max(end, now + _SHOW_SECONDS)
        if now >= min(end, deadline):
            return now >= deadline
        await asyncio.sleep(_LOOK_SECONDS)


async def _step(page: Page, pixels: int | None, *, move: bool) -> bool:
    moved = await _evaluate(page, _STEP, {"step": pixels, "move": move})
    # None: the page has moved on by itself; the next one is gone through.
    return moved is None or bool(moved)


async def _evaluate(page: Page, script: str, argument: Any) -> Any:
    """What the script answers; None when the page moves on meanwhile."""
    try:
        return await page.evaluate(script, argument)
    except PlaywrightError as error:
        if "Execution context was destroyed" not in str(error):
            raise
        return None
