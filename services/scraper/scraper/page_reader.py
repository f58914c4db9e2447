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
from typing import Any

import orjson

from scraper.charsets import decode_body, known_label
from scraper.documents import parse_document
from scraper.executor import ExecutorError, InvalidParameters, Json
from scraper.problems import PAGE_CUT
from scraper.reading import HEADER
from scraper.reading_place import ReadingPlace
from scraper.render_evidence import evidence_of
from scraper.scrape_definition import ScrapeDefinition
from scraper.scrape_plan import PagePlan

MEMORY_BYTES = 4 * 2**30
MAX_PLANS = 16
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
    plans, place = Plans(), ReadingPlace(memory)
    with socket.socket(fileno=number) as connection, connection.makefile("rb") as questions:
        while header := questions.read(HEADER.size):
            length, size = HEADER.unpack(header)
            question = orjson.loads(questions.read(length))
            answer = answer_to(question, questions.read(size), plans, place)
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


def answer_to(question: Json, body: bytes, plans: Plans, place: ReadingPlace) -> bytes:
    """The answer's JSON."""
    place.set("")
    signal.setitimer(signal.ITIMER_PROF, question["seconds"])
    try:
        return orjson.dumps(_answer(question, body, plans, place))
    except InvalidParameters as error:
        return orjson.dumps({"refused": error.message.removeprefix(f"{error.field}: "), "field": error.field})
    except ExecutorError as error:
        return orjson.dumps({"failed": error.message, "code": error.code})
    except Exception as error:  # noqa: BLE001  # whatever a stranger's page brings about costs that page
        reason = f"{type(error).__name__}: {error}".encode(errors="replace").decode()[:500]
        return orjson.dumps({"failed": f"the page could not be read: {reason}", "code": "BAD_PAGE"})
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _answer(question: Json, body: bytes, plans: Plans, place: ReadingPlace) -> dict[str, Any]:
    plan = plans.of(question)
    if plan is None:
        return {"unknown_plan": True}
    if "kind" not in question:
        return {"compiled": True}
    text, encoding = decode_body(body, question["content_type"], charset=question["charset"])
    media_type = question["content_type"].partition(";")[0].strip().lower()
    written_in = known_label(question["written_in"]) or encoding
    document = parse_document(text, url=question["url"], content_type=media_type, encoding=written_in)
    document.look_for = place.set
    if question["cut"]:
        document.problems.note(PAGE_CUT, "page", question["cut"], url=question["url"])
    read, worth = plan.read(question["kind"], document)
    evidence = evidence_of(document) if question["look"] and not worth.whole else None
    return {
        "read": read,
        "has_scripts": evidence is not None and evidence.has_scripts,
        "signs": evidence.signs if evidence is not None else (),
    }


if __name__ == "__main__":
    main()
