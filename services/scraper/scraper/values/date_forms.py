"""The forms that dates have in texts. Owns: dates of numbers, of month names, and of East Asian signs. No time of day.

What can't be known of a form alone (which number is the day) is left open: see `date`. Must not know fields.
"""

import re
from dataclasses import dataclass
from datetime import date, time

from scraper.values.hints import Unread, ambiguous, unreadable
from scraper.values.languages import common_days, common_months, date_order, day_names, month_names, plain_word

NUMBERS = re.compile(
    r"(?<![\d.,/:-])(\d{1,4})\s?([-./\u2010-\u2014 ])\s?(\d{1,2})\s?\2\s?(\d{1,4})\.?(?![\d:/-]|[.,]\d)"
)
MONTH_ONLY = re.compile(
    r"(?<![\d.,/:-])(?:(?P<year>\d{4})[-./](?P<month>\d{1,2})|(?P<month2>\d{1,2})[-./](?P<year2>\d{4}))(?![\d:/-]|[.,]\d)"
)
EAST_ASIAN = re.compile(
    r"(?P<year>\d{4})\s?[年년]\s?(?:(?P<month>\d{1,2})\s?[月월]\s?(?:(?P<day>\d{1,2})\s?[日号號일])?)?"
)
# Vowel signs of Indian scripts, Thai and Arabic belong to their words.
LETTER = r"[^\W\d_]"
WORDS = re.compile(
    rf"(?P<number>\d+)|(?P<word>{LETTER}(?:{LETTER}|['’\u0300-\u036f\u064b-\u065f\u0900-\u0dff\u0e00-\u0e7f])*)|(?P<other>\S)"
)
WORD = re.compile(rf"{LETTER}+")
# What stands beside days (1st, 1er, 3ème, 1º) and between the parts of a date, and says nothing.
FILLERS = frozenset(
    map(
        plain_word,
        [
            "st",
            "nd",
            "rd",
            "th",
            "er",
            "ère",
            "ème",
            "eme",
            "e",
            "º",
            "ª",
            "o",
            "a",
            "of",
            "the",
            "de",
            "del",
            "di",
            "du",
            "da",
            "do",
            "d",
            "den",
            "der",
            "am",
            "le",
            "la",
            "el",
            "il",
            "an",
            "on",
            "y",
            "г",
            "года",
            "року",
            "р",
            "em",
            "ngày",
            "tháng",
            "năm",
        ],
    )
)
NO_DATE = unreadable("there is no date in it")
NO_YEAR = unreadable("the date has no year")
NO_SUCH_DAY = unreadable("there is no such day")
SEVERAL = unreadable("it has more than one date, or numbers beside the date: take the one that is meant with `regex`")
CENTURY = ambiguous("which century the year of two digits belongs to is not known")
MONTH_WORD = ambiguous("its month is another one in another language: `language` of the field would tell")
CALENDAR = unreadable("its year belongs to another calendar")


@dataclass(frozen=True, slots=True)
class Day:
    """A year, with a month and a day if they are said."""

    year: int
    month: int | None = None
    day: int | None = None

    def iso(self) -> str | None:
        """`2024`, `2024-05` or `2024-05-06`; None when there is no such day."""
        if self.month is None:
            return f"{self.year:04}"
        if self.day is None:
            return f"{self.year:04}-{self.month:02}" if 1 <= self.month <= 12 else None
        try:
            return date(self.year, self.month, self.day).isoformat()
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class Found:
    """The days that a text may mean by the order of its parts, and the time.

    `likely`: the orders that the text may well be written in; `order`: the one that it certainly is. `shown`: the one
    that its numbers show, which tells of other texts as well. `is_open`: its form alone doesn't tell which part is the
    year, so that an order may be declared.
    """

    days: dict[str, Day]
    order: str | None = None
    likely: tuple[str, ...] = ()
    shown: str | None = None
    is_open: bool = False
    at: time | None = None
    zone: str | None = None

    @property
    def one(self) -> Day | None:
        """The day that all likely orders mean, if they mean the same one."""
        days = {self.days[order] for order in self.likely}
        return days.pop() if len(days) == 1 else None


def known(day: Day) -> Found:
    """A date whose form leaves nothing open."""
    return Found({"ymd": day}, order="ymd")


def says_nothing(word: str, languages: tuple[str, ...]) -> bool:
    """Whether a word adds nothing to a date: a day of the week, an article."""
    plain = plain_word(word)
    if plain in FILLERS:
        return True
    return any(plain in day_names(language) for language in (*languages, "en")) or plain in common_days()


def by_numbers(text: str, languages: tuple[str, ...]) -> tuple[Found, str] | Unread | None:
    """Dates of numbers alone; None when there is none of them."""
    if (match := EAST_ASIAN.search(text)) is not None:
        month, day = match["month"], match["day"]
        one = Day(int(match["year"]), int(month) if month else None, int(day) if day else None)
        return (known(one), _without(text, match)) if one.iso() else NO_SUCH_DAY
    if (match := NUMBERS.search(text)) is not None:
        found = _of_three(match[1], match[3], match[4], match[2], languages)
        return found if isinstance(found, Unread) else (found, _without(text, match))
    if (match := MONTH_ONLY.search(text)) is not None:
        one = Day(int(match["year"] or match["year2"]), int(match["month"] or match["month2"]))
        return (known(one), _without(text, match)) if one.iso() and one.year >= 1000 else NO_DATE
    if text.isdigit() and len(text) == 4 and "1000" <= text <= "2999":
        return known(Day(int(text))), ""
    return None


def _without(text: str, match: "re.Match[str]") -> str:
    return f"{text[: match.start()]} {text[match.end() :]}"


def _of_three(first: str, second: str, third: str, mark: str, languages: tuple[str, ...]) -> Found | Unread:
    if len(first) >= 3 or len(third) == 3 or len(second) > 2:
        if len(first) != 4 or len(third) > 2:
            return NO_DATE
        one = _in_calendar(Day(int(first), int(second), int(third)), languages)
        if isinstance(one, Unread):
            return one
        return known(one) if one.iso() else NO_SUCH_DAY
    orders: dict[str, Day | Unread] = {}
    year = _year(third)
    if isinstance(year, Unread):
        orders["dmy"] = orders["mdy"] = year
    else:
        orders["dmy"] = Day(year, int(second), int(first))
        orders["mdy"] = Day(year, int(first), int(second))
    ahead = _year(first) if len(first) == 2 and len(third) == 2 else NO_DATE
    orders["ymd"] = ahead if isinstance(ahead, Unread) else Day(ahead, int(second), int(third))
    possible = {order: day for order, day in orders.items() if isinstance(day, Day) and day.iso() is not None}
    likely = tuple(order for order in possible if order != "ymd" or _year_may_lead(first, mark, languages))
    if not likely:
        return year if isinstance(year, Unread) else NO_SUCH_DAY
    if len(third) == 4 and isinstance(checked := _in_calendar(possible[likely[0]], languages), Unread):
        return checked
    shown = likely[0] if len(likely) == 1 else None
    # With dots the day comes first.
    order = "dmy" if shown is None and mark == "." and "dmy" in likely and "ymd" not in likely else shown
    return Found(possible, order, likely, shown, is_open=True)


def _year_may_lead(first: str, mark: str, languages: tuple[str, ...]) -> bool:
    """Whether a year of two digits is likely to stand in front: with dashes, or where a language writes so."""
    return mark not in "./ " or int(first) > 31 or any(date_order(language) == "ymd" for language in languages)


def _year(text: str) -> int | Unread:
    """A year of four digits, or of two that belong to one century for a reader (70 to 99, 00 to 39)."""
    if len(text) == 4:
        return int(text)
    if len(text) != 2:
        return NO_DATE
    short = int(text)
    return CENTURY if 40 <= short <= 69 else short + (2000 if short < 40 else 1900)


def _in_calendar(day: Day, languages: tuple[str, ...]) -> Day | Unread:
    """Thai years count from 543 BC, Persian ones from 622; nobody dates by them in other languages."""
    primary = {re.split("[-_]", language)[0].lower() for language in languages}
    if "th" in primary and day.year >= 2400:
        return Day(day.year - 543, day.month, day.day)
    if day.year >= 2400 or (primary & {"fa", "prs", "ckb", "ps"} and day.year < 1600):
        return CALENDAR
    return day


def by_words(text: str, languages: tuple[str, ...]) -> tuple[Found, str] | Unread:
    """Dates with a month by name; whatever else is in the text is given back."""
    tokens = [(match.lastgroup or "", match[0]) for match in WORDS.finditer(text)]
    months = [(index, month) for index, (kind, word) in enumerate(tokens) if kind == "word"
              and (month := _month(word, languages)) is not None]  # fmt: skip
    if len(months) > 1:
        # "mar. 5 mars": a day of the week may look like a month.
        months = [one for one in months if not says_nothing(tokens[one[0]][1], languages)] or months
    if not months:
        return NO_DATE
    if len({month for _, month in months}) > 1 or len(months) > 1:
        return SEVERAL
    index, month = months[0]
    numbers = [(place, word) for place, (kind, word) in enumerate(tokens) if kind == "number"]
    if month == 0:
        return MONTH_WORD if any(len(word) == 4 for _, word in numbers) else NO_YEAR
    day = _day_of(numbers, index, month, languages)
    if isinstance(day, Unread):
        return day
    left = " ".join(word for place, (kind, word) in enumerate(tokens) if place != index and kind != "number")
    return known(day), left


def _day_of(numbers: list[tuple[int, str]], index: int, month: int, languages: tuple[str, ...]) -> Day | Unread:
    """The day that the numbers beside a month (at `index`) make of it: a year, and a day or none."""
    years = [word for _, word in numbers if len(word) == 4]
    days = [word for _, word in numbers if len(word) <= 2]
    if len(years) + len(days) < len(numbers) or len(years) > 1:
        return SEVERAL
    if not years and len(days) == 2 and numbers[0][0] < index < numbers[1][0] and len(days[1]) == 2:
        # 5-Mar-24: the year of two digits stands behind the month.
        year = _year(days.pop())
    else:
        year = int(years[0]) if years else NO_YEAR
    if len(days) > 1:
        return SEVERAL
    if isinstance(year, Unread):
        return year
    day = _in_calendar(Day(year, month, int(days[0]) if days else None), languages)
    return NO_SUCH_DAY if isinstance(day, Day) and (year < 1000 or day.iso() is None) else day


def _month(word: str, languages: tuple[str, ...]) -> int | None:
    """The month that a word names; 0 when languages differ on it, None when it is no month."""
    plain = plain_word(word)
    for language in languages:
        if (month := month_names(language).get(plain)) is not None:
            return month
    if (month := month_names("en").get(plain)) is not None:
        return month
    months = common_months()
    return (months[plain] or 0) if plain in months else None
