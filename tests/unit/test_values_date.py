"""What dates texts say: no more than they say, and never anything of the day of the run."""

from datetime import date
from typing import Any

import pytest
from babel.dates import format_date
from hypothesis import given, settings
from hypothesis import strategies as st
from scraper.problems import VALUE_AMBIGUOUS, VALUE_UNREADABLE
from scraper.values import Hints, Unread, convert, shown_by

KNOWN = [
    ("2023-04-09", "2023-04-09"), ("2023/04/09", "2023-04-09"), ("2023.4.9", "2023-04-09"), ("20230409", "2023-04-09"),
    ("09.04.2023", "2023-04-09"), ("9. 4. 2023", "2023-04-09"), ("9.4.23", "2023-04-09"), ("1.2.2023", "2023-02-01"),
    ("29.02.2024", "2024-02-29"), ("25/12/2022", "2022-12-25"), ("12/25/2022", "2022-12-25"),
    ("7/7/2023", "2023-07-07"),
    ("25/12/22", "2022-12-25"), ("5.3.75", "1975-03-05"), ("９.４.２０２３", "2023-04-09"),
    ("April 9, 2023", "2023-04-09"), ("9 April 2023", "2023-04-09"), ("9th of April, 2023", "2023-04-09"),
    ("9-Apr-2023", "2023-04-09"), ("9-Apr-23", "2023-04-09"), ("Sun, 9 Apr 2023", "2023-04-09"),
    ("9. März 2023", "2023-03-09"),
    ("1er août 2023", "2023-08-01"), ("mar. 7 mars 2023", "2023-03-07"), ("3 fevrier 2023", "2023-02-03"),
    ("5 de mayo de 2023", "2023-05-05"), ("15 января 2023 г.", "2023-01-15"), ("5 Μαΐου 2023", "2023-05-05"),
    ("٥ مارس ٢٠٢٣", "2023-03-05"), ("2023年4月9日", "2023-04-09"), ("2023년 4월 9일", "2023-04-09"),
    ("Published: April 9, 2023", "2023-04-09"), ("Posted on 9 April 2023 by Ann", "2023-04-09"),
    ("2023-04", "2023-04"), ("04/2023", "2023-04"), ("4.2023", "2023-04"), ("April 2023", "2023-04"),
    ("2023年4月", "2023-04"),
    ("2023", "2023"), (2023, "2023"),
    ("2023-04-09T10:20:30Z", "2023-04-09T10:20:30+00:00"), ("2023-04-09T10:20", "2023-04-09T10:20:00"),
    ("2023-04-09T10:20:30.5+0530", "2023-04-09T10:20:30.500000+05:30"),
    ("20230409T102030Z", "2023-04-09T10:20:30+00:00"),
    ("2023-04-09T00:00:00", "2023-04-09T00:00:00"), ("2023-04-09T10:00[Asia/Tokyo]", "2023-04-09T10:00:00+09:00"),
    ("Sun, 09 Apr 2023 10:00:00 +0200", "2023-04-09T10:00:00+02:00"),
    ("Sun, 09 Apr 2023 10:00:00 PDT", "2023-04-09T10:00:00-07:00"),
    ("9 Apr 2023 10:00 UTC+2", "2023-04-09T10:00:00+02:00"),
    ("Sun Apr 09 18:32:00 +0000 2023", "2023-04-09T18:32:00+00:00"),
    ("Apr 9, 2023 3:04 PM", "2023-04-09T15:04:00"), ("Apr 9, 2023 12:04 am", "2023-04-09T00:04:00"),
    ("9.4.2023, 14:30 Uhr", "2023-04-09T14:30:00"), ("9. April 2023, 14.30 Uhr", "2023-04-09T14:30:00"),
    ("9 avril 2023 à 15h30", "2023-04-09T15:30:00"), ("2023年4月9日 下午2:30", "2023-04-09T14:30:00"),
    ("1714953600", "2024-05-06T00:00:00+00:00"), (1714953600000, "2024-05-06T00:00:00+00:00"),
]  # fmt: skip
NONE = [
    "12", "14:30", "May", "5 March", "March 5", "10.12.", "Tuesday", "yesterday", "2 days ago", "next week",
    "soon", "Lamp 7",
    "Lamp 2000", "Spring 2023", "Q1 2023", "2019-2023", "2019–2023", "5–7 May 2023", "1 May 2023 - 3 May 2023",
    "31.02.2023",
    "29.02.2023", "2023-13-01", "2023-04-09T25:00", "9 Apr 2023 13:00 PM", "1.2.3", "192.168.1.1",
    "v1.2.2023.4", "1/2/3",
    "令和6年3月5日", "5 May 2567", "9 Apr 2023 10:00 IST", "9780306406157", "0301234567", True, 1.5, "9" * 400,
]  # fmt: skip
AMBIGUOUS = ["09/04/2023", "09-04-2023", "09 04 2023", "10/12/22", "22-10-12", "9.4.45", "3 listopada 2023"]


def read(text: object, **hints: Any) -> Any:
    return convert(text, "date", hints=Hints(**hints))


@pytest.mark.parametrize(("text", "value"), KNOWN)
def test_a_date_is_known_by_its_form_and_keeps_what_it_says(text: object, value: str) -> None:
    assert read(text) == value


@pytest.mark.parametrize("text", NONE)
def test_what_is_no_one_date_has_no_value(text: object) -> None:
    found = read(text)
    assert isinstance(found, Unread)
    assert found.what == VALUE_UNREADABLE


@pytest.mark.parametrize("text", AMBIGUOUS)
def test_what_may_be_several_days_has_no_value(text: str) -> None:
    found = read(text)
    assert isinstance(found, Unread)
    assert found.what == VALUE_AMBIGUOUS
    assert "`" in found.message or "century" in found.message


@pytest.mark.parametrize(
    ("text", "hints", "value"),
    [
        ("09/04/2023", {"page_language": "en-GB"}, "2023-04-09"),
        ("09/04/2023", {"page_language": "en-US"}, "2023-09-04"),
        ("09/04/2023", {"page_language": "en"}, None),
        ("09/04/2023", {"page_language": "pt-BR"}, "2023-04-09"),
        ("09/04/2023", {"page_language": "en-US", "usual": "dmy"}, "2023-04-09"),
        ("09/04/2023", {"language": "en-US", "usual": "dmy"}, "2023-09-04"),
        ("09/04/2023", {"order": "mdy", "language": "fr"}, "2023-09-04"),
        ("09.04.2023", {"page_language": "en-US"}, "2023-04-09"),
        ("09.04.2023", {"order": "mdy"}, "2023-09-04"),
        ("23.04.09", {"page_language": "ko"}, "2023-04-09"),
        ("23/04/09", {"order": "ymd"}, "2023-04-09"),
        ("2023-04-09", {"order": "dmy"}, "2023-04-09"),
        ("25/12/2022", {"order": "mdy"}, None),
        ("22-10-12", {"page_language": "sv"}, "2022-10-12"),
        ("3 listopada 2023", {"page_language": "pl"}, "2023-11-03"),
        ("3. listopada 2023", {"page_language": "hr"}, "2023-10-03"),
        ("5 มีนาคม 2566", {"page_language": "th"}, "2023-03-05"),
        ("1402/01/20", {"page_language": "fa"}, None),
        ("2023-03-05 10:00", {"timezone": "Europe/Berlin"}, "2023-03-05T10:00:00+01:00"),
        ("2023-03-05T10:00Z", {"timezone": "Europe/Berlin"}, "2023-03-05T10:00:00+00:00"),
        ("2023-03-26 02:30", {"timezone": "Europe/Berlin"}, None),
        ("2023-10-29 02:30", {"timezone": "Europe/Berlin"}, None),
        ("2023-03-05", {"timezone": "Europe/Berlin"}, "2023-03-05"),
        ("Posted 5 March 2023", {"strict": True}, None),
        ("Sunday, 5 March 2023", {"strict": True}, "2023-03-05"),
    ],
)
def test_the_field_then_other_texts_then_the_language_tell(text: str, hints: dict[str, Any], value: str | None) -> None:
    found = read(text, **hints)
    assert (None if isinstance(found, Unread) else found) == value


@pytest.mark.parametrize(
    ("text", "order"),
    [("25/12/2022", "dmy"), ("12/25/2022", "mdy"), ("01/02/2022", None), ("7/7/2022", None), ("2022-12-25", None),
     ("01.02.2022", None), ("soon", None), ("x" * 1000, None)],
)  # fmt: skip
def test_a_text_shows_its_order_or_nothing(text: str, order: str | None) -> None:
    assert shown_by(text, "date") == order


@settings(deadline=None, derandomize=True, max_examples=150)
@given(
    day=st.dates(date(1970, 1, 1), date(2039, 12, 31)),
    language=st.sampled_from(
        ["en_US", "en_GB", "de", "fr", "es", "it", "pt_BR", "nl", "pl", "cs", "ru", "uk", "sv", "fi", "tr"]
    ),
    form=st.sampled_from(["short", "medium", "long", "full"]),
)
def test_dates_written_as_a_language_does_read_back_or_have_no_value(day: date, language: str, form: str) -> None:
    text = format_date(day, form, locale=language)
    found = read(text, page_language=language)
    assert found == day.isoformat() or (isinstance(found, Unread) and form == "short"), text


@settings(deadline=None, derandomize=True, max_examples=200)
@given(text=st.text(st.characters(codec="utf-8") | st.sampled_from("0123456789.-/: TZMay年月"), max_size=30))
def test_any_text_is_a_date_or_says_why_not(text: str) -> None:
    assert isinstance(read(text), str | Unread | None)
