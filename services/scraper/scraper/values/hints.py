"""What is known of a text besides the text itself, and what a text is that can't be read. Must not know documents."""

from dataclasses import dataclass

from scraper.problems import VALUE_AMBIGUOUS, VALUE_UNREADABLE


@dataclass(frozen=True, slots=True)
class Hints:
    """What the field says (`decimal`, `order`, `language`, `timezone`, `strict`) and what its page says.

    The field's word counts for every text, the others only for texts that have several meanings: first how other values
    of the field on the page are written (`usual`: a decimal mark or an order of dates; empty while that is still to be
    looked at), then `page_language`. `is_data`: the text is a value of structured data or JSON, where a dot is the
    decimal mark.
    `encoding`: the page's, in which the queries of its links go out (a WHATWG label).
    """

    decimal: str | None = None
    order: str | None = None
    language: str | None = None
    timezone: str | None = None
    strict: bool = False
    page_language: str | None = None
    usual: str | None = None
    is_data: bool = False
    encoding: str = "utf-8"

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages that the text may be in, the field's own word first."""
        return tuple(language for language in (self.language, self.page_language) if language)


NO_HINTS = Hints()


@dataclass(frozen=True, slots=True)
class Unread:
    """A text that was there and has no value; `what` is a kind of problem. `value`: what stands for it, if anything."""

    what: str
    message: str
    value: str | None = None


def unreadable(message: str) -> Unread:
    """It is no such value."""
    return Unread(VALUE_UNREADABLE, message)


def ambiguous(message: str) -> Unread:
    """It has several meanings."""
    return Unread(VALUE_AMBIGUOUS, message)
