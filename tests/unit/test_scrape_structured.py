"""JSON-LD, microdata, RDFa and OpenGraph, in all the forms that pages have them, and what a broken one costs."""

from typing import Any

import pytest
from reading_kit import list_of
from scraper.documents import parse_document
from scraper.scrape_reads import ListRead

LAMP = '{"@type": "Product", "name": "Lamp", "sku": "7"}'
SHADE = '{"@type": "Product", "name": "Shade"}'


def read(text: str, kind: str = "Product", path: str = "$.name", **rule: Any) -> ListRead:
    items = {"select": {"structured": kind}, "fields": {"f": {"jsonpath": path} | rule}}
    return list_of({"items": items}, parse_document(text, url="http://h/p/", content_type="text/html"))


def found(text: str, kind: str = "Product", path: str = "$.name", **rule: Any) -> list[Any]:
    return [item.data["f"] for item in read(text, kind, path, **rule).items]


def linked(text: str, kind: str = "application/ld+json") -> str:
    return f'<html><body><script type="{kind}">{text}</script></body></html>'


@pytest.mark.parametrize(
    "kind",
    [
        "application/ld+json; charset=utf-8",
        "APPLICATION/LD+JSON",
        " application/ld+json ",
        "application/ld+json;profile=x",
    ],
)
def test_json_ld_is_told_by_the_essence_of_its_type(kind: str) -> None:
    assert found(linked(LAMP, kind)) == ["Lamp"]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (f'{{"@graph": {LAMP}}}', ["Lamp"]),
        (f'{{"@graph": [{LAMP}, {SHADE}]}}', ["Lamp", "Shade"]),
        (f'{{"@type": "WebSite", "@graph": [{LAMP}, {SHADE}]}}', ["Lamp", "Shade"]),
        (f'{{"@graph": [{{"@type": "WebPage", "mainEntity": {{"@graph": [{LAMP}]}}}}]}}', ["Lamp"]),
        (f"[[{LAMP}], {SHADE}]", ["Lamp", "Shade"]),
        (f'{{"@type": "ItemList", "itemListElement": [{{"item": {LAMP}}}, {{"item": {SHADE}}}]}}', ["Lamp", "Shade"]),
        ('{"@type": ["Thing", "http://schema.org/Product/"], "name": "x"}', ["x"]),
        ('{"@type": "schema:Product", "name": "x"}', ["x"]),
        (f"{LAMP[:-1]},}}", ["Lamp"]),
        (f"[{LAMP}, {SHADE},\n]", ["Lamp", "Shade"]),
        (f"{LAMP} {SHADE}", ["Lamp", "Shade"]),
        (f"{LAMP};\n{SHADE};", ["Lamp", "Shade"]),
        (f"<!-- {LAMP} -->", ["Lamp"]),
        (f"//<![CDATA[\n{LAMP}\n//]]>", ["Lamp"]),
        (f"//<![CDATA[ {LAMP} //]]>", ["Lamp"]),
        (f"/* a , ] */ {LAMP[:-1]} // , end\n}}", ["Lamp"]),
        (
            '{"@type": "Product", "name": "a ,} // no /* comment */ <!-- \\" ,]",}',
            ['a ,} // no /* comment */ <!-- " ,]'],
        ),
        ('{"@type": "Product", "name": "It\\\'s \\\\ \\& x",}', ["It's \\ & x"]),
        ('{"@type": "Product", "name": "two\nlines"}', ["two lines"]),
        ('{"@type": "Product", "name": NaN}', [None]),
        ('{"@type": "Product", "name": 48151623424815162342}', ["48151623424815162342"]),
        ('{"@type": "Product", "name": -9223372036854775808}', [-(2**63)]),
        ('{"@type": "Product", "name": 0.10}', [0.1]),
    ],
)
def test_json_ld_is_found_in_every_form(text: str, names: list[Any]) -> None:
    assert found(linked(text)) == names


@pytest.mark.parametrize(
    "broken",
    ["{broken", '{"@type": "Product", "name": "x\\d"}x', "{'@type': 'Product'}", '{"a": "', "/*", "[" * 3000, "nul"],
)
def test_a_broken_script_costs_itself_and_is_counted(broken: str) -> None:
    page = linked(broken) + linked(LAMP)
    got = read(page)
    assert [item.data["f"] for item in got.items] == ["Lamp"]
    assert [(one["what"], one["where"], one["count"]) for one in got.problems] == [("data_broken", "JSON-LD", 1)]


def test_what_stands_behind_a_value_and_is_none_is_counted() -> None:
    got = read(linked(LAMP + " {broken"))
    assert [item.data["f"] for item in got.items] == ["Lamp"]
    assert [one["what"] for one in got.problems] == ["data_broken"]


def test_scripts_behind_many_others_count() -> None:
    page = '<script type="application/json">{"n": 1}</script>' * 300 + linked(LAMP)
    assert found(page) == ["Lamp"]


def micro(content: str, more: str = "", attributes: str = "") -> str:
    return f'<div itemscope itemtype="https://schema.org/Product" {attributes}>{content}</div>{more}'


@pytest.mark.parametrize(
    ("content", "value"),
    [
        ("<b itemprop=p>a <!-- x --><i>b</i></b>", "a b"),
        ("<b itemprop=p>a<script>1</script><style>2</style><!-- c --></b>", "a"),
        ("<h2 itemprop=p>a<br>b</h2>", "a b"),
        ("<div itemprop=p><p>a</p><p>b</p></div>", "a b"),
        ("<meta itemprop=p content='a'>", "a"),
        ("<span itemprop=p content='9.5'>nine and a half</span>", "9.5"),
        ("<link itemprop=p href='x'>", "http://h/p/x"),
        ("<a itemprop=p href='/x?a=1'>y</a>", "http://h/x?a=1"),
        ("<img itemprop=p src='i.png'>", "http://h/p/i.png"),
        ("<video itemprop=p src='v'></video>", "http://h/p/v"),
        ("<object itemprop=p data='o'></object>", "http://h/p/o"),
        ("<data itemprop=p value='7'>seven</data>", "7"),
        ("<meter itemprop=p value='4'>high</meter>", "4"),
        ("<time itemprop=p datetime='2023-04-09'>9 April</time>", "2023-04-09"),
        ("<time itemprop=p>2023-04-09</time>", "2023-04-09"),
        ("<a itemprop=p>no address</a>", ""),
        ("<i itemprop='q p'>a</i><i itemprop=p>b</i>", ["a", "b"]),
        ("<div itemprop=o itemscope><i itemprop=p>inner</i></div><i itemprop=p>own</i>", "own"),
        ("<div itemscope itemtype=X><i itemprop=p>another's</i></div><i itemprop=p>own</i>", "own"),
        ("<div itemprop=p itemscope itemtype='http://schema.org/Offer' itemid=u:1><i itemprop=x>1</i></div>",
         {"@type": "Offer", "@id": "u:1", "x": "1"}),
    ],
)  # fmt: skip
def test_a_property_of_microdata_has_its_value_where_its_element_keeps_it(content: str, value: Any) -> None:
    assert found(micro(content), path="$.p") == [value or None]


def test_microdata_is_referred_to_from_elsewhere() -> None:
    more = "<p id=a>of <i itemprop=p>oak</i></p><i id=b itemprop=p>ash</i>"
    assert found(micro("", more, "itemref='a b c'"), path="$.p") == [["oak", "ash"]]


@pytest.mark.parametrize(
    ("page", "names"),
    [
        (
            micro("<i itemprop=name>a</i>", "", "id=y itemref=x")
            + "<div id=x><div itemprop=o itemscope itemtype=Product itemref='x y'><i itemprop=name>b</i></div></div>",
            ["a", "b"],
        ),
        ("<div id=x itemscope itemtype=Product itemref=x><i itemprop=name>a</i></div>", ["a"]),
        (
            "".join(
                f"<p id=i{n} itemprop=n itemscope itemtype=Product itemref=i{(n + 1) % 3}><i itemprop=name>{n}</i></p>"
                for n in range(3)
            )
            + micro("<i itemprop=name>top</i>", "", "itemref=i0"),
            ["top", "0", "1", "2"],
        ),
    ],
)
def test_references_that_lead_back_end(page: str, names: list[str]) -> None:
    assert found(page) == names


def test_references_without_end_are_bounded_and_said() -> None:
    layers = "".join(
        f"<i id={side}{n} itemprop=p itemscope itemref='a{n + 1} b{n + 1}'></i>" for n in range(40) for side in "ab"
    )
    got = read(micro("<i itemprop=name>first</i>") + micro("", layers, "itemref=a0"))
    assert got.items[0].data["f"] == "first"
    assert [(one["what"], one["where"]) for one in got.problems] == [("data_broken", "microdata")]


RDFA = """<html prefix="s: https://schema.org/"><body>
<div vocab="https://schema.org/" typeof="Product" resource="#lamp"><h2 property="name">Reading<br>lamp</h2>
<img property="image" src="i.png"><a property="url" href="/l">more</a><meta property="sku" content="7">
<div property="offers" typeof="Offer"><b property="price" content="24.5">24 and a half</b><time property="validThrough"
datetime="2023-04-09">9 April</time></div><i property="color">red</i><i property="color">blue</i></div>
<p typeof="s:Product"><b property="s:name https://schema.org/alternateName">Shade</b></p><b property="name">stray</b>"""


def test_rdfa_has_the_form_of_json_ld() -> None:
    assert found(RDFA, path="$") == [
        {
            "@type": "Product", "@id": "http://h/p/#lamp", "name": "Reading lamp", "image": "http://h/p/i.png",
            "url": "http://h/l", "sku": "7", "color": ["red", "blue"],
            "offers": {"@type": "Offer", "price": "24.5", "validThrough": "2023-04-09"},
        },
        {"@type": "Product", "name": "Shade", "alternateName": "Shade"},
    ]  # fmt: skip
    assert found(RDFA, "Offer", "$.price", type="number") == [24.5]


def test_opengraph_is_one_object_for_who_asks_for_it() -> None:
    page = """<meta property="og:title" content="Lamp"><meta name="OG:type" content="product">
    <meta property="og:image" content="/a.png"><meta property="og:image" content="/b.png">
    <meta property="product:price:amount" content="24.50"><meta name="x:y" content="no">"""
    assert found(page, "OpenGraph", "$") == [
        {"@type": "OpenGraph", "title": "Lamp", "type": "product", "image": ["http://h/a.png", "http://h/b.png"],
         "product:price:amount": "24.50"}
    ]  # fmt: skip
    assert found(page, "Product") == []
    assert found("<p>", "OpenGraph") == []


def test_kinds_come_one_behind_the_other() -> None:
    page = RDFA + micro("<i itemprop=name>micro</i>") + linked(LAMP)
    assert found(page) == ["Lamp", "micro", "Reading lamp", "Shade"]


def test_a_dot_is_the_decimal_mark_of_data() -> None:
    page = "<html lang=de>" + linked('{"@type": "Product", "price": "139.900"}')
    assert found(page, path="$.price", type="number") == [139.9]
    assert found(page, path="$.price", type="number", decimal=",") == [139900]
