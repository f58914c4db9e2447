"""One dedup run. Owns: what is compared, when nothing needs to be, and what is kept. Must not know the rules.

A run reads cards and writes groups, never papers. It is repeatable: an attempt looks at the groups as they were before
the run, finds the same again, and writes them under the same keys.
"""

from collections.abc import AsyncIterator

from scraper.executor import Json, RunContext
from scraper.mongo_catalogue import DedupMark, patiently, seen_by_dedup
from scraper.mongo_papers import Papers
from scraper.paper_catalogue import Catalogue
from scraper.paper_workshop import Bench
from scraper.pipeline_params import DedupParams

SECONDS = 3_600.0
# Goes up with every change of `paper_rules`, so that projects are compared anew. It stands here because only
# the process that compares shall load what those need.
RULES = 2
# The run's progress is in steps of a hundred: reading 10, comparing 85, writing 5.
READ_SHARE, COMPARE_SHARE = 10, 85


class DedupRun:
    """Finds the duplicates of a project."""

    def __init__(self, context: RunContext, params: DedupParams, *, papers: Papers, bench: Bench) -> None:
        self._context, self._params, self._bench = context, params, bench
        self._papers, self._catalogues = papers, papers.catalogues

    async def run(self) -> Json:
        """`groups`, `merged`, `remaining`."""
        self._context.progress(0, 100, "reading papers")
        project_id, run_id = self._params.project_id, self._context.job.run_id
        before: Catalogue = await patiently(self._catalogues.before, project_id, run_id)
        seen = seen_by_dedup(before, self._params.threshold, RULES)
        last: DedupMark | None = await patiently(self._catalogues.last_dedup, project_id)
        if last is not None and last.seen == seen:
            self._context.progress(100, 100, "nothing new to compare")
            # It may have been this very run, killed before it could say what it had done.
            return last.result if last.run_id == run_id else _result([], before)
        groups = await self._compare(before)
        self._context.progress(READ_SHARE + COMPARE_SHARE, 100, f"keeping {len(groups)} groups")
        await patiently(self._catalogues.add_groups, project_id, run_id, groups)
        result = _result(groups, before)
        await patiently(self._catalogues.note_dedup, project_id, DedupMark(run_id, seen, result))
        self._context.progress(100, 100, "done")
        return result

    async def _compare(self, before: Catalogue) -> list[list[str]]:
        """Groups that are new or have grown."""
        if len(before.known) < 2:
            return []
        work = await patiently(self._papers.done_work, self._params.project_id)
        known, _ = await self._bench.write("known.jsonl", _once([work, *before.groups.members.values()]))
        source, _ = await self._bench.write("cards.jsonl", self._cards(before))
        target = self._bench.folder / "groups.jsonl"
        await self._bench.work(
            "dedup", str(source), str(known), str(target), str(self._params.threshold), progress=self._compared,
            seconds=SECONDS,
        )  # fmt: skip
        groups: list[list[str]] = self._bench.read(target)
        return groups

    async def _cards(self, before: Catalogue) -> AsyncIterator[list[Json]]:
        read, total = 0, sum(len(one.ids) for one in before.listed)
        async for lists in self._catalogues.cards(before):
            yield lists
            read += sum(len(ids) for ids, _ in lists)
            self._context.progress(READ_SHARE * read // total, 100, f"{read} papers read")

    def _compared(self, done: int, total: int) -> None:
        self._context.progress(READ_SHARE + COMPARE_SHARE * done // max(total, 1), 100, "comparing")


def _result(groups: list[list[str]], before: Catalogue) -> Json:
    """What the run says: groups that it made or made larger, papers that are no longer shown, papers that still are."""
    kept = before.groups
    heads = [len({kept.kept_of(paper_id) for paper_id in group}) for group in groups]
    merged = sum(heads) - len(groups)
    return {"groups": len(groups), "merged": merged, "remaining": len(before.active) - merged}


async def _once(entries: list[Json]) -> AsyncIterator[list[Json]]:
    yield entries
