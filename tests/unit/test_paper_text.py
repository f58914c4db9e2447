"""Texts and identifiers of the scholarly sources: what is markup, what is text, and where a DOI ends."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scraper.paper import clean_doi, clean_names
from scraper.paper_sources import Arxiv, Crossref, OpenAlex, SemanticScholar
from scraper.paper_text import marked_text, plain_text

MATHML = '<mml:math xmlns:mml="http://www.w3.org/1998/Math/MathML">{}</mml:math>'


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("Oxides of TiO<sub>2</sub> and Al<sub>2</sub>O<sub>3</sub>", "Oxides of TiO2 and Al2O3"),
        ("10<sup>6</sup> cells, Ca<sup>2+</sup>, s<sup>\u22121</sup>", "10⁶ cells, Ca²⁺, s⁻¹"),
        ("the 1<sup>st</sup> and the 2<sup><i>nd</i></sup> year", "the 1st and the 2nd year"),
        ("<jats:italic>In vivo</jats:italic> work<br/>goes on", "In vivo work goes on"),
        ("<span class=\"x\" style='y'>A</span><b>B</b>", "AB"),
        ("<p>One.</p><p>Two.</p>", "One. Two."),
        ("&lt;b&gt;Bold&lt;/b&gt; words", "Bold words"),
        ("&amp;lt;b&amp;gt;Bold&amp;lt;/b&amp;gt; words", "Bold words"),
        ("R&amp;amp;D, AT&amp;T and R&D", "R&D, AT&T and R&D"),
        ("p &lt; 0.01 and q &amp;gt; 2", "p < 0.01 and q > 2"),
        ("if a&lt;b and c&gt;d", "if a<b and c>d"),
        ("p<0.05 for n>3, a<b and c>d", "p<0.05 for n>3, a<b and c>d"),
        ("a <unknown> word", "a <unknown> word"),
        ("<!-- note -->Title <![CDATA[x]]>", "Title x"),
        (MATHML.format("<mml:mi>N</mml:mi>\n  <mml:msub><mml:mi>a</mml:mi><mml:mn>1</mml:mn></mml:msub>"), "Na1"),
        (MATHML.format("<mml:msup><mml:mn>10</mml:mn><mml:mn>9</mml:mn></mml:msup>"), "10⁹"),
        (MATHML.format("<mml:mfrac><mml:mn>1</mml:mn><mml:mi>n</mml:mi></mml:mfrac>"), "1/n"),
        (MATHML.format("<mml:msqrt><mml:mn>2</mml:mn></mml:msqrt>"), "√2"),
        (MATHML.format("<mml:mi>x</mml:mi><mml:mo>&lt;</mml:mo><mml:mn>1</mml:mn>"), "x<1"),
        (MATHML.format('<mml:mi>x</mml:mi><mml:annotation encoding="tex">\\x</mml:annotation>'), "x"),
        ("<math><mi>H</mi><mspace/><mi>K</mi></math>", "H K"),
        ("<jats:alternatives><jats:tex-math>$$y$$</jats:tex-math><math><mi>y</mi></math></jats:alternatives>", "y"),
        ("<jats:tex-math>y^2</jats:tex-math>", "y^2"),
        ("shal\u00adlow\u200b wa\u2060ter", "shallow water"),
        ("two\nlines\u2028and\ta\x00tab", "two lines and a tab"),
    ],
)
def test_markup_is_read_as_people_write_it(text: str, read: str) -> None:
    assert marked_text(text, 2_000) == read


@pytest.mark.parametrize("text", ["a<b and c>d", "<i>x</i>", "&lt; &amp;amp; &", "$1<p<2$", "n<sub>k"])
def test_plain_text_is_text_whatever_it_looks_like(text: str) -> None:
    assert plain_text(text, 100) == text
    assert plain_text(7, 100) == plain_text(None, 100) == marked_text([], 100) == ""


@settings(deadline=None, derandomize=True, max_examples=150)
@given(st.text(st.sampled_from("ab <>/&;=\"'ilt!-[]?mathsup\n"), max_size=60))
def test_any_text_is_read_to_its_end_and_once(text: str) -> None:
    read = marked_text(text, 1_000)
    assert read == read.strip()
    assert not set(read) & set("\n\x00")
    if not set(text) & set("<&"):
        assert read == " ".join(text.split())


@pytest.mark.parametrize(
    ("value", "doi"),
    [
        ("10.98765/0044(1990)12<0101:ABOUT>2.3.CO;2", "10.98765/0044(1990)12<0101:about>2.3.co;2"),
        ("https://doi.org/10.98765/44(90)12%3C01:AB%3E2.3.CO;2-%23", "10.98765/44(90)12<01:ab>2.3.co;2-#"),
        ("10.98765/12&lt;34::aid&gt;3.0.co;2-n", "10.98765/12<34::aid>3.0.co;2-n"),
        ("10.98765/(XYZ)1084(2001)6:2(150)", "10.98765/(xyz)1084(2001)6:2(150)"),
        ("(see doi:10.98765/(XYZ)1084(2001)6:2(150)).", "10.98765/(xyz)1084(2001)6:2(150)"),
        ("<https://doi.org/10.98765/abc>", "10.98765/abc"),
        ("“10.98765/abc”", "10.98765/abc"),
        ("[10.98765/abc[1]]", "10.98765/abc[1]"),
        ("DOI: 10.98765/ABC.1, in print", "10.98765/abc.1"),
        ("10.98765/a,10.98765/b", "10.98765/a"),
        ("10.98765/a b", "10.98765/a"),
        ("10.98765.12/a", "10.98765.12/a"),
        ("https://dx.doi.org/10.98765/abc?utm_source=x#top", "10.98765/abc"),
        ("10.98765/ab\u00adc\u200b", "10.98765/abc"),
        ("info:doi/10.98765/abc", "10.98765/abc"),
        ("10.98765/" + "x" * 400, "10.98765/" + "x" * 400),
        ("no doi 10.1/x", ""),
        (10.5, ""),
    ],
)  # fmt: skip
def test_a_doi_ends_where_dois_end(value: object, doi: str) -> None:
    assert clean_doi(value) == doi


def test_people_of_one_name_are_two_people() -> None:
    assert clean_names(["Wen Lu", "", None, "Ana <Bo>", "Wen Lu"]) == ("Wen Lu", "Ana <Bo>", "Wen Lu")


FEED = (
    '<feed xmlns="http://www.w3.org/2005/Atom"><entry><id>http://arxiv.org/abs/2999.00001v1</id>'
    "<title>Why &amp;amp; how $a&lt;b$</title><summary>For $x&lt;y$ &amp;lt;.</summary></entry></feed>"
)


def test_each_source_has_its_own_rule_for_markup() -> None:
    marked = "Films of ZnO<sub>2</sub> &amp;amp; ash"
    base = "http://127.0.0.1:1"
    (crossref,) = (
        Crossref(base).read(_json({"message": {"items": [{"DOI": "10.98765/a", "title": [marked]}]}}), "*").records
    )
    work = {"id": "https://openalex.org/W1", "title": marked, "abstract_inverted_index": {"a<b": [0], "&amp;": [1]}}
    (openalex,) = OpenAlex(base).read(_json({"results": [work], "meta": {}}), "*").records
    paper = {"paperId": "x", "title": "Trees with n<k and <b>", "abstract": "p &lt; q"}
    (scholar,) = SemanticScholar(base).read(_json({"data": [paper], "total": 1}), "0").records
    (arxiv,) = Arxiv(base).read(FEED.encode(), "0").records
    assert crossref.title == openalex.title == "Films of ZnO2 & ash"
    assert openalex.abstract == "a<b &amp;"
    assert (scholar.title, scholar.abstract) == ("Trees with n<k and <b>", "p &lt; q")
    assert (arxiv.title, arxiv.abstract) == ("Why &amp; how $a<b$", "For $x<y$ &lt;.")


@pytest.mark.parametrize(
    ("abstract", "read"),
    [
        ("<jats:title>Abstract</jats:title><jats:p>Reeds grow.</jats:p>", "Reeds grow."),
        ("<title>ABSTRACT:</title> <p>Reeds grow.</p>", "Reeds grow."),
        ("<jats:p>Abstract algebra is old.</jats:p>", "Abstract algebra is old."),
        ("<jats:sec><jats:title>Aims</jats:title><jats:p>Reeds.</jats:p></jats:sec>", "Aims Reeds."),
    ],
)
def test_only_the_heading_of_an_abstract_is_left_out(abstract: str, read: str) -> None:
    entry = {"DOI": "10.98765/a", "title": ["T"], "abstract": abstract, "author": [{"family": "Ash", "suffix": "Jr."}]}
    (record,) = Crossref("http://127.0.0.1:1").read(_json({"message": {"items": [entry]}}), "*").records
    assert (record.abstract, record.authors) == (read, ("Ash Jr.",))


def _json(value: object) -> bytes:
    import orjson

    return orjson.dumps(value)
