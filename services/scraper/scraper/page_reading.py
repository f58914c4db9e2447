"""A page in short: its title, text and links. Must not know runs or steps."""

from typing import Any

from playwright.async_api import Page

from scraper.page_trees import TREES

MAX_TEXT = 200_000
MAX_LINKS = 10_000
SUMMARY_SECONDS = 15.0

_SUMMARY = (
    "({maxText, maxLinks}) => {"
    + TREES
    + """
  const links = [], truncated = {}, all = trees();
  let count = 0;
  for (const link of all.flatMap(tree => [...tree.querySelectorAll('a[href]')])) {
    if (!/^https?:/.test(link.href) || ++count > maxLinks) continue;
    links.push({text: (link.innerText || '').trim().slice(0, 500), url: link.href});
  }
  const parts = tree => tree.host ? [...tree.children] : tree.body ? [tree.body] : [];
  const shown = all.flatMap(parts).filter(one => !/^(style|script)$/.test(one.localName));
  const text = shown.map(one => one.innerText || '').join('\\n').trim();
  if (count > maxLinks) truncated.links = count;
  if (text.length > maxText) truncated.text = text.length;
  const summary = {title: document.title, url: location.href, text: text.slice(0, maxText), links};
  return Object.keys(truncated).length ? {...summary, truncated} : summary;
}"""
)


async def summarize_page(page: Page) -> dict[str, Any]:
    """Title, address, visible text and links, those of open roots and own frames behind the page's own.

    `truncated` names what was cut, with its whole length or number.
    """
    summary: dict[str, Any] = await page.evaluate(_SUMMARY, {"maxText": MAX_TEXT, "maxLinks": MAX_LINKS})
    return summary
