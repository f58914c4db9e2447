"""OpenGraph's meta elements (https://ogp.me/) as one object of type `OpenGraph`. Must not know fields or runs."""

from typing import Any

from lxml import etree

from scraper.executor import Json
from scraper.microdata import add_value, joined

Element = Any
METAS = etree.XPath("//meta[@content and (@property or @name)]")
# Beside og: itself, the vocabularies of its types.
PREFIXES = frozenset({"og", "article", "book", "business", "fb", "music", "place", "product", "profile", "video"})
ADDRESSES = frozenset(
    {"url"} | {name + part for name in ("image", "video", "audio") for part in ("", ":url", ":secure_url")}
)


def object_of(root: Element, base_url: str) -> Json:
    """`{"@type": "OpenGraph", "title": …, "image": …, "product:price:amount": …}`: `og:` left out; None without any."""
    found: dict[str, Json] = {"@type": "OpenGraph"}
    for meta in METAS(root):
        name = (meta.get("property") or meta.get("name")).strip().lower()
        prefix, _, rest = name.partition(":")
        if prefix not in PREFIXES or not rest:
            continue
        content = meta.get("content").strip()
        if prefix == "og":
            add_value(found, rest, joined(base_url, content) if rest in ADDRESSES else content)
        else:
            add_value(found, name, content)
    return found if len(found) > 1 else None
