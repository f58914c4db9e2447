"""Addresses as browsers read them."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scraper.urls import (
    MAX_URL,
    base_of,
    join,
    normal_url,
    parameter_rule,
    to_url,
    with_fragment_of,
    without_parameters,
)

BASE = "http://oak.example/shelf/list.html?page=1"
JOINED = [
    ("/a%2Fb/%7euser", "http://oak.example/a%2Fb/%7euser"),
    ("item?s=a%2fb%3D+c%20d", "http://oak.example/shelf/item?s=a%2fb%3D+c%20d"),
    ("?k[]=1&j={x}|y", "http://oak.example/shelf/list.html?k[]=1&j={x}|y"),
    ("/a|b/{c}/`d^", "http://oak.example/a%7Cb/%7Bc%7D/%60d%5E"),
    ("/q?n='it'&m=\"two\"", "http://oak.example/q?n=%27it%27&m=%22two%22"),
    ("/30%/x?y=5%&z=%q", "http://oak.example/30%/x?y=5%&z=%q"),
    ("..\\up\\two.html", "http://oak.example/up/two.html"),
    ("http:\\\\elm.example\\x?p=C:\\d", "http://elm.example/x?p=C:\\d"),
    (" \t/li\nne\r/ta\tb \n", "http://oak.example/line/tab"),
    ("//elm.example", "http://elm.example/"),
    ("///elm.example/y", "http://elm.example/y"),
    ("http:one", "http://oak.example/shelf/one"),
    ("https:one", "https://one/"),
    ("", BASE),
    ("#top", BASE + "#top"),
    ("?", "http://oak.example/shelf/list.html?"),
    ("a/%2E%2e/b/%2e/c", "http://oak.example/shelf/b/c"),
    ("../../../x/..", "http://oak.example/"),
    ("a/..%2fb", "http://oak.example/shelf/a/..%2fb"),
    ("/größe?ß=ß#ß", "http://oak.example/gr%C3%B6%C3%9Fe?%C3%9F=%C3%9F#%C3%9F"),
    ("http://BÜCHER.example:80", "http://xn--bcher-kva.example/"),
    ("https://ELM.example:443/a//b", "https://elm.example/a//b"),
    ("http://u:p@w@elm.example/", "http://u:p%40w@elm.example/"),
    ("http://0x7F.0.1/", "http://127.0.0.1/"),
    ("http://2130706433/", "http://127.0.0.1/"),
    ("http://[::0:1]/", "http://[::1]/"),
    ("/a\u200bb", "http://oak.example/a%E2%80%8Bb"),
    ("\u00a0/x", "http://oak.example/shelf/%C2%A0/x"),
    ("javascript:go()", None),
    (" MailTo:a@b.example", None),
    ("data:text/html,x", None),
    ("ftp://elm.example/", None),
    ("http://", None),
    ("http://[bad/", None),
    ("http://a b/", None),
    ("http://elm.example:99999/", None),
]  # fmt: skip


@pytest.mark.parametrize(("link", "url"), JOINED)
def test_a_link_is_joined_as_in_a_browser(link: str, url: str | None) -> None:
    assert to_url(link, BASE) == url


@pytest.mark.parametrize(
    ("encoding", "link", "query"),
    [
        ("gbk", "?w=灯&p=€", "w=%B5%C6&p=%80"),
        ("gb2312", "?w=书", "w=%CA%E9"),
        ("shift_jis", "?w=ランプ", "w=%83%89%83%93%83v"),
        ("euc-kr", "?w=램프", "w=%B7%A5%C7%C1"),
        ("big5", "?w=燈", "w=%BFO"),
        ("windows-1251", "?w=лампа", "w=%EB%E0%EC%EF%E0"),
        ("iso-8859-1", "?w=é€灯", "w=%E9%80%26%2328783%3B"),
        ("iso-2022-jp", "?w=灯", "w=%1B$BEt%1B(B"),
        ("utf-16le", "?w=é", "w=%C3%A9"),
        ("no such label", "?w=é", "w=%C3%A9"),
        ("latin1", "?w=é%E9+x y'", "w=%E9%E9+x%20y%27"),
    ],
)
def test_a_query_goes_out_in_the_encoding_of_its_page(encoding: str, link: str, query: str) -> None:
    assert to_url(link, "http://oak.example/l", encoding) == f"http://oak.example/l?{query}"
    # Nothing but the query does.
    assert to_url(f"/ü{link}#ü", "http://oak.example/l", encoding) == f"http://oak.example/%C3%BC?{query}#%C3%BC"


@pytest.mark.parametrize(
    ("href", "base"),
    [
        ("/other/", "http://oak.example/other/"),
        (" \\b\\ ", "http://oak.example/b/"),
        ("javascript:void(0)", BASE),
        ("mailto:a@b.example", BASE),
        ("http://[bad", BASE),
    ],
)
def test_a_base_that_leads_to_no_page_is_none(href: str, base: str) -> None:
    assert base_of(BASE, href) == base


def test_links_that_need_no_joining_are_what_joining_makes_of_them() -> None:
    links = (
        "/x/y?z=1",
        "http://o/x?y",
        "/",
        "/a/../b",
        "//o/x",
        "/.x",
        "/a%2e/b",
        "HTTP://O/x",
        "http://O:80/x",
        "/x?",
    )
    for base in ("http://h/a/b?c#d", "https://h:8080/", "http://h", "http://u:p@h/a"):
        for link in links:
            assert to_url(link, base) == join(base, link)


def test_a_redirect_keeps_the_fragment_unless_it_has_one() -> None:
    assert with_fragment_of("http://h/b", "http://h/a#part") == "http://h/b#part"
    assert with_fragment_of("http://h/b#", "http://h/a#part") == "http://h/b#"
    assert with_fragment_of("http://h/b", "http://h/a") == "http://h/b"


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("http://h/?utm_source=a&id=1&UTM_x=2&sid=9", "http://h/?id=1&UTM_x=2"),
        ("http://h/?utm_a=1#f", "http://h/#f"),
        ("http://h/?a=%2f&utm%5Fb=1&&b", "http://h/?a=%2f&&b"),
        ("http://h/?sid2=1", "http://h/?sid2=1"),
        ("http://h/x", "http://h/x"),
    ],
)
def test_parameters_are_stripped_by_name_and_the_others_stay_as_they_stand(url: str, kept: str) -> None:
    rule = parameter_rule(["utm_*", "sid"])
    assert rule is not None
    assert without_parameters(url, rule) == kept


def test_a_link_without_bound_is_none() -> None:
    assert to_url("/" + "a" * MAX_URL, BASE) is None
    assert len(to_url("/?" + "a=1&" * 2200, BASE) or "") == 8820


@settings(deadline=None, derandomize=True, max_examples=300)
@given(
    st.text(st.characters(codec=None), max_size=40) | st.text("/\\.:@?#%[]&;=~ \t\nhtp2eüßa灯\ud800", max_size=40),
    st.sampled_from(["utf-8", "gbk", "shift_jis", "iso-8859-1", "x-user-defined", "replacement", ""]),
)
@example("http://\ud800/", "gbk")
@example("?\ud800", "gbk")
def test_whatever_a_link_is_it_is_joined_once_and_for_all(link: str, encoding: str) -> None:
    url = to_url(link, BASE, encoding)
    if url is not None:
        assert url.isascii()
        assert url.startswith(("http://", "https://"))
        assert to_url(url, BASE, encoding) == normal_url(url) == url
