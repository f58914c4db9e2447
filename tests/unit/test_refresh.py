"""Pages that send their reader on."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scraper.refresh import Refresh, refresh_of

URL = "http://oak.example/shelf/old"


def found(body: str, headers: dict[str, str] | None = None) -> Refresh | None:
    return refresh_of(URL, {"Content-Type": "text/html"} | (headers or {}), body.encode())


@pytest.mark.parametrize(
    ("content", "target"),
    [
        ("0;url=/new", "/new"), ("0; URL=/new", "/new"), (" 0 ; url = '/new?x=1' ", "/new?x=1"),
        ("0,/new", "/new"), ("0 /new", "/new"), ("0;/new", "/new"), ("0.5;url=new", "/shelf/new"),
        (".5; new", "/shelf/new"),
        ("5;url=/new", "/new"), ("6;url=/new", None), ("99999;url=/new", None), ("300", None), ("0", None),
        ("0;", None),
        ("0;url=", None), ("url=/new", None), ("", None), ("x;url=/new", None), ("0x;url=/new", None),
        ("0;url=javascript:go()", None), ("0;url=old", None), ("0;url=#part", None), ("0;url=http://[bad", None),
    ],
)  # fmt: skip
def test_a_refresh_to_another_page_at_once_is_a_redirect(content: str, target: str | None) -> None:
    wanted = None if target is None else Refresh(f"http://oak.example{target}")
    assert found(f'<meta http-equiv=refresh content="{content}">') == wanted
    assert found("", {"Refresh": content}) == wanted


@pytest.mark.parametrize(
    "body",
    [
        "<META CONTENT='0;url=/new' HTTP-EQUIV='ReFresh'>",
        "<html><head><title>a</title><meta http-equiv = refresh content = 0;url=/new></head>",
        "<body><p>x<meta http-equiv=refresh content='0;url=/new'>",
        "<base href='http://oak.example/'><meta http-equiv=refresh content='0;url=new'>",
    ],
)
def test_it_is_found_wherever_a_browser_finds_it(body: str) -> None:
    assert found(body) == Refresh("http://oak.example/new")


@pytest.mark.parametrize(
    "body",
    [
        "<!-- <meta http-equiv=refresh content='0;url=/new'> -->",
        "<script>'<meta http-equiv=refresh content=0;url=/new>'</script>",
        "<template><meta http-equiv=refresh content='0;url=/new'></template>",
        "<textarea><meta http-equiv=refresh content='0;url=/new'></textarea>",
        "<meta http-equiv=refresh>",
        "<meta name=refresh content='0;url=/new'>",
    ],
)
def test_what_is_no_element_sends_nobody_on(body: str) -> None:
    assert found(body) is None


def test_what_is_for_readers_without_scripts_is_told_apart() -> None:
    without = "<noscript><meta http-equiv=refresh content='0;url=/plain'></noscript>"
    assert found(without) == Refresh("http://oak.example/plain", scripts_off=True)
    both = without + "<meta http-equiv=refresh content='0;url=/new'>"
    assert found(both) == Refresh("http://oak.example/new")


def test_only_html_has_it() -> None:
    body = "<meta http-equiv=refresh content='0;url=/new'>"
    assert found(body, {"Content-Type": "application/json"}) is None
    assert found(body, {"Content-Type": ""}) == Refresh("http://oak.example/new")


def test_its_address_is_in_the_encoding_of_the_page() -> None:
    body = "<meta charset=gbk><meta http-equiv=refresh content='0;url=/q?w=灯'>".encode("gbk")
    assert refresh_of(URL, {"Content-Type": "text/html"}, body) == Refresh("http://oak.example/q?w=%B5%C6")


@settings(deadline=None, derandomize=True, max_examples=200)
@given(st.text("0159;,.=url'\"/ \t<>#\u00e9x", max_size=30))
def test_whatever_it_says_leads_to_a_page_or_nowhere(content: str) -> None:
    refresh = refresh_of(URL, {"Refresh": content}, b"")
    assert refresh is None or refresh.url.startswith(("http://", "https://"))
