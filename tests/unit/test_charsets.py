"""The encoding of a body."""

import codecs

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scraper.charsets import decode_body

JAPANESE = "海辺の灯台についての長い文章です。ランプの明かりはとても美しい。"
CHINESE = "这里是一段关于台灯和书籍的中文说明,价格是一百元。"
TRADITIONAL = "這裡是一段關於檯燈和書籍的中文說明,價格是一百元。"
KOREAN = "이것은 등불과 책에 대한 긴 글입니다. 가격은 백 원입니다."
RUSSIAN = "Это короткий рассказ о лампах и книгах на полке."
GREEK = "Αυτό είναι ένα μικρό κείμενο για τις λάμπες και τα βιβλία."
POLISH = "Zażółć gęślą jaźń. Książka i lampa stoją na półce, proszę."
FRENCH = "Le café à l’été : où est passée la forêt ? Voilà le problème."
HEBREW = "זה טקסט קצר על מנורות ועל ספרים שעומדים על המדף"
THAI = "นี่คือข้อความสั้น ๆ เกี่ยวกับโคมไฟและหนังสือ"


def page(text: str, head: str = "") -> str:
    return f"<!doctype html><html><head>{head}<title>t</title></head><body><p>{text}</p></body></html>"


@pytest.mark.parametrize(
    ("codec", "text", "label"),
    [
        ("cp932", JAPANESE, "shift_jis"),
        ("euc_jp", JAPANESE, "euc-jp"),
        ("iso2022_jp", JAPANESE, "iso-2022-jp"),
        ("gbk", CHINESE, "gb18030"),
        ("big5", TRADITIONAL, "big5"),
        ("cp949", KOREAN, "euc-kr"),
        ("cp1251", RUSSIAN, "windows-1251"),
        ("koi8_r", RUSSIAN, "koi8-r"),
        ("cp1253", GREEK, None),
        ("iso8859_2", POLISH, "iso-8859-2"),
        ("cp1250", POLISH, "windows-1250"),
        ("cp1252", FRENCH, "windows-1252"),
        ("cp1255", HEBREW, "windows-1255"),
        ("cp874", THAI, "windows-874"),
        ("utf-8", JAPANESE, "utf-8"),
        ("ascii", "plain", "utf-8"),
    ],
)
def test_what_declares_nothing_is_read_by_what_it_looks_like(codec: str, text: str, label: str | None) -> None:
    scripts = "<script>var a = 'nothing but ASCII here';</script>" * 200
    for whole in (page(text), page(text * 20, scripts)):
        found, name = decode_body(whole.encode(codec), "text/html")
        assert found == whole
        if label is not None and codec != "iso2022_jp":
            assert name == label


@pytest.mark.parametrize(
    ("content_type", "head", "label"),
    [
        ("text/html; charset=gbk", "", "gbk"),
        ("text/html;charset='gbk'", "", "gbk"),
        ('text/html; CharSet="GB2312"; x=1', "", "gbk"),
        ("text/html; charset = gbk", "", "gbk"),
        ("text/html; charset=nonsense", "<meta charset=gbk>", "gbk"),
        ("text/html", "<meta charset='GBK'>", "gbk"),
        ("text/html", "<META http-equiv=content-type content='text/html; charset=gbk'>", "gbk"),
        ("text/html", '<meta name="x" content=">"><meta charset="gbk"/>', "gbk"),
        ("text/html", "<!-- <meta charset=koi8-r> --><meta charset=gbk>", "gbk"),
        ("text/html", "<meta data-charset=koi8-r><meta charset=gbk>", "gbk"),
    ],
)
def test_the_header_counts_before_the_markup(content_type: str, head: str, label: str) -> None:
    whole = page(CHINESE, head)
    assert decode_body(whole.encode("gbk"), content_type) == (whole, label)


def test_a_byte_order_mark_counts_most_and_is_no_text() -> None:
    for mark, codec, label in [
        (codecs.BOM_UTF8, "utf-8", "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le", "utf-16le"),
        (codecs.BOM_UTF16_BE, "utf-16-be", "utf-16be"),
    ]:
        body = mark + page(RUSSIAN).encode(codec)
        assert decode_body(body, "text/html; charset=koi8-r", charset="gbk") == (page(RUSSIAN), label)


def test_the_caller_counts_before_header_and_markup() -> None:
    whole = page(RUSSIAN, "<meta charset=gbk>")
    body = whole.encode("cp1251")
    assert decode_body(body, "text/html; charset=koi8-r", charset="windows-1251") == (whole, "windows-1251")
    assert decode_body(body, "text/html; charset=windows-1251", charset="nonsense") == (whole, "windows-1251")


def test_utf_16_in_a_meta_element_means_utf_8() -> None:
    whole = page("Straße", "<meta charset=utf-16>")
    assert decode_body(whole.encode(), "text/html") == (whole, "utf-8")


def test_an_xml_declaration_counts_and_utf_16_shows_by_its_zeros() -> None:
    whole = f'<?xml version="1.0" encoding="koi8-r"?><a>{RUSSIAN}</a>'
    assert decode_body(whole.encode("koi8-r"), "application/xml") == (whole, "koi8-r")
    wide = f'<?xml version="1.0"?><a>{RUSSIAN}</a>'
    assert decode_body(wide.encode("utf-16-be"), "application/xml") == (wide, "utf-16be")


def test_latin_1_means_windows_1252_and_has_a_letter_for_every_byte() -> None:
    assert decode_body(b"5 \x80 \x81", "text/html; charset=iso-8859-1") == ("5 € \x81", "windows-1252")
    assert decode_body(b"\x80", "text/html; charset=us-ascii") == ("€", "windows-1252")


def test_utf_8_that_was_cut_within_a_letter_stays_utf_8() -> None:
    whole = page(RUSSIAN)
    cut = whole.index("книгах")
    body = whole[:cut].encode() + "к".encode()[:1]
    assert decode_body(body, "text/html") == (whole[:cut] + "\ufffd", "utf-8")


@settings(deadline=None, derandomize=True, max_examples=200)
@given(st.binary(max_size=60), st.text(max_size=30), st.none() | st.text(max_size=10))
def test_any_bytes_have_some_text(body: bytes, content_type: str, charset: str | None) -> None:
    text, label = decode_body(b"<meta charset=" + body, content_type, charset=charset)
    assert isinstance(text, str)
    assert codecs.lookup({"iso-8859-8-i": "iso8859-8"}.get(label, label)) or label
