"""A process that reads pages, started by `page_readers`. Owns: its bounds, and the plans it has compiled.

`python -m scraper.page_reader SOCKET PLACE PARENT_PID`. A question is a header of two lengths, JSON and a page's bytes;
an answer is JSON behind the same header. It ends when its parent does, when a page has used up its processor time
(SIGPROF, by the kernel), or when it needs more memory than it may have. Must not know how pages are had.
"""

import ctypes
import os
import resource
import signal
import socket
import sys
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import orjson

from scraper.charsets import decode_body, known_label
from scraper.documents import Document, parse_document
from scraper.executor import ExecutorError, InvalidParameters, Json
from scraper.problems import PAGE_CUT
from scraper.reading import HEADER
from scraper.reading_place import ReadingPlace
from scraper.render_evidence import evidence_of
from scraper.scrape_definition import ScrapeDefinition
from scraper.scrape_plan import PagePlan
from scraper.step_error import StepError

if TYPE_CHECKING:
    from scraper.http_page import HttpPage

MEMORY_BYTES = 4 * 2**30
MAX_PLANS = 16
MAX_PAGES = 8
PR_SET_PDEATHSIG = 1


def main() -> None:
    """Read pages until there are no more questions."""
    number, memory, parent = map(int, sys.argv[1:])
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        return  # It died before its death could be watched for.
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal reaches the whole group; the parent decides.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    answers = Answers(ReadingPlace(memory))
    with socket.socket(fileno=number) as connection, connection.makefile("rb") as questions:
        while header := questions.read(HEADER.size):
            length, size = HEADER.unpack(header)
            question = orjson.loads(questions.read(length))
            answer = answers.to(question, questions.read(size))
            connection.sendall(HEADER.pack(len(answer), 0) + answer)


class Plans:
    """Compiled definitions, the latest by their digests."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, PagePlan] = OrderedDict()

    def of(self, question: Json) -> PagePlan | None:
        """The plan that the question names; None when it isn't known. Raises InvalidParameters."""
        digest = question["plan"]
        if digest not in self._known and "definition" in question:
            self._known[digest] = PagePlan(ScrapeDefinition.model_validate(question["definition"]))
            while len(self._known) > MAX_PLANS:
                self._known.popitem(last=False)
        if digest in self._known:
            self._known.move_to_end(digest)
        return self._known.get(digest)


class Pages:
    """Pages that were only fetched and that runs go on asking about, the latest."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, HttpPage] = OrderedDict()

    def of(self, question: Json, body: bytes) -> "HttpPage | None":
        """The page that the question is about; None when it isn't kept, and didn't come along."""
        name = question["page"]
        if question.get("keep"):
            # All kinds of steps come with it, which scraped pages do without.
            from scraper.http_page import HttpPage

            self._kept[name] = HttpPage(_document_of(question, body))
            while len(self._kept) > MAX_PAGES:
                self._kept.popitem(last=False)
        if name in self._kept:
            self._kept.move_to_end(name)
        return self._kept.get(name)


class Answers:
    """Answers questions about pages, one after the other."""

    def __init__(self, place: ReadingPlace) -> None:
        self._plans, self._pages, self._place = Plans(), Pages(), place

    def to(self, question: Json, body: bytes) -> bytes:
        """The answer's JSON, within the question's processor time."""
        self._place.set("")
        signal.setitimer(signal.ITIMER_PROF, question["seconds"])
        try:
            return orjson.dumps(self._asked(question, body) if "ask" in question else self._read(question, body))
        except InvalidParameters as error:
            return orjson.dumps({"refused": error.message.removeprefix(f"{error.field}: "), "field": error.field})
        except ExecutorError as error:
            return orjson.dumps({"failed": error.message, "code": error.code})
        except StepError as error:
            return orjson.dumps({"step_failed": error.message, "code": error.code, "fatal": error.fatal})
        except Exception as error:  # noqa: BLE001  # whatever a stranger's page brings about costs that page
            reason = f"{type(error).__name__}: {error}".encode(errors="replace").decode()[:500]
            return orjson.dumps({"failed": f"the page could not be read: {reason}", "code": "BAD_PAGE"})
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)

    def _asked(self, question: Json, body: bytes) -> dict[str, Any]:
        page = self._pages.of(question, body)
        if page is None:
            return {"unknown_page": True}
        return {"answer": page.ask(question["ask"], question["arguments"])}

    def _read(self, question: Json, body: bytes) -> dict[str, Any]:
        plan = self._plans.of(question)
        if plan is None:
            return {"unknown_plan": True}
        if "kind" not in question:
            return {"compiled": True}
        document = _document_of(question, body)
        document.look_for = self._place.set
        if question["cut"]:
            document.problems.note(PAGE_CUT, "page", question["cut"], url=question["url"])
        read, worth = plan.read(question["kind"], document)
        evidence = evidence_of(document) if question["look"] and not worth.whole else None
        return {
            "read": read,
            "has_scripts": evidence is not None and evidence.has_scripts,
            "signs": evidence.signs if evidence is not None else (),
        }


def _document_of(question: Json, body: bytes) -> Document:
    text, encoding = decode_body(body, question["content_type"], charset=question["charset"])
    media_type = question["content_type"].partition(";")[0].strip().lower()
    written_in = known_label(question["written_in"]) or encoding
    return parse_document(text, url=question["url"], content_type=media_type, encoding=written_in)


if __name__ == "__main__":
    main()
