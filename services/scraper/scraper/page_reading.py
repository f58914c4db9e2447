"""A page in short: its title, text and links. Must not know runs or steps."""

from typing import Any

from playwright.async_api import Page

MAX_TEXT = 200_000
MAX_LINKS = 10_000
SUMMARY_SECONDS = 15.0

_SUMMARY = """
({maxText, maxLinks}) => {
  const links = [], truncated = {};
  let count = 0;
  for (const link of document.querySelectorAll('a[href]')) {
    if (!/^https?:/.test(link.href) || ++count > maxLinks) continue;
    links.push({text: (link.innerText || '').trim().slice(0, 500), url: link.href});
  }
  const text = document.body ? document.body.innerText.trim() : '';
  if (count > maxLinks) truncated.links = count;
  if (text.length > maxText) truncated.text = text.length;
  const summary = {title: document.title, url: location.href, text: text.slice(0, maxText), links};
  return Object.keys(truncated).length ? {...summary, truncated} : summary;
}
"""


async def summarize_page(page: Page) -> dict[str, Any]:
    """Title, address, visible text and links; `truncated` names what was cut, with its whole length or number."""
    summary: dict[str, Any] = await page.evaluate(_SUMMARY, {"maxText": MAX_TEXT, "maxLinks": MAX_LINKS})
    return summary
