"""What numbers texts say: tables of forms, and that none is read in part."""

from decimal import Decimal
from typing import Any

import pytest
from babel.core import Locale
from hypothesis import given, settings
from hypothesis import strategies as st
from scraper.problems import VALUE_AMBIGUOUS, VALUE_AS_TEXT, VALUE_UNREADABLE
from scraper.values import Hints, Unread, convert, shown_by

KNOWN: list[tuple[str, object]] = [
    ("7", 7), ("007", 7), ("-3.5", -3.5), ("+5", 5), ("0.125", 0.125), ("0,125", 0.125), ("1.2345", 1.2345),
    ("€ 2.399,00", 2399), ("2,399.50 USD", 2399.5), ("2 399,50", 2399.5), ("2\u202f399\u202f111,5", 2399111.5),
    ("CHF 2’399.50", 2399.5), ("2'399.–", 2399), ("1,234,567", 1234567), ("3,234,567.125", 3234567.125),
    ("4.234.567", 4234567), ("₹5,23,456.78", 523456.78), ("1,2345,6789", 123456789), ("1.234.567,89", 1234567.89),
    (",75 €", 0.75), ("$.99", 0.99), ("-.5", -0.5), ("Rs.500", 500), ("No. 5", 5), ("S/.12.50", 12.5),
    ("2.399,-", 2399), ("12,--", 12), ("CHF 12.–", 12), ("2,399.-", 2399), ("12.", 12), ("Price: 12.50 EUR", 12.5),
    ("239.900 €", 239900), ("$1,500", 1500), ("1.250 zł", 1250), ("EUR12", 12), ("A$12.50", 12.5),
    ("R$ 1.234,56", 1234.56),
    ("-$ 3", -3), ("- $3.50", -3.5), ("$-3", -3), ("−3", -3), ("–3", -3), ("Temp: -5 °C", -5), ("minus 5", -5),
    ("3.50-", -3.5), ("3,50 €-", -3.5), ("($3.00)", -3), ("(3.00)", -3), ("(45 reviews)", 45),
    ("12-inch", 12), ("44.99 - today only", 44.99), ("Lamp – 20 €", 20),
    ("12 pieces", 12), ("from 12.50 €", 12.5), ("je 2,99 €", 2.99), ("12%", 12), ("100+", 100), ("~5", 5),
    ("45 m²", 45), ("45 m2", 45), ("40cm", 40), ("E27 lamp, 20 €", 20), ("12 m", 12),
    ("12k", 12000), ("1.5K", 1500), ("$1.2M", 1200000), ("£3m", 3000000), ("1.2B views", 1200000000),
    ("3 Mrd. €", 3 * 10**9),
    ("2,5 Mio. €", 2500000), ("1,5 млн ₽", 1500000), ("2 lakh", 200000), ("₹2.5 crore", 25000000),
    ("€ 4 million", 4000000),
    ("1万2千円", 12000), ("3百万", 3000000), ("1億2,000万円", 120000000), ("2千克", 2),
    ("٣٤٫٥", 34.5), ("١٬٢٣٤", 1234), ("۱۲۳", 123), ("१,२३,४५६", 123456), ("１２３，４５６．７８", 123456.78),
    ("\u200e2,399.00 €", 2399), ("2\u00ad399", 2399),
    ("1e5", 100000), ("2.5E-3", 0.0025), ("9007199254740995", 9007199254740995), ("9223372036854775807", 2**63 - 1),
]  # fmt: skip
NONE = [
    "12:30", "2024-05-06", "06.05.2024", "12_34", "1_000", "1.2.3", "1.23.456", "192.168.1.1", "10-20", "10–20 €",
    "5 x 20", "10x20 cm",
    "5 12345", "1  234", "5\u2029123", "0 123", "1,23,45", "12,345,67", "0,123,456", "1.234'567",
    "Was $20 Now $15", "4.5/5",
    "3 of 5", "1/2", "2½", "½", "10²", "5±1", "1234…", "12...", "***5", "•5", "E27", "B12", "COVID-19",
    "Lamp-5", "Lamp - 5",
    "--5", "9.99–", "free", "-", "NaN", "inf", "1e400", "1" * 300,
]  # fmt: skip
AMBIGUOUS = [
    "1,250", "139.900", "-1.250", "1.250 kg", "1,799 €/l", "1.250 KWD", "€ 1.250 Mio", "3000K", "512 B",
    "1.5m views", "(45)",
]  # fmt: skip


def number(text: object, kind: str = "number", **hints: Any) -> Any:
    return convert(text, kind, hints=Hints(**hints))


@pytest.mark.parametrize(("text", "value"), KNOWN)
def test_a_number_is_known_by_its_form(text: str, value: float) -> None:
    found = number(text)
    assert found == value
    assert type(found) in (int, float)


@pytest.mark.parametrize("text", NONE)
def test_what_is_no_one_number_has_no_value(text: str) -> None:
    found = number(text)
    assert isinstance(found, Unread)
    assert (found.what, found.value) == (VALUE_UNREADABLE, None)


@pytest.mark.parametrize("text", AMBIGUOUS)
def test_what_has_several_meanings_has_no_value_and_names_what_would_tell(text: str) -> None:
    found = number(text)
    assert isinstance(found, Unread)
    assert found.what == VALUE_AMBIGUOUS
    assert "`decimal`" in found.message or "`regex`" in found.message


@pytest.mark.parametrize(
    ("text", "hints", "value"),
    [
        ("1,250", {"page_language": "de"}, 1.25),
        ("1,250", {"page_language": "en-GB"}, 1250),
        ("1.250", {"page_language": "de-AT"}, 1250),
        ("1.250", {"page_language": "de-CH"}, 1.25),
        ("1.250", {"page_language": "xx-nonsense"}, None),
        ("1.250", {"page_language": "en", "usual": ","}, 1250),
        ("1.250", {"language": "en", "usual": ",", "page_language": "de"}, 1.25),
        ("1.250", {"decimal": ",", "language": "en"}, 1250),
        ("1.250 €", {"decimal": "."}, 1.25),
        ("1.250 €", {"page_language": "en"}, 1250),
        ("24,50", {"page_language": "en"}, 24.5),
        ("24,50", {"decimal": "."}, None),
        ("1.234,50", {"decimal": "."}, None),
        ("12.5", {"decimal": ","}, None),
        ("1 234", {"decimal": ","}, 1234),
        ("139.900", {"is_data": True, "page_language": "de"}, 139.9),
        ("1,250", {"is_data": True, "page_language": "de"}, 1250),
        ("139.900", {"is_data": True, "decimal": ","}, 139900),
        ("1.234,50 €", {"is_data": True}, 1234.5),
        ("2 mil", {"page_language": "es"}, 2000),
        ("2 mil", {}, None),
        ("2 billion", {"page_language": "de"}, 2 * 10**12),
        ("2 billion", {}, 2 * 10**9),
        ("from 12.50 €", {"strict": True}, None),
        ("12 pieces", {"strict": True}, None),
        ("-12.50 €", {"strict": True}, -12.5),
        ("1,2 Mio. €", {"strict": True}, 1200000),
    ],
)
def test_the_field_then_other_texts_then_the_language_tell(text: str, hints: dict[str, Any], value: object) -> None:
    found = number(text, **hints)
    assert (None if isinstance(found, Unread) else found) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [("12.0", 12), ("12,00", 12), ("1,234,567,890,123,456,789", 1234567890123456789), ("12.5", None), ("1.000", None),
     ("1e3", 1000), (12.0, 12), (12.5, None), (True, 1), ("9007199254740993", 9007199254740993)],
)  # fmt: skip
def test_integers_are_whole_and_exact(text: object, value: object) -> None:
    found = number(text, "integer")
    assert (None if isinstance(found, Unread) else found) == value


@pytest.mark.parametrize("kind", ["number", "integer"])
@pytest.mark.parametrize("value", ["9223372036854775808", "-123456789012345678901234", 2**64])
def test_integers_beyond_64_bits_are_kept_as_their_digits_and_said(kind: str, value: object) -> None:
    found = number(value, kind)
    assert isinstance(found, Unread)
    assert (found.what, found.value) == (VALUE_AS_TEXT, str(value))


@pytest.mark.parametrize(
    ("text", "mark"),
    [("1.234,50", ","), ("24.5", "."), ("1,234,567", "."), ("129.900 €", ","), ("1,250", None), ("7", None),
     ("no", None),
     ("x" * 1000, None)],
)  # fmt: skip
def test_a_text_shows_its_decimal_mark_or_nothing(text: str, mark: str | None) -> None:
    assert shown_by(text, "number") == mark


@settings(deadline=None, derandomize=True, max_examples=150)
@given(
    value=st.decimals(min_value=-(10**15), max_value=10**15, places=2),
    language=st.sampled_from(["en", "de", "de_CH", "fr", "it", "pt_BR", "sv", "pl", "hi", "es_MX", "ru"]),
    money=st.sampled_from(["{}", "{} €", "EUR {}"]),
)
def test_numbers_written_by_a_languages_convention_read_back(value: Decimal, language: str, money: str) -> None:
    symbols = Locale.parse(language).number_symbols["latn"]
    digits = f"{abs(value):,.2f}".translate({ord(","): symbols["group"], ord("."): symbols["decimal"]})
    text = money.format(digits)
    found = number("-" + text if value < 0 else text, page_language=language)
    assert not isinstance(found, Unread)
    assert found == pytest.approx(float(value), rel=1e-15)


@settings(deadline=None, derandomize=True, max_examples=200)
@given(text=st.text(st.characters(codec="utf-8") | st.sampled_from("0123456789.,-'()€$ kM%/:"), max_size=30))
def test_any_text_is_a_number_or_says_why_not(text: str) -> None:
    for kind in ("number", "integer"):
        found = number(text, kind)
        assert found is None or isinstance(found, int | float | Unread)
