"""The cookie jar."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scraper.cookies import MAX_COOKIES, MAX_PER_HOST, CookieJar

PAGE = "http://shop.oak.example/c/list"


def sent(*cookies: str, url: str = PAGE, to: str | None = None, jar: CookieJar | None = None) -> str | None:
    jar = jar or CookieJar()
    jar.take(url, [cookie.encode("utf-8", "surrogateescape") for cookie in cookies])
    return jar.header(to or url)


@pytest.mark.parametrize(
    "pair",
    [
        "key=9/uB3nA==", 'q="quoted"', "sp=a b  c", 'j={"a":"b","c":[1,2]}', "a=b=c&d=e",
        "b[x]=1", "e=", 'x="a\\\\"b\\\\054c"', "a=1, b=2", "u=été", "灯=台", "t=%20+%zz", "n=@:<>?",
    ],
)  # fmt: skip
def test_a_pair_goes_back_as_it_came(pair: str) -> None:
    assert sent(f" {pair} ; Path=/") == pair


def test_octets_that_are_no_text_go_back_as_they_came() -> None:
    jar = CookieJar()
    jar.take(PAGE, [b"u=\xe9t\xe9; Path=/", b"v=\xff"])
    header = jar.header(PAGE)
    assert header is not None
    assert header.encode("utf-8", "surrogateescape") == b"v=\xff; u=\xe9t\xe9"


def test_a_value_without_a_name_goes_back_alone() -> None:
    assert sent("alone; Path=/") == "alone"
    assert sent("=alone") == "alone"
    assert sent("", " ; Path=/", "=") is None


@pytest.mark.parametrize(
    ("attributes", "kept"),
    [
        ("Max-Age=0", False), ("Max-Age=-1", False), ("Max-Age=abc", True), ("Max-Age=1.5", True), ("Max-Age=60", True),
        ("Expires=Thu, 01-Jan-2099 00:00:00 GMT", True), ("Expires=Thu, 01 Jan 1998 00:00:00 GMT", False),
        ("Expires=Sunday, 06-Nov-94 08:49:37 GMT", False), ("Expires=Sun Nov  6 08:49:37 2094", True),
        ("Expires=soon", True), ("Expires=32 Jan 1998 00:00:00", True),
        ("Max-Age=60; Expires=Thu, 01 Jan 1998 0:0:0", True), ("Domain=oak.example", True),
        ("Domain=.OAK.example", True), ("Domain=elm.example", False), ("Domain=example", False), ("Domain=", True),
        ("Domain=x.shop.oak.example", False), ("Path=/c", True), ("Path=/other", False),
        ("Path=relative", True), ("Secure", False), ("HttpOnly; SameSite=Strict; Priority=High", True),
    ],
)  # fmt: skip
def test_attributes_say_whether_a_cookie_comes_back(attributes: str, kept: bool) -> None:
    assert sent(f"a=1; {attributes}") == ("a=1" if kept else None)


@pytest.mark.parametrize(
    ("cookie", "url", "to", "kept"),
    [
        ("a=1", PAGE, "http://shop.oak.example/c/other", True),
        ("a=1", PAGE, "http://shop.oak.example/d", False),
        ("a=1; Path=/c", PAGE, "http://shop.oak.example/cd", False),
        ("a=1; Path=/", PAGE, "http://oak.example/", False),
        ("a=1; Path=/; Domain=oak.example", PAGE, "http://a.b.oak.example/", True),
        ("a=1; Path=/; Domain=oak.example", PAGE, "http://notoak.example/", False),
        ("a=1; Path=/; Secure", "https://oak.example/", "https://oak.example/x", True),
        ("a=1; Path=/; Secure", "https://oak.example/", "http://oak.example/x", False),
        ("a=1; Path=/; Domain=127.0.0.1", "http://127.0.0.1/", "http://127.0.0.1:81/", True),
        ("a=1; Path=/; Domain=0.1", "http://10.0.0.1/", "http://10.0.0.1/", False),
        ("__Host-a=1; Path=/; Secure", "https://oak.example/", "https://oak.example/", True),
        ("__Host-a=1; Path=/x; Secure", "https://oak.example/", "https://oak.example/x", False),
        ("__Secure-a=1; Path=/", "https://oak.example/", "https://oak.example/", False),
        ("=__Host-a=1; Path=/", "https://oak.example/", "https://oak.example/", False),
    ],
)
def test_a_cookie_goes_only_where_it_belongs(cookie: str, url: str, to: str, kept: bool) -> None:
    assert (sent(cookie, url=url, to=to) is not None) is kept


def test_longer_paths_come_first_and_then_older_ones() -> None:
    jar = CookieJar()
    assert sent("a=1; Path=/", "b=2; Path=/c", "c=3; Path=/", "a=4; Path=/", jar=jar) == "b=2; a=4; c=3"


def test_a_cookie_ends_with_its_time() -> None:
    now = [1000.0]
    jar = CookieJar(lambda: now[0])
    assert sent("a=1; Max-Age=60", "b=2", jar=jar) == "a=1; b=2"
    now[0] += 61
    assert jar.header(PAGE) == "b=2"


def test_the_jar_is_bounded_and_the_oldest_go() -> None:
    jar = CookieJar()
    header = sent(*(f"n{n}={n}" for n in range(MAX_PER_HOST + 20)), jar=jar)
    assert header is not None
    names = header.split("; ")
    assert (len(names), names[0]) == (MAX_PER_HOST, "n20=20")
    for n in range(MAX_COOKIES + 50):
        jar.take(f"http://h{n}.example/", [b"a=1"])
    assert sum(jar.header(f"http://h{n}.example/") is not None for n in range(MAX_COOKIES + 50)) <= MAX_COOKIES
    assert sent("a=" + "x" * 5000) is None


@settings(deadline=None, derandomize=True, max_examples=300)
@given(
    st.lists(st.text(';=, \t"\\abzPathDominExpirs/:0129\u00e9\udce9\x00\x7f', max_size=40), max_size=5),
    st.sampled_from([PAGE, "https://oak.example", "http://127.0.0.1:8/x"]),
)
def test_no_header_is_too_odd(headers: list[str], url: str) -> None:
    header = sent(*headers, url=url)
    if header is not None:
        assert not set(header) & set("\r\n\0\x7f")
        assert len(header) <= 50 * len(headers)
