"""A run's way to a page that a reader keeps. Owns: sending the page again where it isn't known, and what failures are
called. Must not know selectors or steps.
"""

import hashlib
from collections.abc import Mapping

import orjson

from scraper.addresses import shown_url
from scraper.executor import ExecutorError, Json
from scraper.page_readers import SECONDS_PER_MEGABYTE, PageReaders, ReaderEnded
from scraper.reading import Source
from scraper.step_error import StepError, TargetMissingError


class HttpPageReader:
    """One page. Elements are the numbers that it answers."""

    def __init__(self, readers: PageReaders, source: Source) -> None:
        self._readers, self._source = readers, source
        self._about: Mapping[str, Json] = {
            "page": _name_of(source),
            "url": source.url,
            "content_type": source.content_type,
            "charset": source.charset,
            "written_in": source.written_in,
            "seconds": readers.page_seconds + len(source.body) * SECONDS_PER_MEGABYTE / 2**20,
        }

    @property
    def url(self) -> str:
        """Where the page came from."""
        return self._source.url

    async def ask(self, what: str, **arguments: Json) -> Json:
        """The answer of `HttpPage.ask`. Raises StepError, or ExecutorError when the page can't be read."""
        question = {**self._about, "ask": what, "arguments": arguments}
        try:
            answer = await self._readers.ask(question)
            if "unknown_page" in answer:
                answer = await self._readers.ask({**question, "keep": True}, self._source.body)
        except ReaderEnded as ended:
            raise self._ended(ended) from ended
        if "step_failed" in answer:
            raise StepError(answer["step_failed"], code=answer["code"], fatal=answer["fatal"])
        if "failed" in answer:
            raise ExecutorError(answer["failed"], code=answer["code"], retryable=False)
        return answer["answer"]

    async def find(self, targets: list[Json], within: int | None) -> tuple[str, str, list[int]]:
        """(by, selector, elements) of the first alternative with any. Raises TargetMissingError with what was tried."""
        found = await self.ask("find", targets=targets, within=within)
        if "tried" in found:
            raise TargetMissingError("no target found; tried " + "; ".join(found["tried"]))
        return found["by"], found["selector"], found["found"]

    def _ended(self, ended: ReaderEnded) -> StepError:
        where = shown_url(self._source.url)
        if not ended.too_long:
            return StepError(f"reading {where} ended its process", code="READER_ENDED", fatal=True)
        seconds = self._readers.page_seconds
        message = f"reading {where} took more than {seconds:g} s of processor time: the step's selectors cost too much"
        return StepError(message, code="PAGE_COSTS_TOO_MUCH", fatal=True)


def _name_of(source: Source) -> str:
    """The same for what is read alike, whichever run asks: all that reading depends on is in it."""
    told = orjson.dumps([source.url, source.content_type, source.charset, source.written_in])
    name = hashlib.blake2b(told, digest_size=16)
    name.update(hashlib.blake2b(source.body).digest())
    return name.hexdigest()
