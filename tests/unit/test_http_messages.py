"""The heads of answers, mended before the strict parser sees them."""

import pytest
from aiohttp.http_exceptions import BadHttpMessage
from hypothesis import given, settings
from hypothesis import strategies as st
from scraper.http_messages import ChunkedBody, mended_head


def lines_of(head: str) -> list[str]:
    whole, _, _ = mended_head(head.encode("latin-1"))
    assert whole.endswith(b"\r\n\r\n")
    return whole.decode("latin-1").rstrip("\r\n").split("\r\n")


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("Server: x", ["Server: x"]),
        ("X Odd Name: 1", []),
        ("no colon", []),
        (": no name", []),
        ("Näme: 1", []),
        ("Server : x", ["Server: x"]),
        ("Server:x", ["Server: x"]),
        ("Server:", ["Server: "]),
        ("X: a\x00b\x01c\x7f", ["X: abc"]),
        ("X: caf\xe9", ["X: caf\xe9"]),
        ("X: a\r\n  folded\r\n\tmore", ["X: a folded more"]),
        ("X: a\nY: b", ["X: a", "Y: b"]),
        ("Content-Length: 5\r\nContent-Length: 5", ["Content-Length: 5"]),
        ("Content-Length: 5, 5", ["Content-Length: 5"]),
        ("Content-Length: five", []),
        ("Content-Length: -1", []),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5", ["Transfer-Encoding: chunked"]),
        ("Transfer-Encoding: Chunked", ["Transfer-Encoding: chunked"]),
        ("Transfer-Encoding: identity\r\nContent-Length: 5", ["Content-Length: 5"]),
    ],
)
def test_a_line_that_is_none_costs_itself(line: str, kept: list[str]) -> None:
    assert lines_of(f"HTTP/1.1 200 OK\r\n{line}") == ["HTTP/1.1 200 OK", *kept]


@pytest.mark.parametrize(
    ("line", "mended"),
    [
        ("HTTP/1.0 200 OK", "HTTP/1.0 200 OK"),
        ("http/1.1 404", "HTTP/1.1 404 "),
        ("HTTP/1.1  200   Fine\x01", "HTTP/1.1 200 Fine"),
        ("HTTP/2.0 200 OK", "HTTP/1.1 200 OK"),
        ("HTTP 200 OK", "HTTP/1.0 200 OK"),
    ],
)
def test_the_status_line_is_read_as_browsers_do(line: str, mended: str) -> None:
    assert lines_of(line)[0] == mended


@pytest.mark.parametrize(
    "head",
    ["<html>", "HTTP/1.1 2000 OK", "HTTP/1.1 OK", "", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6"],
)
def test_what_is_no_http_or_has_two_lengths_is_refused(head: str) -> None:
    with pytest.raises(BadHttpMessage):
        mended_head(head.encode())


@settings(deadline=None, derandomize=True, max_examples=200)
@given(st.lists(st.text(":, \t\r\nabContent-LghTrsfEodigk059\x00\xe9", max_size=30), max_size=8))
def test_mutated_heads_are_mended_or_refused(lines: list[str]) -> None:
    try:
        whole, status, length = mended_head("\r\n".join(["HTTP/1.1 200 OK", *lines]).encode("latin-1"))
    except BadHttpMessage:
        return
    assert status == 200
    assert length is None or length >= 0
    assert all(octet >= 0x20 or octet in b"\r\n\t" for octet in whole)
    # The framing is said once, and in one way.
    heads = [line.partition(b":")[0].lower() for line in whole.split(b"\r\n")]
    assert heads.count(b"content-length") + heads.count(b"transfer-encoding") <= 1


CHUNKS = b"5;x=y\r\nhello\r\n00a \r\n0123456789\r\n0\r\nTrailer: 1\r\n\r\n"


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_a_chunked_body_ends_behind_its_trailer(size: int) -> None:
    chunks, data = ChunkedBody(), CHUNKS + b"HTTP/1.1 200 OK"
    lengths = [chunks.length_in(data[at : at + size]) for at in range(0, len(data), size)]
    assert (sum(lengths), chunks.over) == (len(CHUNKS), True)


@pytest.mark.parametrize("data", [b"xyz\r\nhello", b"-1\r\n", b"2\r\nabc\r\n", b"1" * 40 + b"\r\n"])
def test_what_is_no_chunk_is_left_to_the_parser(data: bytes) -> None:
    assert ChunkedBody().length_in(data) == len(data)
