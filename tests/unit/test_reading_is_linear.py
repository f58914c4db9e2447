"""Texts from outside are read in time that grows with their length, whatever is left open in them.

Processor time, with a bound hundreds of times what is needed; a pattern that looks on to the end from each place takes
many times the bound.
"""

import time
from collections.abc import Callable

import pytest
from scraper.charsets import decode_body
from scraper.devtools_selectors import targets
from scraper.json_text import NotJsonError, load_json, without_guard
from scraper.paper_text import marked_text
from scraper.problems import Problems
from scraper.refresh import refresh_of
from scraper.step_templates import Scope

SECONDS = 3
HTML = {"Content-Type": "text/html"}
Reading = Callable[[], object]


def decoded(piece: bytes, count: int = 300_000) -> Reading:
    return lambda: decode_body(b"<!doctype html>" + piece * (count // len(piece)), "text/html")


def refreshed(text: bytes) -> Reading:
    return lambda: refresh_of("http://shop.example/", HTML, text)


def marked(piece: str) -> Reading:
    return lambda: marked_text("<tex-math>" + piece * (200_000 // len(piece)), 20_000)


@pytest.mark.parametrize(
    "read",
    [
        pytest.param(lambda: decode_body(b"\xe9" * 80_000, "text/plain"), id="letters-beyond-ascii"),
        pytest.param(decoded(b"<meta charset="), id="metas"),
        pytest.param(decoded(b"<meta a='"), id="quotes"),
        pytest.param(decoded(b"charset <!--"), id="comments"),
        pytest.param(decoded(b"<script>\xe9"), id="scripts"),
        pytest.param(lambda: decode_body(b"<meta charset=" + b" " * 60_000 + b"><p>\xe9", ""), id="blanks"),
        pytest.param(refreshed(b"<meta http-equiv=" + b" " * 200_000 + b">efresh"), id="refresh"),
        pytest.param(marked("<!-- "), id="paper-comments"),
        pytest.param(marked("<?x "), id="paper-instructions"),
        pytest.param(marked("<math>"), id="paper-formulas"),
        pytest.param(marked("<alternatives>"), id="paper-alternatives"),
        pytest.param(marked("</aa:aa a = <<"), id="paper-tags"),
        pytest.param(lambda: without_guard(" " * 200_000 + "x"), id="json-guards"),
        pytest.param(lambda: without_guard("call([])" + " ) ;" * 50_000 + "x"), id="json-calls"),
        pytest.param(
            lambda: targets({"selectors": [["aria/[a =" + " " * 30_000]]}, "steps[0]"), id="recorded-selectors"
        ),
        pytest.param(lambda: Scope({}.get).fill("{{" + " " * 30_000 + "x"), id="templates"),
    ],
)
def test_what_is_never_closed_costs_one_look(read: Reading) -> None:
    began = time.process_time()
    read()
    assert time.process_time() - began < SECONDS


def test_json_that_is_none_is_refused_at_once() -> None:
    began = time.process_time()
    with pytest.raises(NotJsonError):
        load_json("\n" * 200_000 + "x", Problems(), "page")
    assert time.process_time() - began < SECONDS
