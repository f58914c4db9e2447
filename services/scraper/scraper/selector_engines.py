"""Selector engines that Playwright does not have. Owns: their names and scripts. Must not know steps or targets."""

from playwright.async_api import Playwright

# CSS in an element's shadow root, when it has an open one, or else in the element; never deeper.
INSIDE = "inside"
_INSIDE_SCRIPT = """{
  query: (root, css) => (root.shadowRoot || root).querySelector(css),
  queryAll: (root, css) => Array.from((root.shadowRoot || root).querySelectorAll(css)),
}"""

# What plainly has that accessible name, by one look at each element: by its label, its alternative text, or as a
# button, link or the like whose text is all of its name. The name is encoded as in addresses, so that no quote or `>>`
# in it is taken for a part of the selector. Whatever needs the whole computation of names is left to role engines.
CALLED = "called"
_CALLED_SCRIPT = r"""{
  queryAll(root, encoded) {
    const name = decodeURIComponent(encoded);
    const plain = text => (text || '').replace(/\s+/g, ' ').trim();
    const roles = ['button', 'link', 'tab', 'menuitem', 'option', 'checkbox', 'radio', 'switch', 'treeitem'];
    const pointed = ['button', 'a[href]', ...roles.map(role => `[role=${role}]`)].join();
    const mixed = '[aria-label], [aria-labelledby], [aria-hidden], [alt], [title], title, style, script, select, input';
    const called = element => {
      if (element.hasAttribute('aria-labelledby')) return false;
      const label = plain(element.getAttribute('aria-label'));
      if (label) return label === name;
      if (element.localName === 'img') return plain(element.getAttribute('alt')) === name;
      return element.matches(pointed) && plain(element.textContent) === name
        && !element.querySelector(mixed) && plain(element.innerText) === name;
    };
    const found = [];
    const look = place => {
      for (const element of place.querySelectorAll('*')) {
        if (called(element)) found.push(element);
        if (element.shadowRoot) look(element.shadowRoot);
      }
    };
    if (root.shadowRoot) look(root.shadowRoot);
    look(root);
    return found;
  },
  query(root, encoded) { return this.queryAll(root, encoded)[0] || null; },
}"""


async def register_selectors(driver: Playwright) -> None:
    """Teach a driver the engines. Before its first context is made: earlier ones never know them."""
    for name, script in ((INSIDE, _INSIDE_SCRIPT), (CALLED, _CALLED_SCRIPT)):
        await driver.selectors.register(name, script=script, content_script=True)
