"""A page as a reader has it, in one piece. Owns: how open shadow roots and frames of the same origin are walked and
written as markup. Must not know when a page is ready.

A shadow root's content stands in its host, and what is slotted stands in its slot's place (the flat tree of CSS
Scoping); a frame's body stands behind the frame, in `<iframe-document>`, its addresses resolved. What no slot takes is
not shown and left out, except scripts, which may hold data. Closed roots and other origins' frames can't be read.
"""

from dataclasses import dataclass

from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Page

_TRIES = 5

# For what is evaluated: every tree of a document (`trees`), whether there is more than the document's own (`composed`).
TREES = """
const inner = element => { try { return element.contentDocument; } catch { return null; } };
const trees = () => {
  const found = [document];
  for (let at = 0; at < found.length; at++) {
    for (const element of found[at].querySelectorAll('*')) if (element.shadowRoot) found.push(element.shadowRoot);
    for (const element of found[at].querySelectorAll('iframe, frame, object')) {
      const page = inner(element);
      if (page && page.body) found.push(page);
    }
  }
  return found;
};
const composed = all => all.length > 1 && all.slice(1).some(tree => tree.host || tree.body.childNodes.length > 0);
"""

_MARKUP = """
const VOID = new Set(['area', 'base', 'br', 'col', 'embed', 'hr', 'img', 'input', 'link', 'meta', 'source', 'track',
  'wbr']);
const RAW = new Set(['script', 'style', 'xmp', 'noembed', 'noframes', 'noscript', 'plaintext']);
const LINKS = new Set(['href', 'src', 'action', 'formaction', 'poster', 'data', 'cite', 'background']);
const HTML = 'http://www.w3.org/1999/xhtml';
const LEGACY = {frame: 'iframe', frameset: 'div'};
const escaped = text => /[&<>\\u00a0]/.test(text) ? text.replace(/&/g, '&amp;').replace(/\\u00a0/g, '&nbsp;')
  .replace(/</g, '&lt;').replace(/>/g, '&gt;') : text;
const quoted = text => escaped(text).replace(/"/g, '&quot;');
const resolved = (element, name, value) => {
  try {
    if (name === 'srcset')
      return value.replace(/[^\\s,]\\S*[^\\s,]/g, one => /^[\\d.]+[wxh]$/.test(one) ? one
        : new URL(one, element.baseURI).href);
    if (!LINKS.has(name) || !value.trim()) return value;
    // The property knows the encoding of the frame's own document.
    const whole = element[name];
    if (typeof whole === 'string' && /^[a-z][a-z0-9+.-]*:/i.test(whole)) return whole;
    return new URL(value, element.baseURI).href;
  } catch { return value; }
};
const shown = element => {
  const root = element.shadowRoot;
  if (!root) return (element.localName === 'template' && element.content || element).childNodes;
  return [...root.childNodes, ...[...element.children].filter(one => one.localName === 'script' && !one.assignedSlot)];
};
const markup = () => {
  const out = [], left = [];
  const push = nodes => { for (let at = nodes.length - 1; at >= 0; at--) left.push(nodes[at]); };
  const write = element => {
    const name = element.namespaceURI === HTML ? LEGACY[element.localName] || element.localName : element.tagName;
    const moved = element.ownerDocument !== document && element.ownerDocument.baseURI !== document.baseURI;
    let tag = '<' + name;
    for (const {name, value} of element.attributes)
      tag += ` ${name}="${quoted(moved ? resolved(element, name, value) : value)}"`;
    out.push(tag + '>');
    if (VOID.has(name)) return;
    if (name === 'iframe' || name === 'object') {
      const page = inner(element), read = page && page.body && page.body.childNodes.length > 0;
      if (name === 'iframe') out.push('</iframe>');
      if (read) left.push('</iframe-document>');
      if (read) push(page.body.localName === 'frameset' ? [page.body] : page.body.childNodes);
      if (read) left.push('<iframe-document>');
      if (name === 'iframe') return;
      left.push('</object>');
      if (!read) push(element.childNodes);
      return;
    }
    left.push(`</${name}>`);
    push(shown(element));
  };
  push([document.documentElement]);
  while (left.length) {
    const node = left.pop();
    if (typeof node === 'string') out.push(node);
    else if (node.nodeType === 3) out.push(RAW.has(node.parentNode?.localName) ? node.data : escaped(node.data));
    else if (node.nodeType === 8) out.push(`<!--${node.data}-->`);
    else if (node.nodeType === 1) {
      const within = node.getRootNode().host;
      if (within && node.localName === 'style') continue;
      const taken = within && node.localName === 'slot' ? node.assignedNodes() : null;
      if (taken) push(taken.length ? taken : node.childNodes);
      else if (node.localName === 'base' && node.ownerDocument !== document) continue;
      else write(node);
    }
  }
  return out.join('');
};
"""

# The document, whether it has scripts that may change it, and whether more than one tree was read.
_LOOK = (
    "({most, unlessScripted}) => {"
    + TREES
    + _MARKUP
    + """
  const code = [...document.scripts].some(one => !/json|template/.test(one.type));
  const scripted = code || !!document.querySelector('iframe, frame, object');
  const seen = {scripted, html: '', bytes: 0, cut: false, url: location.href};
  if (scripted && unlessScripted) return seen;
  const doctype = document.doctype ? new XMLSerializer().serializeToString(document.doctype) : '';
  const own = document.documentElement;
  const html = doctype + (!own ? '' : composed(trees()) ? markup() : own.outerHTML);
  if (html.length * 3 <= most) return {...seen, html};
  const {read} = new TextEncoder().encodeInto(html, new Uint8Array(most));
  return {...seen, html: read < html.length ? html.slice(0, read) : html, cut: read < html.length};
}"""
)

_MATCHES = (
    "selector => {"
    + TREES
    + """
  const has = tree => { try { return !!tree.querySelector(selector); } catch { return false; } };
  return trees().some(has);
}"""
)


@dataclass(frozen=True, slots=True)
class Seen:
    """A look at a page. `html` is empty where the page was only asked whether it has scripts, and has."""

    url: str
    html: str
    scripted: bool
    cut: bool


async def look_at(page: Page, most_bytes: int, *, unless_scripted: bool = False) -> Seen:
    """The page as it stands, cut after `most_bytes` of UTF-8; a page that is just moving on is asked again."""
    for attempt in range(_TRIES):
        try:
            seen = await page.evaluate(_LOOK, {"most": most_bytes, "unlessScripted": unless_scripted})
        except PlaywrightError as error:
            if "Execution context was destroyed" not in str(error) or attempt == _TRIES - 1:
                raise
            await page.wait_for_load_state("domcontentloaded")
        else:
            return Seen(seen["url"], seen["html"], scripted=seen["scripted"], cut=seen["cut"])
    raise AssertionError("unreachable")


async def matches(page: Page, selector: str) -> bool:
    """Whether the CSS selector matches anything that a look would show."""
    return bool(await page.evaluate(_MATCHES, selector))
