"""What reading a page means. Owns: the port between a definition's plan and how pages are had; where reading happens.

Reading (parsing and selectors) happens in threads, so that a slow selector holds up its own run alone. Small pages with
plain selectors are read at once: the way to a thread and back would cost more than the reading.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor as Pool
from dataclasses import dataclass
from typing import Generic, TypeVar

from lxml import etree

from scraper.addresses import shown_url
from scraper.documents import Document, parse_document
from scraper.executor import ExecutorError, InvalidParameters, Json

T = TypeVar("T")
READ_SECONDS = 30
QUICK_CHARACTERS = 48 * 1024


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


@dataclass(frozen=True, slots=True)
class Reading(Generic[T]):
    """How to read a kind of page (`list`, `page`, `detail`). `quick`: it costs a walk over the page and no more.

    `store` and `restore` turn what was read into JSON and back.
    """

    kind: str
    read: Callable[[Document], T]
    worth: Callable[[T], Worth]
    store: Callable[[T], Json]
    restore: Callable[[Json], T]
    quick: bool = False


class Reader:
    """Reads pages in `pool`, or at once."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def read(
        self, text: Callable[[], tuple[str, str]], size: int, url: str, content_type: str, reading: Reading[T]
    ) -> tuple[Document, T]:
        """The document and what was read. `text`: the text and its encoding's label; `size`: the answer's.

        Raises InvalidParameters when it costs too much.
        """

        def work() -> tuple[Document, T]:
            decoded, encoding = text()
            document = parse_document(decoded, url=url, content_type=content_type, encoding=encoding)
            return document, reading.read(document)

        try:
            if reading.quick and size <= QUICK_CHARACTERS:
                return work()
            async with asyncio.timeout(READ_SECONDS):
                return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        except TimeoutError as error:
            # Ends the run: every further page would keep one more thread busy.
            message = f"reading {shown_url(url)} took more than {READ_SECONDS} s: the selectors cost too much"
            raise InvalidParameters(message, field="items") from error
        except (etree.LxmlError, RecursionError, ValueError) as error:
            # What a stranger's page makes of a stranger's selector costs that page, not the run.
            raise ExecutorError(f"the page could not be read: {error}", code="BAD_PAGE", retryable=False) from error
