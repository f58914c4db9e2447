"""Links as Chromium reads them: the measure for ours. One browser, and a page for each encoding and base.

Left out is where it differs from the standard to nobody's good: a host with a space, and a base that is no address, by
which it loses every link of the page.
"""

import html
import string

from playwright.async_api import async_playwright
from raw_site import RawSite, answer
from scraper.browser_process import find_chromium
from scraper.charsets import decode_body
from scraper.documents import parse_document
from scraper.urls import to_url

LINKS = [
    "", "#", "#part", "?", "?only", "x", "./.././../x/./y", "a/%2e%2e/b/%2E/c", "a/..%2f..%2fb", "//elm.example/x",
    "///elm.example/y", "////elm.example", "http:/one/slash", "http:none", "https:other", "http:\\\\elm.example\\x",
    "\\up\\one", "..\\two", "/q?path=C:\\lamps", " /space ", "/in ner?in ner#in ner", "/ne\nw/t\tab\r.html",
    "/a%2Fb/%7Euser?s=ab%2fcd%3d&t=%7e", "/50%/x?y=100%&z=%zz", "/q?a=1+2&b=x%20y;c", "/.well-known/.x/..",
    "/a//b///c/", "/ünï/straße?q=ü#ü", "/q?w=灯&x=é€", "/лампа?w=лампа", "http://Lämpe.example/x",
    "http://straße.example/", "http://faß.ExAmPlE:80", "https://elm.example:443/x?", "http://elm.example:8080",
    "http://elm.example:080/", "http://user:p@ss@elm.example/x", "http://u@elm.example", "http://0x7f.1/",
    "http://1.2.3/", "http://[::1]:80/", "http://[::FFFF:1.2.3.4]/", "http://elm.example./", "http://a_b.example/",
    "http://elm.example/\u200bx", "\u00a0x", "http://xn--bcher-kva.example/", "http://%65lm.example/",
    "http://elm。example/", "javascript:void(0)", " JavaScript:go()", "mailto:a@b.example", "data:text/html,x",
    "tel:+1", "ftp://elm.example/", "http://[bad/", "http://", "http://elm.example:99999/", "http://elm.example:x/",
    "http://999.1.1.1/", "http://a<b/", "/emoji/🛋?🛋#🛋", "x:y", "1http://x", "/" + "a=1&" * 600 + "?" + "b=2&" * 600,
    *(f"/p{mark}p?q{mark}q#f{mark}f" for mark in string.punctuation),
]  # fmt: skip
ENCODINGS = [
    "utf-8", "gbk", "shift_jis", "euc-kr", "big5", "windows-1252", "iso-8859-1", "windows-1251", "euc-jp", "koi8-r",
]  # fmt: skip
BASES = ["/other/", "sub/", "/b/c.html?x=1", "  \\b\\ ", "javascript:void(0)", "", "//elm.example/deep/x", "data:,x"]
FEW = ["x.html", "?z=1", "#top", "", "/root", "../up"]


def page(links: list[str], encoding: str, base: str | None = None) -> bytes:
    anchors = "".join(f'<a href="{html.escape(link)}">x</a>' for link in links)
    head = f'<base href="{html.escape(base)}">' if base is not None else ""
    # What the encoding doesn't have stands as a character reference, as pages have it.
    text = f"<!doctype html><html><head>{head}</head><body>{anchors}</body></html>"
    return text.encode(encoding, "xmlcharrefreplace")


def ours(body: bytes, kind: str, url: str) -> list[str | None]:
    text, encoding = decode_body(body, kind)
    document = parse_document(text, url=url, content_type="text/html", encoding=encoding)
    return [to_url(link.get("href"), document.base_url, document.encoding) for link in document.root.iter("a")]


async def test_our_links_are_those_of_chromium() -> None:
    pages = {f"/dir/{encoding}.html": (page(LINKS, encoding), encoding) for encoding in ENCODINGS}
    pages |= {f"/dir/base{n}.html": (page(FEW, "utf-8", base), "utf-8") for n, base in enumerate(BASES)}
    kinds = {path: f"text/html; charset={encoding}" for path, (_, encoding) in pages.items()}
    site = RawSite({path: answer(body, kind=kinds[path]) for path, (body, _) in pages.items()})
    differing = []
    async with site.open() as origin, async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=find_chromium(), chromium_sandbox=False)
        tab = await browser.new_page()
        for path, (body, _) in pages.items():
            await tab.goto(origin + path, wait_until="domcontentloaded")
            seen = await tab.evaluate(
                "[...document.links].map(a => ['http:', 'https:'].includes(a.protocol) && a.host ? a.href : null)"
            )
            found = ours(body, kinds[path], origin + path)
            assert len(found) == len(seen) > 0
            differing += [(path, one, other) for one, other in zip(found, seen, strict=True) if one != other]
        await browser.close()
    assert differing == []
