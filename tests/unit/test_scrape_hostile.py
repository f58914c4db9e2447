"""Whatever a page is made of: it is read, in bounds, and nothing raises."""

import json
import pickle
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from scraper.documents import parse_document
from scraper.executor import ExecutorError
from scraper.scrape_definition import read_definition
from scraper.scrape_plan import PagePlan

DEFINITION: dict[str, Any] = {
    "start_urls": ["http://h/"],
    "items": {
        "fields": {
            "text": {"css": "*", "many": True},
            "price": {"css": ".price", "type": "number"},
            "day": {"css": "time", "type": "date", "timezone": "Europe/Berlin"},
            "link": {"css": "a", "type": "url"},
            "html": {"css": "p", "type": "html"},
            "there": {"xpath": "//p", "type": "boolean"},
            "count": {"xpath": "count(//*)", "type": "integer"},
            "words": {"css": "body", "regex": r"(\w+) ", "many": True},
            "name": {"jsonpath": "$.name"},
            "all": {"jsonpath": "$..offers", "many": True},
            "product": {"structured": "Product", "jsonpath": "$"},
            "graph": {"structured": "OpenGraph", "jsonpath": "$.title"},
        }
    },
    "next": {"css": "a.next"},
}
PLAN = PagePlan(read_definition(DEFINITION))
PIECES = [
    "<p class=price>1.234,50 €</p>", "<time datetime='2023'>5 May</time>", "<a class=next href='/x'>x</a>",
    "<div>", "</div>",
    "<table><tr><td>1", "<!-- ", " -->", "<script type='application/ld+json'>", "</script>",
    '{"@type": "Product", "name": ',
    '"x"', "}", "]", "[", ",", "{", ":", '"offers"', "<b itemprop='name'>",
    "<div itemscope itemtype='Product' itemref='i i2' id=i>",
    "<p id=i2 itemscope itemprop='name'>", "<i typeof='Product' property='name'>",
    "<meta property='og:title' content='a'>",
    "<html lang='de'>", "<base href='http://[x'>", "<![CDATA[", "]]>", "<svg><title>t", "&#0;&#xD800;", "\0",
    "\ud800", "<?x ?>",
    "<template>", "<plaintext>", "<noscript>", "<frameset>", "<select><option>", "1e999", "NaN", "9" * 30,
    "\\ud800", "\\", "*/", "/*",
]  # fmt: skip
TYPES = ["text/html", "application/xml", "application/json", "application/x-ndjson", "text/plain", ""]


def check(text: str, content_type: str) -> None:
    """It is read or refused with a reason, and what was read can be stored and sent."""
    try:
        document = parse_document(text, url="http://h/p", content_type=content_type)
    except ExecutorError as error:
        if error.code != "BAD_PAGE":
            raise
        return
    found, _ = PLAN.read("list", document)
    assert pickle.loads(pickle.dumps(found)) == found
    for item in found.items:
        json.dumps(item.data, allow_nan=False).encode()
        assert json.dumps(item.data, ensure_ascii=False).encode()


@settings(deadline=None, derandomize=True, max_examples=100)
@given(pieces=st.lists(st.sampled_from(PIECES) | st.text(max_size=8), max_size=40), content_type=st.sampled_from(TYPES))
def test_any_pieces_of_markup_and_json_are_read(pieces: list[str], content_type: str) -> None:
    check("".join(pieces), content_type)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["@type", "@graph", "name", "offers", "a"]) | st.text(max_size=3), inner, max_size=4
        )
    ),
    max_leaves=15,
)


@settings(deadline=None, derandomize=True, max_examples=80)
@given(value=VALUES, cut=st.integers(0, 60), content_type=st.sampled_from(TYPES), data=st.data())
def test_any_json_whole_or_cut_is_read(value: Any, cut: int, content_type: str, data: st.DataObject) -> None:
    text = json.dumps(value)
    if data.draw(st.booleans()):
        text = text[:cut] + text[cut + 1 :]
    check(f"<script type='application/ld+json'>{text}</script>" if content_type == "text/html" else text, content_type)


@settings(deadline=None, derandomize=True, max_examples=10)
@given(piece=st.sampled_from(PIECES), times=st.integers(500, 2000))
def test_any_piece_many_times_is_read(piece: str, times: int) -> None:
    check(piece * times, "text/html")
