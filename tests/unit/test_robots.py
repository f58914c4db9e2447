"""robots.txt, and what pages and headers say to crawlers."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scraper.robots import MAX_BYTES, header_says_nofollow, product_token, read_robots, says_nofollow

AGENT = "Acornbot/3.1 (+http://oak.example/bot; like Otherbot)"


def allowed(text: str | bytes, path: str, agent: str = AGENT) -> bool:
    body = text.encode() if isinstance(text, str) else text
    return read_robots(body, agent).allow(f"http://oak.example{path}")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("acornbot", True), ("ACORNBOT", True), ("Acornbot/1.0", True), ("acornbot # mine", True), ("acorn", False),
        ("bot", False), ("acornbot-images", False), ("otherbot", False), ("http", False), ("oak", False), ("*", True),
        ("* ", True), ("*bot", False), ("", False),
    ],
)  # fmt: skip
def test_a_crawler_is_meant_by_its_product_token_alone(name: str, meant: bool) -> None:
    assert allowed(f"User-agent: {name}\nDisallow: /", "/x") is not meant


@pytest.mark.parametrize(
    ("text", "path", "may"),
    [
        # Groups.
        ("User-agent: *\nDisallow: /\n\nUser-agent: acornbot\nAllow: /", "/x", True),
        ("User-agent: acornbot\nAllow: /a\nUser-agent: y\nAllow: /\nUser-agent: Acornbot\nDisallow: /b", "/b", False),
        ("User-agent: acornbot\nUser-agent: y\nDisallow: /a", "/a", False),
        ("User-agent: acornbot\nCrawl-delay: 1\nSitemap: /s\nfoo: bar\nUser-agent: y\nDisallow: /a", "/a", False),
        ("User-agent: acornbot\nDisallow: /b\nUser-agent: y\nDisallow: /a", "/a", True),
        ("Disallow: /\nUser-agent: *\nDisallow: /b", "/a", True),
        ("User-agent: acornbot\nDisallow:", "/a", True),
        # Lines.
        ("\ufeffUser-agent: *\nDisallow: /a", "/a", False),
        ("user-AGENT\t:\t*\rDISALLOW : /a # no\r\nAllow: /a/b", "/a/c", False),
        ("User-agent: *\nDisallow: /x\x0by\n", "/x", True),
        ("User-agent: *\nDisallow /a\n:\n#\nDisallow: /b", "/a", True),
        ("User agent: *\nDisallow: /a", "/a", False),
        # The longest rule counts, and of equal ones the one that allows.
        ("User-agent: *\nDisallow: /a\nAllow: /a/b", "/a/b/c", True),
        ("User-agent: *\nAllow: /a/b\nDisallow: /a", "/a/c", False),
        ("User-agent: *\nDisallow: /a/b\nAllow: /a/b", "/a/b", True),
        ("User-agent: *\nAllow: /a*\nDisallow: /a/b", "/a/b", False),
        ("User-agent: *\nAllow: /*.html\nDisallow: /shelf", "/shelf/x.html", True),
        # Wildcards.
        ("User-agent: *\nDisallow: /*.pdf$", "/x.pdf", False),
        ("User-agent: *\nDisallow: /*.pdf$", "/x.pdf?y", True),
        ("User-agent: *\nDisallow: /a$", "/a", False),
        ("User-agent: *\nDisallow: /a$", "/ab", True),
        ("User-agent: *\nDisallow: /a$b", "/a$bc", False),
        ("User-agent: *\nDisallow: /*a*b*c", "/xaxbxc", False),
        ("User-agent: *\nDisallow: /*a*b*c", "/cba", True),
        ("User-agent: *\nDisallow: /*ab$", "/xabab", False),
        ("User-agent: *\nDisallow: /a*a$", "/a", True),
        ("User-agent: *\nDisallow: *?sort=", "/l?sort=x", False),
        ("User-agent: *\nDisallow: /%2A", "/x", True),
        ("User-agent: *\nDisallow: /%2A", "/*", False),
        # One form of escapes.
        ("User-agent: *\nDisallow: /a%2db", "/a-b", False),
        ("User-agent: *\nDisallow: /a%2Fb", "/a/b", True),
        ("User-agent: *\nDisallow: /a%2fb", "/a%2Fb", False),
        ("User-agent: *\nDisallow: /größe", "/gr%C3%B6%c3%9fe", False),
        ("User-agent: *\nDisallow: /x y", "/x%20y", False),
        ("User-agent: *\nDisallow: /it's", "/it%27s", False),
        # What always may be asked for.
        ("User-agent: *\nDisallow: /", "/robots.txt", True),
        ("", "/x", True),
        ("<html>no rules</html>", "/x", True),
    ],
)  # fmt: skip
def test_rules_are_those_of_rfc_9309(text: str, path: str, may: bool) -> None:
    assert allowed(text, path) is may


def test_octets_of_another_encoding_are_matched_as_they_are() -> None:
    assert not allowed(b"User-agent: *\nDisallow: /caf\xe9", "/caf%E9")


def test_delay_and_sitemaps_are_read() -> None:
    text = (
        "Sitemap: http://h/1.xml\nUser-agent: *\nCrawl-delay: 9\nUser-agent: acornbot\nCrawl-delay: 2.5 s\nSitemap: /2"
    )
    rules = read_robots(text.encode(), AGENT)
    assert (rules.delay, rules.sitemaps) == (2.5, ("http://h/1.xml", "/2"))
    assert read_robots(b"User-agent: *\nCrawl-delay: soon", AGENT).delay is None


def test_a_large_file_is_read_as_far_as_the_bound_and_no_half_rule_counts() -> None:
    lines = "".join(f"Disallow: /pad/{n:06}/\n" for n in range(22_000))
    assert not allowed("User-agent: *\n" + lines + "Disallow: /a/", "/a/x")
    filler = "User-agent: *\n" + "#" * (MAX_BYTES - 14 - len("\nDisallow: /")) + "\nDisallow: /private/"
    assert allowed(filler, "/x")


@pytest.mark.parametrize(
    ("agent", "token"),
    [
        ("Acornbot/3.1", "acornbot"),
        ("acorn-bot_x 1", "acorn-bot_x"),
        ("Mozilla/5.0 (X)", "mozilla"),
        ("7up", ""),
        ("", ""),
    ],
)
def test_the_product_token_is_the_name_in_front(agent: str, token: str) -> None:
    assert product_token(agent) == token


@pytest.mark.parametrize(
    ("content", "no"),
    [
        ("nofollow", True), ("NoIndex , NOFOLLOW", True), ("none", True), ("noindex nofollow", True),
        ("noindex", False),
        ("max-nofollow-x", False), ("all", False), ("", False), ("nonevent", False),
    ],
)  # fmt: skip
def test_directives_are_whole_words(content: str, no: bool) -> None:
    assert says_nofollow(content) is no


@pytest.mark.parametrize(
    ("values", "no"),
    [
        (["nofollow"], True),
        (["noarchive", "NoIndex, NoFollow"], True),
        (["acornbot: nofollow"], True),
        (["ACORNBOT:none"], True),
        (["acornbot/2: nofollow"], True),
        (["otherbot: nofollow"], False),
        (["otherbot: noindex, nofollow"], False),
        (["otherbot: noindex", "nofollow"], True),
        (["otherbot: noindex, acornbot: nofollow"], True),
        (["unavailable_after: Friday, 25-Jun-10 15:00:00 GMT, nofollow"], True),
        (["unavailable_after: 25 Jun 2010 15:00:00 PST"], False),
        (["max-snippet:20, max-image-preview: large"], False),
        ([], False),
    ],
)
def test_headers_say_it_for_all_or_for_one(values: list[str], no: bool) -> None:
    assert header_says_nofollow(values, AGENT) is no


@settings(deadline=None, derandomize=True, max_examples=150)
@given(
    st.lists(
        st.sampled_from(["User-agent: *", "User-agent: acornbot", "Disallow: /a", "Allow: /a/*b$", "Crawl-delay: 3"])
        | st.text(":#*$/%ab\u00e9\r\t \x00", max_size=30),
        max_size=12,
    ),
    st.text("/*$%?#ab\u00e9 ", max_size=20),
)
def test_mutated_files_have_an_answer_for_every_path(lines: list[str], path: str) -> None:
    rules = read_robots("\n".join(lines).encode(errors="replace"), AGENT)
    assert rules.allow("http://oak.example/" + path) in (True, False)
    assert rules.delay is None or 0 <= rules.delay < 1e9


def test_hostile_wildcards_cost_no_more_than_a_walk_over_the_path() -> None:
    pattern = "/" + "*a" * 4000
    assert allowed(f"User-agent: *\nDisallow: {pattern}b", "/" + "a" * 8000)
    assert not allowed(f"User-agent: *\nDisallow: /{'*a' * 40}", "/" + "a" * 8000)
