"""Which links a crawl follows. Owns: their selection and the one form of a URL. Must not know pages' contents or runs.

Two spellings of an address (order of its query, a fragment, escapes) are one page.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlsplit

import re2
from chassis.bounds import MAX_URL_CHARACTERS
from lxml import etree
from w3lib.url import canonicalize_url

from scraper.documents import Document, Element
from scraper.executor import Json
from scraper.problems import LINKS_LEFT_OUT
from scraper.robots import product_token, says_nofollow
from scraper.scrape_definition import Crawl, Links, Selector
from scraper.selectors import Compiler, ValueFinder
from scraper.urls import parameter_rule, to_url, without_fragment, without_parameters

# Longer ones are refused by the guard of addresses, and hardly any server takes them.
MAX_URL = MAX_URL_CHARACTERS
ANCHORS = etree.XPath("//a[@href]|//area[@href]")
META = etree.XPath("//meta[@name and @content]")
CANONICAL = etree.XPath("//link[@rel and @href]")
# What such a name leads to is no page; asking for it would cost its whole size.
_NO_PAGES = """
7z avi bin bmp bz2 css csv deb dmg doc docx eot epub exe flac gif gz ico ics iso jar jpeg jpg js m4a m4v mkv mov mp3 mp4
mpeg mpg odp ods odt ogg ogv pdf png ppt pptx ps rar rpm svg swf tar tgz tif tiff ttf wasm wav webm webp wmv woff woff2
xls xlsx xpi xz zip
"""
NO_PAGES = frozenset(_NO_PAGES.split())


def page_key(url: str) -> bytes:
    """8 bytes that stand for the page at `url`, however it is spelled."""
    try:
        form = canonicalize_url(url)
    except ValueError:
        form = url
    return hashlib.blake2b(form.encode(errors="replace"), digest_size=8).digest()


def host_of(url: str) -> str:
    """Host and port in lower case."""
    return urlsplit(url).netloc.rpartition("@")[2].lower()


def _site_of(url: str) -> str:
    return (urlsplit(url).hostname or "").removeprefix("www.")


class LinkRules:
    """Which URLs belong to a crawl. Raises InvalidParameters for a pattern that doesn't compile."""

    def __init__(self, crawl: Crawl, first_urls: Sequence[str], compiler: Compiler) -> None:
        self._sites = frozenset(_site_of(url) for url in first_urls) if crawl.links.same_site else None
        self._include = _patterns(crawl.include, compiler, "crawl.include")
        self._exclude = _patterns(crawl.exclude, compiler, "crawl.exclude")
        self._stripped = parameter_rule(crawl.strip_parameters)

    def asked_for(self, url: str) -> str:
        """The form of `url` that is asked for: without fragment and the parameters that the crawl strips."""
        url = without_fragment(url)
        return url if self._stripped is None else without_parameters(url, self._stripped)

    def takes(self, url: str) -> bool:
        """Whether the crawl may go to `url`."""
        if len(url) > MAX_URL:
            return False
        parts = urlsplit(url)
        if self._sites is not None and not self._is_own((parts.hostname or "").lower()):
            return False
        if parts.path.rpartition("/")[2].rpartition(".")[2].lower() in NO_PAGES:
            return False
        if self._include and not any(pattern.search(url) for pattern in self._include):
            return False
        return not any(pattern.search(url) for pattern in self._exclude)

    def _is_own(self, host: str) -> bool:
        assert self._sites is not None
        return host.removeprefix("www.") in self._sites or any(host.endswith("." + site) for site in self._sites)


def _patterns(expressions: Sequence[str], compiler: Compiler, place: str) -> list[Any]:
    for index, expression in enumerate(expressions):
        compiler.regex(expression, f"{place}[{index}]")
    return [re2.compile(expression) for expression in expressions]


class LinkFinder:
    """Takes the links of a page that the rules let through."""

    def __init__(self, links: Links, rules: LinkRules, compiler: Compiler, *, obey: bool, user_agent: str = "") -> None:
        """`obey`: leave out what pages ask crawlers, or the one of that `user_agent`, not to follow."""
        self._rules, self._obey = rules, obey
        self._names = frozenset({"robots", product_token(user_agent)} - {""})
        self._finder: ValueFinder | None = None
        if links.css or links.xpath or links.regex or links.attribute:
            selector = Selector.model_construct(**links.model_dump(exclude={"same_site"}))
            self._finder = ValueFinder(
                elements=compiler.elements(selector, "crawl.links"),
                json=None,
                regex=compiler.regex(links.regex, "crawl.links.regex") if links.regex else None,
                attribute=links.attribute,
                as_link=True,
            )

    def find(self, document: Document) -> tuple[str, ...]:
        """Absolute URLs without fragments, each once, in the page's order."""
        if document.root is None:
            return () if self._finder is None else self._checked(self._finder.find(document.json, document), document)
        if self._obey and self._asks_not_to(document.root):
            return ()
        if self._finder is not None:
            return self._checked(self._finder.find(document.root, document), document)
        anchors = ANCHORS(document.root)
        if self._obey:
            anchors = [one for one in anchors if "nofollow" not in (one.get("rel") or "").lower().split()]
        return self._checked((one.get("href") for one in anchors), document)

    def _asks_not_to(self, root: Element) -> bool:
        return any(
            says_nofollow(meta.get("content")) for meta in META(root) if meta.get("name").strip().lower() in self._names
        )

    def _checked(self, values: Iterable[Json], document: Document) -> tuple[str, ...]:
        found: dict[str, None] = {}
        for value in values:
            url = to_url(value, document.base_url, document.encoding) if isinstance(value, str) else None
            if url is None or (whole := self._rules.asked_for(url)) in found:
                continue
            if len(whole) > MAX_URL:
                message = f"a link of more than {MAX_URL} characters can't be followed"
                document.problems.note(LINKS_LEFT_OUT, "crawl.links", message, example=whole, url=document.url)
            elif self._rules.takes(whole):
                found[whole] = None
        return tuple(found)


def canonical_of(document: Document) -> str | None:
    """The address that the page names as its own."""
    if document.root is None:
        return None
    named = (link.get("href") for link in CANONICAL(document.root) if "canonical" in link.get("rel").lower().split())
    found = next(named, None)
    return to_url(found, document.base_url, document.encoding) if found and found.strip() else None
