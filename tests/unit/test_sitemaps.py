"""Sitemaps, lists and feeds."""

import gzip
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scraper import sitemaps
from scraper.sitemaps import read_sitemap

AT = "http://oak.example/maps/s.xml"
NS = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'
ATOM = 'xmlns="http://www.w3.org/2005/Atom"'


def paths(text: str | bytes, content_type: str = "") -> list[str]:
    body = text.encode() if isinstance(text, str) else text
    return [url.removeprefix("http://oak.example") for url, _ in read_sitemap(body, AT, content_type).pages]


def urlset(*entries: str, attributes: str = NS) -> str:
    urls = "".join(f"<url>{entry}</url>" for entry in entries)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<urlset {attributes}>{urls}</urlset>'


TWO = urlset("<loc>http://oak.example/1</loc>", "<loc> http://oak.example/2\n</loc>")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (TWO, ["/1", "/2"]),
        ("\ufeff" + TWO, ["/1", "/2"]),
        ("\n\n " + TWO, ["/1", "/2"]),
        ("Warning: x in <b>y</b> on line 1<br>\n" + TWO, ["/1", "/2"]),
        (TWO + "<!-- made in 0.1 s -->\n<p>and & a notice</p></html>", ["/1", "/2"]),
        (TWO.replace("<url", "<m:url").replace("</url", "</m:url").replace("loc>", "m:loc>").replace(NS, "xmlns:m='u'"),
         ["/1", "/2"]),
        (TWO.replace("loc>", "LOC>").replace("url>", "URL>"), ["/1", "/2"]),
        (urlset("<loc>/1</loc><i:loc>/i</i:loc>", attributes=NS + " xmlns:i='i'"), ["/1"]),
        (urlset("<i:loc>/i</i:loc><loc>/1</loc>", attributes=NS), ["/1"]),
        (urlset("<x:link xmlns:x='x' rel='alternate' href='/de'/>", "<loc>/1</loc>"), ["/1"]),
        (urlset("<image><loc>/i</loc></image><loc>/1</loc>"), ["/1"]),
        (urlset("<loc>/1?a=1&b=2&amp;c=3&copy=4</loc>"), ["/1?a=1&b=2&c=3&copy=4"]),
        (urlset("<loc>/a&eacute;b&nbsp;&lt;&#38;&#x26;</loc>"), ["/a%C3%A9b%C2%A0%3C&&"]),
        (urlset("<!-- a --><loc><![CDATA[/1?a=1&b=2]]></loc>", "<loc>/<!-- & -->2</loc>"), ["/1?a=1&b=2", "/2"]),
        (urlset("<loc><?pi x?>/1</loc>", "<loc>/\x012</loc>"), ["/1", "/2"]),
        (urlset("<loc/>", "<loc>mailto:a@b.example</loc>", "<loc>/1</loc>"), ["/1"]),
        ("<!DOCTYPE urlset [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>" + urlset("<loc>/&x;</loc>"), ["/&x;"]),
    ],
)  # fmt: skip
def test_a_sitemap_names_the_pages_of_its_own_members(text: str, found: list[str]) -> None:
    assert paths(text) == found
    assert read_sitemap(text.encode(), AT).faults == []


@pytest.mark.parametrize(
    ("entries", "found"),
    [
        (["<link rel='replies' href='/r'/><link rel='alternate' href='/1'/>"], ["/1"]),
        (["<link rel='enclosure' href='/f'/><link href='/1'/>"], ["/1"]),
        (["<link rel='edit' href='/e'/>"], []),
        (["<link rel='Alternate' type='application/pdf' href='/p'/><link type='text/html' href='/1'/>"], ["/1"]),
        (["<link type='application/pdf' href='/p'/>"], ["/p"]),
        (["<link href='1' xml:base='http://oak.example/b/'/>"], ["/b/1"]),
        (["<source><link href='/s'/></source><link href='/1'/>", "<id>http://oak.example/id</id>"], ["/1"]),
    ],
)  # fmt: skip
def test_an_atom_entry_is_its_alternate(entries: Sequence[str], found: list[str]) -> None:
    text = "".join(f"<entry>{entry}</entry>" for entry in entries)
    assert paths(f"<feed {ATOM}><link href='/self' rel='self'/><link href='/home'/>{text}</feed>") == found


@pytest.mark.parametrize(
    ("item", "found"),
    [
        ("<link>/1</link><guid>http://oak.example/g</guid>", ["/1"]),
        ("<a:link rel='replies' href='/r'/><link>http://oak.example/1</link>", ["/1"]),
        ("<guid>http://oak.example/1</guid>", ["/1"]),
        ("<guid isPermaLink='true'>http://oak.example/1</guid>", ["/1"]),
        ("<guid isPermaLink='false'>http://oak.example/1</guid>", []),
        ("<guid>tag:oak.example,1</guid>", []),
        ("<link/><guid>http://oak.example/1</guid>", ["/1"]),
        ("<link><![CDATA[ /1?a&b ]]></link>", ["/1?a&b"]),
        ("<enclosure url='/f'/><comments>/c</comments>", []),
    ],
)
def test_an_rss_item_is_its_link_or_else_its_guid(item: str, found: list[str]) -> None:
    head = "<link>/home</link><image><url>/logo.png</url><link>/home</link></image>"
    rss = f"<rss version='2.0' xmlns:a='http://www.w3.org/2005/Atom'><channel>{head}<item>{item}</item></channel></rss>"
    assert paths(rss) == found


def test_dates_come_with_their_pages() -> None:
    text = urlset("<loc>/1</loc><lastmod>2024-05-06T07:08:09Z</lastmod>")
    assert read_sitemap(text.encode(), AT).pages == [("http://oak.example/1", "2024-05-06T07:08:09Z")]
    atom = f"<feed {ATOM}><entry><link href='/1'/><updated>2024-01-02</updated></entry></feed>"
    assert read_sitemap(atom.encode(), AT).pages == [("http://oak.example/1", "2024-01-02")]
    rss = "<rss><channel><item><link>/1</link><pubDate>Tue, 02 Jan 2024 00:00:00 GMT</pubDate></item></channel></rss>"
    assert read_sitemap(rss.encode(), AT).pages == [("http://oak.example/1", "Tue, 02 Jan 2024 00:00:00 GMT")]


def test_an_index_names_sitemaps_and_no_pages() -> None:
    text = (
        f"<sitemapindex {NS}><sitemap><loc>a.xml</loc></sitemap><sitemap><loc>/b.xml.gz</loc></sitemap></sitemapindex>"
    )
    found = read_sitemap(text.encode(), AT)
    assert found.sitemaps == ["http://oak.example/maps/a.xml", "http://oak.example/b.xml.gz"]
    assert found.pages == []


@pytest.mark.parametrize(
    "body",
    [
        gzip.compress(TWO.encode()),
        gzip.compress(TWO[:90].encode()) + gzip.compress(TWO[90:].encode()),
        gzip.compress(TWO.encode()) + b"\0\0\0",
        TWO.replace("UTF-8", "UTF-16").encode("utf-16"),
        TWO.replace("UTF-8", "UTF-16").encode("utf-16-be"),
        TWO.replace("UTF-8", "koi8-r").encode("koi8-r"),
        b"http://oak.example/1\r\n\r\n# two\r\n  http://oak.example/2  ",
        "\ufeffHTTP://OAK.example:80/1\nhttp://oak.example/2".encode(),
    ],
)
def test_packings_and_encodings_are_undone(body: bytes) -> None:
    found = read_sitemap(body, AT)
    assert ([url for url, _ in found.pages], found.faults) == (["http://oak.example/1", "http://oak.example/2"], [])


def test_spaces_within_a_line_belong_to_the_address() -> None:
    assert paths("http://oak.example/a b\nhttp://oak.example/ü") == ["/a%20b", "/%C3%BC"]


@pytest.mark.parametrize(
    ("body", "found", "fault"),
    [
        (b"", [], "neither"),
        (b"<html><p>Not here</p></html>", [], "neither"),
        (b'{"error": 1}', [], "neither"),
        (b"\x1f\x8bbroken", [], "gzip"),
        (gzip.compress(TWO.encode() * 50)[:120], None, "ends early"),
        (TWO[: TWO.index("2\n")].encode(), ["/1"], "ends early"),
        (TWO.replace("</loc>", "", 1).encode(), None, "broken XML"),
        (b"http://oak.example/1\nnot an address\nftp://x/\n", ["/1"], "2 of its lines"),
    ],
)
def test_what_cannot_be_read_is_said(body: bytes, found: list[str] | None, fault: str) -> None:
    sitemap = read_sitemap(body, AT)
    assert any(fault in one for one in sitemap.faults)
    if found is not None:
        assert paths(body) == found


def test_an_empty_sitemap_is_no_fault() -> None:
    for text in (urlset(), f"<urlset {NS}/>", "<rss><channel></channel></rss>"):
        assert (paths(text), read_sitemap(text.encode(), AT).faults) == ([], [])


def test_entries_beyond_the_bound_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sitemaps, "MAX_ENTRIES", 3)
    for text in (urlset(*(f"<loc>/{n}</loc>" for n in range(10))), "\n".join(f"http://h/{n}" for n in range(10))):
        found = read_sitemap(text.encode(), AT)
        assert (len(found.pages), found.left_out) == (3, 7)


def test_a_bomb_is_read_as_far_as_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sitemaps, "MAX_BYTES", 4096)
    found = read_sitemap(gzip.compress(TWO.encode() + b" " * 10_000_000), AT)
    assert (len(found.pages), found.faults) == (2, ["it is longer than 4096 bytes"])


SEEDS = [
    TWO,
    f"<feed {ATOM}><entry><link href='/1'/></entry></feed>",
    "<rss><channel><item><link>/1</link></item></channel></rss>",
    f"<sitemapindex {NS}><sitemap><loc>/a</loc></sitemap></sitemapindex>",
    "http://oak.example/1\nhttp://oak.example/2",
]


@settings(deadline=None, derandomize=True, max_examples=150)
@given(
    st.sampled_from(SEEDS),
    st.integers(0, 200),
    st.integers(0, 12),
    st.text("<>&;/:!-[]CDATA'\"x\u00e9\x00 ", max_size=12),
)
def test_mutated_files_name_addresses_or_say_what_is_wrong(seed: str, at: int, cut: int, change: str) -> None:
    found = read_sitemap((seed[:at] + change + seed[at + cut :]).encode(), AT)
    assert all(url.startswith(("http://", "https://")) for url, _ in found.pages)
    assert all(url.startswith(("http://", "https://")) for url in found.sitemaps)
    assert found.count <= 3


@pytest.mark.parametrize("opening", ["<?xml ", "<![CDATA[", "</a", "<!--", "&a"])
def test_what_is_opened_again_and_again_is_looked_at_once(opening: str) -> None:
    """Looking for each one's end anew would take hours, in which nothing else of the worker runs."""
    body = f"<urlset><url><loc>/a</loc></url>{opening * 300_000} & </urlset>"
    assert paths(body) == ["/a"]


@settings(deadline=None, derandomize=True, max_examples=100)
@given(st.binary(max_size=80))
def test_any_bytes_are_read_without_an_error(body: bytes) -> None:
    for whole in (body, gzip.compress(body), b"\x1f\x8b\x08" + body, b"<urlset>" + body):
        assert read_sitemap(whole, AT).count <= 80
