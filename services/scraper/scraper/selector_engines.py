"""Selector engines that Playwright does not have. Owns: their names and scripts. Must not know steps or targets."""

from playwright.async_api import Playwright

# CSS in an element's shadow root, when it has an open one, or else in the element; never deeper.
INSIDE = "inside"
_INSIDE_SCRIPT = """{
  query: (root, css) => (root.shadowRoot || root).querySelector(css),
  queryAll: (root, css) => Array.from((root.shadowRoot || root).querySelectorAll(css)),
}"""


async def register_selectors(driver: Playwright) -> None:
    """Teach a driver the engines. Before its first context is made: earlier ones never know them."""
    await driver.selectors.register(INSIDE, script=_INSIDE_SCRIPT, content_script=True)
