"""Pages of a source that come out empty: asked for again before the promised end, and named when they stay empty."""

from dataclasses import dataclass, field
from typing import Any, cast

import orjson
import pytest
from executor_kit import context_of
from multidict import CIMultiDict, CIMultiDictProxy
from scraper.fetch import Fetched, FetchRequest
from scraper.mongo_papers import Papers
from scraper.paper import Record
from scraper.paper_search import Access, SearchRun
from scraper.paper_sources import SemanticScholar
from scraper.pipeline_params import SearchParams
from scraper.redis_rates import Budget, Rates


@dataclass
class Answers:
    """A source that answers with these pages one after the other, its last one again and again."""

    pages: list[dict[str, Any]]
    asked: list[str] = field(default_factory=list)

    async def fetch(self, request: FetchRequest) -> Fetched:
        self.asked.append(request.url)
        page = self.pages[min(len(self.asked), len(self.pages)) - 1]
        return Fetched(request.url, 200, "OK", CIMultiDictProxy(CIMultiDict()), orjson.dumps(page), False, 0.0)


class NoRates:
    async def turn(self, budget: Budget) -> None:
        """At once."""


@dataclass
class KeptPapers:
    kept: dict[str, Record] = field(default_factory=dict)

    async def add(self, _project_id: int, _run_id: int, records: list[Record]) -> int:
        self.kept |= {record.paper_id: record for record in records}
        return len(records)

    async def imported_by_source(self, _project_id: int, _run_id: int) -> dict[str, int]:
        return {"semantic_scholar": len(self.kept)}


def page(total: int, first: int, *, following: int | None = None, count: int = 0) -> dict[str, Any]:
    papers = [{"paperId": f"id{number}", "title": f"Grebes {number}"} for number in range(first, first + count)]
    return {"total": total, "offset": first, "data": papers} | ({"next": following} if following else {})


async def search(*pages: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Answers]:
    async def at_once(_seconds: float) -> None:
        """No pause between two tries."""

    monkeypatch.setattr("scraper.paper_search.asyncio.sleep", at_once)
    answers, source = Answers(list(pages)), SemanticScholar("http://127.0.0.1:1")
    run = SearchRun(
        context_of("pipeline_search"),
        SearchParams(project_id=1, query="grebes", limit=10, sources=["semantic_scholar"]),
        sources={source.name: Access(source, Budget("scholar", 0))}, http=answers,
        papers=cast(Papers, KeptPapers()), rates=cast(Rates, NoRates()), timeout_seconds=5,
    )  # fmt: skip
    return await run.run(), answers


async def test_an_empty_page_in_the_middle_does_not_end_a_source(monkeypatch: pytest.MonkeyPatch) -> None:
    first, last = page(5, 0, following=3, count=3), page(5, 3, count=2)
    result, answers = await search(first, page(5, 3), page(0, 3, following=4), last, monkeypatch=monkeypatch)
    assert (result["papers_found"], result["errors"], len(answers.asked)) == (5, {}, 4)
    assert len(set(answers.asked[1:])) == 1
    assert result["by_source"]["semantic_scholar"]["total"] == 5


async def test_a_source_that_stays_empty_is_named_and_keeps_what_it_gave(monkeypatch: pytest.MonkeyPatch) -> None:
    result, answers = await search(page(6, 0, following=3, count=3), page(6, 3), monkeypatch=monkeypatch)
    assert (result["papers_found"], len(answers.asked)) == (3, 4)
    assert "has 6 results, and gave 3" in result["errors"]["semantic_scholar"]


async def test_a_promise_of_more_without_a_total_is_not_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    first = page(3, 0, following=3, count=3)
    result, _ = await search(first, page(3, 3, following=6), monkeypatch=monkeypatch)
    assert result["papers_found"] == 3
    assert "more follows after 3 results" in result["errors"]["semantic_scholar"]


@pytest.mark.parametrize("pages", [[page(0, 0)], [page(2, 0, count=2)]])
async def test_what_is_complete_is_asked_for_once(pages: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    result, answers = await search(*pages, monkeypatch=monkeypatch)
    assert (result["errors"], len(answers.asked)) == ({}, 1)
