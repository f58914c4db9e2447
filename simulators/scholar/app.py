"""The four APIs, the file host and the controls as one web application. Owns: paths, paging, limits, faults.

/graph/v1/paper/search   Semantic Scholar         /api/query        arXiv
/openalex/works          OpenAlex                 /crossref/works   Crossref
/files /landing /gone /private                    the file host, with /robots.txt
/_faults/<source>  /_truth  /_log                 for whoever tests against it
"""

import asyncio
import base64
import functools
import re
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from simulators.scholar import shapes
from simulators.scholar.corpus import Corpus, Record
from simulators.scholar.faults import INTERVALS, KINDS, Fault, Manners
from simulators.scholar.pdfs import make_pdf

Json = Any
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
RANKED = 1_000
ROBOTS = "User-agent: *\nDisallow: /private/\nAllow: /\n"
LIE = 98_765
# What is wrong with the answer to a request.
FAULT = web.RequestKey("fault", Fault)


class Scholar:
    """The application's state. `pace` multiplies the real intervals: 0 = no limit."""

    def __init__(self, corpus: Corpus, *, pace: float = 1.0) -> None:
        self._corpus = corpus
        self._works = {work.number: work for work in corpus.works}
        self.manners = {name: Manners(interval * pace) for name, interval in INTERVALS.items()}
        self._pdf = functools.lru_cache(maxsize=256)(lambda number: make_pdf(self._works[number]))

    def app(self) -> web.Application:
        """The application."""
        app = web.Application()
        get = app.router.add_get
        get("/graph/v1/paper/search", self._limited("semantic_scholar", self._semantic_scholar))
        get("/api/query", self._limited("arxiv", self._arxiv))
        get("/openalex/works", self._limited("openalex", self._openalex))
        get("/crossref/works", self._limited("crossref", self._crossref))
        for folder in ("files", "landing", "gone", "private"):
            get(f"/{folder}/{{number:\\d+}}.pdf", self._limited("files", self._file))
        get("/robots.txt", self._robots)
        app.router.add_put("/_faults/{source}", self._set_fault)
        get("/_truth", self._truth)
        get("/_log", self._log)
        return app

    def _limited(self, source: str, handler: Handler) -> Handler:
        async def serve(request: web.Request) -> web.StreamResponse:
            manners = self.manners[source]
            wait = manners.refusal_seconds()
            if wait:
                return web.json_response({"error": "Too Many Requests"}, status=429, headers={"Retry-After": str(wait)})
            fault = manners.active_fault()
            if fault is not None and fault.kind == "down":
                return web.Response(status=500, text="Internal Server Error")
            if fault is not None and fault.kind == "limit":
                return web.json_response({}, status=429, headers={"Retry-After": f"{fault.seconds:.0f}"})
            if fault is not None and fault.kind == "rubbish":
                return web.Response(text="<html><body>Welcome to the hotel network", content_type="text/html")
            if fault is not None and fault.kind == "slow":
                await asyncio.sleep(fault.seconds)
            request[FAULT] = fault or Fault("")
            return await handler(request)

        return serve

    def _found(self, source: str, query: str, years: tuple[int, int]) -> list[Record]:
        """Records that have all words of the query, those with most of them first."""
        asked = [word.lower() for word in re.findall(r"\w+", query)]
        found = []
        for record in self._corpus.of(source):
            text = f"{record.title} {record.abstract}".lower()
            if years[0] <= record.year <= years[1] and all(word in text for word in asked):
                found.append((-sum(text.count(word) for word in asked), record.id, record))
        return [record for _, _, record in sorted(found, key=lambda entry: entry[:2])]

    def _part(self, request: web.Request, found: list[Record], start: int, size: int) -> tuple[list[Record], int]:
        """(the page, the total as this answer says)."""
        fault = request[FAULT].kind
        if fault == "empty":
            return [], len(found)
        start = 0 if fault == "repeat" else start
        return found[start : start + size], LIE if fault in ("total", "repeat") else len(found)

    async def _semantic_scholar(self, request: web.Request) -> web.StreamResponse:
        offset, limit = _number(request, "offset", 0), _number(request, "limit", 100)
        if limit > 100 or offset + limit > RANKED or not request.query.get("query"):
            return web.json_response({"error": "Unacceptable query params"}, status=400)
        first, _, last = request.query.get("year", "-").partition("-")
        found = self._found("semantic_scholar", request.query["query"], (int(first or 0), int(last or 9999)))
        page, total = self._part(request, found, offset, limit)
        fields = set(request.query.get("fields", "title").split(","))
        answer: dict[str, Json] = {"total": total, "offset": offset}
        if offset + limit < total and page:
            answer["next"] = offset + limit
        answer["data"] = [shapes.semantic_scholar(record, _base(request), fields) for record in page]
        return web.json_response(answer)

    async def _arxiv(self, request: web.Request) -> web.StreamResponse:
        asked = request.query.get("search_query", "")
        years = re.search(r"submittedDate:\[(\d{4})\d* TO (\d{4})\d*\]", asked)
        words = " ".join(re.findall(r'all:("[^"]*"|\S+)', asked))
        start, size = _number(request, "start", 0), min(_number(request, "max_results", 10), 2_000)
        span = (int(years[1]), int(years[2])) if years else (0, 9999)
        page, total = self._part(request, self._found("arxiv", words, span), start, size)
        feed = shapes.arxiv(page, base=_base(request), total=total, start=start, size=size, query=asked)
        return web.Response(text=feed, content_type="application/atom+xml")

    async def _openalex(self, request: web.Request) -> web.StreamResponse:
        size = _number(request, "per_page", 25)
        start = _start(request.query.get("cursor", "*"))
        if size > 200 or start is None:
            return web.json_response({"error": "Invalid query parameters error."}, status=403)
        found = self._found(
            "openalex", request.query.get("search", ""), _span(request, "from_publication_date", "to_publication_date")
        )
        page, total = self._part(request, found, start, size)
        following = _cursor(start + size) if page else None
        meta = {"count": total, "db_response_time_ms": 12, "page": None, "per_page": size, "next_cursor": following}
        return web.json_response(
            {"meta": meta, "results": [shapes.openalex(record, _base(request)) for record in page], "group_by": []}
        )

    async def _crossref(self, request: web.Request) -> web.StreamResponse:
        rows = _number(request, "rows", 20)
        start = _start(request.query.get("cursor", "*"))
        if rows > 1000 or start is None:
            return web.json_response({"status": "failed", "message": []}, status=400)
        found = self._found(
            "crossref", request.query.get("query", ""), _span(request, "from-pub-date", "until-pub-date")
        )
        page, total = self._part(request, found, start, rows)
        message = {
            "facets": {}, "next-cursor": _cursor(start + rows), "total-results": total, "items-per-page": rows,
            "items": [shapes.crossref(record, _base(request)) for record in page],
        }  # fmt: skip
        answer = {"status": "ok", "message-type": "work-list", "message-version": "1.0.0", "message": message}
        return web.json_response(answer, headers={"X-Rate-Limit-Limit": "50", "X-Rate-Limit-Interval": "1s"})

    async def _file(self, request: web.Request) -> web.StreamResponse:
        number = int(request.match_info["number"])
        if request.path.startswith("/gone/") or number not in self._works:
            return web.Response(status=404, text="Not Found")
        if request.path.startswith("/landing/"):
            return web.Response(text="<html><body>Log in to read this paper", content_type="text/html")
        data = await asyncio.to_thread(self._pdf, number)
        tag = f'"{number}-{len(data)}"'
        start = 0
        if request.headers.get("If-Range", tag) == tag:
            start = _first_byte(request.headers.get("Range", ""))
        self.manners["files"].starts.append(start)
        if start >= len(data):
            return web.Response(status=416, headers={"Content-Range": f"bytes */{len(data)}"})
        headers = {"ETag": tag, "Accept-Ranges": "bytes", "Content-Type": "application/pdf"}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        answer = web.StreamResponse(status=206 if start else 200, headers=headers)
        answer.content_length = len(data) - start
        await answer.prepare(request)
        half = start + (len(data) - start) // 2
        await answer.write(data[start:half])
        fault = request[FAULT]
        if fault.kind == "stall":
            await asyncio.sleep(fault.seconds)
        if fault.kind in ("cut", "stall") and request.transport is not None:
            request.transport.close()
            return answer
        await answer.write(data[half:])
        await answer.write_eof()
        return answer

    async def _robots(self, _: web.Request) -> web.StreamResponse:
        return web.Response(text=ROBOTS)

    async def _set_fault(self, request: web.Request) -> web.StreamResponse:
        """`{"kind", "seconds", "pages", "times"}`; `{}` makes it well."""
        source = request.match_info["source"]
        raw = await request.json()
        if source not in self.manners or (raw and raw.get("kind") not in KINDS):
            return web.json_response({"error": f"sources: {[*self.manners]}, kinds: {KINDS}"}, status=400)
        self.manners[source].misbehave(Fault(**raw) if raw else None)
        return web.json_response({})

    async def _truth(self, _: web.Request) -> web.StreamResponse:
        """What is a duplicate of what, and what stands only in a PDF."""
        works = {
            str(work.number): {"title": work.title, "pdf": work.pdf, "secret": work.secret}
            for work in self._corpus.works
        }
        records = {f"{record.source}:{record.id}": record.work for record in self._corpus.records}
        return web.json_response({"groups": self._corpus.groups(), "works": works, "records": records})

    async def _log(self, _: web.Request) -> web.StreamResponse:
        """Times of all requests, how many were refused, and at which byte files were begun, by source."""
        return web.json_response(
            {
                name: {"requests": manners.requests, "refused": manners.refused, "starts": manners.starts}
                for name, manners in self.manners.items()
            }
        )


def _base(request: web.Request) -> str:
    return f"{request.scheme}://{request.host}"


def _number(request: web.Request, name: str, default: int) -> int:
    text = request.query.get(name, "")
    return int(text) if text.isdecimal() and len(text) < 10 else default


def _first_byte(asked: str) -> int:
    """Of `bytes=N-`; any other range is ignored, as hosts may."""
    found = re.fullmatch(r"bytes=(\d{1,12})-", asked)
    return int(found[1]) if found else 0


def _cursor(start: int) -> str:
    return base64.urlsafe_b64encode(f"from {start}".encode()).decode()


def _start(cursor: str) -> int | None:
    """Where the cursor's page begins, or None for one that nobody was given."""
    if cursor == "*":
        return 0
    try:
        return int(base64.urlsafe_b64decode(cursor).decode().removeprefix("from "))
    except ValueError:
        return None


def _span(request: web.Request, first: str, last: str) -> tuple[int, int]:
    """The years that the filter allows."""
    parts = request.query.get("filter", "").split(",")
    filters = dict(part.split(":", 1) for part in parts if ":" in part)
    return int(filters.get(first, "0000")[:4]), int(filters.get(last, "9999")[:4])
