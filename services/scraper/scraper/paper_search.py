"""One search run. Owns: the way through each source's pages, what counts as its failure, and when the run waits.

Sources are asked side by side and fail for themselves. What a page brought is imported before the place after it is
saved, so that a killed run goes on with the page that it was at.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from scraper.executor import ExecutorError, Json, Parked, RunContext
from scraper.fetch import Fetched, FetchFailed, FetchRequest
from scraper.mongo_catalogue import patiently
from scraper.mongo_papers import Papers
from scraper.paper import Record
from scraper.paper_sources import PAGE_SIZE, Query, Rubbish, Source, SourcePage
from scraper.pipeline_params import SearchParams
from scraper.politeness import is_slowing, retry_after_seconds
from scraper.redis_rates import Budget, Rates, TooLong

TRIES = 3
MAX_BODY_BYTES = 30 * 1024 * 1024
# A source that answers every request with a pause is given up after so many in a row.
MAX_PAUSES = 10
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 60.0
MAX_SHOWN = 300
# Totals of these services are estimates.
TOTAL_TOLERANCE = 0.05


class Http(Protocol):
    """What fetches."""

    async def fetch(self, request: FetchRequest) -> Fetched:
        """The answer, whatever its status. Raises FetchFailed."""


@dataclass(frozen=True, slots=True)
class Access:
    """How a source is reached."""

    source: Source
    budget: Budget


@dataclass(slots=True)
class Progress:
    """How far one source is. `place`: where its next page begins; `expected`: papers it will give, by what is known."""

    place: str
    expected: int
    found: int = 0
    entries: int = 0
    total: int | None = None
    done: bool = False
    capped: bool = False
    error: str = ""
    # Pauses in a row that it asked for.
    pauses: int = 0
    resume_at_ms: int = field(default=0)


class SourceFailed(Exception):
    """The source can't be used in this run; the message says why."""


class SearchRun:
    """Asks the sources and imports what they give."""

    def __init__(
        self, context: RunContext, params: SearchParams, *, sources: Mapping[str, Access], http: Http,
        papers: Papers, rates: Rates, timeout_seconds: float,
    ) -> None:  # fmt: skip
        self._context, self._params = context, params
        self._http, self._papers, self._rates = http, papers, rates
        self._timeout_seconds = timeout_seconds
        self._query = Query(params.query, params.year_from, params.year_to)
        self._sources: dict[str, Access] = {name: sources[name] for name in dict.fromkeys(params.sources)}
        self._states = _states(self._sources, params.limit, context.job.checkpoint)
        self._saving = asyncio.Lock()

    async def run(self) -> Json:
        """The result. Raises Parked when only sources are left that want to be asked later."""
        self._show()
        try:
            async with asyncio.TaskGroup() as group:
                for name, access in self._sources.items():
                    if not self._states[name].done:
                        group.create_task(self._work(access, self._states[name]))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        await self._save()
        waiting = {name: state for name, state in self._states.items() if not state.done}
        if waiting:
            resume = min(state.resume_at_ms for state in waiting.values())
            raise Parked(f"{', '.join(waiting)} asked for a pause", resume_at_ms=resume)
        return await self._result()

    async def _work(self, access: Access, state: Progress) -> None:
        try:
            await self._walk(access, state)
        except SourceFailed as error:
            state.error, state.done = str(error)[:MAX_SHOWN], True
            self._context.log("warn", f"{access.source.name} failed: {state.error}")
            state.expected = state.found
            await self._save()
        except TooLong as error:
            state.resume_at_ms = error.resume_at_ms
            self._context.log("info", str(error))
        self._show()

    async def _walk(self, access: Access, state: Progress) -> None:
        source = access.source
        seen: set[str] = set()
        while not state.done:
            page = await self._page(access, state)
            new = {record.paper_id: record for record in page.records if record.paper_id not in seen}
            seen |= new.keys()
            kept = [record for record in new.values() if self._is_wanted(record)][: self._params.limit - state.found]
            await patiently(self._papers.add, self._params.project_id, self._context.job.run_id, kept)
            state.found += len(kept)
            state.entries += page.entries
            state.capped, state.pauses = page.capped, 0
            # A page that came out empty often says that there is nothing at all.
            state.total = page.total if page.entries or not state.entries else state.total
            full = state.found >= self._params.limit
            if page.following is not None and page.entries and not full:
                if not new and page.records:
                    raise SourceFailed("it gives the same papers again and again")
                state.place = page.following
                state.expected = _expected(state, self._params.limit)
            else:
                state.done, state.expected = True, state.found
                if not full and not page.capped:
                    state.error = _lie(state, page)
            self._context.log("debug", f"{source.name}: {state.found} papers so far", total=page.total)
            await self._save()
            self._show()

    def _is_wanted(self, record: Record) -> bool:
        year = record.year
        if year is None:
            return True
        first, last = self._params.year_from, self._params.year_to
        return (first is None or year >= first) and (last is None or year <= last)

    async def _page(self, access: Access, state: Progress) -> SourcePage:
        """The page at the source's place; one that is empty before the promised end is asked for again, and taken as it
        is only when it stays empty. Raises SourceFailed, TooLong.
        """
        for tries in range(1, TRIES + 1):
            page = await self._whole_page(access, state)
            if tries == TRIES or not _comes_too_early(page, state):
                break
            self._context.log("info", f"{access.source.name} gave an empty page after {state.entries} results")
            await asyncio.sleep(0.2 * 2**tries)
        return page

    async def _whole_page(self, access: Access, state: Progress) -> SourcePage:
        """The page at the source's place, whatever is in it. Raises SourceFailed, TooLong."""
        reason = ""
        failures = 0
        while failures < TRIES:
            await self._rates.turn(access.budget)
            try:
                answer = await self._ask(access.source, state.place)
                if is_slowing(answer) and (answer.status == 429 or retry_after_seconds(answer) is not None):
                    await self._pause(access, state, answer)
                    continue
                if answer.status == 200:
                    return access.source.read(answer.body, state.place)
                reason = f"it answered with status {answer.status}"
                if 400 <= answer.status < 500 and answer.status != 408:
                    break
            except FetchFailed as error:
                reason = error.message
            except ExecutorError as error:  # an address that may not be called
                raise SourceFailed(error.message) from error
            except Rubbish as error:
                reason = str(error)
            failures += 1
            if failures < TRIES:
                await asyncio.sleep(0.2 * 2**failures)
        raise SourceFailed(reason)

    async def _ask(self, source: Source, place: str) -> Fetched:
        url = source.url(self._query, place, min(self._params.limit, PAGE_SIZE))
        answer = await self._http.fetch(
            FetchRequest(
                url, headers=source.headers, timeout_seconds=self._timeout_seconds, max_bytes=MAX_BODY_BYTES,
                max_redirects=3,
            )
        )  # fmt: skip
        if answer.truncated:
            raise Rubbish("the answer is far too large")
        return answer

    async def _pause(self, access: Access, state: Progress, answer: Fetched) -> None:
        """Everybody waits for as long as the source says. Raises SourceFailed when it never says anything else."""
        state.pauses += 1
        if state.pauses > MAX_PAUSES:
            raise SourceFailed(f"it asked for a pause {MAX_PAUSES} times in a row")
        usual = min(FIRST_PAUSE_SECONDS * 2 ** (state.pauses - 1), LONGEST_PAUSE_SECONDS)
        asked = retry_after_seconds(answer)
        seconds = usual if asked is None else asked
        self._context.log("info", f"{access.source.name} asked for a pause of {seconds:g} s")
        await self._rates.pause(access.budget, seconds)

    def _show(self) -> None:
        done = sum(state.found for state in self._states.values())
        total = sum(max(state.expected, state.found) for state in self._states.values())
        self._context.progress(done, total, f"{done} papers found")

    async def _save(self) -> None:
        async with self._saving:
            await patiently(self._context.save_checkpoint, {n: asdict(state) for n, state in self._states.items()})

    async def _result(self) -> Json:
        errors = {name: state.error for name, state in self._states.items() if state.error}
        if len(errors) == len(self._states) and not any(state.entries for state in self._states.values()):
            reasons = "; ".join(f"{name}: {reason}" for name, reason in errors.items())
            # Another attempt asks all of them again.
            await patiently(self._context.save_checkpoint, {})
            raise ExecutorError(f"no source could be searched: {reasons}", code="ALL_SOURCES_FAILED")
        project_id, run_id = self._params.project_id, self._context.job.run_id
        imported = await patiently(self._papers.imported_by_source, project_id, run_id)
        return {
            "papers_found": sum(state.found for state in self._states.values()),
            "imported": sum(imported.values()),
            "by_source": {
                name: {"found": state.found, "imported": imported.get(name, 0), "total": state.total}
                for name, state in self._states.items()
            },
            "errors": errors,
        }


def _states(sources: Mapping[str, Access], limit: int, checkpoint: Any) -> dict[str, Progress]:
    """Where each source is to go on."""
    saved = checkpoint if isinstance(checkpoint, dict) else {}
    return {
        name: Progress(**saved[name]) if name in saved else Progress(access.source.first, limit)
        for name, access in sources.items()
    }


def _expected(state: Progress, limit: int) -> int:
    """How many papers will come; a total is believed as long as it is more than what has come."""
    return min(limit, state.total) if state.total and state.total > state.found else limit


def _comes_too_early(page: SourcePage, state: Progress) -> bool:
    """Whether it is an empty page though the source has promised more."""
    promised = max(page.total or 0, state.total or 0)
    return not page.entries and (page.following is not None or promised > state.entries)


def _lie(state: Progress, last: SourcePage) -> str:
    """What to say of a source that gave far less or more than it promised. Papers that were left out for their year
    count.
    """
    if state.total is not None and abs(state.total - state.entries) > TOTAL_TOLERANCE * max(state.total, 1):
        return f"it said that it has {state.total} results, and gave {state.entries}"
    if not last.entries and last.following is not None:
        return f"it said that more follows after {state.entries} results, and gave an empty page"
    return ""
