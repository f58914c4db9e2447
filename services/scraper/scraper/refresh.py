"""Pages that send their reader on: the Refresh header and meta refresh. Owns: reading them. Must not fetch.

By the HTML standard's "shared declarative refresh steps". What is for readers without scripts only (noscript) is told
apart, since a page that needs scripts has it as well.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lxml import etree

from scraper.charsets import decode_body
from scraper.urls import base_of, to_url, without_fragment

# A page that moves on later than this is there to be read.
AT_ONCE_SECONDS = 5
LOOKED_AT = 256 * 1024
_HINT = re.compile(rb"http-equiv\s*+=\s*+[\"']?+\s*+refresh")
_REFRESH = re.compile(r"\s*(\d*)(?:\.[\d.]*)?(?:\s*[;,]\s*|\s+|$)(?:url\s*=\s*)?(.*)", re.IGNORECASE | re.DOTALL)
_HTML = frozenset({"text/html", "application/xhtml+xml", ""})
_FOUND = etree.XPath(
    "//meta[translate(normalize-space(@http-equiv), 'REFSH', 'refsh')='refresh'][@content][not(ancestor::template)]"
)
_BASE = etree.XPath("string((//base[@href])[1]/@href)")


@dataclass(frozen=True, slots=True)
class Refresh:
    """Where a page sends its reader at once. `scripts_off`: only those without scripts."""

    url: str
    scripts_off: bool = False


def refresh_of(url: str, headers: Mapping[str, str], body: bytes, *, charset: str | None = None) -> Refresh | None:
    """The refresh of an answer that is to be followed as a redirect: to another page, at once or nearly so."""
    if (said := headers.get("Refresh")) is not None and (target := _target(said, url, "utf-8", url)):
        return Refresh(target)
    content_type = headers.get("Content-Type", "")
    head = body[:LOOKED_AT]
    # Nearly no page has one, so looking must cost next to nothing.
    if b"efresh" not in (lowered := head.lower()) or not _HINT.search(lowered):
        return None
    if content_type.partition(";")[0].strip().lower() not in _HTML:
        return None
    text, encoding = decode_body(head, content_type, charset=charset)
    root = _parsed(text)
    if root is None:
        return None
    base = base_of(url, str(_BASE(root)), encoding)
    found = None
    for element in _FOUND(root):
        target = _target(element.get("content"), base, encoding, url)
        if target and not any(True for _ in element.iterancestors("noscript")):
            return Refresh(target)
        if target and found is None:
            found = Refresh(target, scripts_off=True)
    return found


def _parsed(text: str) -> Any:
    data = text.replace("\0", "").encode(errors="replace")
    try:
        return etree.fromstring(data, etree.HTMLParser(encoding="utf-8", recover=True, no_network=True))
    except etree.LxmlError:
        return None


def _target(said: str, base: str, encoding: str, own: str) -> str | None:
    """The address in `<seconds>; url=<address>`, when it is another one and soon."""
    match = _REFRESH.fullmatch(said)
    if match is None or not (match[1] or said.lstrip().startswith(".")):
        return None
    address = match[2].strip()
    if len(match[1]) > 4 or int(match[1] or 0) > AT_ONCE_SECONDS or not address:
        return None
    if address[0] in "\"'":
        address = address[1:].partition(address[0])[0]
    target = to_url(address.strip(), base, encoding)
    return target if target is not None and without_fragment(target) != without_fragment(own) else None
