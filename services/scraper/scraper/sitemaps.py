"""Sitemaps (sitemaps.org), plain lists of addresses, and feeds (Atom, RSS). Owns: their reading. Must not fetch.

Read as far as they can be: what servers and hand-written files get wrong (notices in front, bare ampersands, HTML's
entities, several gzip members) is mended before; what can't be understood is said in `faults`, never passed over.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.entities import html5
from io import BytesIO
from typing import Any

from lxml import etree

from scraper.charsets import decode_body
from scraper.content_codings import CodingError, decoders_of, unpacked
from scraper.urls import to_url

MAX_BYTES = 50 * 1024 * 1024
MAX_ENTRIES = 50_000
MAX_LINE = 10_000
# How far into a file its root element may begin, and how far from its end it may end.
LOOKED_AT = 64 * 1024
ENTRIES = frozenset({"url", "sitemap", "item", "entry"})
_ROOT = re.compile(r"<(?:[A-Za-z_][\w.-]*:)?(?:urlset|sitemapindex|rss|feed|RDF)[\s/>]", re.IGNORECASE)
_ROOT_END = re.compile(r"</(?:[A-Za-z_][\w.-]*:)?(?:urlset|sitemapindex|rss|feed|RDF)\s*>", re.IGNORECASE)
_EMPTY_ROOT = re.compile(r"<[^<>]*/>")
_ENTRY_END = re.compile(r"</(?:[A-Za-z_][\w.-]*:)?(?:url|sitemap|item|entry)\s*>", re.IGNORECASE)
_XML = re.compile(r"<\?xml\b[^<>]*\?>", re.IGNORECASE)
_CDATA = ("<![CDATA[", "]]>")
_AMPERSAND = re.compile(r"&(?!(?:amp|lt|gt|quot|apos|#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6});)([A-Za-z][A-Za-z0-9]{1,30};)?")
# What XML can't hold, not even escaped.
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_MARKS = frozenset("<>&")
_TEXT = etree.XPath("string()", smart_strings=False)
_ALTERNATE = frozenset({"alternate", "http://www.iana.org/assignments/relation/alternate"})
_PAGE_TYPES = frozenset({"", "text/html", "application/xhtml+xml"})
Element = Any


@dataclass(slots=True)
class Sitemap:
    """`pages`: (URL, date of its last change or ""). `sitemaps`: further ones that it names. `faults`: what of it could
    not be read, in words. `left_out`: entries beyond the bound.
    """

    pages: list[tuple[str, str]] = field(default_factory=list)
    sitemaps: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    left_out: int = 0

    @property
    def count(self) -> int:
        """Its entries."""
        return len(self.pages) + len(self.sitemaps)


def read_sitemap(body: bytes, url: str, content_type: str = "") -> Sitemap:
    """What the sitemap at `url` names, as absolute URLs. Never raises."""
    found = Sitemap()
    text = _text_of(body, content_type, found.faults)
    root = _ROOT.search(text, 0, LOOKED_AT)
    if root is None:
        _read_lines(text, url, found)
    else:
        _read_xml(text[root.start() :], url, found)
    return found


def _text_of(body: bytes, content_type: str, faults: list[str]) -> str:
    if body.startswith(b"\x1f\x8b"):
        body = _unzipped(body, faults)
    if len(body) > MAX_BYTES:
        faults.append(f"it is longer than {MAX_BYTES} bytes")
    return decode_body(body[:MAX_BYTES], content_type)[0]


def _unzipped(body: bytes, faults: list[str]) -> bytes:
    content = bytearray()
    decoders = decoders_of("gzip")
    try:
        for piece in unpacked(decoders, body):
            content += piece
            if len(content) > MAX_BYTES:
                return bytes(content)
    except CodingError as error:
        faults.append(str(error))
    else:
        if not all(decoder.whole for decoder in decoders):
            faults.append("the packed file ends early")
    return bytes(content)


def _read_lines(text: str, url: str, found: Sitemap) -> None:
    """A list: each line is an address, white space within it belongs to it."""
    others = 0
    for raw in text.splitlines():
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        address = to_url(line, url) if line[:8].lower().startswith(("http://", "https://")) else None
        if address is None or len(line) > MAX_LINE:
            others += 1
        elif found.count >= MAX_ENTRIES:
            found.left_out += 1
        else:
            found.pages.append((address, ""))
    if not found.pages:
        found.faults.append("it is neither a sitemap, nor a feed, nor a list of addresses")
    elif others:
        found.faults.append(f"{others} of its lines are no addresses")


def _read_xml(text: str, url: str, found: Sitemap) -> None:
    text = _without_cut_entry(text, found)
    # No entities, network or huge trees: the text is a stranger's.
    walk = etree.iterparse(
        BytesIO(_mended(text).encode(errors="replace") or b"<none/>"),
        events=("end",), recover=True, resolve_entities=False, no_network=True, huge_tree=False, remove_pis=True,
    )  # fmt: skip
    try:
        for _, element in walk:
            if _name(element)[1] in ENTRIES:
                _take(element, url, found)
                _forget(element)
    except etree.XMLSyntaxError as error:
        found.faults.append(f"it is broken XML: {error}"[:300])
        return
    broken = walk.error_log.filter_from_fatals()
    if len(broken) and not found.faults:
        found.faults.append(f"it is broken XML: {broken[0].message}, line {broken[0].line}"[:300])


def _without_cut_entry(text: str, found: Sitemap) -> str:
    """The text up to its last whole entry, where it ends before its root does: half an address is another one."""
    ends = [match.end() for match in _ROOT_END.finditer(text, max(0, len(text) - LOOKED_AT))]
    if ends or _EMPTY_ROOT.match(text):
        return text[: ends[-1]] if ends else text  # What comes behind it is the server's.
    end = max((match.end() for match in _ENTRY_END.finditer(text)), default=0)
    found.faults.append("it ends early")
    return text[:end]


def _mended(text: str) -> str:
    """The text without what no XML parser takes."""
    text = _CONTROLS.sub("", _XML.sub("", text))
    if "&" not in text:
        return text
    mended: list[str] = []
    at = 0
    # By hand: a pattern looks for the end of each section anew, and a stranger's file may end none.
    while (start := text.find(_CDATA[0], at)) >= 0 and (end := text.find(_CDATA[1], start)) >= 0:
        end += len(_CDATA[1])
        mended += (_AMPERSAND.sub(_entity, text[at:start]), text[start:end])
        at = end
    return "".join((*mended, _AMPERSAND.sub(_entity, text[at:])))


def _entity(match: re.Match[str]) -> str:
    """HTML's entities are letters; any other ampersand is itself."""
    name = match[1] or ""
    letters = html5.get(name, "&")
    return f"&amp;{name}" if letters in _MARKS else letters


def _take(element: Element, url: str, found: Sitemap) -> None:
    kind = _name(element)[1]
    address, changed = _READERS[kind](element, url)
    if address is None:
        return
    if found.count >= MAX_ENTRIES:
        found.left_out += 1
    elif kind == "sitemap":
        found.sitemaps.append(address)
    else:
        found.pages.append((address, changed))


def _of_sitemap(element: Element, url: str) -> tuple[str | None, str]:
    address: str | None = None
    changed = ""
    for name, child in _own(element):
        if name == "loc":
            address = address or (to_url(text, url) if (text := _text(child)) else None)
        elif name == "lastmod":
            changed = _text(child)
    return address, changed


def _of_atom(element: Element, url: str) -> tuple[str | None, str]:
    """An entry's page is its link without a relation or as an alternate, HTML before other types (RFC 4287 4.2.7)."""
    first = page = None
    changed = ""
    for name, child in _own(element):
        if name in ("updated", "modified"):
            changed = _text(child)
        elif name == "link" and (child.get("rel") or "alternate").strip().lower() in _ALTERNATE:
            href = (child.get("href") or "").strip()
            if href:
                address = to_url(href, _base(child, url))
                first = first or address
                if (child.get("type") or "").partition(";")[0].strip().lower() in _PAGE_TYPES:
                    page = page or address
    return page or first, changed


def _of_rss(element: Element, url: str) -> tuple[str | None, str]:
    """An item's link, or else its guid, which is an address unless it says that it is none (RSS 2.0)."""
    link = guid = None
    changed = ""
    for name, child in _own(element):
        text = _text(child)
        if name == "link" and text:
            link = link or to_url(text, _base(child, url))
        elif name == "guid" and (child.get("isPermaLink") or "true").strip().lower() != "false":
            guid = to_url(text, url) if text.lower().startswith(("http://", "https://")) else None
        elif name == "pubdate":
            changed = text
    return link or guid, changed


_READERS = {"url": _of_sitemap, "sitemap": _of_sitemap, "entry": _of_atom, "item": _of_rss}


def _own(element: Element) -> Iterator[tuple[str, Element]]:
    """(name, child) of the children in the element's own namespace."""
    space = _name(element)[0]
    for child in element:
        child_space, name = _name(child)
        if name and child_space == space:
            yield name, child


def _name(element: Element) -> tuple[str, str]:
    """Namespace and local name; a prefix that nobody has declared counts as a namespace."""
    tag = element.tag
    if not isinstance(tag, str):
        return "", ""
    space, _, name = tag.rpartition("}")
    prefix, _, local = name.rpartition(":")
    return space or prefix, local.lower()


def _text(element: Element) -> str:
    return str(_TEXT(element)).strip()


def _base(element: Element, url: str) -> str:
    """What the addresses in an element are relative to (xml:base)."""
    base = element.base
    return (to_url(base, url) or url) if base else url


def _forget(element: Element) -> None:
    """Free what was read: a sitemap is large."""
    element.clear()
    parent = element.getparent()
    while parent is not None and element.getprevious() is not None:
        del parent[0]
