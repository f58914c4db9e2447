"""gRPC face of a project's papers and their index. Translates and delegates."""

import asyncio
from typing import Any

from chassis.errors import DeadlineExceeded, InvalidInput, Unavailable
from trawl.scraper.v1 import papers_pb2 as pb
from trawl.scraper.v1 import papers_pb2_grpc

from scraper.mongo_papers import Papers
from scraper.paper import Document
from scraper.paper_files import PaperFiles
from scraper.paper_index import Hit, QueryTooSlow, search

MAX_PAGE = 1_000
MAX_OFFSET = 10**9
MAX_QUERY = 1_000
# An index may be replaced between the look at its name and the opening of its file.
TRIES = 3


class PaperApi(papers_pb2_grpc.PaperServiceServicer):
    """`PaperService`."""

    def __init__(self, papers: Papers, files: PaperFiles) -> None:
        self._papers, self._files = papers, files

    async def ListPapers(self, request: pb.ListPapersRequest, context: Any) -> pb.ListPapersResponse:
        """A page of a project's papers."""
        _check_page(request.offset, request.limit)
        rows, total = await self._papers.page(request.project_id, offset=request.offset, limit=request.limit)
        return pb.ListPapersResponse(papers=map(_paper, rows), total=total)

    async def SearchPapers(self, request: pb.SearchPapersRequest, context: Any) -> pb.SearchPapersResponse:
        """What the project's index finds."""
        _check_page(request.offset, request.limit)
        if not request.query.strip() or len(request.query) > MAX_QUERY:
            raise InvalidInput(f"the query must have 1 to {MAX_QUERY} characters", field="q")
        for _ in range(TRIES):
            state = await self._papers.index_state(request.project_id)
            if not state.generation:
                return pb.SearchPapersResponse()
            path = self._files.path(state.file)
            if path is None:
                continue
            try:
                hits, total = await asyncio.to_thread(
                    search, path, request.query, offset=request.offset, limit=request.limit
                )
            except QueryTooSlow as error:
                raise DeadlineExceeded("the query took too long", dependency="index") from error
            found = await self._hits(request.project_id, hits)
            return pb.SearchPapersResponse(hits=found, total=total, indexed_ms=state.updated_ms)
        raise Unavailable("the project's index is not on this replica", dependency="index")

    async def _hits(self, project_id: int, hits: list[Hit]) -> list[pb.PaperHit]:
        papers = await self._papers.get(project_id, [hit.paper_id for hit in hits])
        return [
            pb.PaperHit(paper=_paper(papers[hit.paper_id]), score=hit.score, highlights=dict(hit.highlights))
            for hit in hits
            if hit.paper_id in papers
        ]


def _check_page(offset: int, limit: int) -> None:
    if not 0 <= offset <= MAX_OFFSET or not 0 < limit <= MAX_PAGE:
        raise InvalidInput("the page is out of range", field="limit")


def _paper(row: Document) -> pb.Paper:
    return pb.Paper(
        id=row["paper_id"],
        project_id=row["project_id"],
        title=row["title"],
        abstract=row["abstract"],
        authors=row["authors"],
        year=row["year"],
        doi=row["doi"],
        arxiv_id=row["arxiv_id"],
        venue=row["venue"],
        url=row["url"],
        pdf_url=row["pdf_url"],
        citations=row["citations"],
        sources=[pb.PaperSource(source=one["source"], id=one["id"], url=one["url"]) for one in row["sources"]],
        pdf_state=row["pdf_state"],
        pdf_error=row["pdf_error"],
        pdf_file=row["pdf_file"],
        pdf_bytes=row["pdf_bytes"],
        text_state=row["text_state"],
        text_error=row["text_error"],
        pages=row["pages"],
        ocr_pages=row["ocr_pages"],
        created_ms=row["created_ms"],
        updated_ms=row["updated_ms"],
    )
