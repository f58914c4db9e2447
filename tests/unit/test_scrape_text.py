"""What the text of an element is, and which numbers of it are one."""

from typing import Any

import pytest
from reading_kit import list_of
from scraper.documents import parse_document


def read(html: str, rule: dict[str, Any], content_type: str = "text/html") -> Any:
    document = parse_document(html, url="http://h/", content_type=content_type)
    return list_of({"items": {"fields": {"f": rule}}}, document).items[0].data["f"]


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<div id=a>un<b>break</b>able</div>", "unbreakable"),
        ("<div id=a>a<!-- c -->b<wbr>c<img src=i>d</div>", "abcd"),
        ("<div id=a><p>7</p><p>54321</p></div>", "7 54321"),
        ("<div id=a>Elm Road 7<br>54321 Marsh</div>", "Elm Road 7 54321 Marsh"),
        ("<table id=a><tr><td>7</td><th>8</th></tr><tr><td>9</td></tr></table>", "7 8 9"),
        ("<ul id=a><li>red<li>blue</ul>", "red blue"),
        ("<select id=a><option>S</option><option>M</option></select>", "S M"),
        ("<dl id=a><dt>Kind</dt><dd>lamp</dd></dl>", "Kind lamp"),
        ("<div id=a>x<hr>y<button>z</button>w</div>", "x y z w"),
        ("<div id=a>one<section><h2>two</h2>three</section>four</div>", "one two three four"),
        ("<p id=a>x<script>var a = 1</script><style>b{}</style>y</p>", "xy"),
        ("<p id=a>x<template><b>t</b></template><noscript>n<i>o</i></noscript>y</p>", "xy"),
        ("<p id=a>a&nbsp;&#8239;b\n\t c </p>", "a b c"),
        ("<p id=a>&nbsp; </p>", None),
        ("<script id=a>var a = 1</script>", "var a = 1"),
        ("<div id=a>" + "<i>" * 1500 + "deep</i>ness", "deepness"),
    ],
)
def test_blocks_cells_and_breaks_part_text_and_inline_elements_do_not(html: str, text: str | None) -> None:
    assert read(html, {"css": "#a"}) == text


@pytest.mark.parametrize(
    ("html", "kind", "value"),
    [
        ("<tr id=a><td>7</td><td>123</td></tr>", "number", None),
        ("<p id=a>7<br>123</p>", "integer", None),
        ("<p id=a>19<sup>99</sup> €</p>", "number", None),
        ("<p id=a>19,<sup>99</sup> €</p>", "number", 19.99),
        ("<p id=a><span>19</span><sup>.99</sup></p>", "number", 19.99),
        ("<p id=a><del>20</del><ins>15</ins></p>", "number", None),
        ("<p id=a><b>19</b><i>,</i><b>50</b> €</p>", "number", 19.5),
        ("<p id=a>1&nbsp;234,50 €<script>7</script></p>", "number", 1234.5),
        ("<p id=a><b>9 April</b><b> 2023</b></p>", "date", "2023-04-09"),
    ],
)
def test_digits_that_stand_apart_are_not_one_number(html: str, kind: str, value: object) -> None:
    page = f"<table>{html}</table>" if html.startswith("<tr") else html
    assert read(page, {"css": "#a", "type": kind}) == value


def test_a_regular_expression_sees_what_stands_apart_in_lines() -> None:
    html = "<div id=a><p>Weight 7</p><p>54321 pieces</p></div>"
    assert read(html, {"css": "#a", "regex": r"^Weight (\d+)$"}) is None
    assert read(html, {"css": "#a", "regex": r"(?m)^Weight (\d+)$"}) == "7"
    assert read(html, {"css": "#a", "regex": r"(\d+) pieces"}) == "54321"


def test_elements_beside_each_other_in_xml_are_apart() -> None:
    xml = "<r><row><a>7</a><b>123</b></row><p>un<i>break</i>able</p></r>"
    assert read(xml, {"css": "row"}, "application/xml") == "7 123"
    assert read(xml, {"css": "p"}, "application/xml") == "unbreakable"
    assert read(xml, {"css": "row", "type": "number"}, "application/xml") is None
