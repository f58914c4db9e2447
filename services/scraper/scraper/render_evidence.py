"""Signs in a page that its scripts are to fill it. Owns: what is looked for. Must not know what is decided by it."""

from scraper.documents import Document
from scraper.reading import Evidence

# Less text than this, and scripts: a shell that they are to fill.
SHELL_CHARACTERS = 200
ROOTS = "//body//*[@id='root' or @id='app' or @id='__next' or @id='__nuxt' or @id='__layout' or @id='svelte']"
EMPTY_ROOT = f"boolean({ROOTS}[not(*)][not(normalize-space())])"
ASKS_FOR_SCRIPTS = (
    "boolean(//noscript[contains(translate(., 'JAVSCRIPT', 'javscript'), 'javascript')"
    " or contains(translate(., 'JAVSCRIPT', 'javscript'), 'enable js')])"
)


def evidence_of(document: Document) -> Evidence:
    """What speaks for a browser's look at the page."""
    return Evidence(True, tuple(_signs(document))) if document.has_scripts else Evidence()


def _signs(document: Document) -> list[str]:
    assert document.root is not None
    signs = []
    characters = document.visible_text(SHELL_CHARACTERS)
    if characters < SHELL_CHARACTERS:
        signs.append(f"the page has {characters} characters of text without its scripts")
    if document.root.xpath(EMPTY_ROOT):
        signs.append("the element that scripts fill is empty")
    if document.root.xpath(ASKS_FOR_SCRIPTS):
        signs.append("its noscript asks for JavaScript")
    return signs
