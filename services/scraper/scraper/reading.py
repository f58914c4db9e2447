"""What reading a page means. Owns: the port between a definition's plan and how pages are had. Must not know processes.

Pages and selectors are strangers' text: reading happens in processes of its own (`page_readers`), which end when a page
takes them too long, and only what was read comes back.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from scraper.executor import Json

T = TypeVar("T")
# How questions and answers begin: the lengths of the JSON and of the bytes behind it.
HEADER = struct.Struct("!II")


@dataclass(frozen=True, slots=True)
class Source:
    """An answer to be read. `content_type`: the whole header. `charset`: what the definition says of the encoding.

    `cut`: in words, why the body is not the whole page; empty when it is. `written_in`: the encoding that its links'
    queries go out in, where that is another than the body's.
    """

    url: str
    body: bytes
    content_type: str
    charset: str | None = None
    cut: str = ""
    written_in: str = ""

    @property
    def media_type(self) -> str:
        """In lower case, without parameters."""
        return self.content_type.partition(";")[0].strip().lower()


@dataclass(frozen=True, slots=True)
class Worth:
    """How much was read: items with something in them, fields found, and the fields that no item has."""

    items: int
    fields: int
    lacking: tuple[str, ...]

    @property
    def something(self) -> bool:
        """Whether anything was found."""
        return self.items > 0

    @property
    def whole(self) -> bool:
        """Whether no field is lacking everywhere."""
        return self.something and not self.lacking


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks for a browser's look at a page: it has scripts, and in words what they are to fill."""

    has_scripts: bool = False
    signs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading(Generic[T]):
    """How to read a kind of page (`list`, `page`, `detail`); `restore` makes what was read from its JSON."""

    kind: str
    worth: Callable[[T], Worth]
    restore: Callable[[Json], T]
