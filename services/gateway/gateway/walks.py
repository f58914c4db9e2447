"""Lists that go on by cursor: from a query to the owner's request, and from its answer to the next cursor."""

import time
from collections.abc import Mapping
from typing import Any

from gateway.cursors import Cursors, question_of

HEADER = b"x-next-cursor"
QUERY = ("cursor", "string", "上一页的 next_cursor")
HEADER_QUERY = ("cursor", "string", "上一页的 X-Next-Cursor")


class Walks:
    """What every list by cursor does."""

    def __init__(self, cursors: Cursors) -> None:
        self._cursors = cursors

    def enter(self, request: Any, query: Mapping[str, str]) -> bool:
        """Let the request go on where the query's cursor says, whatever its offset; whether there is one. Raises
        `UnfitCursor`.
        """
        request.after = self._cursors.open(question_of(request), query, time.time())
        if request.after:
            request.offset = 0
        return bool(request.after)

    def following(self, request: Any, answer: Any) -> str | None:
        """The cursor behind the answer; None at the list's end."""
        return self._cursors.seal(question_of(request), answer.next, time.time())

    def header(self, request: Any, answer: Any) -> tuple[tuple[bytes, bytes], ...]:
        """The same as a header; none at the list's end."""
        cursor = self.following(request, answer)
        return ((HEADER, cursor.encode()),) if cursor is not None else ()
