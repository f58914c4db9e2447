"""Sitemaps (sitemaps.org, plain lists, feeds). Owns: their reading. Must not know how they are had."""

import zlib
from dataclasses import dataclass
from io import BytesIO

from lxml import etree

MAX_BYTES = 50 * 1024 * 1024
MAX_ENTRIES = 50_000
ENTRIES = frozenset({"url", "sitemap", "item", "entry"})


@dataclass(frozen=True, slots=True)
class Sitemap:
    """`pages`: (URL, date of its last change or ""). `sitemaps`: further ones that it names."""

    pages: tuple[tuple[str, str], ...]
    sitemaps: tuple[str, ...]


def read_sitemap(body: bytes) -> Sitemap:
    """What a sitemap names, as far as it can be read; nothing for what isn't one."""
    data = _unpacked(body)
    if not data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        lines = data.decode(errors="replace").split()
        return Sitemap(tuple((line, "") for line in lines[:MAX_ENTRIES] if line.startswith("http")), ())
    pages: list[tuple[str, str]] = []
    sitemaps: list[str] = []
    # No entities, network or huge trees: the text is a stranger's.
    walk = etree.iterparse(
        BytesIO(data), events=("end",), recover=True, resolve_entities=False, no_network=True, huge_tree=False
    )
    try:
        for _, element in walk:
            kind = _name(element)
            if kind not in ENTRIES:
                continue
            address, changed = _entry(element)
            if address and kind == "sitemap":
                sitemaps.append(address)
            elif address:
                pages.append((address, changed))
            element.clear()
            if len(pages) + len(sitemaps) >= MAX_ENTRIES:
                break
    except etree.XMLSyntaxError:
        pass  # What was read so far counts.
    return Sitemap(tuple(pages), tuple(sitemaps))


def _entry(element: etree._Element) -> tuple[str, str]:
    address = changed = ""
    for child in element:
        name, text = _name(child), (child.text or "").strip()
        if name == "loc" or (name == "link" and not address):
            address = text or (child.get("href") or "").strip()
        elif name in ("lastmod", "updated"):
            changed = text
    return address, changed


def _name(element: etree._Element) -> str:
    tag = element.tag
    return etree.QName(tag).localname.lower() if isinstance(tag, str) else ""


def _unpacked(body: bytes) -> bytes:
    if not body.startswith(b"\x1f\x8b"):
        return body[:MAX_BYTES]
    try:
        return zlib.decompressobj(wbits=31).decompress(body, MAX_BYTES)
    except zlib.error:
        return b""
