"""The arguments of an http task."""

import pytest
from scraper.curl_arguments import read_arguments
from scraper.executor import InvalidParameters


def test_http_executor_without_arguments_gets() -> None:
    request = read_arguments([])
    assert (request.final_method(), request.body, request.follow) == ("GET", None, False)


@pytest.mark.parametrize(
    "arguments",
    [["POST", "-d", "a=1"], ["-X", "POST", "--data", "a=1"], ["-XPOST", "-da=1"], ["--request=POST", "--data-raw=a=1"],
     ["-sSLd", "a=1"]],
)  # fmt: skip
def test_http_executor_reads_methods_and_data_as_curl_does(arguments: list[str]) -> None:
    request = read_arguments(arguments)
    assert (request.final_method(), request.body) == ("POST", b"a=1")
    assert ("Content-Type", "application/x-www-form-urlencoded") in request.final_headers()


def test_http_executor_json_sets_its_headers_unless_given() -> None:
    request = read_arguments(["--json", '{"a":1}', "-H", "accept: text/plain"])
    assert dict(request.final_headers()) == {"accept": "text/plain", "Content-Type": "application/json"}
    assert request.final_method() == "POST"


def test_http_executor_credentials_agent_cookie_and_query() -> None:
    request = read_arguments(["-u", "a:b", "-A", "me", "-b", "x=1", "-G", "-d", "q=1", "--data-urlencode", "w=a b"])
    assert dict(request.headers) == {"Authorization": "Basic YTpi", "User-Agent": "me", "Cookie": "x=1"}
    assert (request.query, request.body, request.final_method()) == ("q=1&w=a+b", None, "GET")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["-d", "@/etc/passwd"], "--data"),
        (["-d@/etc/passwd"], "--data"),
        (["--json", "@x"], "--json"),
        (["--data-binary=@x"], "--data-binary"),
        (["--data-urlencode", "a@x"], "--data-urlencode"),
        (["-H", "@x"], "--header"),
        (["-b", "/etc/passwd"], "--cookie"),
        (["-T", "/etc/passwd"], "-T"),
        (["-K", "x"], "-K"),
        (["-o", "/tmp/x"], "-o"),
        (["--proxy", "http://x"], "--proxy"),
        (["-H"], "-H needs a value"),
        (["-H", "no colon"], "--header"),
        (["-H", "a: b\r\nc: d"], "--header"),
        (["-X", "TRACE"], "TRACE"),
        (["http://other/"], "http://other/"),
        (["-m", "x"], "--max-time"),
        (["-m", "-1"], "--max-time"),
        (["-m", "nan"], "--max-time"),
        (["--max-redirs", "inf"], "--max-redirs"),
        (["--json", "1", "-d", "2"], "--json"),
        (["-Lq"], "-q"),
    ],
)
def test_http_executor_refuses_by_name(arguments: list[str], named: str) -> None:
    with pytest.raises(InvalidParameters) as caught:
        read_arguments(arguments)
    assert named in caught.value.message
    assert caught.value.field.partition("[")[0] == "arguments"


def test_http_executor_names_the_place_of_what_it_refuses() -> None:
    with pytest.raises(InvalidParameters) as caught:
        read_arguments(["POST", "-H", "A: b", "--max-time", "soon"])
    assert caught.value.field == "arguments[3]"


def test_http_executor_data_raw_may_begin_with_at() -> None:
    assert read_arguments(["--data-raw", "@x"]).body == b"@x"
